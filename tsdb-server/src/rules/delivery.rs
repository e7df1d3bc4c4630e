//! Where evaluations hand over alerts.

use super::group::Group;
use super::moves::Departed;
use tsdb_core::{TenantId, Timestamp};

/// Takes alerts to their receivers.
///
/// Told after each turn of a group that could change or repeat what receivers know: after the latest evaluation, also
/// after one that failed or lacked samples, since receivers forget an alert that nobody tells again. Not told of
/// evaluations that are made up for: a later one follows each of them at once.
pub(crate) trait AlertSink: Send + Sync {
    /// The alerts of `group`, which belongs to `tenant` and is evaluated every `interval_ms`, are what they are at the time
    /// `at`. Called on the threads that evaluate rules: it must not wait for a receiver, a disk or a queue that is full.
    fn evaluated(&self, tenant: &TenantId, group: &Group, at: Timestamp, interval_ms: i64);

    /// Rules of `tenant` are no more since `at`, as they were deleted or paused: their alerts are over. Must not wait either.
    fn departed(&self, tenant: &TenantId, rules: &[Departed], at: Timestamp);
}

/// A sink for servers without receivers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NoSink;

impl AlertSink for NoSink {
    fn evaluated(&self, _tenant: &TenantId, _group: &Group, _at: Timestamp, _interval_ms: i64) {}

    fn departed(&self, _tenant: &TenantId, _rules: &[Departed], _at: Timestamp) {}
}
