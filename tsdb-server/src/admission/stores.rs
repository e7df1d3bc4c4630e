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
        store.set_series_limits(&self.book.series(tenant));
        store.set_out_of_order_window(self.book.out_of_order_window_ms(tenant));
        if let Some(retention) = self.book.retention(tenant)
            && let Err(error) = store.set_retention(&retention)
        {
            log::error!("tenant {tenant} keeps the retention that it had: {error}");
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
