//! `/api/v1/admin/rules`: alerting rules of a tenant in the metadata store, in force as soon as they are answered.

use super::parameters;
use super::tenants::{body_of, expected_version, signature, success, success_with_warnings, versioned};
use crate::access::{Caller, Scope};
use crate::error::{ApiError, ErrorKind};
use crate::metadata::{AlertRule, AlertRuleSpec, MetadataError, RuleId, RuleStatus, Subject};
use crate::rfc3339;
use crate::ruler::stored;
use crate::state::Server;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json as value};
use tsdb_core::TenantId;
use tsdb_promql::QueryParams;

/// The methods of `/api/v1/admin/rules`.
pub(super) fn routes() -> MethodRouter<Server> {
    get(list).post(create)
}

/// The methods of `/api/v1/admin/rules/{id}`.
pub(super) fn routes_of_one() -> MethodRouter<Server> {
    get(one).put(replace).patch(change).delete(delete)
}

/// `GET /api/v1/admin/rules`: the rules of the tenant, those of `status` if it is given.
async fn list(State(server): State<Server>, scope: Scope, request: Request) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let status = parameters(&server, request).await?.get("status").map(status_of).transpose()?;
    let list = server.metadata().ask(move |store| store.rules(&tenant, status)).await?;
    let rules: Vec<Value> = list.rules.iter().map(told).collect::<Result<_, _>>()?;
    let unreadable: Vec<String> = list.unreadable.iter().map(ToString::to_string).collect();
    success_with_warnings(&rules, &unreadable)
}

/// `GET /api/v1/admin/rules/{id}`
async fn one(
    State(server): State<Server>,
    Path(id): Path<String>,
    scope: Scope,
) -> Result<Response, ApiError> {
    let (tenant, id) = (scope.tenant()?.clone(), id_of(&id)?);
    answer(&stored_rule(&server, &tenant, id).await?)
}

/// `POST /api/v1/admin/rules`: a new rule.
async fn create(
    State(server): State<Server>,
    (scope, caller): (Scope, Caller),
    request: Request,
) -> Result<Response, ApiError> {
    let (tenant, by) = (scope.tenant()?.clone(), signature(&server, &caller));
    let spec = parsed(&body_of(&server, request).await?)?;
    stored::check(&spec, &server.engine().options().parse)?;
    check_cost(&server, &tenant, &spec.expression).await?;
    let limits = server.limits(&tenant);
    let create = server.metadata().change(move |store| {
        stored::check_count(&tenant, store.rules(&tenant, None)?.len(), &limits.rules)?;
        store.create_rule(&tenant, &spec, &by)
    });
    Ok((StatusCode::CREATED, answer(&create.await?)?).into_response())
}

/// `PUT /api/v1/admin/rules/{id}`: the rule says what the body says. Its alerts keep their state.
async fn replace(
    State(server): State<Server>,
    Path(id): Path<String>,
    (scope, caller): (Scope, Caller),
    request: Request,
) -> Result<Response, ApiError> {
    let (tenant, id) = (scope.tenant()?.clone(), id_of(&id)?);
    let (by, expected) = (signature(&server, &caller), expected_version(request.headers())?);
    let spec = parsed(&body_of(&server, request).await?)?;
    stored::check(&spec, &server.engine().options().parse)?;
    let is_dearer = match stored_rule(&server, &tenant, id).await {
        Ok(before) => costs_more(&before.spec, &spec),
        // One that cannot be read is mended in this way.
        Err(MetadataError::Damaged { .. }) => spec.status == RuleStatus::Active,
        Err(error) => return Err(error.into()),
    };
    if is_dearer {
        check_cost(&server, &tenant, &spec.expression).await?;
    }
    let update = server.metadata().change(move |store| store.update_rule(&tenant, id, &spec, expected, &by));
    answer(&update.await?)
}

