//! `/api/v1/query_explain`: what a query would do and what it would cost, without running it.
//!
//! The parameters are those of `query_range` if one of `start`, `end` and `step` is there, else those of `query`.

use super::number::write_timestamp;
use super::params::Params;
use super::query::{lookback_ms, query_text, range_params};
use super::{json, parameters, response};
use crate::access::Scope;
use crate::error::ApiError;
use crate::limits::QueryLimits;
use crate::state::Server;
use axum::extract::{Request, State};
use axum::response::Response;
use tsdb_promql::{Explanation, QueryParams, SelectorEstimate};

/// The plan and the estimated cost of a query.
pub(super) async fn explain(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let limits = server.limits(scope.first());
    let text = query_text(&limits.query, &params)?;
    let query = query_params(&server, &limits.query, &params)?;
    let (asked, tenant) = (server.clone(), scope.first().clone());
    let work = move || {
        let view = asked.view(&scope)?;
        let engine = asked.engine_for(scope.first(), &limits.query);
        let explanation = engine.explain(&view, &text, &query)?;
        let write = |out: &mut Vec<u8>| {
            write_explanation(&explanation, out);
            Ok(())
        };
        response::success(write, &[], &[])
    };
    server.run_query(&tenant, work).await.map(json)
}

fn query_params(server: &Server, limits: &QueryLimits, params: &Params) -> Result<QueryParams, ApiError> {
    let is_range = ["start", "end", "step"].iter().any(|name| params.get(name).is_some());
    let mut query = if is_range {
        range_params(limits, params)?
    } else {
        QueryParams::instant(params.time("time")?.unwrap_or_else(|| server.now()))
    };
    query.lookback_ms = lookback_ms(params)?;
    Ok(query)
}

fn write_explanation(explanation: &Explanation, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"plan\":");
    response::write_json_string(&explanation.plan, out);
    out.extend_from_slice(format!(",\"steps\":{}", explanation.steps).as_bytes());
    let sums = [
        ("series", explanation.total(|one| one.series)),
        ("samples", explanation.total(|one| one.samples)),
        ("points", explanation.total(|one| one.points)),
        ("bytes", explanation.total(|one| one.bytes)),
    ];
    write_figures(sums, out);
    out.extend_from_slice(b",\"selectors\":[");
    for (index, selector) in explanation.selectors.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_selector(selector, out);
    }
    out.extend_from_slice(b"]}");
}

fn write_selector(selector: &SelectorEstimate, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"selector\":");
    response::write_json_string(&selector.selector, out);
    out.extend_from_slice(b",\"start\":");
    write_timestamp(selector.start, out);
    out.extend_from_slice(b",\"end\":");
    write_timestamp(selector.end, out);
    let figures = [
        ("series", selector.series),
        ("samples", selector.samples),
        ("points", selector.points),
        ("bytes", selector.bytes),
    ];
    write_figures(figures, out);
    out.push(b'}');
}

fn write_figures(figures: [(&str, u64); 4], out: &mut Vec<u8>) {
    for (name, figure) in figures {
        out.extend_from_slice(format!(",\"{name}\":{figure}").as_bytes());
    }
}
