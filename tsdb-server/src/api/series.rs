//! `/api/v1/series` and `/api/v1/metadata`; the reading of `match[]`.

use super::params::Params;
use super::response::{self, write_json_string, write_labels};
use super::{Outlet, Stop, json, parameters};
use crate::access::Scope;
use crate::error::ApiError;
use crate::state::Server;
use axum::extract::{Request, State};
use axum::response::Response;
use std::collections::BTreeSet;
use std::fmt::Display;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{Queryable, SelectHints};
use tsdb_core::{Labels, Matcher, TimeRange, Timestamp};
use tsdb_promql::ParseOptions;

/// The label sets of all series that satisfy one of the selectors.
pub(super) async fn series(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let selectors = selectors(&params)?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (range, limit) = (time_range(&params)?, params.limit("limit")?);
    let (asked, tenant) = (server.clone(), scope.first().clone());
    let work = move |out: &mut Outlet| {
        let Some(range) = range else { return write_series(BTreeSet::new(), limit, &[], out) };
        let querier = asked.view(&scope)?.querier(range)?;
        let (mut found, mut warnings) = (BTreeSet::new(), Vec::new());
        for matchers in &selectors {
            let set = querier.select(matchers, &SelectHints::over(range))?;
            found.extend((0..set.len()).map(|index| set.labels(index)));
            warnings.extend(set.warnings());
        }
        write_series(found, limit, &warnings, out)
    };
    server.run_answer(&tenant, work).await
}

fn write_series(
    found: BTreeSet<Labels>,
    limit: Option<usize>,
    warnings: &[String],
    out: &mut Outlet,
) -> Result<(), Stop> {
    let kept = limit.unwrap_or(found.len());
    let warnings = truncation(warnings.to_vec(), kept < found.len());
    let write = |labels: Labels, out: &mut Vec<u8>| write_labels(&labels, out);
    response::success_list(found.into_iter().take(kept), write, &warnings, out)
}

/// What the senders said of their metrics.
pub(super) async fn metadata(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let limit = params.limit("limit")?.unwrap_or(usize::MAX);
    let wanted = params.get("metric").map(str::to_owned);
    let (asked, tenant) = (server.clone(), scope.first().clone());
    let work = move || {
        let mut known = asked.view(&scope)?.metadata();
        known.retain(|(metric, _)| wanted.as_ref().is_none_or(|wanted| wanted == metric));
        let write = |out: &mut Vec<u8>| {
            write_metadata(&known, limit, out);
            Ok(())
        };
        response::success(write, &[], &[])
    };
    server.run_query(&tenant, work).await.map(json)
}

/// Writes what is known of the first `limit` metrics.
fn write_metadata(known: &[(String, Metadata)], limit: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, of_metric) in known.chunk_by(|(a, _), (b, _)| a == b).take(limit).enumerate() {
        for (position, (metric, metadata)) in of_metric.iter().enumerate() {
            if position == 0 {
                out.extend_from_slice(if index > 0 { b"," } else { b"" });
                write_json_string(metric, out);
                out.extend_from_slice(b":[");
            } else {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"type\":");
            write_json_string(metadata.metric_type.as_str(), out);
            out.extend_from_slice(b",\"unit\":");
            write_json_string(&metadata.unit, out);
            out.extend_from_slice(b",\"help\":");
            write_json_string(&metadata.help, out);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// The warnings of an answer, with one more if it was cut.
pub(super) fn truncation(mut warnings: Vec<String>, truncated: bool) -> Vec<String> {
    if truncated {
        warnings.push("results truncated due to limit".to_owned());
    }
    warnings.dedup();
    warnings
}

/// The matchers of each `match[]`. A selector that every series satisfies is refused, as it is no selection.
pub(super) fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let refuse = |reason: &dyn Display| ApiError::bad_parameter("match[]", reason);
    params
        .all("match[]")
        .map(|text| {
            let matchers =
                tsdb_promql::parse_selector(text, &ParseOptions::default()).map_err(|e| refuse(&e))?;
            if matchers.iter().all(|matcher| matcher.matches("")) {
                return Err(refuse(&"match[] must contain at least one non-empty matcher"));
            }
            Ok(matchers)
        })
        .collect()
}

/// The time from `start` to `end`, all of time where they are absent; `None` if it is empty.
pub(super) fn time_range(params: &Params) -> Result<Option<TimeRange>, ApiError> {
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    Ok(TimeRange::new(start, end))
}
