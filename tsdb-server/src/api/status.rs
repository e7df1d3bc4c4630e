//! What the server says about itself: build, run time, metrics, health.

use super::json;
use super::params::Params;
use super::response::{self, write_json_string};
use crate::error::ApiError;
use crate::rfc3339;
use crate::state::Server;
use crate::telemetry;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::time::Instant;

/// The Prometheus release whose API this one follows. Clients such as Grafana choose features by it.
const API_LEVEL: &str = "3.5.0";

const TEXT: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// `/api/v1/status/buildinfo`
pub(super) async fn build_info() -> Result<Response, ApiError> {
    let entries = [
        ("version", API_LEVEL),
        ("revision", env!("CARGO_PKG_VERSION")),
        ("branch", "tsdb"),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ];
    object(&entries.map(|(name, value)| (name, value.to_owned())))
}

/// `/api/v1/status/runtimeinfo`
pub(super) async fn runtime_info(State(server): State<Server>) -> Result<Response, ApiError> {
    object(&[
        ("startTime", rfc3339::format(server.started())),
        ("serverTime", rfc3339::format(server.now())),
        ("storageRetention", server.default_limits().retention.samples.to_string()),
    ])
}

pub(super) fn object(entries: &[(&str, String)]) -> Result<Response, ApiError> {
    object_with_warnings(entries, &[])
}

pub(super) fn object_with_warnings(
    entries: &[(&str, String)],
    warnings: &[String],
) -> Result<Response, ApiError> {
    let write = |out: &mut Vec<u8>| {
        out.push(b'{');
        for (index, (name, value)) in entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_json_string(name, out);
            out.push(b':');
            write_json_string(value, out);
        }
        out.push(b'}');
        Ok(())
    };
    response::success(write, warnings, &[]).map(json)
}

/// `/metrics`
pub(super) async fn metrics(State(server): State<Server>) -> Response {
    let text = telemetry::write_text(&server.metrics());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// `/-/healthy`: the process answers.
pub(super) async fn healthy() -> Response {
    (TEXT, "The server is healthy.\n").into_response()
}

/// `/-/ready`: the server takes requests, which it does not while it stops. Logs may still be replayed: what comes in is
/// taken, and answers that may lack samples say so. Of a server that answers queries but whose disk takes no writes this is
/// told, and with `writes=true` it is not ready: for those who send only writes here.
pub(super) async fn ready(State(server): State<Server>, uri: Uri) -> Result<Response, ApiError> {
    if server.is_stopping() {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, TEXT, "The server is stopping.\n").into_response());
    }
    let asked = Params::parse(b"", uri.query().unwrap_or_default().as_bytes())?;
    let Some(reason) = server.refusing().reason(Instant::now()) else {
        return Ok((TEXT, "The server is ready.\n").into_response());
    };
    if asked.get("writes") == Some("true") {
        let told = format!("The server takes no writes: {reason}\n");
        return Ok((StatusCode::SERVICE_UNAVAILABLE, TEXT, told).into_response());
    }
    Ok((TEXT, format!("The server is ready.\nWrites are refused: {reason}\n")).into_response())
}

/// `/`: what to ask.
pub(super) async fn index() -> Response {
    let text = "A metrics store with the Prometheus HTTP API.\n\n\
                GET  /api/v1/query?query=up\n\
                GET  /api/v1/query_range?query=up&start=...&end=...&step=15s\n\
                GET  /api/v1/query_exemplars?query=up\n\
                GET  /api/v1/labels, /api/v1/label/<name>/values, /api/v1/series?match[]=up, /api/v1/metadata\n\
                POST /api/v1/write        remote write 1.0 and 2.0\n\
                POST /v1/metrics/push     samples as JSON\n\
                GET  /metrics, /-/healthy, /-/ready\n";
    (TEXT, text).into_response()
}

/// Everything else.
pub(super) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, TEXT, "404 page not found\n").into_response()
}
