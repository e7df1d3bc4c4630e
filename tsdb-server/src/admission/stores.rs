//! Stores that know the limits of their tenants.

use crate::limits::{LimitBook, Limits};
use crate::store::{Store, Stores};
use std::collections::HashMap;
use std::sync::Arc;
use tsdb_core::TenantId;

/// Stores each of which has the limits on series, the window for late samples and the retention that the book has for its
/// tenant.
///
/// Whoever asks for a store gets it with the limits that hold now; a change of the book reaches the others by
/// [`replace_limits`](Self::replace_limits).
pub(crate) struct LimitedStores {
    stores: Arc<dyn Stores>,
    book: Arc<LimitBook>,
}

impl LimitedStores {
    pub(crate) fn new(stores: Arc<dyn Stores>, book: Arc<LimitBook>) -> Self {
        let limited = Self { stores, book };
        limited.refresh();
        limited
    }

    /// Gives the tenants in `own` these limits, and all others the defaults, from the next request on.
    pub(crate) fn replace_limits(&self, own: HashMap<TenantId, Limits>) {
        self.book.replace(own);
        self.refresh();
    }

    /// Tells all stores the limits of their tenants.
    fn refresh(&self) {
        for (tenant, store) in self.stores.list() {
            self.limit(&tenant, store.as_ref());
        }
    }

    fn limit(&self, tenant: &TenantId, store: &dyn Store) {
        let mut limits = self.book.of_engine(tenant);
        loop {
            store.set_series_limits(&limits.series);
            store.set_out_of_order_window(limits.out_of_order_window_ms);
            if let Some(retention) = &limits.retention
                && let Err(error) = store.set_retention(retention)
            {
                log::error!("tenant {tenant} keeps the retention that it had: {error}");
            }
            // The book may have changed in between and the store been told, before this told it what was in the book.
            let now = self.book.of_engine(tenant);
            if now.is(&limits) {
                return;
            }
            limits = now;
        }
    }
}

impl Stores for LimitedStores {
    fn open(&self, tenant: &TenantId) -> Result<Arc<dyn Store>, tsdb::Error> {
        let store = self.stores.open(tenant)?;
        self.limit(tenant, store.as_ref());
        Ok(store)
    }

    fn existing(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Store>>, tsdb::Error> {
        let store = self.stores.existing(tenant)?;
        if let Some(store) = &store {
            self.limit(tenant, store.as_ref());
        }
        Ok(store)
    }

    fn list(&self) -> Vec<(TenantId, Arc<dyn Store>)> {
        self.stores.list()
    }

    fn close(&self) -> Result<(), tsdb::Error> {
        self.stores.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limit;
    use crate::{Limits, Period};
    use parking_lot::Mutex;
    use std::sync::{OnceLock, Weak};
    use tsdb_core::TimeRange;
    use tsdb_core::metadata::Metadata;
    use tsdb_core::read::{Querier, Queryable, ReadError};
    use tsdb_core::testing::MemStore;
    use tsdb_core::write::{Appendable, Appender};

    /// What a store was told last: series, window, retention.
    #[derive(Debug, Default, Clone, PartialEq)]
    struct Told {
        series: Option<Arc<tsdb::SeriesLimits>>,
        window_ms: i64,
        retention: Option<Arc<tsdb::Retention>>,
    }

    /// One store, of which limits change the moment before it is told them for the first time.
    #[derive(Default)]
    struct Overtaken {
        of: OnceLock<Weak<LimitedStores>>,
        next: Mutex<Option<Limits>>,
        told: Mutex<Told>,
        samples: MemStore,
    }

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    fn limits(number: u64) -> Limits {
        let mut limits = Limits::default();
        limits.cardinality.max_active_series = Limit::at(number);
        limits.ingest.out_of_order_window = Period::from_secs(number);
        limits.retention.samples = Period::from_secs(number * 86_400);
        limits
    }

    impl Overtaken {
        fn give_way(&self) {
            let next = self.next.lock().take();
            if let (Some(next), Some(of)) = (next, self.of.get().and_then(Weak::upgrade)) {
                of.replace_limits(HashMap::from([(tenant(), next)]));
            }
        }
    }

    impl Queryable for Overtaken {
        fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
            self.samples.querier(range)
        }
    }

    impl Appendable for Overtaken {
        fn appender(&self) -> Box<dyn Appender + '_> {
            self.samples.appender()
        }
    }

    impl Store for Overtaken {
        fn metadata(&self) -> Vec<(String, Metadata)> {
            Vec::new()
        }

        fn set_series_limits(&self, limits: &Arc<tsdb::SeriesLimits>) {
            self.give_way();
            self.told.lock().series = Some(Arc::clone(limits));
        }

        fn set_out_of_order_window(&self, window_ms: i64) {
            self.told.lock().window_ms = window_ms;
        }

        fn set_retention(&self, retention: &Arc<tsdb::Retention>) -> Result<(), tsdb::Error> {
            self.told.lock().retention = Some(Arc::clone(retention));
            Ok(())
        }
    }

    struct One(Arc<Overtaken>);

    impl Stores for One {
        fn open(&self, _tenant: &TenantId) -> Result<Arc<dyn Store>, tsdb::Error> {
            Ok(Arc::clone(&self.0) as Arc<dyn Store>)
        }

        fn existing(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Store>>, tsdb::Error> {
            self.open(tenant).map(Some)
        }

        fn list(&self) -> Vec<(TenantId, Arc<dyn Store>)> {
            vec![(tenant(), Arc::clone(&self.0) as Arc<dyn Store>)]
        }

        fn close(&self) -> Result<(), tsdb::Error> {
            Ok(())
        }
    }

    #[test]
    fn limits_that_change_while_a_store_is_told_the_old_ones_are_those_that_stay() {
        let store = Arc::new(Overtaken::default());
        let book = Arc::new(LimitBook::new(limits(1), HashMap::new()));
        let limited = Arc::new(LimitedStores::new(Arc::new(One(Arc::clone(&store))), book));
        store.of.set(Arc::downgrade(&limited)).unwrap();
        for number in 2..5 {
            *store.next.lock() = Some(limits(number));
            drop(limited.open(&tenant()).unwrap());
            let expected = Told {
                series: Some(Arc::new(limits(number).cardinality.to_engine())),
                window_ms: i64::try_from(number).unwrap() * 1_000,
                retention: Some(Arc::new(limits(number).retention.to_engine())),
            };
            assert_eq!(*store.told.lock(), expected);
        }
    }
}
