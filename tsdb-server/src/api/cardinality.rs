//! What has how many series: `/api/v1/status/tsdb` in the form of Prometheus, `/api/v1/cardinality/*` in those of Mimir.
//!
//! Both speak of the series in memory, which an index counts as they come and go. A selector, or `count_method=active`,
//! has the series looked at, so such requests wait for their turn like queries. Of the numbers of Prometheus' head,
//! `chunkCount` is left out: nothing keeps it up.

use super::params::Params;
use super::response::write_labels;
use super::{Outlet, Stop, census, json, parameters};
use crate::access::{Right, Scope};
use crate::error::{ApiError, ErrorKind};
use crate::state::Server;
use crate::store::Store;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde::Serialize;
use std::sync::Arc;
use tsdb::{Cardinality, Counted, LabelNames, LabelValues, SeriesFilter, Stats};
use tsdb_core::{Matcher, Timestamp};
use tsdb_promql::ParseOptions;

/// Entries of a list of `/api/v1/status/tsdb` where the request does not say how many, and the most.
const STATUS_ENTRIES: (usize, usize) = (10, 10_000);
/// The same of the lists of label names and values.
const LABEL_ENTRIES: (usize, usize) = (20, 500);
/// Names that one request may ask for the values of.
const MAX_NAMES: usize = 100;
/// Series of an answer.
const MAX_SERIES: usize = 100_000;

/// The routes that tell what has how many series.
pub(super) fn routes() -> [(&'static str, Right, MethodRouter<Server>); 6] {
    [
        ("/api/v1/status/tsdb", Right::Read, get(status)),
        ("/api/v1/cardinality/label_names", Right::Read, get(label_names).post(label_names)),
        ("/api/v1/cardinality/label_values", Right::Read, get(label_values).post(label_values)),
        ("/api/v1/cardinality/active_series", Right::Read, get(active_series).post(active_series)),
        ("/api/v1/cardinality/fleet", Right::Read, get(census::fleet)),
        ("/api/v1/admin/cardinality/tenants", Right::Operate, get(census::tenants)),
    ]
}

/// `GET /api/v1/status/tsdb`
async fn status(State(server): State<Server>, scope: Scope, request: Request) -> Result<Response, ApiError> {
    let top = status_entries(&parameters(&server, request).await?)?;
    let report = move |store: Option<Arc<dyn Store>>| {
        let counts = store.as_ref().and_then(|store| store.cardinality(top)).unwrap_or_default();
        let stats = store.and_then(|store| store.stats()).unwrap_or_default();
        Success { status: "success", data: TsdbStatus::new(counts, &stats) }
    };
    reported(&server, &scope, report).await
}

/// `GET /api/v1/cardinality/label_names`
async fn label_names(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let (series, top) = (filter(&params)?, entries(&params, LABEL_ENTRIES)?);
    let report = move |store: Option<Arc<dyn Store>>| {
        let counts = store.map(|store| store.label_name_counts(&series, top)).unwrap_or_default();
        NamesAnswer::from(counts)
    };
    reported(&server, &scope, report).await
}

/// `GET /api/v1/cardinality/label_values`
async fn label_values(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let (series, top) = (filter(&params)?, entries(&params, LABEL_ENTRIES)?);
    let names = label_names_of(&params)?;
    let report = move |store: Option<Arc<dyn Store>>| {
        let Some(store) = store else { return ValuesAnswer::default() };
        let all = SeriesFilter { matchers: Vec::new(), only_active: series.only_active };
        let total = store.head_series(&all, 0).0;
        ValuesAnswer::new(total, store.label_value_counts(&series, &names, top))
    };
    reported(&server, &scope, report).await
}

/// `GET /api/v1/cardinality/active_series`: the labels of the active series that satisfy `selector`.
async fn active_series(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let text = params.get("selector").ok_or_else(|| ApiError::bad_parameter("selector", "it is missing"))?;
    let series = SeriesFilter { matchers: selector(text)?, only_active: true };
    let limit = params.limit("limit")?;
    let most = limit.unwrap_or(MAX_SERIES).min(MAX_SERIES);
    let (asked, tenant) = (server.clone(), scope.tenant()?.clone());
    let work = move |out: &mut Outlet| {
        let store = asked.existing_store(&tenant)?;
        let (total, labels) = store.map(|store| store.head_series(&series, most)).unwrap_or_default();
        if limit.is_none_or(|limit| limit > MAX_SERIES) && total > MAX_SERIES as u64 {
            let message = format!("selector: {total} active series satisfy it, an answer holds {MAX_SERIES}");
            return Err(ApiError::new(ErrorKind::TooLarge, message).into());
        }
        out.buffer().extend_from_slice(b"{\"data\":[");
        for (index, labels) in labels.iter().enumerate() {
            out.buffer().extend_from_slice(if index > 0 { b"," } else { b"" });
            write_labels(labels, out.buffer());
            out.pass()?;
        }
        out.buffer().extend_from_slice(b"]}");
        Ok::<(), Stop>(())
    };
    server.run_answer(scope.first(), work).await
}

fn status_entries(params: &Params) -> Result<usize, ApiError> {
    let (usual, most) = STATUS_ENTRIES;
    let Some(text) = params.get("limit") else { return Ok(usual) };
    match text.parse::<usize>() {
        Ok(limit) if limit > most => {
            Err(ApiError::bad_parameter("limit", format!("it must not exceed {most}")))
        }
        Ok(limit) if limit > 0 => Ok(limit),
        _ => Err(ApiError::bad_data("limit must be a positive number")),
    }
}

/// The parameter `limit`, which may be 0.
fn entries(params: &Params, (usual, most): (usize, usize)) -> Result<usize, ApiError> {
    let Some(text) = params.get("limit") else { return Ok(usual) };
    let limit = text.parse::<usize>().ok().filter(|limit| *limit <= most);
    limit.ok_or_else(|| ApiError::bad_parameter("limit", format!("it must be a number from 0 to {most}")))
}

/// The series that `selector` and `count_method` mean.
pub(super) fn filter(params: &Params) -> Result<SeriesFilter, ApiError> {
    let only_active = match params.get("count_method") {
        None | Some("inmemory") => false,
        Some("active") => true,
        Some(_) => return Err(ApiError::bad_parameter("count_method", "it must be inmemory or active")),
    };
    let matchers = params.get("selector").map(selector).transpose()?.unwrap_or_default();
    Ok(SeriesFilter { matchers, only_active })
}

fn selector(text: &str) -> Result<Vec<Matcher>, ApiError> {
    let parsed = tsdb_promql::parse_selector(text, &ParseOptions::default());
    parsed.map_err(|error| ApiError::bad_parameter("selector", error))
}

/// The names in `label_names[]`, each once.
pub(super) fn label_names_of(params: &Params) -> Result<Vec<String>, ApiError> {
    const NAME: &str = "label_names[]";
    let mut names: Vec<String> = params.all(NAME).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => Err(ApiError::bad_parameter(NAME, "it is missing")),
        1..=MAX_NAMES if names.iter().all(|name| !name.is_empty()) => Ok(names),
        1..=MAX_NAMES => Err(ApiError::bad_parameter(NAME, "a name is empty")),
        count => {
            Err(ApiError::bad_parameter(NAME, format!("{count} names, a request has at most {MAX_NAMES}")))
        }
    }
}

