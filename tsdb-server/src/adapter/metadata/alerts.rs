//! The table `alert_evaluation_states`.

use super::failure::Failure;
use super::rows::{
    from_json, named, number, optional_number, optional_text, placeholders, text, texts, to_json,
};
use crate::metadata::{AlertKey, AlertRecord, EvaluationState, MetadataError, RuleId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::collections::{BTreeMap, BTreeSet};
use tsdb_core::labels::write_wire;
use tsdb_core::{Labels, TenantId};
use xxhash_rust::xxh3::xxh3_128;

const SERIES: &str = "labels of an alert";

/// Rows of one statement: a few thousand values, and databases take some ten thousand.
const ROWS: usize = 500;

fn record(row: &AnyRow) -> Result<AlertRecord, Failure> {
    let pairs: BTreeMap<String, String> = from_json(SERIES, &text(row, "series")?)?;
    let series = Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let value: Option<f64> = row.try_get("last_evaluated_value")?;
    Ok(AlertRecord {
        key: AlertKey {
            rule: RuleId(number(row, "rule_id")?),
            series: series.map_err(|error| MetadataError::damaged(SERIES, error))?,
        },
        state: named(row, "current_state", EvaluationState::from_name)?,
        first_triggered_at: optional_number(row, "first_triggered_at")?,
        fired_at: optional_number(row, "fired_at")?,
        kept_since: optional_number(row, "kept_since")?,
        resolved_at: optional_number(row, "resolved_at")?,
        last_evaluated_at: number(row, "last_evaluated_at")?,
        last_value: value.filter(|value| !value.is_nan()),
        last_error: optional_text(row, "last_error")?,
    })
}

pub(super) async fn list(c: &mut AnyConnection, tenant: &TenantId) -> Result<Vec<AlertRecord>, Failure> {
    let select = format!(
        "SELECT rule_id, {}, first_triggered_at, fired_at, kept_since, resolved_at, last_evaluated_at, \
         last_evaluated_value FROM alert_evaluation_states WHERE tenant_id = $1 ORDER BY rule_id",
        texts(c, &["series", "current_state", "last_error"])
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(select)).bind(tenant.as_str()).fetch_all(c).await?;
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        match record(row) {
            Ok(record) => records.push(record),
            Err(failure) => {
                let rule = number(row, "rule_id").unwrap_or_default();
                let reason = failure.reason();
                log::warn!("a state of an alert of rule {rule} of tenant {tenant} cannot be read: {reason}");
            }
        }
    }
    Ok(records)
}

pub(super) async fn save(
    c: &mut AnyConnection,
    tenant: &TenantId,
    changed: &[AlertRecord],
    gone: &[AlertKey],
) -> Result<(), Failure> {
    let rules = existing(c, tenant, changed).await?;
    // Each once, and in one order, so that two servers do not wait for each other in a circle.
    let own = changed.iter().filter(|record| rules.contains(&record.key.rule));
    let records: BTreeMap<(RuleId, String), &AlertRecord> =
        own.map(|record| ((record.key.rule, hash(&record.key.series)), record)).collect();
    let records: Vec<_> = records.into_iter().collect();
    for rows in records.chunks(ROWS) {
        upsert(c, tenant, rows).await?;
    }
    let gone: BTreeSet<(RuleId, String)> = gone.iter().map(|key| (key.rule, hash(&key.series))).collect();
    let gone: Vec<_> = gone.into_iter().collect();
    for rows in gone.chunks(ROWS) {
        forget(c, tenant, rows).await?;
    }
    Ok(())
}

/// Those of the rules of `records` that are there and of `tenant`. They stay there until the transaction ends.
async fn existing(
    c: &mut AnyConnection,
    tenant: &TenantId,
    records: &[AlertRecord],
) -> Result<BTreeSet<RuleId>, Failure> {
    let rules: BTreeSet<RuleId> = records.iter().map(|record| record.key.rule).collect();
    let rules: Vec<RuleId> = rules.into_iter().collect();
    let lock = if c.backend_name() == "PostgreSQL" { " FOR KEY SHARE" } else { "" };
    let mut found = BTreeSet::new();
    for rules in rules.chunks(ROWS) {
        let numbers = placeholders(1, rules.len());
        let own = rules.len().saturating_add(1);
        let select = format!(
            "SELECT id FROM alert_rules WHERE id IN {numbers} AND tenant_id = ${own} ORDER BY id{lock}"
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(select));
        for rule in rules {
            query = query.bind(rule.0);
        }
        for row in query.bind(tenant.as_str()).fetch_all(&mut *c).await? {
            found.insert(RuleId(number(&row, "id")?));
        }
    }
    Ok(found)
}

async fn upsert(
    c: &mut AnyConnection,
    tenant: &TenantId,
    rows: &[((RuleId, String), &AlertRecord)],
) -> Result<(), Failure> {
    let statement = format!(
        "INSERT INTO alert_evaluation_states (rule_id, series_hash, tenant_id, series, current_state, \
         first_triggered_at, fired_at, kept_since, resolved_at, last_evaluated_at, last_evaluated_value, \
         last_error) VALUES {} ON CONFLICT (rule_id, series_hash) DO UPDATE SET \
         current_state = excluded.current_state, first_triggered_at = excluded.first_triggered_at, \
         fired_at = excluded.fired_at, kept_since = excluded.kept_since, resolved_at = excluded.resolved_at, \
         last_evaluated_at = excluded.last_evaluated_at, \
         last_evaluated_value = excluded.last_evaluated_value, last_error = excluded.last_error",
        placeholders(rows.len(), 12)
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
    for ((rule, hash), record) in rows {
        let record = record.storable();
        let pairs: BTreeMap<&str, &str> = record.key.series.iter().collect();
        query = query.bind(rule.0).bind(hash.clone()).bind(tenant.as_str());
        query = query.bind(to_json(SERIES, &pairs)?).bind(record.state.as_str());
        query = query.bind(record.first_triggered_at).bind(record.fired_at).bind(record.kept_since);
        query = query.bind(record.resolved_at).bind(record.last_evaluated_at);
        // "None" is not a number here and not NULL, for a statement is prepared with the types that it has first, and
        // the library takes an absent double for a float of four bytes.
        query = query.bind(record.last_value.unwrap_or(f64::NAN)).bind(record.last_error);
    }
    query.execute(c).await?;
    Ok(())
}

async fn forget(c: &mut AnyConnection, tenant: &TenantId, rows: &[(RuleId, String)]) -> Result<(), Failure> {
    let last = rows.len().saturating_mul(2).saturating_add(1);
    let statement = format!(
        "DELETE FROM alert_evaluation_states WHERE (rule_id, series_hash) IN (VALUES {}) AND tenant_id = ${last}",
        placeholders(rows.len(), 2)
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
    for (rule, hash) in rows {
        query = query.bind(rule.0).bind(hash.as_str());
    }
    query.bind(tenant.as_str()).execute(c).await?;
    Ok(())
}

/// A hash that no two label sets have in common, in hexadecimal.
fn hash(series: &Labels) -> String {
    let mut wire = Vec::new();
    write_wire(series, &mut wire);
    format!("{:032x}", xxh3_128(&wire))
}
