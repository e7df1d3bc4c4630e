//! The table `alert_rules`.

use super::failure::Failure;
use super::rows::{count, from_json, named, number, stored, tenant, text, texts, to_json};
use super::{audit, changes};
use crate::Period;
use crate::metadata::{
    AlertRule, AlertRuleSpec, ErrorPolicy, MetadataError, NoDataPolicy, RuleId, RuleList, RuleStatus,
    Severity, Signature, Subject, Unreadable,
};
use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::{Any, AnyArguments, AnyRow};
use sqlx::query::Query;
use tsdb_core::{TenantId, Timestamp};

const TEXTS: [&str; 10] = [
    "tenant_id",
    "group_name",
    "rule_name",
    "promql_expression",
    "severity",
    "status",
    "no_data_policy",
    "error_policy",
    "labels",
    "annotations",
];

fn select(c: &AnyConnection) -> String {
    format!(
        "SELECT id, {}, duration_interval_sec, for_duration_sec, keep_firing_for_sec, version, created_at, \
         updated_at FROM alert_rules",
        texts(c, &TEXTS)
    )
}

const LABELS: &str = "labels of a rule";
const ANNOTATIONS: &str = "annotations of a rule";

fn rule(row: &AnyRow) -> Result<AlertRule, Failure> {
    let period = |column: &str| Ok::<_, Failure>(Period::from_secs(count(row, column)?));
    Ok(AlertRule {
        id: RuleId(number(row, "id")?),
        tenant: tenant(row)?,
        spec: AlertRuleSpec {
            group: text(row, "group_name")?,
            name: text(row, "rule_name")?,
            expression: text(row, "promql_expression")?,
            interval: period("duration_interval_sec")?,
            hold: period("for_duration_sec")?,
            keep_firing_for: period("keep_firing_for_sec")?,
            severity: named(row, "severity", Severity::from_name)?,
            status: named(row, "status", RuleStatus::from_name)?,
            no_data: named(row, "no_data_policy", NoDataPolicy::from_name)?,
            on_error: named(row, "error_policy", ErrorPolicy::from_name)?,
            labels: from_json(LABELS, &text(row, "labels")?)?,
            annotations: from_json(ANNOTATIONS, &text(row, "annotations")?)?,
        },
        version: count(row, "version")?,
        created_at: number(row, "created_at")?,
        updated_at: number(row, "updated_at")?,
    })
}

pub(super) async fn list(
    c: &mut AnyConnection,
    tenant: &TenantId,
    status: Option<RuleStatus>,
) -> Result<RuleList, Failure> {
    let select =
        sqlx::AssertSqlSafe(format!("{} WHERE tenant_id = $1 ORDER BY group_name, rule_name, id", select(c)));
    let rows = sqlx::query(select).bind(tenant.as_str()).fetch_all(c).await?;
    let mut list = RuleList::default();
    for row in &rows {
        match rule(row) {
            Ok(rule) if status.is_none_or(|status| rule.spec.status == status) => list.rules.push(rule),
            Ok(_) => {}
            // Of such a rule nobody knows what its status is meant to be.
            Err(failure) => {
                let what = subject(tenant, RuleId(number(row, "id")?)).to_string();
                list.unreadable.push(Unreadable { what, reason: failure.reason() });
            }
        }
    }
    Ok(list)
}

pub(super) async fn one(
    c: &mut AnyConnection,
    tenant: &TenantId,
    id: RuleId,
) -> Result<Option<AlertRule>, Failure> {
    row(c, tenant, id).await?.as_ref().map(rule).transpose()
}

async fn row(c: &mut AnyConnection, tenant: &TenantId, id: RuleId) -> Result<Option<AnyRow>, Failure> {
    let select = sqlx::AssertSqlSafe(format!("{} WHERE tenant_id = $1 AND id = $2", select(c)));
    Ok(sqlx::query(select).bind(tenant.as_str()).bind(id.0).fetch_optional(c).await?)
}

type Statement<'q> = Query<'q, Any, AnyArguments>;

