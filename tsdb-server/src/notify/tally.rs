//! What became of a receiver's alerts: counts for metrics, and the last failure in words.
//!
//! Reasons are from fixed sets, so no receiver can make the metrics grow.

use crate::telemetry::Durations;
use std::collections::BTreeMap;
use tsdb_core::Timestamp;

/// The counts at one time.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counted {
    /// Alerts that the receiver took.
    pub(crate) sent: u64,
    /// Requests that failed, by reason.
    pub(crate) failed: BTreeMap<&'static str, u64>,
    /// Alerts given up, by reason.
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    /// How long requests took.
    pub(crate) latency: Durations,
    /// When the receiver took something last, ms.
    pub(crate) last_success: Option<Timestamp>,
    /// When and how a request failed last, ms.
    pub(crate) last_failure: Option<(Timestamp, String)>,
}

/// Counts of one receiver since the start.
#[cfg(feature = "alert-delivery")]
#[derive(Debug, Default)]
pub(crate) struct Tally {
    inner: parking_lot::Mutex<Counted>,
}

#[cfg(feature = "alert-delivery")]
impl Tally {
    pub(crate) fn now(&self) -> Counted {
        self.inner.lock().clone()
    }

    pub(crate) fn sent(&self, alerts: usize, at: Timestamp) {
        let mut counted = self.inner.lock();
        counted.sent += alerts as u64;
        counted.last_success = Some(at);
    }

    pub(crate) fn failed(&self, reason: &'static str, message: String, at: Timestamp) {
        let mut counted = self.inner.lock();
        *counted.failed.entry(reason).or_default() += 1;
        counted.last_failure = Some((at, message));
    }

    pub(crate) fn dropped(&self, reason: &'static str, alerts: usize) {
        *self.inner.lock().dropped.entry(reason).or_default() += alerts as u64;
    }

    pub(crate) fn took(&self, time: std::time::Duration) {
        self.inner.lock().latency.observe(time.as_secs_f64());
    }
}
