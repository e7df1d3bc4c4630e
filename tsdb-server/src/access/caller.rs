//! Whoever a request was found to come from.

use super::grants::Grants;
use crate::error::{ApiError, ErrorKind};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::net::SocketAddr;
use std::sync::Arc;

/// How a caller is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    /// By a token.
    Bearer,
    /// By user and password.
    Basic,
    /// By its certificate.
    Certificate,
    /// Not at all: it is trusted to say whose data it is about.
    Trusted,
}

impl Method {
    /// Its name in audit lines and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Certificate => "certificate",
            Self::Trusted => "trusted",
        }
    }
}

/// Whoever a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The name of its credential.
    pub(crate) name: Arc<str>,
    pub(crate) method: Method,
    /// The other end of its connection.
    pub(crate) from: Option<SocketAddr>,
    pub(crate) grants: Arc<Grants>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // It is missing only where the table of routes lets everybody in.
        let missing = || ApiError::new(ErrorKind::Internal, "the route does not ask who sends its requests");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}
