//! The tenants of a request.
//!
//! A request names its tenant by `X-Tenant-ID` or, as Mimir and Loki call it, `X-Scope-OrgID`. Both may be present if
//! they agree. `a|b` names several. Each name is checked as a [`TenantId`] before anything else sees it.

use super::caller::Caller;
use crate::error::{ApiError, ErrorKind};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use tsdb_core::TenantId;

/// Headers that name a tenant.
const HEADERS: [&str; 2] = ["x-tenant-id", "x-scope-orgid"];

/// Tenants that one request may name.
const MAX_TENANTS: usize = 100;

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
    /// The tenant of a request that names none.
    pub(crate) fn unnamed(&self) -> Result<TenantId, ApiError> {
        match self {
            Self::DefaultTo(tenant) => Ok(tenant.clone()),
            Self::Require => {
                Err(ApiError::bad_data("the request names no tenant: send the header X-Tenant-ID"))
            }
        }
    }
}

/// The tenants that a request was found to be allowed to touch, at least one, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    tenants: Vec<TenantId>,
    caller: Caller,
}

impl Scope {
    pub(super) fn new(mut tenants: Vec<TenantId>, caller: Caller) -> Self {
        tenants.sort_unstable();
        tenants.dedup();
        Self { tenants, caller }
    }

    /// Whoever asks.
    pub(crate) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The tenants as one text, `a|b`: the same for the same tenants.
    pub(crate) fn key(&self) -> String {
        self.tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join("|")
    }

    /// The one tenant of the request.
    ///
    /// # Errors
    /// The request names several, which only what reads data takes.
    pub(crate) fn tenant(&self) -> Result<&TenantId, ApiError> {
        match self.tenants.as_slice() {
            [tenant] => Ok(tenant),
            tenants => Err(only_one(tenants.len())),
        }
    }

    /// The tenant whose limits and place in the line the request takes.
    pub(crate) fn first(&self) -> &TenantId {
        // INVARIANT: there is at least one.
        &self.tenants[0]
    }

    /// All tenants of the request.
    pub(crate) fn tenants(&self) -> &[TenantId] {
        &self.tenants
    }
}

pub(super) fn only_one(named: usize) -> ApiError {
    ApiError::bad_data(format!("the request names {named} tenants, this takes one"))
}

impl<S: Sync> FromRequestParts<S> for Scope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // It is missing only where the table of routes names a right that gives none.
        let missing = || ApiError::new(ErrorKind::Internal, "the route gives its requests no tenant");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

/// The tenants that the headers name, in order and each once; none if there is no such header.
///
/// # Errors
/// A name that is no tenant id, too many of them, or two headers that disagree.
pub(super) fn named(headers: &HeaderMap) -> Result<Vec<TenantId>, ApiError> {
    let mut named: Option<Vec<TenantId>> = None;
    for header in HEADERS {
        for value in headers.get_all(header) {
            let text = value.to_str().map_err(|_| not_ascii(header))?;
            let tenants = split(header, text)?;
            if named.as_ref().is_some_and(|first| *first != tenants) {
                return Err(ApiError::bad_data("the tenant headers name different tenants"));
            }
            named = Some(tenants);
        }
    }
    Ok(named.unwrap_or_default())
}

/// What the headers say of tenants, as it was sent, cut to a length for people.
pub(super) fn as_sent(headers: &HeaderMap) -> String {
    let values = HEADERS.iter().flat_map(|header| headers.get_all(*header));
    let mut text =
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(",");
    if let Some((cut, _)) = text.char_indices().nth(TenantId::MAX_LEN) {
        text.truncate(cut);
        text.push_str("...");
    }
    text
}

fn split(header: &str, text: &str) -> Result<Vec<TenantId>, ApiError> {
    let count = text.split('|').count();
    if count > MAX_TENANTS {
        let message = format!("{header} names {count} tenants, a request names at most {MAX_TENANTS}");
        return Err(ApiError::bad_data(message));
    }
    let names = text.split('|').map(TenantId::new);
    let mut tenants: Vec<_> =
        names.collect::<Result<_, _>>().map_err(|e| ApiError::bad_data(format!("{header}: {e}")))?;
    tenants.sort_unstable();
    tenants.dedup();
    Ok(tenants)
}

fn not_ascii(header: &str) -> ApiError {
    ApiError::bad_data(format!("{header}: a tenant id holds only letters, digits, '_' and '-'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(headers: &[(&'static str, &'static str)]) -> Result<Vec<String>, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        named(&map).map(|tenants| tenants.iter().map(|tenant| tenant.as_str().to_owned()).collect())
    }

    #[test]
    fn either_header_names_the_tenant() {
        assert_eq!(ask(&[]), Ok(vec![]));
        assert_eq!(ask(&[("x-tenant-id", "a")]), Ok(vec!["a".into()]));
        assert_eq!(ask(&[("x-scope-orgid", "b")]), Ok(vec!["b".into()]));
        assert_eq!(ask(&[("x-tenant-id", "a"), ("x-scope-orgid", "a")]), Ok(vec!["a".into()]));
        assert_eq!(ask(&[("x-scope-orgid", "b|a|b")]), Ok(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn headers_that_disagree_or_name_a_path_are_refused() {
        for headers in [
            &[("x-tenant-id", "a"), ("x-scope-orgid", "b")][..],
            &[("x-tenant-id", "a"), ("x-tenant-id", "b")],
            &[("x-tenant-id", "../x")],
            &[("x-tenant-id", "%252e")],
            &[("x-tenant-id", "")],
            &[("x-scope-orgid", "a|")],
            &[("x-scope-orgid", "|")],
        ] {
            assert_eq!(ask(headers).unwrap_err().kind(), ErrorKind::BadData, "{headers:?}");
        }
        let many = ["a"; MAX_TENANTS + 1].join("|");
        assert!(split("x-tenant-id", &many).is_err());
    }

    #[test]
    fn a_required_tenant_must_be_named() {
        assert!(TenantPolicy::Require.unnamed().is_err());
        let default = TenantId::new("default").unwrap();
        assert_eq!(TenantPolicy::DefaultTo(default.clone()).unnamed(), Ok(default));
    }
}
