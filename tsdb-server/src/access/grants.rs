//! What a caller may do, and to whose data.

use std::collections::BTreeSet;
use tsdb_core::TenantId;

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grants {
    /// The tenants whose data it may read.
    pub(crate) read: TenantList,
    /// The tenants whose data it may write.
    pub(crate) write: TenantList,
    /// May it administer the server, and the stores of the tenants that it may write?
    pub(crate) administer: bool,
    /// May it see what the server says about itself and all its tenants?
    pub(crate) monitor: bool,
    /// May one query of it read several tenants?
    pub(crate) across_tenants: bool,
}

/// Some tenants, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TenantList {
    /// All that are and will be.
    All,
    /// These.
    Only(BTreeSet<TenantId>),
}

impl TenantList {
    /// Is `tenant` among them?
    pub(crate) fn contains(&self, tenant: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::Only(tenants) => tenants.contains(tenant),
        }
    }

    /// Is there none?
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Only(tenants) if tenants.is_empty())
    }

    /// The tenant, if there is but one.
    pub(crate) fn single(&self) -> Option<&TenantId> {
        match self {
            Self::Only(tenants) if tenants.len() == 1 => tenants.first(),
            _ => None,
        }
    }
}
