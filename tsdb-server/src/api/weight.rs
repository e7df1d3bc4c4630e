//! What weighs most, and what a label costs: `/api/v1/cardinality/top` and `/api/v1/cardinality/label_cost`.
//!
//! Both speak of the series in memory of one tenant and wait for their turn like queries: what is new, and what a label costs, is
//! found by looking at the series.

use super::cardinality::{filter, label_names_of};
use super::parameters;
use super::params::Params;
use super::tenants::success;
use crate::access::{Right, Scope};
use crate::error::ApiError;
use crate::state::Server;
use crate::store::Store;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json as value};
use tsdb::{LabelCost, RankBy, Ranking, SeriesFilter, Weight};
use tsdb_core::{METRIC_NAME, TenantId};

/// Entries of a list where the request does not say how many.
const ENTRIES: usize = 20;
/// The most of them.
const MAX_ENTRIES: usize = 1_000;
/// What is new where the request does not say, ms: as far back as is known.
const WINDOW_MS: i64 = 3_600_000;
/// Labels whose cost is told where the request names none.
const LABELS: usize = 20;

/// The routes that tell what things cost.
pub(super) fn routes() -> [(&'static str, Right, MethodRouter<Server>); 2] {
    [
        ("/api/v1/cardinality/top", Right::Read, get(top)),
        ("/api/v1/cardinality/label_cost", Right::Read, get(label_cost).post(label_cost)),
    ]
}

/// `GET /api/v1/cardinality/top`: the first `limit` metrics, labels and label pairs `by` `series`, `bytes` or `churn`, where
/// churn counts the series that were made within `window`.
async fn top(State(server): State<Server>, scope: Scope, request: Request) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let by = match params.get("by") {
        None | Some("series") => RankBy::Series,
        Some("bytes") => RankBy::Bytes,
        Some("churn") => RankBy::New,
        Some(_) => return Err(ApiError::bad_parameter("by", "it must be series, bytes or churn")),
    };
    let limit = params.limit("limit")?.unwrap_or(ENTRIES).min(MAX_ENTRIES);
    let window_ms = params.duration_ms("window")?.unwrap_or(WINDOW_MS).min(WINDOW_MS);
    if window_ms < 0 {
        return Err(ApiError::bad_parameter("window", "it must not be negative"));
    }
    let (asked, tenant) = (server.clone(), scope.tenant()?.clone());
    let work = move || {
        let store = asked.existing_store(&tenant)?;
        let ranking = store.and_then(|store| store.ranking(by, window_ms, limit)).unwrap_or_default();
        Ok(ranked(&ranking, window_ms))
    };
    success(&server.run_query(scope.first(), work).await?)
}

fn ranked(ranking: &Ranking, window_ms: i64) -> Value {
    let metrics = ranking.metrics.iter().map(|one| weighed(value!({ "name": one.name }), one.weight));
    let names = ranking.names.iter().map(|one| {
        let name = value!({ "name": one.name, "values": one.values, "newValues": one.new_values });
        weighed(name, one.weight)
    });
    let pairs = ranking.pairs.iter();
    let pairs = pairs.map(|one| weighed(value!({ "name": one.name, "value": one.value }), one.weight));
    value!({
        "series": ranking.series,
        "newSeries": ranking.new_series,
        "windowSeconds": window_ms / 1000,
        "metrics": metrics.collect::<Vec<_>>(),
        "labels": names.collect::<Vec<_>>(),
        "labelPairs": pairs.collect::<Vec<_>>(),
    })
}

fn weighed(mut thing: Value, weight: Weight) -> Value {
    if let Some(fields) = thing.as_object_mut() {
        fields.insert("series".to_owned(), weight.series.into());
        fields.insert("bytes".to_owned(), weight.bytes.into());
        fields.insert("newSeries".to_owned(), weight.new_series.into());
    }
    thing
}

/// `GET /api/v1/cardinality/label_cost`: how many of the series that `selector` means there would be without each of
/// `label_names[]`; and with `values`, how many there would be with one more label of so many values.
async fn label_cost(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let (series, names, values) = (filter(&params)?, named(&params)?, new_values(&params)?);
    let (asked, tenant) = (server.clone(), scope.tenant()?.clone());
    let work = move || {
        let store = asked.existing_store(&tenant)?;
        let Some(store) = store else { return Ok(value!({ "series": 0, "labels": [] })) };
        Ok(costs(&asked, &tenant, store.as_ref(), &series, names, values))
    };
    success(&server.run_query(scope.first(), work).await?)
}

/// The labels that the request names; `None` if it names none.
fn named(params: &Params) -> Result<Option<Vec<String>>, ApiError> {
    let names_some = params.get("label_names[]").is_some();
    if names_some { label_names_of(params).map(Some) } else { Ok(None) }
}

/// How many values another label would have, if that is asked.
fn new_values(params: &Params) -> Result<Option<u64>, ApiError> {
    let Some(text) = params.get("values") else { return Ok(None) };
    let values = text.parse::<u64>().ok().filter(|values| *values > 0);
    values.map(Some).ok_or_else(|| ApiError::bad_parameter("values", "it must be a positive number"))
}

fn costs(
    server: &Server,
    tenant: &TenantId,
    store: &dyn Store,
    series: &SeriesFilter,
    names: Option<Vec<String>>,
    values: Option<u64>,
) -> Value {
    let (total, _) = store.head_series(series, 0);
    let names = names.unwrap_or_else(|| {
        let counts = store.label_name_counts(series, LABELS.saturating_add(1));
        let names = counts.top.into_iter().map(|name| name.name);
        names.filter(|name| name != METRIC_NAME).take(LABELS).collect()
    });
    let stats = store.stats().unwrap_or_default();
    let bytes_per_series = stats.head_bytes.checked_div(stats.active_series).unwrap_or_default();
    let labels =
        store.label_costs(series, &names).into_iter().map(|cost| label(&cost, total, bytes_per_series));
    let allowed = server.limits(tenant).cardinality.max_active_series.get();
    let mut answer = value!({
        "series": total,
        "bytesPerSeries": bytes_per_series,
        "activeSeries": stats.active_series,
        "maxActiveSeries": allowed,
        "labels": labels.collect::<Vec<_>>(),
    });
    if let (Some(values), Some(fields)) = (values, answer.as_object_mut()) {
        let more = total.saturating_mul(values.saturating_sub(1));
        let in_all = stats.active_series.saturating_add(more);
        let new = value!({
            "values": values,
            "seriesAdded": more,
            "bytesAdded": more.saturating_mul(bytes_per_series),
            "fits": allowed.is_none_or(|allowed| in_all <= allowed),
        });
        fields.insert("newLabel".to_owned(), new);
    }
    answer
}

fn label(cost: &LabelCost, total: u64, bytes_per_series: u64) -> Value {
    let costs = total.saturating_sub(cost.series_without);
    value!({
        "name": cost.name,
        "values": cost.values,
        "series": cost.series,
        "seriesWithout": cost.series_without,
        "seriesCost": costs,
        "bytesCost": costs.saturating_mul(bytes_per_series),
        "estimate": cost.is_estimate,
    })
}