/// `PATCH /api/v1/admin/rules/{id}`: what the body names changes, as `{"status": "PAUSED"}`, and nothing else.
async fn change(
    State(server): State<Server>,
    Path(id): Path<String>,
    (scope, caller): (Scope, Caller),
    request: Request,
) -> Result<Response, ApiError> {
    let (tenant, id) = (scope.tenant()?.clone(), id_of(&id)?);
    let (by, expected) = (signature(&server, &caller), expected_version(request.headers())?);
    let changes: serde_json::Map<String, Value> =
        serde_json::from_slice(&body_of(&server, request).await?).map_err(|error| unreadable(&error))?;
    let before = stored_rule(&server, &tenant, id).await?;
    let invalid = |error: serde_json::Error| MetadataError::invalid("rule", error.to_string());
    let mut fields = serde_json::to_value(&before.spec).map_err(invalid)?;
    if let Some(fields) = fields.as_object_mut() {
        fields.extend(changes);
    }
    let spec: AlertRuleSpec = serde_json::from_value(fields).map_err(invalid)?;
    stored::check(&spec, &server.engine().options().parse)?;
    if costs_more(&before.spec, &spec) {
        check_cost(&server, &tenant, &spec.expression).await?;
    }
    // What was not named must be as it was read.
    let expected = expected.or(Some(before.version));
    let update = server.metadata().change(move |store| store.update_rule(&tenant, id, &spec, expected, &by));
    answer(&update.await?)
}

/// `DELETE /api/v1/admin/rules/{id}`: the rule is gone, and the state of its alerts.
async fn delete(
    State(server): State<Server>,
    Path(id): Path<String>,
    (scope, caller): (Scope, Caller),
    request: Request,
) -> Result<Response, ApiError> {
    let (tenant, id) = (scope.tenant()?.clone(), id_of(&id)?);
    let (by, expected) = (signature(&server, &caller), expected_version(request.headers())?);
    server.metadata().change(move |store| store.delete_rule(&tenant, id, expected, &by)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Would each evaluation of `expression`, which can be parsed, read more of the data of `tenant` than it may?
async fn check_cost(server: &Server, tenant: &TenantId, expression: &str) -> Result<(), ApiError> {
    let (asked, of, expression) = (server.clone(), tenant.clone(), expression.to_owned());
    let estimate = server.run_query(tenant, move || {
        let Some(store) = asked.existing_store(&of)? else { return Ok(0) };
        let now = QueryParams::instant(asked.now());
        Ok(asked.engine().explain(store.as_ref(), &expression, &now)?.total(|selector| selector.samples))
    });
    Ok(stored::check_cost(estimate.await?, &server.limits(tenant).rules)?)
}

/// Is `after` evaluated where `before` was not? A rule that reads more by now than it may can still be paused, or changed in
/// what costs nothing.
fn costs_more(before: &AlertRuleSpec, after: &AlertRuleSpec) -> bool {
    let is_new = before.expression != after.expression || before.status == RuleStatus::Paused;
    after.status == RuleStatus::Active && is_new
}

/// The rule `id` of `tenant`.
async fn stored_rule(server: &Server, tenant: &TenantId, id: RuleId) -> Result<AlertRule, MetadataError> {
    let of = tenant.clone();
    let found = server.metadata().ask(move |store| store.rule(&of, id)).await?;
    let missing = || MetadataError::NotFound { what: Subject::Rule { tenant: tenant.clone(), id: Some(id) } };
    found.ok_or_else(missing)
}

fn id_of(text: &str) -> Result<RuleId, ApiError> {
    text.parse().map(RuleId).map_err(|_| ApiError::bad_data(format!("id: {text:?} is no number of a rule")))
}

fn status_of(text: &str) -> Result<RuleStatus, ApiError> {
    let unknown = || ApiError::bad_parameter("status", format!("{text:?} is neither ACTIVE nor PAUSED"));
    RuleStatus::from_name(text).ok_or_else(unknown)
}

fn parsed(body: &[u8]) -> Result<AlertRuleSpec, ApiError> {
    serde_json::from_slice(body).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    ApiError::bad_data(format!("the body is no rule: {error}"))
}

fn answer(rule: &AlertRule) -> Result<Response, ApiError> {
    Ok(versioned(success(&told(rule)?)?, rule.version))
}

fn told(rule: &AlertRule) -> Result<Value, ApiError> {
    let unwritable =
        |error| ApiError::new(ErrorKind::Internal, format!("rule {} cannot be written: {error}", rule.id));
    let mut fields = serde_json::to_value(&rule.spec).map_err(unwritable)?;
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("id".to_owned(), value!(rule.id));
        fields.insert("tenant".to_owned(), value!(rule.tenant.as_str()));
        fields.insert("version".to_owned(), value!(rule.version));
        fields.insert("createdAt".to_owned(), value!(rfc3339::format(rule.created_at)));
        fields.insert("updatedAt".to_owned(), value!(rfc3339::format(rule.updated_at)));
    }
    Ok(fields)
}
