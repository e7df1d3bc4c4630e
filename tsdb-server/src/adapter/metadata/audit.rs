//! The table `audit_log`.

use super::failure::Failure;
use super::rows::{count, from_json, named, number, optional_text, stored, tenant, text, to_json};
use crate::metadata::{AuditAction, AuditEntry, AuditKind, AuditQuery, Signature, Subject};
use serde::Serialize;
use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use tsdb_core::TenantId;

const WHAT: &str = "an entry of the audit log";

/// Adds that `by` made `after` of `before`.
pub(super) async fn add<T: Serialize>(
    c: &mut AnyConnection,
    subject: &Subject,
    before: Option<&T>,
    after: Option<&T>,
    by: &Signature,
) -> Result<(), Failure> {
    let add = "INSERT INTO audit_log (at, who, action, tenant_id, kind, name, before_value, after_value) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (kind, name) = subject.audited();
    let query = sqlx::query(add).bind(by.at).bind(by.who.as_str());
    let query = query.bind(AuditAction::between(before, after).as_str()).bind(subject.tenant().as_str());
    let told = |value: Option<&T>| value.map(|value| to_json(WHAT, value)).transpose();
    let query = query.bind(kind.as_str()).bind(name).bind(told(before)?).bind(told(after)?);
    query.execute(c).await?;
    Ok(())
}

pub(super) async fn list(c: &mut AnyConnection, query: &AuditQuery) -> Result<Vec<AuditEntry>, Failure> {
    let select = "SELECT id, at, who, action, tenant_id, kind, name, before_value, after_value FROM audit_log \
                  WHERE ($1 = '' OR tenant_id = $1) AND id < $2 ORDER BY id DESC LIMIT $3";
    let tenant = query.tenant.as_ref().map_or("", TenantId::as_str);
    let before = query.before.map_or(i64::MAX, stored);
    let limit = stored(query.limit as u64);
    let rows = sqlx::query(select).bind(tenant).bind(before).bind(limit).fetch_all(c).await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &AnyRow) -> Result<AuditEntry, Failure> {
    let value = |column: &str| -> Result<Option<Value>, Failure> {
        optional_text(row, column)?.map(|text| from_json(WHAT, &text)).transpose()
    };
    Ok(AuditEntry {
        id: count(row, "id")?,
        at: number(row, "at")?,
        who: text(row, "who")?,
        action: named(row, "action", AuditAction::from_name)?,
        tenant: tenant(row)?,
        kind: named(row, "kind", AuditKind::from_name)?,
        name: text(row, "name")?,
        before: value("before_value")?,
        after: value("after_value")?,
    })
}
