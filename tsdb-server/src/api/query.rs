//! `/api/v1/query`, `/api/v1/query_range`, `/api/v1/format_query`, `/api/v1/parse_query`.

use super::ast::{write_expr, write_text};
use super::params::{Params, duration_ms};
use super::stats::Detail;
use super::{json, parameters, response};
use crate::access::Scope;
use crate::error::ApiError;
use crate::govern::Asking;
use crate::limits::QueryLimits;
use crate::state::Server;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use std::time::Duration;
use tsdb_promql::QueryParams;
use tsdb_promql::ast::Expr;

/// Evaluates a query at one time.
pub(super) async fn instant(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let no_store = no_store(request.headers());
    let params = parameters(&server, request).await?;
    let at = params.time("time")?.unwrap_or_else(|| server.now());
    evaluate(server, scope, &params, QueryParams::instant(at), no_store).await
}

/// Evaluates a query at many times.
pub(super) async fn range(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let no_store = no_store(request.headers());
    let params = parameters(&server, request).await?;
    let query = range_params(&server.limits(scope.first()).query, &params)?;
    evaluate(server, scope, &params, query, no_store).await
}

/// The query in the one form that its printer gives it.
pub(super) async fn format(State(server): State<Server>, request: Request) -> Result<Response, ApiError> {
    of_expression(server, request, |expr, out| write_text(&expr.pretty(), out)).await
}

/// The syntax tree of the query.
pub(super) async fn parse(State(server): State<Server>, request: Request) -> Result<Response, ApiError> {
    of_expression(server, request, write_expr).await
}

/// What `write` tells about the query, which is not evaluated.
async fn of_expression(
    server: Server,
    request: Request,
    write: impl FnOnce(&Expr, &mut Vec<u8>) + Send + 'static,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let text = query_text(&server.default_limits().query, &params)?;
    let asked = server.clone();
    let work = move || {
        let expr = tsdb_promql::parse(&text, &asked.engine().options().parse)
            .map_err(|error| ApiError::bad_parameter("query", error))?;
        let write = |out: &mut Vec<u8>| {
            write(&expr, out);
            Ok(())
        };
        response::success(write, &[], &[])
    };
    server.run_unasked(work).await.map(json)
}

/// What a range query of a tenant with these limits asks for.
pub(super) fn range_params(limits: &QueryLimits, params: &Params) -> Result<QueryParams, ApiError> {
    let start = params.required_time("start")?;
    let end = params.required_time("end")?;
    if end < start {
        return Err(ApiError::bad_parameter("end", "end timestamp must not be before start time"));
    }
    let step_ms = match params.duration_ms("step")? {
        Some(step_ms) => step_ms,
        None => duration_ms("").map_err(|error| ApiError::bad_parameter("step", error))?,
    };
    if step_ms <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::bad_parameter("step", reason));
    }
    let span_ms = end.saturating_sub(start);
    let steps = span_ms / step_ms;
    if let Some(allowed) = limits.max_points.exceeded_by(usize::try_from(steps).unwrap_or(usize::MAX)) {
        return Err(ApiError::bad_data(format!(
            "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
            thousands(allowed)
        )));
    }
    Ok(QueryParams::range(start, end, step_ms))
}

/// The number with a comma between groups of three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The text of the query of a tenant with these limits, which must not be too long.
pub(super) fn query_text(limits: &QueryLimits, params: &Params) -> Result<String, ApiError> {
    let text = params.get("query").unwrap_or_default();
    match limits.max_query_bytes.exceeded_by(text.len()) {
        Some(allowed) => {
            let reason = format!("the query has {} bytes, max_query_bytes allows {allowed}", text.len());
            Err(ApiError::bad_parameter("query", reason))
        }
        None => Ok(text.to_owned()),
    }
}

async fn evaluate(
    server: Server,
    scope: Scope,
    params: &Params,
    mut query: QueryParams,
    no_store: bool,
) -> Result<Response, ApiError> {
    let text = query_text(&server.limits(scope.first()).query, params)?;
    let keep = params.limit("limit")?;
    query.lookback_ms = lookback_ms(params)?;
    query.timeout = timeout(params)?;
    let detail = Detail::of(params.get("stats"));
    query.profile = detail == Detail::All;
    server.ask(Asking { scope, text, params: query, keep, detail, no_store }).await
}

/// Does the request want an answer that was made for it alone?
fn no_store(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-store"))
}

/// The time for the query. A negative one is over before the query starts, as in Prometheus.
fn timeout(params: &Params) -> Result<Option<Duration>, ApiError> {
    let ms = params.duration_ms("timeout")?;
    Ok(ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}

pub(super) fn lookback_ms(params: &Params) -> Result<Option<i64>, ApiError> {
    let parse = |text| {
        duration_ms(text)
            .map_err(|error| ApiError::bad_data(format!("error parsing lookback delta duration: {error}")))
    };
    let lookback = params.get("lookback_delta").map(parse).transpose()?;
    Ok(lookback.filter(|ms| *ms > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (11_000, "11,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), text);
        }
    }
}
