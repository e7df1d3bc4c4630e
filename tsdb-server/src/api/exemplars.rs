//! `/api/v1/query_exemplars`: exemplars of all series that an expression selects.

use super::number::{write_timestamp, write_value};
use super::query::query_text;
use super::response::{self, write_labels};
use super::{Outlet, Params, parameters};
use crate::access::Scope;
use crate::error::ApiError;
use crate::state::Server;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tsdb_core::read::{ExemplarQueryable, Queryable, SeriesExemplars};
use tsdb_core::{TimeRange, Timestamp};
use tsdb_promql::ast::selectors;

/// The exemplars within a time of all series that the selectors of a query name, whatever the query does with them.
pub(super) async fn exemplars(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let range = time_range(&params)?;
    let limits = server.limits(scope.first());
    let text = query_text(&limits.query, &params)?;
    let engine = server.engine_for(scope.first(), &limits.query);
    let expr = tsdb_promql::parse(&text, &engine.options().parse)
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let selectors = selectors(&expr);
    if selectors.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (asked, tenant) = (server.clone(), scope.first().clone());
    let work = move |out: &mut Outlet| {
        let view = asked.view(&scope)?;
        // Asked first: what is missing while logs are replayed may be there a moment later.
        let warnings = view.querier(range)?.warnings();
        let found = view.exemplars(&selectors, range)?;
        response::success_list(found.into_iter(), |series, out| write_series(&series, out), &warnings, out)
    };
    server.run_answer(&tenant, work).await
}

/// The time from `start` to `end`, all of time where they are absent.
fn time_range(params: &Params) -> Result<TimeRange, ApiError> {
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    TimeRange::new(start, end)
        .ok_or_else(|| ApiError::bad_data("end timestamp must not be before start timestamp"))
}

fn write_series(series: &SeriesExemplars, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"seriesLabels\":");
    write_labels(&series.labels, out);
    out.extend_from_slice(b",\"exemplars\":[");
    for (index, exemplar) in series.exemplars.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"labels\":" } else { b",{\"labels\":" });
        write_labels(&exemplar.labels, out);
        out.extend_from_slice(b",\"value\":\"");
        write_value(exemplar.value, out);
        out.extend_from_slice(b"\",\"timestamp\":");
        write_timestamp(exemplar.timestamp, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_promql::ParseOptions;

    #[test]
    fn selectors_are_found_wherever_they_stand() {
        let text = "sum(rate(a{x=\"1\"}[5m])) / on (y) max_over_time((b offset 5m)[1h:]) + 1";
        let expr = tsdb_promql::parse(text, &ParseOptions::default()).unwrap();
        let names: Vec<_> = selectors(&expr)
            .iter()
            .map(|matchers| matchers.iter().map(|m| m.value().to_owned()).collect::<Vec<_>>())
            .collect();
        assert_eq!(names, [vec!["1", "a"], vec!["b"]]);
        assert_eq!(selectors(&tsdb_promql::parse("1 + 1", &ParseOptions::default()).unwrap()), [[]; 0]);
    }
}
