//! The Prometheus HTTP API: parameters in, JSON out.
//!
//! Handlers are thin: they read parameters, ask the engine or a store on a blocking thread, and write the answer by
//! hand into bytes, so that it matches Prometheus' own byte for byte without bending any inner type. What may be large
//! goes out in chunks while it is written.

mod admin;
mod ast;
mod bound;
mod exemplars;
mod explain;
mod labels;
mod number;
mod outlet;
mod params;
mod query;
mod response;
mod rules;
mod series;
mod stats;
mod status;

pub(crate) use number::write_value;
pub(crate) use outlet::{Outlet, Stop};
pub(crate) use response::write_json_string;

use crate::error::ApiError;
use crate::ingest::read_body;
use crate::state::Server;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use axum::{Router, response::IntoResponse};
use params::Params;
use std::time::Instant;

/// All routes of the server.
pub(crate) fn router(server: &Server) -> Router {
    let routes: [(&'static str, MethodRouter<Server>); 26] = [
        ("/api/v1/write", post(crate::ingest::remote_write)),
        ("/v1/metrics/push", post(crate::ingest::push)),
        ("/api/v1/query", get(query::instant).post(query::instant)),
        ("/api/v1/query_range", get(query::range).post(query::range)),
        ("/v1/metrics/query_range", get(query::range).post(query::range)),
        ("/api/v1/query_exemplars", get(exemplars::exemplars).post(exemplars::exemplars)),
        ("/api/v1/series", get(series::series).post(series::series)),
        ("/api/v1/labels", get(labels::names).post(labels::names)),
        ("/api/v1/label/{name}/values", get(labels::values)),
        ("/api/v1/metadata", get(series::metadata)),
        ("/api/v1/rules", get(rules::rules)),
        ("/api/v1/alerts", get(rules::alerts)),
        ("/-/reload", post(rules::reload).put(rules::reload)),
        ("/api/v1/status/buildinfo", get(status::build_info)),
        ("/api/v1/status/runtimeinfo", get(status::runtime_info)),
        ("/api/v1/query_explain", get(explain::explain).post(explain::explain)),
        ("/api/v1/format_query", get(query::format).post(query::format)),
        ("/api/v1/parse_query", get(query::parse).post(query::parse)),
        ("/api/v1/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series)),
        ("/api/v1/admin/tsdb/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones)),
        ("/api/v1/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot)),
        ("/internal/force_flush", post(admin::force_flush)),
        ("/metrics", get(status::metrics)),
        ("/-/healthy", get(status::healthy)),
        ("/-/ready", get(status::ready)),
        ("/", get(status::index)),
    ];
    let mut router = Router::new();
    for (path, handler) in routes {
        let observed = middleware::from_fn_with_state((server.clone(), path), observe);
        router = router.route(path, handler.layer(observed));
    }
    router.fallback(status::not_found).with_state(server.clone())
}

/// Counts the request under its route template.
async fn observe(
    State((server, route)): State<(Server, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let response = next.run(request).await;
    server.telemetry().request(route, response.status().as_u16(), started.elapsed());
    response
}

/// The parameters of a request: its query string and, of a POST or PUT, its form.
async fn parameters(server: &Server, request: Request) -> Result<Params, ApiError> {
    let limits = &server.default_limits().query;
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let query = request.uri().query().unwrap_or_default().to_owned();
    if ![Method::POST, Method::PUT].contains(request.method()) || !is_form {
        return Params::parse(b"", query.as_bytes());
    }
    let timeout = server.default_limits().ingest.body_timeout;
    let body = read_body(request, limits.max_body_bytes, "limits.query.max_body_bytes", timeout).await?;
    Params::parse(&body, query.as_bytes())
}

/// A whole answer in the form of the API.
fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}
