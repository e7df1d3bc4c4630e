//! `/api/v1/admin/metrics`: the catalogue of metrics, and who answers for them; `/api/v1/admin/audit`: who changed what.

use super::parameters;
use super::tenants::{body_of, expected_version, signature, success, tenant_of, versioned};
use crate::access::{Caller, Scope};
use crate::error::{ApiError, ErrorKind};
use crate::metadata::{AuditEntry, AuditQuery, Declaration, MetricDefinition, MetricQuery};
use crate::rfc3339;
use crate::state::Server;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde_json::{Value, json as value};

/// Entries of an answer where the request does not say how many.
const PAGE: usize = 100;
/// The most entries of an answer.
const MAX_PAGE: usize = 10_000;

/// `GET /api/v1/admin/metrics`: metrics of the tenant whose names begin with `prefix`, those after the name `after`, at
/// most `limit`.
pub(super) async fn metrics(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let params = parameters(&server, request).await?;
    let query = MetricQuery {
        prefix: storable("prefix", params.get("prefix").unwrap_or_default())?,
        after: params.get("after").map(|after| storable("after", after)).transpose()?,
        limit: params.limit("limit")?.unwrap_or(PAGE).min(MAX_PAGE),
    };
    let found = server.metadata().ask(move |store| store.metrics(&tenant, &query)).await?;
    success(&found.iter().map(written).collect::<Vec<Value>>())
}

/// `GET /api/v1/admin/metrics/{name}`
pub(super) async fn metric(
    State(server): State<Server>,
    Path(name): Path<String>,
    scope: Scope,
) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let (asked, of) = (storable("name", &name)?, tenant.clone());
    let found = server.metadata().ask(move |store| store.metric(&of, &asked)).await?;
    let unknown = || format!("tenant {tenant} has no metric {name:?} in the catalogue");
    let metric = found.ok_or_else(|| ApiError::new(ErrorKind::NotFound, unknown()))?;
    Ok(versioned(success(&written(&metric))?, metric.version))
}

/// `PUT /api/v1/admin/metrics/{name}`: what people say of a metric, in place of what they said before.
pub(super) async fn declare(
    State(server): State<Server>,
    Path(name): Path<String>,
    (scope, caller): (Scope, Caller),
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let (by, expected) = (signature(&server, &caller), expected_version(request.headers())?);
    let declaration: Declaration = serde_json::from_slice(&body_of(&server, request).await?)
        .map_err(|error| ApiError::bad_data(format!("the body is no description of a metric: {error}")))?;
    let metadata = server.metadata();
    let declare =
        metadata.ask(move |store| store.declare_metric(&tenant, &name, &declaration, expected, &by));
    let metric = declare.await?;
    Ok(versioned(success(&written(&metric))?, metric.version))
}

fn written(metric: &MetricDefinition) -> Value {
    value!({
        "name": metric.name,
        "type": metric.metric_type.as_str(),
        "unit": metric.unit,
        "description": metric.description,
        "ownerService": metric.owner_service,
        "ownerTeam": metric.owner_team,
        "declared": metric.declared,
        "activeSeries": metric.active_series,
        "version": metric.version,
        "createdAt": rfc3339::format(metric.created_at),
        "updatedAt": rfc3339::format(metric.updated_at),
    })
}

/// `GET /api/v1/admin/audit`: changes of limits, definitions and rules, the latest first; of `tenant` only, those before
/// the entry `before` only, at most `limit`.
pub(super) async fn audit(State(server): State<Server>, request: Request) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let number = |text: &str| text.parse().map_err(|_| ApiError::bad_parameter("before", "it is no number"));
    let query = AuditQuery {
        tenant: params.get("tenant").map(tenant_of).transpose()?,
        before: params.get("before").map(number).transpose()?,
        limit: params.limit("limit")?.unwrap_or(PAGE).min(MAX_PAGE),
    };
    let found = server.metadata().ask(move |store| store.audit(&query)).await?;
    success(&found.iter().map(entry).collect::<Vec<Value>>())
}

fn entry(entry: &AuditEntry) -> Value {
    value!({
        "id": entry.id,
        "at": rfc3339::format(entry.at),
        "who": entry.who,
        "action": entry.action,
        "tenant": entry.tenant.as_str(),
        "kind": entry.kind,
        "name": entry.name,
        "before": entry.before,
        "after": entry.after,
    })
}

/// `text`, which no database may trip over.
fn storable(parameter: &str, text: &str) -> Result<String, ApiError> {
    if text.contains('\0') {
        return Err(ApiError::bad_parameter(parameter, "it contains the character NUL"));
    }
    Ok(text.to_owned())
}
