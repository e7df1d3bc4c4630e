//! What changes a store as a whole: flush, delete, clean up, snapshot. Never by GET, and only by callers with
//! the right to [`Administer`](crate::access::Right::Administer).

use super::parameters;
use super::series::time_range;
use super::status::object_with_warnings;
use crate::access::Scope;
use crate::error::ApiError;
use crate::rfc3339;
use crate::state::Server;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::hash::{BuildHasher, RandomState};
use tsdb_promql::ParseOptions;

/// `/internal/force_flush`: writes the head of the tenant into blocks. A POST, since it has an effect: what is older
/// than the newest sample of the head can no longer be written afterwards.
pub(super) async fn force_flush(State(server): State<Server>, scope: Scope) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let work = server.clone();
    server.run_ingest(move || work.flush(&tenant)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `/api/v1/admin/tsdb/delete_series`: deletes the samples from `start` to `end` of the series that satisfy one of the
/// selectors `match[]`. None is applied unless all can be read.
pub(super) async fn delete_series(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let params = parameters(&server, request).await?;
    let parse = |text: &str| tsdb_promql::parse_selector(text, &ParseOptions::default());
    let selectors: Result<Vec<_>, _> = params.all("match[]").map(parse).collect();
    let selectors = selectors.map_err(|error| ApiError::bad_parameter("match[]", error))?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    if let Some(range) = time_range(&params)? {
        let work = server.clone();
        let delete = move || {
            let Some(store) = work.existing_store(&tenant)? else { return Ok(()) };
            let mut deletes = selectors.iter().map(|matchers| store.delete(matchers, range));
            deletes.try_for_each(|deleted| deleted.map_err(|error| ApiError::from(&error)))
        };
        server.run_ingest(delete).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `/api/v1/admin/tsdb/clean_tombstones`: takes deleted samples off the disk.
pub(super) async fn clean_tombstones(
    State(server): State<Server>,
    scope: Scope,
) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let work = server.clone();
    let clean = move || match work.existing_store(&tenant)? {
        Some(store) => store.clean_tombstones().map_err(|error| ApiError::from(&error)),
        None => Ok(()),
    };
    server.run_ingest(clean).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `/api/v1/admin/tsdb/snapshot`: a snapshot of the tenant's store in its folder `snapshots`, under the name that is
/// answered. With `skip_head=true` without what is only in memory and the log. Warnings name what is not in it: blocks
/// that lie on object storage only, or cannot be read.
pub(super) async fn snapshot(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let params = parameters(&server, request).await?;
    let with_head = match params.get("skip_head") {
        None | Some("" | "0" | "f" | "F" | "false" | "FALSE" | "False") => true,
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => false,
        Some(_) => return Err(ApiError::bad_parameter("skip_head", "it is neither true nor false")),
    };
    let digits = rfc3339::format(server.now()).replace(['-', ':'], "");
    let moment = digits.split(['.', 'Z']).next().unwrap_or_default().to_owned();
    let name = format!("{moment}Z-{:016x}", RandomState::new().hash_one(server.now()));
    let (work, made) = (server.clone(), name.clone());
    let lacks = server.run_ingest(move || work.snapshot(&tenant, &made, with_head)).await?;
    object_with_warnings(&[("name", name)], &lacks)
}
