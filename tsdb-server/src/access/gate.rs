//! The decision whether a request may go on.

use super::{Right, Scope, TenantPolicy, scope};
use crate::error::{ApiError, ErrorKind};
use axum::http::HeaderMap;

/// Decides for every request of a server.
#[derive(Debug)]
pub(crate) struct Gate {
    unnamed: TenantPolicy,
    admin_api: bool,
}

impl Gate {
    pub(crate) const fn new(unnamed: TenantPolicy, admin_api: bool) -> Self {
        Self { unnamed, admin_api }
    }

    /// What a request without a tenant means.
    pub(crate) const fn unnamed(&self) -> &TenantPolicy {
        &self.unnamed
    }

    /// The tenants that a request for `right` may touch; `None` if it is about none.
    ///
    /// # Errors
    /// The caller lacks the right, or names its tenants wrongly.
    pub(crate) fn admit(&self, right: Right, headers: &HeaderMap) -> Result<Option<Scope>, ApiError> {
        if right.administers() && !self.admin_api {
            let message = "the admin API is off: the setting admin_api turns it on";
            return Err(ApiError::new(ErrorKind::Forbidden, message));
        }
        if !right.names_tenants() {
            return Ok(None);
        }
        let mut tenants = scope::named(headers)?;
        if tenants.is_empty() {
            tenants.push(self.unnamed.unnamed()?);
        }
        if tenants.len() > 1 {
            return Err(scope::only_one(tenants.len()));
        }
        Ok(Some(Scope::new(tenants)))
    }
}
