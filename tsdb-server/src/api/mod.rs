//! The Prometheus HTTP API: parameters in, JSON out.
//!
//! Handlers are thin: they read parameters, ask the engine or a store on a blocking thread, and write the answer by
//! hand into bytes, so that it matches Prometheus' own byte for byte without bending any inner type. What may be large
//! goes out in chunks while it is written.

mod admin;
mod alertmanagers;
mod ast;
mod bound;
mod cardinality;
mod catalogue;
mod census;
mod exemplars;
mod explain;
mod governed;
mod labels;
mod number;
mod outlet;
mod params;
mod query;
mod response;
mod retention;
mod rule_trials;
mod rules;
mod series;
mod stats;
mod status;
mod stored_rules;
mod tenants;
mod weight;

pub(crate) use number::write_value;
pub(crate) use outlet::{Outlet, Stop};
pub(crate) use response::{query_result, write_json_string};
pub(crate) use stats::{Detail, stats_text};

use crate::access::{Pass, Peer, Right, Scope};
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

/// All routes of the server, each with what it asks of its caller.
pub(crate) fn router(server: &Server) -> Router {
    let routes: [(&'static str, Right, MethodRouter<Server>); 41] = [
        ("/api/v1/write", Right::Write, post(crate::ingest::remote_write)),
        ("/v1/metrics/push", Right::Write, post(crate::ingest::push)),
        ("/api/v1/query", Right::Read, get(query::instant).post(query::instant)),
        ("/api/v1/query_range", Right::Read, get(query::range).post(query::range)),
        ("/v1/metrics/query_range", Right::Read, get(query::range).post(query::range)),
        ("/api/v1/query_exemplars", Right::Read, get(exemplars::exemplars).post(exemplars::exemplars)),
        ("/api/v1/series", Right::Read, get(series::series).post(series::series)),
        ("/api/v1/labels", Right::Read, get(labels::names).post(labels::names)),
        ("/api/v1/label/{name}/values", Right::Read, get(labels::values)),
        ("/api/v1/metadata", Right::Read, get(series::metadata)),
        ("/api/v1/rules", Right::Read, get(rules::rules)),
        ("/api/v1/alerts", Right::Read, get(rules::alerts)),
        ("/api/v1/alertmanagers", Right::Monitor, get(alertmanagers::alertmanagers)),
        ("/api/v1/receivers", Right::Monitor, get(alertmanagers::receivers)),
        ("/v1/rules/history", Right::Read, get(rule_trials::history)),
        ("/v1/rules/test", Right::Read, post(rule_trials::test)),
        ("/-/reload", Right::Operate, post(rules::reload).put(rules::reload)),
        ("/api/v1/status/buildinfo", Right::Known, get(status::build_info)),
        ("/api/v1/status/runtimeinfo", Right::Known, get(status::runtime_info)),
        ("/api/v1/status/active_queries", Right::Read, get(governed::active)),
        ("/api/v1/status/active_queries/{id}/cancel", Right::Read, post(governed::stop)),
        ("/api/v1/status/slow_queries", Right::Read, get(governed::slow)),
        ("/api/v1/query_explain", Right::Read, get(explain::explain).post(explain::explain)),
        ("/api/v1/format_query", Right::Known, get(query::format).post(query::format)),
        ("/api/v1/parse_query", Right::Known, get(query::parse).post(query::parse)),
        (
            "/api/v1/admin/tsdb/delete_series",
            Right::Administer,
            post(admin::delete_series).put(admin::delete_series),
        ),
        (
            "/api/v1/admin/tsdb/clean_tombstones",
            Right::Administer,
            post(admin::clean_tombstones).put(admin::clean_tombstones),
        ),
        ("/api/v1/admin/tsdb/snapshot", Right::Administer, post(admin::snapshot).put(admin::snapshot)),
        ("/api/v1/admin/tsdb/retention", Right::Administer, retention::routes()),
        ("/api/v1/admin/tenants", Right::Operate, get(tenants::list)),
        ("/api/v1/admin/tenants/{id}/limits", Right::Operate, tenants::routes()),
        ("/api/v1/admin/metrics", Right::Administer, get(catalogue::metrics)),
        ("/api/v1/admin/metrics/{name}", Right::Administer, get(catalogue::metric).put(catalogue::declare)),
        ("/api/v1/admin/rules", Right::Administer, stored_rules::routes()),
        ("/api/v1/admin/rules/{id}", Right::Administer, stored_rules::routes_of_one()),
        ("/api/v1/admin/audit", Right::Operate, get(catalogue::audit)),
        ("/internal/force_flush", Right::Administer, post(admin::force_flush)),
        ("/metrics", Right::Monitor, get(status::metrics)),
        ("/-/healthy", Right::Open, get(status::healthy)),
        ("/-/ready", Right::Open, get(status::ready)),
        ("/", Right::Open, get(status::index)),
    ];
    let mut router = Router::new();
    for (path, right, handler) in routes.into_iter().chain(cardinality::routes()).chain(weight::routes()) {
        let observed = middleware::from_fn_with_state((server.clone(), path, right), observe);
        router = router.route(path, handler.layer(observed));
    }
    router.fallback(status::not_found).with_state(server.clone())
}

/// Lets the request pass if its caller has the right to, and counts it under its route template.
async fn observe(
    State((server, route, right)): State<(Server, &'static str, Right)>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let response = match admitted(&server, route, right, request).await {
        Ok((request, Some(pass))) if right.administers() => {
            let response = next.run(request).await;
            server.gate().administered(route, &pass, response.status().as_u16());
            response
        }
        Ok((request, _)) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    server.telemetry().request(route, response.status().as_u16(), started.elapsed());
    response
}

/// The request with the tenants that it may touch, and who sent it.
async fn admitted(
    server: &Server,
    route: &'static str,
    right: Right,
    mut request: Request,
) -> Result<(Request, Option<Pass>), ApiError> {
    if right == Right::Open {
        return Ok((request, None));
    }
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let pass = server.gate().admit(route, right, request.headers(), &peer).await?;
    request.extensions_mut().insert(pass.caller.clone());
    if let Some(scope) = &pass.scope {
        request.extensions_mut().insert(scope.clone());
    }
    Ok((request, Some(pass)))
}

/// The parameters of a request: its query string and, of a POST or PUT, its form, which the limits of its tenant hold for.
async fn parameters(server: &Server, request: Request) -> Result<Params, ApiError> {
    let limits = server.limits_of(request.extensions().get::<Scope>());
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let query = request.uri().query().unwrap_or_default().to_owned();
    if ![Method::POST, Method::PUT].contains(request.method()) || !is_form {
        return Params::parse(b"", query.as_bytes());
    }
    let (most, timeout) = (limits.query.max_body_bytes, limits.ingest.body_timeout);
    let body = read_body(request, most, "limits.query.max_body_bytes", timeout).await?;
    Params::parse(&body, query.as_bytes())
}

/// A whole answer in the form of the API.
fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}
