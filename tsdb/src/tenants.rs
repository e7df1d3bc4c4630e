//! One database per tenant, each in a folder of its own.

use crate::{Db, Error, Options};
use std::path::Path;
use std::sync::Arc;
use tsdb_core::TenantId;

/// The databases of all tenants below one directory.
pub struct Tenants {
    inner: (),
}

impl Tenants {
    /// Opens the directory `root` and all tenants in it. `options` hold for every tenant.
    ///
    /// # Errors
    /// The directory cannot be read, or a tenant in it cannot be opened.
    pub fn open(root: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let _ = (root.as_ref(), options);
        Ok(Self { inner: () })
    }

    /// Sets how many tenants there may be. Default: 1000.
    #[must_use]
    pub fn with_limit(self, max_tenants: usize) -> Self {
        let _ = max_tenants;
        self
    }

    /// The database of `tenant`, created if there is none.
    ///
    /// # Errors
    /// [`Error::TooManyTenants`], or the database cannot be opened.
    pub fn tenant(&self, tenant: &TenantId) -> Result<Arc<Db>, Error> {
        let _ = (tenant, self.inner);
        Err(Error::Closed)
    }

    /// The database of `tenant` if there is one.
    pub fn existing(&self, tenant: &TenantId) -> Option<Arc<Db>> {
        let _ = tenant;
        None
    }

    /// All tenants with their databases, in order of their names.
    pub fn list(&self) -> Vec<(TenantId, Arc<Db>)> {
        Vec::new()
    }

    /// Closes all databases.
    ///
    /// # Errors
    /// The first failure; the others are closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}
