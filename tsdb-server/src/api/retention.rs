//! `/api/v1/admin/tsdb/retention`: what retention would delete, that in force or another one.

use super::tenants::{body_of, refused, success};
use crate::access::Scope;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::metadata::Overrides;
use crate::rfc3339;
use crate::state::Server;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json as value};
use tsdb::retention::{Retention, RetentionPlan};
use tsdb_core::TenantId;

/// The methods of `/api/v1/admin/tsdb/retention`.
pub(super) fn routes() -> MethodRouter<Server> {
    get(due).post(tried)
}

/// `GET`: what the retention in force would delete now of the tenant. Deletes nothing.
async fn due(State(server): State<Server>, scope: Scope) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    told(&plan(&server, &tenant, None).await?)
}

/// `POST`: what the tenant would lose with the limits in the body, which has the form of those that
/// `PUT /api/v1/admin/tenants/{id}/limits` takes. Deletes nothing and changes nothing.
async fn tried(State(server): State<Server>, scope: Scope, request: Request) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let overrides = Overrides::parse(&body_of(&server, request).await?)
        .map_err(|error| ApiError::bad_data(format!("the body is no JSON object of limits: {error}")))?;
    let base = server.metadata().base_limits(&tenant);
    overrides.check(base).map_err(|faults| refused(&faults))?;
    told(&plan(&server, &tenant, Some(sound(&server, &overrides.apply(base).0)?)).await?)
}

/// Refuses `limits` for `tenant` if what they say of retention makes no sense, or would delete so much at once that it is
/// taken for a mistake: the refusal says what to do if it is none.
pub(super) async fn check(
    server: &Server,
    tenant: &TenantId,
    limits: &Limits,
    if_meant: &str,
) -> Result<(), ApiError> {
    let retention = sound(server, limits)?;
    if server.limits(tenant).retention == limits.retention {
        return Ok(());
    }
    let plan = plan(server, tenant, Some(retention)).await?;
    if !plan.is_refused {
        return Ok(());
    }
    let (blocks, bytes, all) = (plan.steps.len(), plan.bytes(), plan.all_bytes);
    Err(ApiError::bad_data(format!(
        "limits.retention: it would delete {blocks} blocks, {bytes} of {all} bytes; if that is meant, \
         {if_meant}"
    )))
}

/// The retention of `limits`, if a store of this server can keep it.
fn sound(server: &Server, limits: &Limits) -> Result<Retention, ApiError> {
    let retention = limits.retention.to_engine();
    let block_range_ms = server.config().storage.block_range.as_signed_ms();
    let checked = retention.check(block_range_ms);
    checked.map_err(|error| ApiError::bad_data(format!("limits.retention: {error}")))?;
    Ok(retention)
}

async fn plan(
    server: &Server,
    tenant: &TenantId,
    retention: Option<Retention>,
) -> Result<RetentionPlan, ApiError> {
    let (work, tenant) = (server.clone(), tenant.clone());
    let plan = move || {
        let Some(store) = work.existing_store(&tenant)? else { return Ok(RetentionPlan::default()) };
        store.retention_plan(retention.as_ref()).map_err(|error| ApiError::from(&error))
    };
    server.run_order(plan).await
}

fn told(plan: &RetentionPlan) -> Result<Response, ApiError> {
    let steps = plan.steps.iter().map(|step| {
        value!({
            "block": step.block,
            "from": rfc3339::format(step.range.start()),
            "to": rfc3339::format(step.range.end()),
            "resolutionMs": step.resolution_ms,
            "bytes": step.bytes,
            "reason": if step.is_past { "age" } else { "size" },
            "lacksWindows": step.lacks_windows,
        })
    });
    success(&value!({
        "blocks": steps.collect::<Vec<Value>>(),
        "bytes": plan.bytes(),
        "allBytes": plan.all_bytes,
        "refused": plan.is_refused,
    }))
}
