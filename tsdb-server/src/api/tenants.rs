//! `/api/v1/admin/tenants`: the limits of tenants that differ from the server's, changed while it runs.

use super::{json, retention};
use crate::access::Caller;
use crate::error::{ApiError, ErrorKind};
use crate::ingest::read_body;
use crate::limits::Limit;
use crate::metadata::{MetadataError, MetadataErrorKind, OverrideFault, Overrides, Signature, TenantBudget};
use crate::rfc3339;
use crate::state::Server;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde::Serialize;
use serde_json::{Value, json as value};
use std::collections::BTreeMap;
use std::time::Duration;
use tsdb_core::TenantId;

/// Bytes of a request that changes metadata.
const MAX_BODY_BYTES: u64 = 256 << 10;
/// When a client may come back that found the store away.
const RETRY: Duration = Duration::from_secs(5);

/// The methods of `/api/v1/admin/tenants/{id}/limits`.
pub(super) fn routes() -> MethodRouter<Server> {
    get(limits).put(put_limits).delete(delete_limits)
}

/// `GET /api/v1/admin/tenants`: every tenant that has data or a budget.
pub(super) async fn list(State(server): State<Server>) -> Result<Response, ApiError> {
    let budgets = server.metadata().ask(|store| store.budgets()).await?;
    let with_data = server.tenants_with_data();
    let mut tenants: BTreeMap<TenantId, (bool, Option<TenantBudget>)> =
        with_data.into_iter().map(|tenant| (tenant, (true, None))).collect();
    for budget in budgets {
        let tenant = tenants.entry(budget.tenant.clone()).or_default();
        tenant.1 = Some(budget);
    }
    let listed = tenants.iter().map(|(tenant, (has_data, budget))| {
        value!({
            "tenant": tenant.as_str(),
            "hasData": has_data,
            "overrides": budget.as_ref().map(|budget| budget.overrides.as_map().clone()).unwrap_or_default(),
            "version": budget.as_ref().map_or(0, |budget| budget.version),
        })
    });
    success(&listed.collect::<Vec<Value>>())
}

/// `GET /api/v1/admin/tenants/{id}/limits`: the overrides of a tenant and all its limits.
async fn limits(State(server): State<Server>, Path(tenant): Path<String>) -> Result<Response, ApiError> {
    let tenant = tenant_of(&tenant)?;
    let asked = tenant.clone();
    let budget = server.metadata().ask(move |store| store.budget(&asked)).await?;
    told(&server, &tenant, budget.as_ref())
}

/// `PUT /api/v1/admin/tenants/{id}/limits`: the body names what differs from the server's limits, as the section `limits`
/// of the settings does, in JSON. It takes the place of what differed before; `If-Match` with the version keeps
/// two people from undoing each other's changes.
async fn put_limits(
    State(server): State<Server>,
    Path(tenant): Path<String>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = tenant_of(&tenant)?;
    let (by, expected) = (signature(&server, &caller), expected_version(request.headers())?);
    let overrides = Overrides::parse(&body_of(&server, request).await?)
        .map_err(|error| ApiError::bad_data(format!("the body is no JSON object of limits: {error}")))?;
    overrides.check(server.metadata().base_limits(&tenant)).map_err(|faults| refused(&faults))?;
    let (limits, _) = overrides.apply(server.metadata().base_limits(&tenant));
    retention::check(&server, &tenant, &limits, "set limits.retention.max_expired_percent to 100").await?;
    let of = tenant.clone();
    let put = server.metadata().change(move |store| store.put_budget(&of, &overrides, expected, &by));
    let budget = put.await?;
    told(&server, &tenant, Some(&budget))
}

