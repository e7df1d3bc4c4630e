//! The table `tenant_budgets`.

use super::failure::Failure;
use super::rows::{count, from_json, number, optional_number, stored, tenant, text, to_json};
use super::{audit, changes};
use crate::metadata::{MetadataError, Overrides, Signature, Subject, TenantBudget};
use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use tsdb_core::TenantId;

/// Limits that have a column of their own.
const COLUMNS: [(&str, &str); 3] = [
    ("max_active_series", "ingest.max_active_series"),
    ("max_samples_per_second", "ingest.samples_per_second"),
    ("allowed_custom_labels_count", "push.max_labels"),
];

const SELECT: &str = "SELECT tenant_id, max_active_series, max_samples_per_second, \
                      allowed_custom_labels_count, other_limits, version, updated_by, updated_at \
                      FROM tenant_budgets";

fn budget(row: &AnyRow) -> Result<TenantBudget, Failure> {
    let mut overrides: Overrides = from_json("limits of a tenant", &text(row, "other_limits")?)?;
    for (column, field) in COLUMNS {
        if let Some(limit) = optional_number(row, column)? {
            overrides.set(field, Value::from(limit));
        }
    }
    Ok(TenantBudget {
        tenant: tenant(row)?,
        overrides,
        version: count(row, "version")?,
        updated_by: text(row, "updated_by")?,
        updated_at: number(row, "updated_at")?,
    })
}

pub(super) async fn all(c: &mut AnyConnection) -> Result<Vec<TenantBudget>, Failure> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY tenant_id"))).fetch_all(c).await?;
    rows.iter().map(budget).collect()
}

pub(super) async fn one(c: &mut AnyConnection, tenant: &TenantId) -> Result<Option<TenantBudget>, Failure> {
    let query = sqlx::AssertSqlSafe(format!("{SELECT} WHERE tenant_id = $1"));
    let row = sqlx::query(query).bind(tenant.as_str()).fetch_optional(c).await?;
    row.as_ref().map(budget).transpose()
}

pub(super) async fn put(
    c: &mut AnyConnection,
    tenant: &TenantId,
    overrides: &Overrides,
    expected: Option<u64>,
    by: &Signature,
) -> Result<TenantBudget, Failure> {
    let version = changes::next(c).await?;
    let before = one(c, tenant).await?;
    let subject = Subject::Limits { tenant: tenant.clone() };
    subject.check_version(before.as_ref().map_or(0, |budget| budget.version), expected)?;
    let (columns, other) = split(overrides);
    let put = "INSERT INTO tenant_budgets (tenant_id, max_active_series, max_samples_per_second, \
               allowed_custom_labels_count, other_limits, version, updated_by, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
               ON CONFLICT (tenant_id) DO UPDATE SET max_active_series = excluded.max_active_series, \
               max_samples_per_second = excluded.max_samples_per_second, \
               allowed_custom_labels_count = excluded.allowed_custom_labels_count, \
               other_limits = excluded.other_limits, version = excluded.version, \
               updated_by = excluded.updated_by, updated_at = excluded.updated_at";
    let [series, samples, labels] = columns;
    let query = sqlx::query(put).bind(tenant.as_str()).bind(series).bind(samples).bind(labels);
    let other = to_json("limits of a tenant", &other)?;
    let query = query.bind(other).bind(stored(version)).bind(by.who.as_str()).bind(by.at);
    query.execute(&mut *c).await?;
    let before = before.map(|budget| budget.overrides);
    audit::add(c, &subject, before.as_ref(), Some(overrides), by).await?;
    Ok(TenantBudget {
        tenant: tenant.clone(),
        overrides: overrides.clone(),
        version,
        updated_by: by.who.clone(),
        updated_at: by.at,
    })
}

/// What goes into columns of its own, and the rest.
fn split(overrides: &Overrides) -> ([Option<i64>; 3], Overrides) {
    let mut other = overrides.clone();
    let columns = COLUMNS.map(|(_, field)| {
        let limit = other.value(field).and_then(Value::as_i64).filter(|limit| *limit >= 0)?;
        drop(other.take(field));
        Some(limit)
    });
    (columns, other)
}

pub(super) async fn delete(
    c: &mut AnyConnection,
    tenant: &TenantId,
    expected: Option<u64>,
    by: &Signature,
) -> Result<(), Failure> {
    changes::next(c).await?;
    let subject = Subject::Limits { tenant: tenant.clone() };
    let before = one(c, tenant).await?;
    let before = before.ok_or_else(|| MetadataError::NotFound { what: subject.clone() })?;
    subject.check_version(before.version, expected)?;
    sqlx::query("DELETE FROM tenant_budgets WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .execute(&mut *c)
        .await?;
    audit::add(c, &subject, Some(&before.overrides), None, by).await
}
