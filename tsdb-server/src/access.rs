//! Who is asking: the tenant of a request.
//!
//! The tenant is named by `X-Tenant-ID` or, as Mimir and Loki call it, `X-Scope-OrgID`. Both may be present if they
//! agree. A request without either belongs to the default tenant unless the server is told to require one. The
//! name is checked as a [`TenantId`] before anything else sees it. There is no authentication yet: put the server
//! behind something that sets the header.

use crate::error::ApiError;
use axum::http::HeaderMap;
use tsdb_core::TenantId;

/// Headers that name a tenant.
const HEADERS: [&str; 2] = ["x-tenant-id", "x-scope-orgid"];

/// What a request without a tenant means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TenantPolicy {
    /// It belongs to this tenant.
    DefaultTo(TenantId),
    /// It is refused.
    Require,
}

impl TenantPolicy {
    /// The tenant of a request with these headers.
    ///
    /// # Errors
    /// No tenant where one is required, a name that is no tenant id, or two headers that disagree.
    pub fn tenant(&self, headers: &HeaderMap) -> Result<TenantId, ApiError> {
        let mut named: Option<TenantId> = None;
        for header in HEADERS {
            for value in headers.get_all(header) {
                let text = value.to_str().map_err(|_| not_ascii(header))?;
                let tenant = TenantId::new(text).map_err(|e| ApiError::bad_data(format!("{header}: {e}")))?;
                if named.as_ref().is_some_and(|first| *first != tenant) {
                    return Err(ApiError::bad_data("the tenant headers name different tenants"));
                }
                named = Some(tenant);
            }
        }
        match (named, self) {
            (Some(tenant), _) => Ok(tenant),
            (None, Self::DefaultTo(tenant)) => Ok(tenant.clone()),
            (None, Self::Require) => {
                Err(ApiError::bad_data("the request names no tenant: send the header X-Tenant-ID"))
            }
        }
    }
}

fn not_ascii(header: &str) -> ApiError {
    ApiError::bad_data(format!("{header}: a tenant id holds only letters, digits, '_' and '-'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(policy: &TenantPolicy, headers: &[(&'static str, &'static str)]) -> Result<String, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        policy.tenant(&map).map(|tenant| tenant.as_str().to_owned())
    }

    #[test]
    fn either_header_names_the_tenant_and_none_means_the_default() {
        let policy = TenantPolicy::DefaultTo(TenantId::new("default").unwrap());
        assert_eq!(ask(&policy, &[]), Ok("default".into()));
        assert_eq!(ask(&policy, &[("x-tenant-id", "a")]), Ok("a".into()));
        assert_eq!(ask(&policy, &[("x-scope-orgid", "b")]), Ok("b".into()));
        assert_eq!(ask(&policy, &[("x-tenant-id", "a"), ("x-scope-orgid", "a")]), Ok("a".into()));
    }

    #[test]
    fn headers_that_disagree_or_name_a_path_are_refused() {
        let policy = TenantPolicy::DefaultTo(TenantId::new("default").unwrap());
        for headers in [
            &[("x-tenant-id", "a"), ("x-scope-orgid", "b")][..],
            &[("x-tenant-id", "a"), ("x-tenant-id", "b")],
            &[("x-tenant-id", "../x")],
            &[("x-tenant-id", "%252e")],
            &[("x-tenant-id", "")],
            &[("x-scope-orgid", "a|b")],
        ] {
            assert_eq!(ask(&policy, headers).unwrap_err().kind(), crate::ErrorKind::BadData, "{headers:?}");
        }
    }

    #[test]
    fn a_required_tenant_must_be_named() {
        assert!(ask(&TenantPolicy::Require, &[]).is_err());
        assert_eq!(ask(&TenantPolicy::Require, &[("x-tenant-id", "a")]), Ok("a".into()));
    }
}
