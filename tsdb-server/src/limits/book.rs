//! Which limits hold for which tenant.

use super::Limits;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb_core::TenantId;

/// The limits of every tenant: the defaults, and those of tenants with limits of their own. The latter change while the
/// server runs; a request keeps the limits that it began with.
#[derive(Debug)]
pub(crate) struct LimitBook {
    /// Are the limits of tenants known that have some of their own?
    is_complete: AtomicBool,
    defaults: Entry,
    own: RwLock<HashMap<TenantId, Entry>>,
}

/// Limits, and those of them that the engine keeps in its words: made once, so that a store is told only of changes.
#[derive(Debug)]
struct Entry {
    limits: Arc<Limits>,
    series: Arc<tsdb::SeriesLimits>,
    retention: Arc<tsdb::Retention>,
}

/// The limits of a tenant that the engine keeps.
#[derive(Debug)]
pub(crate) struct OfEngine {
    pub(crate) series: Arc<tsdb::SeriesLimits>,
    /// How far behind its newest sample a tenant may send others, ms.
    pub(crate) out_of_order_window_ms: i64,
    /// `None` if that is not known yet: what is deleted too early does not come back.
    pub(crate) retention: Option<Arc<tsdb::Retention>>,
}

impl OfEngine {
    /// Does the book say the same still?
    pub(crate) fn is(&self, other: &Self) -> bool {
        // Limits are made anew, all of them, whenever any change.
        Arc::ptr_eq(&self.series, &other.series) && self.retention.is_some() == other.retention.is_some()
    }
}

impl Entry {
    fn new(limits: Limits) -> Self {
        Self {
            series: Arc::new(limits.cardinality.to_engine()),
            retention: Arc::new(limits.retention.to_engine()),
            limits: Arc::new(limits),
        }
    }
}

impl LimitBook {
    /// What is known before [`replace`](Self::replace) says the rest.
    pub(crate) fn new(defaults: Limits, own: HashMap<TenantId, Limits>) -> Self {
        let own = RwLock::new(entries(own));
        Self { is_complete: AtomicBool::new(false), defaults: Entry::new(defaults), own }
    }

    /// What holds for `tenant`.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<Limits> {
        Arc::clone(&self.own.read().get(tenant).unwrap_or(&self.defaults).limits)
    }

    /// What the engine is to keep for `tenant`.
    pub(crate) fn of_engine(&self, tenant: &TenantId) -> OfEngine {
        // ORDER: what is known to be complete is read after that is known.
        let is_complete = self.is_complete.load(Ordering::Acquire);
        let own = self.own.read();
        let Entry { limits, series, retention } = own.get(tenant).unwrap_or(&self.defaults);
        OfEngine {
            series: Arc::clone(series),
            out_of_order_window_ms: limits.ingest.out_of_order_window.as_signed_ms(),
            retention: is_complete.then(|| Arc::clone(retention)),
        }
    }

    /// How long the engine is to keep what `tenant` has; `None` if that is not known yet: what is deleted too early does
    /// not come back.
    pub(crate) fn retention(&self, tenant: &TenantId) -> Option<Arc<tsdb::Retention>> {
        self.of_engine(tenant).retention
    }

    /// What holds for tenants without limits of their own.
    pub(crate) fn defaults(&self) -> &Arc<Limits> {
        &self.defaults.limits
    }

    /// From now on the tenants in `own` have these limits, and all others the defaults.
    pub(crate) fn replace(&self, own: HashMap<TenantId, Limits>) {
        let own = entries(own);
        *self.own.write() = own;
        // ORDER: the limits are there before they count as known.
        self.is_complete.store(true, Ordering::Release);
    }
}

fn entries(own: HashMap<TenantId, Limits>) -> HashMap<TenantId, Entry> {
    own.into_iter().map(|(tenant, limits)| (tenant, Entry::new(limits))).collect()
}
