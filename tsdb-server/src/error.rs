//! What a client is told when its request fails: one table from kind to status.
//!
//! The JSON form is that of the Prometheus API, `{"status":"error","errorType":...,"error":...}`. A fault that the same
//! request will meet again is never a 5xx: clients of remote write repeat those for ever.

use crate::govern::BUSY_RETRY;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use std::time::Duration;
use tsdb_promql::{QueryError, QueryErrorKind};

/// The classes of failure, each with one status and one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong and stays wrong.
    BadData,
    /// The caller has not proved who it is.
    Unauthorized,
    /// The caller may not do this, or not with this tenant.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// It was changed since the client read it.
    Conflict,
    /// The client took too long to send its request.
    RequestTimeout,
    /// The request is larger than a limit allows.
    TooLarge,
    /// The request speaks a format that this server does not.
    UnsupportedMedia,
    /// The query is right; its data or its cost are not.
    Execution,
    /// The client sends faster than a limit allows.
    TooManyRequests,
    /// The client, or the end of the server, stopped the query.
    Canceled,
    /// The query ran out of time.
    Timeout,
    /// A temporary fault: the same request may succeed later.
    Unavailable,
    /// A fault of the server.
    Internal,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::BadData,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::Execution,
        Self::TooManyRequests,
        Self::Canceled,
        Self::Timeout,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// The `errorType` of the Prometheus API; its own names where it has one.
    pub const fn error_type(self) -> &'static str {
        self.row().1
    }

    const fn row(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadData => (StatusCode::BAD_REQUEST, "bad_data"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::UnsupportedMedia => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Execution => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Canceled => (StatusCode::SERVICE_UNAVAILABLE, "canceled"),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

/// How a caller may prove who it is.
const CHALLENGES: [&str; 2] = ["Bearer realm=\"metrics\"", "Basic realm=\"metrics\", charset=\"UTF-8\""];

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// A failure of `kind`, explained by `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// The request is wrong and stays wrong.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// The parameter `name` is wrong.
    pub fn bad_parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {reason}"))
    }

    /// The request is larger than a limit allows.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message)
    }

    /// The same request may succeed after `delay`.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The same failure, with the words for what could not be done before its message.
    #[must_use]
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The class of the failure.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The answer as plain text, as clients of remote write expect it.
    pub fn into_text_response(self) -> Response<Body> {
        let message = format!("{}\n", self.message);
        self.respond("text/plain; charset=utf-8", message.into_bytes())
    }

    fn respond(&self, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.kind == ErrorKind::Unauthorized {
            for challenge in CHALLENGES {
                response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Some(delay) = self.retry_after {
            // Whole seconds, rounded up: a client that returns early is refused again.
            let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut body = Vec::with_capacity(self.message.len() + 64);
        body.extend_from_slice(b"{\"status\":\"error\",\"errorType\":\"");
        body.extend_from_slice(self.kind.error_type().as_bytes());
        body.extend_from_slice(b"\",\"error\":");
        crate::api::write_json_string(&self.message, &mut body);
        body.push(b'}');
        self.respond("application/json", body)
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match error.kind() {
            QueryErrorKind::BadData => ErrorKind::BadData,
            QueryErrorKind::Timeout => ErrorKind::Timeout,
            QueryErrorKind::Cancelled => ErrorKind::Canceled,
            QueryErrorKind::Storage => ErrorKind::Internal,
            QueryErrorKind::Busy => ErrorKind::Unavailable,
            _ => ErrorKind::Execution,
        };
        match &error {
            QueryError::Parse(_) | QueryError::RangeType { .. } => Self::bad_parameter("query", error),
            QueryError::OutOfMemory { .. } => {
                let error = Self::new(kind, format!("{error}, by max_memory_bytes"));
                if kind == ErrorKind::Unavailable { error.retry_after(BUSY_RETRY) } else { error }
            }
            QueryError::Storage(fault) => Self { message: error.to_string(), ..Self::from(fault) },
            _ => Self::new(kind, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status_and_its_name() {
        let table = [
            (ErrorKind::BadData, 400, "bad_data"),
            (ErrorKind::Unauthorized, 401, "unauthorized"),
            (ErrorKind::Forbidden, 403, "forbidden"),
            (ErrorKind::NotFound, 404, "not_found"),
            (ErrorKind::Conflict, 409, "conflict"),
            (ErrorKind::RequestTimeout, 408, "request_timeout"),
            (ErrorKind::TooLarge, 413, "too_large"),
            (ErrorKind::UnsupportedMedia, 415, "unsupported_media_type"),
            (ErrorKind::Execution, 422, "execution"),
            (ErrorKind::TooManyRequests, 429, "too_many_requests"),
            (ErrorKind::Canceled, 503, "canceled"),
            (ErrorKind::Timeout, 503, "timeout"),
            (ErrorKind::Unavailable, 503, "unavailable"),
            (ErrorKind::Internal, 500, "internal"),
        ];
        assert_eq!(table.map(|(kind, _, _)| kind), ErrorKind::ALL, "the table names every kind");
        for (kind, status, name) in table {
            let response = ApiError::new(kind, "x").into_response();
            assert_eq!((response.status().as_u16(), kind.error_type()), (status, name));
        }
    }

    #[test]
    fn a_delay_is_told_in_whole_seconds_rounded_up() {
        let response = ApiError::new(ErrorKind::TooManyRequests, "slow down")
            .retry_after(Duration::from_millis(1_200))
            .into_text_response();
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.status(), 429);
    }
}
