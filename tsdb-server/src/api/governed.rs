//! `/api/v1/status/active_queries` and `/api/v1/status/slow_queries`: what is asked of a tenant's data at the moment, and
//! what took long.
//!
//! A tenant sees and stops its own queries. With `all=true` those of all tenants, which is for whoever administers.

use super::params::Params;
use super::{json, response};
use crate::access::{Gate, Scope};
use crate::error::{ApiError, ErrorKind};
use crate::state::Server;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use tsdb_core::TenantId;

/// The queries under way, the oldest first.
pub(super) async fn active(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = whose(&scope, &request)?;
    let queries = server.governor().active().of(tenant.as_ref());
    list(queries.iter(), |query, out| query.write(out))
}

/// The latest queries that took longer than `slow_query`, the latest first.
pub(super) async fn slow(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = whose(&scope, &request)?;
    let queries = server.governor().slow().of(tenant.as_ref());
    list(queries.iter(), |query, out| query.write(out))
}

/// Stops a query.
pub(super) async fn stop(
    State(server): State<Server>,
    scope: Scope,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = whose(&scope, &request)?;
    let number = id.parse().map_err(|_| ApiError::bad_data(format!("{id:?} is no number of a query")))?;
    if !server.governor().active().stop(number, tenant.as_ref()) {
        return Err(ApiError::new(ErrorKind::NotFound, format!("no query {number} is under way")));
    }
    let tenant = scope.first();
    log::info!("query {number} was stopped by order of tenant {tenant}");
    super::status::object(&[("stopped", id)])
}

/// Whose queries are meant; `None` for those of all tenants.
fn whose(scope: &Scope, request: &Request) -> Result<Option<TenantId>, ApiError> {
    let params = Params::parse(b"", request.uri().query().unwrap_or_default().as_bytes())?;
    if params.get("all") != Some("true") {
        return Ok(Some(scope.tenant()?.clone()));
    }
    Gate::administrator(scope.caller())?;
    Ok(None)
}

fn list<T>(items: impl Iterator<Item = T>, write: impl Fn(T, &mut Vec<u8>)) -> Result<Response, ApiError> {
    let data = |out: &mut Vec<u8>| {
        out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(item, out);
        }
        out.push(b']');
        Ok(())
    };
    response::success(data, &[], &[]).map(json)
}