/// The first fourteen values of a statement: whose rule it is, what it says, its version.
fn bind<'q>(
    statement: &'static str,
    tenant: &TenantId,
    spec: &AlertRuleSpec,
    version: u64,
) -> Result<Statement<'q>, Failure> {
    let seconds = |period: Period| stored(period.as_ms() / 1_000);
    let query = sqlx::query(statement).bind(tenant.as_str().to_owned()).bind(spec.group.clone());
    let query = query.bind(spec.name.clone()).bind(spec.expression.clone()).bind(seconds(spec.interval));
    let query = query.bind(seconds(spec.hold)).bind(seconds(spec.keep_firing_for));
    let query = query.bind(spec.severity.as_str()).bind(spec.status.as_str());
    let query = query.bind(spec.no_data.as_str()).bind(spec.on_error.as_str());
    let query = query.bind(to_json(LABELS, &spec.labels)?).bind(to_json(ANNOTATIONS, &spec.annotations)?);
    Ok(query.bind(stored(version)))
}

pub(super) async fn create(
    c: &mut AnyConnection,
    tenant: &TenantId,
    spec: &AlertRuleSpec,
    by: &Signature,
) -> Result<AlertRule, Failure> {
    let version = changes::next(c).await?;
    let insert = "INSERT INTO alert_rules (tenant_id, group_name, rule_name, promql_expression, \
                  duration_interval_sec, for_duration_sec, keep_firing_for_sec, severity, status, \
                  no_data_policy, error_policy, labels, annotations, version, created_at, updated_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15) RETURNING id";
    let row = bind(insert, tenant, spec, version)?.bind(by.at).fetch_one(&mut *c).await?;
    let id = RuleId(number(&row, "id")?);
    audit::add(c, &subject(tenant, id), None, Some(&told(spec)?), by).await?;
    Ok(AlertRule {
        id,
        tenant: tenant.clone(),
        spec: spec.clone(),
        version,
        created_at: by.at,
        updated_at: by.at,
    })
}

pub(super) async fn update(
    c: &mut AnyConnection,
    (tenant, id): (&TenantId, RuleId),
    spec: &AlertRuleSpec,
    expected: Option<u64>,
    by: &Signature,
) -> Result<AlertRule, Failure> {
    let version = changes::next(c).await?;
    let before = existing(c, tenant, id, expected).await?;
    let update = "UPDATE alert_rules SET group_name = $2, rule_name = $3, promql_expression = $4, \
                  duration_interval_sec = $5, for_duration_sec = $6, keep_firing_for_sec = $7, severity = $8, \
                  status = $9, no_data_policy = $10, error_policy = $11, labels = $12, annotations = $13, \
                  version = $14, updated_at = $15 WHERE tenant_id = $1 AND id = $16";
    bind(update, tenant, spec, version)?.bind(by.at).bind(id.0).execute(&mut *c).await?;
    audit::add(c, &subject(tenant, id), Some(&before.spec), Some(&told(spec)?), by).await?;
    Ok(AlertRule {
        id,
        tenant: tenant.clone(),
        spec: spec.clone(),
        version,
        created_at: before.created_at,
        updated_at: by.at,
    })
}

pub(super) async fn delete(
    c: &mut AnyConnection,
    tenant: &TenantId,
    id: RuleId,
    expected: Option<u64>,
    by: &Signature,
) -> Result<(), Failure> {
    changes::next(c).await?;
    let before = existing(c, tenant, id, expected).await?;
    sqlx::query("DELETE FROM alert_rules WHERE id = $1").bind(id.0).execute(&mut *c).await?;
    audit::add(c, &subject(tenant, id), Some(&before.spec), None, by).await
}

fn subject(tenant: &TenantId, id: RuleId) -> Subject {
    Subject::Rule { tenant: tenant.clone(), id: Some(id) }
}

/// A rule that is about to be changed, which may be one that cannot be read: that is how it is mended.
struct Before {
    /// What it says, as the audit log tells it; why that is not known if it cannot be read.
    spec: Value,
    created_at: Timestamp,
}

/// The rule `id`, which must be there and of the version `expected`.
async fn existing(
    c: &mut AnyConnection,
    tenant: &TenantId,
    id: RuleId,
    expected: Option<u64>,
) -> Result<Before, Failure> {
    let row = row(c, tenant, id).await?;
    let row = row.ok_or_else(|| MetadataError::NotFound { what: subject(tenant, id) })?;
    subject(tenant, id).check_version(count(&row, "version").unwrap_or_default(), expected)?;
    let spec = match rule(&row) {
        Ok(rule) => told(&rule.spec)?,
        Err(failure) => Value::from(failure.reason()),
    };
    Ok(Before { spec, created_at: number(&row, "created_at").unwrap_or_default() })
}

fn told(spec: &AlertRuleSpec) -> Result<Value, Failure> {
    Ok(serde_json::to_value(spec).map_err(|error| MetadataError::damaged("a rule", error))?)
}