/// `DELETE /api/v1/admin/tenants/{id}/limits`: the tenant has the server's limits again.
async fn delete_limits(
    State(server): State<Server>,
    Path(tenant): Path<String>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = tenant_of(&tenant)?;
    let (by, expected) = (signature(&server, &caller), expected_version(request.headers())?);
    let remedy =
        r#"put {"retention":{"max_expired_percent":100}} in their place, and delete that once it has gone"#;
    retention::check(&server, &tenant, server.metadata().base_limits(&tenant), remedy).await?;
    server.metadata().change(move |store| store.delete_budget(&tenant, expected, &by)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn told(server: &Server, tenant: &TenantId, budget: Option<&TenantBudget>) -> Result<Response, ApiError> {
    let in_force = server.limits(tenant);
    let data = value!({
        "tenant": tenant.as_str(),
        "overrides": budget.map(|budget| budget.overrides.as_map().clone()).unwrap_or_default(),
        "limits": serde_json::to_value(in_force.as_ref()).map_err(unwritable)?,
        "version": budget.map_or(0, |budget| budget.version),
        "updatedAt": budget.map(|budget| rfc3339::format(budget.updated_at)),
        "updatedBy": budget.map(|budget| budget.updated_by.as_str()),
    });
    Ok(versioned(success(&data)?, budget.map_or(0, |budget| budget.version)))
}

pub(super) fn refused(faults: &[OverrideFault]) -> ApiError {
    let told: Vec<String> = faults.iter().take(20).map(|fault| format!("limits.{fault}")).collect();
    ApiError::bad_data(told.join("; "))
}

pub(super) fn tenant_of(text: &str) -> Result<TenantId, ApiError> {
    TenantId::new(text).map_err(|error| ApiError::bad_data(format!("tenant: {error}")))
}

/// Who makes this request, and when, as the audit log says.
pub(super) fn signature(server: &Server, caller: &Caller) -> Signature {
    Signature { who: caller.name.as_ref().to_owned(), at: server.now() }
}

/// The version that `If-Match` expects; `None` for any.
pub(super) fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(expected) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = expected.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.trim_matches('"').parse();
    version
        .map(Some)
        .map_err(|_| ApiError::bad_data(format!("If-Match: {text:?} is no version such as \"3\"")))
}

pub(super) async fn body_of(server: &Server, request: Request) -> Result<axum::body::Bytes, ApiError> {
    let timeout = server.default_limits().ingest.body_timeout;
    read_body(request, Limit::at(MAX_BODY_BYTES), "the admin API", timeout).await
}

/// An answer of the API with `data` in it.
pub(super) fn success<T: Serialize + ?Sized>(data: &T) -> Result<Response, ApiError> {
    success_with_warnings(data, &[])
}

/// The same, with what is missing from it.
pub(super) fn success_with_warnings<T: Serialize + ?Sized>(
    data: &T,
    warnings: &[String],
) -> Result<Response, ApiError> {
    let mut body = b"{\"status\":\"success\",\"data\":".to_vec();
    serde_json::to_writer(&mut body, data).map_err(unwritable)?;
    if !warnings.is_empty() {
        body.extend_from_slice(b",\"warnings\":");
        serde_json::to_writer(&mut body, warnings).map_err(unwritable)?;
    }
    body.push(b'}');
    Ok(json(body))
}

fn unwritable(error: serde_json::Error) -> ApiError {
    ApiError::new(ErrorKind::Internal, format!("the answer cannot be written: {error}"))
}

/// `response` with `version` where `If-Match` takes it from.
pub(super) fn versioned(mut response: Response, version: u64) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

impl From<MetadataError> for ApiError {
    fn from(error: MetadataError) -> Self {
        let message = error.to_string();
        match error.kind() {
            MetadataErrorKind::Unavailable => Self::new(ErrorKind::Unavailable, message).retry_after(RETRY),
            MetadataErrorKind::Conflict => Self::new(ErrorKind::Conflict, message),
            MetadataErrorKind::NotFound => Self::new(ErrorKind::NotFound, message),
            MetadataErrorKind::Invalid => Self::bad_data(message),
            MetadataErrorKind::Damaged => Self::new(ErrorKind::Internal, message),
        }
    }
}