/// What `report` makes of the tenant's store, if there is one.
async fn reported<T: Serialize>(
    server: &Server,
    scope: &Scope,
    report: impl FnOnce(Option<Arc<dyn Store>>) -> T + Send + 'static,
) -> Result<Response, ApiError> {
    let (asked, tenant) = (server.clone(), scope.tenant()?.clone());
    let work = move || {
        let report = report(asked.existing_store(&tenant)?);
        let failed =
            |error| ApiError::new(ErrorKind::Internal, format!("the answer cannot be written: {error}"));
        serde_json::to_vec(&report).map_err(failed)
    };
    server.run_query(scope.first(), work).await.map(json)
}

#[derive(Serialize)]
struct Success<T> {
    status: &'static str,
    data: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Entry>,
    label_value_count_by_label_name: Vec<Entry>,
    memory_in_bytes_by_label_name: Vec<Entry>,
    series_count_by_label_value_pair: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    num_series: u64,
    num_label_pairs: u64,
    min_time: Timestamp,
    max_time: Timestamp,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    value: u64,
}

impl From<Counted> for Entry {
    fn from(counted: Counted) -> Self {
        Self { name: counted.name, value: counted.count }
    }
}

impl TsdbStatus {
    fn new(counts: Cardinality, stats: &Stats) -> Self {
        let list = |counted: Vec<Counted>| counted.into_iter().map(Entry::from).collect();
        let pairs = counts.top_pairs.into_iter();
        // A head without samples has the times that Prometheus gives one.
        let (min_time, max_time) =
            stats.head_range.map_or((Timestamp::MAX, Timestamp::MIN), |range| (range.start(), range.end()));
        Self {
            head_stats: HeadStats {
                num_series: counts.series,
                num_label_pairs: counts.label_pairs,
                min_time,
                max_time,
            },
            series_count_by_metric_name: list(counts.top_metrics),
            label_value_count_by_label_name: list(counts.top_names_by_values),
            memory_in_bytes_by_label_name: list(counts.top_names_by_bytes),
            series_count_by_label_value_pair: pairs
                .map(|pair| Entry { name: format!("{}={}", pair.name, pair.value), value: pair.series })
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct NamesAnswer {
    label_values_count_total: u64,
    label_names_count: u64,
    cardinality: Vec<NameEntry>,
}

#[derive(Serialize)]
struct NameEntry {
    label_name: String,
    label_values_count: u64,
}

impl From<LabelNames> for NamesAnswer {
    fn from(counts: LabelNames) -> Self {
        let entry = |name: Counted| NameEntry { label_name: name.name, label_values_count: name.count };
        Self {
            label_values_count_total: counts.label_pairs,
            label_names_count: counts.names,
            cardinality: counts.top.into_iter().map(entry).collect(),
        }
    }
}

#[derive(Serialize, Default)]
struct ValuesAnswer {
    series_count_total: u64,
    labels: Vec<LabelEntry>,
}

#[derive(Serialize)]
struct LabelEntry {
    label_name: String,
    label_values_count: u64,
    series_count: u64,
    cardinality: Vec<ValueEntry>,
}

#[derive(Serialize)]
struct ValueEntry {
    label_value: String,
    series_count: u64,
}

impl ValuesAnswer {
    fn new(series_count_total: u64, mut counts: Vec<LabelValues>) -> Self {
        counts.sort_by(|a, b| b.series.cmp(&a.series).then_with(|| a.name.cmp(&b.name)));
        let value = |value: Counted| ValueEntry { label_value: value.name, series_count: value.count };
        let label = |label: LabelValues| LabelEntry {
            label_name: label.name,
            label_values_count: label.values,
            series_count: label.series,
            cardinality: label.top.into_iter().map(value).collect(),
        };
        Self { series_count_total, labels: counts.into_iter().map(label).collect() }
    }
}
