//! Which limits hold for which tenant.

use super::Limits;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use tsdb_core::TenantId;

/// The limits of every tenant: the defaults, and those of tenants with limits of their own. Both change while the server
/// runs; a request keeps the limits that it began with.
#[derive(Debug)]
pub(crate) struct LimitBook {
    defaults: Arc<Limits>,
    own: RwLock<HashMap<TenantId, Arc<Limits>>>,
}

impl LimitBook {
    pub(crate) fn new(defaults: Limits, own: HashMap<TenantId, Limits>) -> Self {
        let own = own.into_iter().map(|(tenant, limits)| (tenant, Arc::new(limits))).collect();
        Self { defaults: Arc::new(defaults), own: RwLock::new(own) }
    }

    /// From now on `own` are all the tenants with limits of their own.
    pub(crate) fn replace(&self, own: HashMap<TenantId, Limits>) {
        let own = own.into_iter().map(|(tenant, limits)| (tenant, Arc::new(limits))).collect();
        *self.own.write() = own;
    }

    /// What holds for `tenant`.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<Limits> {
        Arc::clone(self.own.read().get(tenant).unwrap_or(&self.defaults))
    }

    /// What holds for tenants without limits of their own.
    pub(crate) fn defaults(&self) -> &Limits {
        &self.defaults
    }
}
