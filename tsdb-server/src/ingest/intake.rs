//! Where a request's samples go: the store of its tenant, once the request has proved worth one.

use super::batch::Batch;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::state::Server;
use crate::store::{NoStore, Store};
use std::sync::Arc;
use tsdb_core::{TenantId, Timestamp};

/// The tenant of a write request, seen from the formats.
pub(crate) struct Intake<'a> {
    server: &'a Server,
    pub(crate) tenant: &'a TenantId,
    pub(crate) limits: Arc<Limits>,
    now: Timestamp,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(server: &'a Server, tenant: &'a TenantId) -> Self {
        Self { server, tenant, limits: server.limits(tenant), now: server.now() }
    }

    /// The store of the tenant if there is one.
    pub(crate) fn existing_store(&self) -> Result<Option<Arc<dyn Store>>, ApiError> {
        self.server.existing_store(self.tenant)
    }

    /// The store of the tenant, created if there is none.
    pub(crate) fn open_store(&self) -> Result<Arc<dyn Store>, ApiError> {
        self.server.open_store(self.tenant)
    }

    /// An empty batch for `store`; without one the batch judges samples and forgets them.
    pub(crate) fn batch<'s>(&self, store: Option<&'s dyn Store>) -> Batch<'s> {
        match store {
            Some(store) => Batch::new(store, &self.limits.ingest, self.now),
            None => Batch::new(&NoStore, &self.limits.ingest, self.now),
        }
    }

    /// May the tenant write so much now?
    pub(crate) fn admit(&self, cost: usize) -> Result<(), ApiError> {
        self.server.admit(self.tenant, cost)
    }
}
