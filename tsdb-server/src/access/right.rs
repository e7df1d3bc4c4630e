//! What a route asks of its caller.

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Nothing: health and readiness.
    Open,
    /// To be known, as whoever it may be: what concerns no tenant.
    Known,
    /// To see what the server says about itself and its tenants.
    Monitor,
    /// To read the data of the tenants named, which may be several.
    Read,
    /// To write data of one tenant.
    Write,
    /// To administer the store of one tenant.
    Administer,
    /// To administer the server as a whole.
    Operate,
}

impl Right {
    /// Does the route touch the data of tenants?
    pub(crate) const fn names_tenants(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Administer)
    }

    /// Does the route change more than the data of a tenant?
    pub(crate) const fn administers(self) -> bool {
        matches!(self, Self::Administer | Self::Operate)
    }
}
