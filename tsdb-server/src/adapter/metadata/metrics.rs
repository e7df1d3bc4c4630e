//! The table `metric_definitions`.

use super::failure::Failure;
use super::rows::{count, named, number, optional_number, optional_text, placeholders, stored, tenant, text};
use super::{audit, changes};
use crate::metadata::{
    Declaration, MetadataError, MetricDefinition, MetricQuery, ObservedMetric, Signature, Subject,
    metric_type,
};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use tsdb_core::metadata::MetricType;
use tsdb_core::{TenantId, Timestamp};

const SELECT: &str = "SELECT tenant_id, metric_name, metric_type, description, unit, declared_type, \
                      declared_description, declared_unit, owner_service, owner_team, active_series_count, \
                      version, created_at, updated_at FROM metric_definitions";

fn definition(row: &AnyRow) -> Result<MetricDefinition, Failure> {
    let (owner_service, owner_team) = (text(row, "owner_service")?, text(row, "owner_team")?);
    let declared_type = match optional_text(row, "declared_type")? {
        Some(name) => Some(type_named(&name).ok_or_else(|| MetadataError::damaged("declared_type", name))?),
        None => None,
    };
    Ok(MetricDefinition {
        tenant: tenant(row)?,
        name: text(row, "metric_name")?,
        metric_type: named(row, "metric_type", type_named)?,
        unit: text(row, "unit")?,
        description: text(row, "description")?,
        owner_service: owner_service.clone(),
        owner_team: owner_team.clone(),
        declared: Declaration {
            metric_type: declared_type,
            unit: optional_text(row, "declared_unit")?,
            description: optional_text(row, "declared_description")?,
            owner_service,
            owner_team,
        },
        active_series: optional_number(row, "active_series_count")?
            .and_then(|count| u64::try_from(count).ok()),
        version: count(row, "version")?,
        created_at: number(row, "created_at")?,
        updated_at: number(row, "updated_at")?,
    })
}

/// The tables have types in capitals.
fn type_named(name: &str) -> Option<MetricType> {
    metric_type(&name.to_ascii_lowercase())
}

fn type_name(metric_type: MetricType) -> String {
    metric_type.as_str().to_ascii_uppercase()
}

pub(super) async fn list(
    c: &mut AnyConnection,
    tenant: &TenantId,
    query: &MetricQuery,
) -> Result<Vec<MetricDefinition>, Failure> {
    // The first bound is for the index, since names begin with the prefix only from there on.
    let select = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE tenant_id = $1 AND metric_name >= $2 AND substr(metric_name, 1, $3) = $2 \
         AND metric_name > $4 ORDER BY metric_name LIMIT $5"
    ));
    let after = query.after.as_deref().unwrap_or_default();
    let chars = i32::try_from(query.prefix.chars().count()).unwrap_or(i32::MAX);
    let select = sqlx::query(select).bind(tenant.as_str()).bind(query.prefix.as_str()).bind(chars);
    let rows = select.bind(after).bind(stored(query.limit as u64)).fetch_all(c).await?;
    rows.iter().map(definition).collect()
}

pub(super) async fn one(
    c: &mut AnyConnection,
    tenant: &TenantId,
    name: &str,
) -> Result<Option<MetricDefinition>, Failure> {
    let select = sqlx::AssertSqlSafe(format!("{SELECT} WHERE tenant_id = $1 AND metric_name = $2"));
    let row = sqlx::query(select).bind(tenant.as_str()).bind(name).fetch_optional(c).await?;
    row.as_ref().map(definition).transpose()
}

pub(super) async fn declare(
    c: &mut AnyConnection,
    tenant: &TenantId,
    name: &str,
    declaration: &Declaration,
    expected: Option<u64>,
    by: &Signature,
) -> Result<MetricDefinition, Failure> {
    changes::next(c).await?;
    let subject = Subject::Metric { tenant: tenant.clone(), name: name.to_owned() };
    let known = one(c, tenant, name).await?;
    let version = known.as_ref().map_or(0, |metric| metric.version);
    subject.check_version(version, expected)?;
    let before = known.as_ref().filter(|metric| metric.version > 0).map(|metric| metric.declared.clone());
    let mut metric = known.unwrap_or_else(|| MetricDefinition::unknown(tenant, name, by.at));
    metric.declare(declaration.clone());
    metric.version = version.saturating_add(1);
    metric.updated_at = by.at;
    let put = "INSERT INTO metric_definitions (tenant_id, metric_name, metric_type, description, unit, \
               declared_type, declared_description, declared_unit, owner_service, owner_team, version, \
               created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) \
               ON CONFLICT (tenant_id, metric_name) DO UPDATE SET metric_type = excluded.metric_type, \
               description = excluded.description, unit = excluded.unit, \
               declared_type = excluded.declared_type, declared_unit = excluded.declared_unit, \
               declared_description = excluded.declared_description, owner_service = excluded.owner_service, \
               owner_team = excluded.owner_team, version = excluded.version, updated_at = excluded.updated_at";
    let query = sqlx::query(put).bind(tenant.as_str()).bind(name).bind(type_name(metric.metric_type));
    let query = query.bind(metric.description.as_str()).bind(metric.unit.as_str());
    let query = query.bind(declaration.metric_type.map(type_name)).bind(declaration.description.clone());
    let query = query.bind(declaration.unit.clone()).bind(declaration.owner_service.as_str());
    let query = query.bind(declaration.owner_team.as_str()).bind(stored(metric.version)).bind(by.at);
    query.execute(&mut *c).await?;
    audit::add(c, &subject, before.as_ref(), Some(declaration), by).await?;
    Ok(metric)
}

/// Rows of one statement: a few thousand values, and databases take some ten thousand.
const ROWS: usize = 500;

pub(super) async fn observe(
    c: &mut AnyConnection,
    tenant: &TenantId,
    metrics: &[ObservedMetric],
    at: Timestamp,
) -> Result<(), Failure> {
    // Each once, and in one order for all servers, so that they do not wait for each other in a circle.
    let storable = metrics.iter().filter_map(ObservedMetric::storable);
    let metrics: BTreeMap<String, ObservedMetric> =
        storable.map(|metric| (metric.name.clone(), metric)).collect();
    let metrics: Vec<&ObservedMetric> = metrics.values().collect();
    for rows in metrics.chunks(ROWS) {
        let statement = format!(
            "INSERT INTO metric_definitions (tenant_id, metric_name, metric_type, description, unit, \
             active_series_count, created_at, updated_at) VALUES {} \
             ON CONFLICT (tenant_id, metric_name) DO UPDATE SET \
             metric_type = COALESCE(metric_definitions.declared_type, excluded.metric_type), \
             description = COALESCE(metric_definitions.declared_description, excluded.description), \
             unit = COALESCE(metric_definitions.declared_unit, excluded.unit), \
             active_series_count = \
             COALESCE(excluded.active_series_count, metric_definitions.active_series_count), \
             updated_at = excluded.updated_at",
            placeholders(rows.len(), 8)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
        for metric in rows {
            query =
                query.bind(tenant.as_str()).bind(metric.name.as_str()).bind(type_name(metric.metric_type));
            query = query.bind(metric.help.as_str()).bind(metric.unit.as_str());
            query = query.bind(metric.active_series.map(stored)).bind(at).bind(at);
        }
        query.execute(&mut *c).await?;
    }
    Ok(())
}
