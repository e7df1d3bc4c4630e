//! The table `tenant_budgets`.

use super::failure::Failure;
use super::rows::{count, number, optional_number, optional_text, stored, tenant, text, texts, to_json};
use super::{audit, changes};
use crate::metadata::{MetadataError, Overrides, Signature, Subject, TenantBudget};
use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use tsdb_core::TenantId;

/// Limits that have a column of their own.
const COLUMNS: [(&str, &str); 3] = [
    ("max_active_series", "cardinality.max_active_series"),
    ("max_samples_per_second", "ingest.samples_per_second"),
    ("allowed_custom_labels_count", "push.max_labels"),
];

fn select(c: &AnyConnection) -> String {
    let texts = texts(c, &["tenant_id", "other_limits", "updated_by"]);
    format!(
        "SELECT {texts}, max_active_series, max_samples_per_second, allowed_custom_labels_count, version, \
         updated_at FROM tenant_budgets"
    )
}

/// The budget in `row`. What cannot be read of it is an override that no server understands.
///
/// # Errors
/// It is nobody's.
fn budget(row: &AnyRow) -> Result<TenantBudget, Failure> {
    let tenant = tenant(row)?;
    let mut overrides = Overrides::read(&text(row, "other_limits").unwrap_or_default());
    for (column, field) in COLUMNS {
        match optional_number(row, column) {
            Ok(None) => {}
            Ok(Some(limit)) => overrides.set(field, Value::from(limit)),
            // A column of SQLite takes a value of any type.
            Err(failure) => {
                let written = optional_text(row, column).ok().flatten();
                overrides.set(field, Value::from(written.unwrap_or_else(|| failure.reason())));
            }
        }
    }
    Ok(TenantBudget {
        tenant,
        overrides,
        version: count(row, "version").unwrap_or_default(),
        updated_by: text(row, "updated_by").unwrap_or_default(),
        updated_at: number(row, "updated_at").unwrap_or_default(),
    })
}

pub(super) async fn all(c: &mut AnyConnection) -> Result<Vec<TenantBudget>, Failure> {
    let query = sqlx::AssertSqlSafe(format!("{} ORDER BY tenant_id", select(c)));
    let rows = sqlx::query(query).fetch_all(c).await?;
    // Those that are nobody's are named among the changes.
    Ok(rows.iter().filter_map(|row| budget(row).ok()).collect())
}

pub(super) async fn one(c: &mut AnyConnection, tenant: &TenantId) -> Result<Option<TenantBudget>, Failure> {
    let query = sqlx::AssertSqlSafe(format!("{} WHERE tenant_id = $1", select(c)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn every_column_is_a_limit_that_takes_effect() {
        for (column, field) in COLUMNS {
            let mut overrides = Overrides::default();
            overrides.set(field, Value::from(7));
            assert_eq!(overrides.check(&Limits::default()), Ok(()), "{column}");
            let (limits, _) = overrides.apply(&Limits::default());
            let limits = serde_json::to_value(limits).unwrap();
            assert_eq!(
                limits.pointer(&format!("/{}", field.replace('.', "/"))),
                Some(&Value::from(7)),
                "{column}"
            );
            let (columns, other) = split(&overrides);
            assert_eq!((columns.iter().flatten().count(), other), (1, Overrides::default()), "{column}");
        }
    }
}
