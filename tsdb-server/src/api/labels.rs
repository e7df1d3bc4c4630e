//! `/api/v1/labels` and `/api/v1/label/<name>/values`.

use super::response::{self, write_json_string};
use super::series::{selectors, time_range, truncation};
use super::{Outlet, Stop, parameters};
use crate::access::Scope;
use crate::error::ApiError;
use crate::state::Server;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use std::collections::BTreeSet;
use tsdb_core::Matcher;
use tsdb_core::read::{Querier, Queryable, ReadError};

/// Names of labels.
pub(super) async fn names(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    list(server, scope, request, |querier, matchers| querier.label_names(matchers)).await
}

/// Values of one label. A name that is no identifier comes escaped, as in `U__http_2e_status`.
pub(super) async fn values(
    State(server): State<Server>,
    scope: Scope,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let Path(name) = name.map_err(|error| ApiError::bad_data(format!("invalid label name: {error}")))?;
    let name = unescape(&name).unwrap_or(name);
    if name.is_empty() {
        return Err(ApiError::bad_data("invalid label name: \"\""));
    }
    list(server, scope, request, move |querier, matchers| querier.label_values(&name, matchers)).await
}

async fn list(
    server: Server,
    scope: Scope,
    request: Request,
    read: impl Fn(&dyn Querier, &[Matcher]) -> Result<Vec<String>, ReadError> + Send + 'static,
) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let mut selectors = selectors(&params)?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let (range, limit) = (time_range(&params)?, params.limit("limit")?);
    let (asked, tenant) = (server.clone(), scope.first().clone());
    let work = move |out: &mut Outlet| {
        let (mut found, mut warnings) = (BTreeSet::new(), Vec::new());
        if let Some(range) = range {
            let querier = asked.view(&scope)?.querier(range)?;
            for matchers in &selectors {
                found.extend(read(querier.as_ref(), matchers)?);
            }
            warnings = querier.warnings();
        }
        write_list(found, limit, warnings, out)
    };
    server.run_answer(&tenant, work).await
}

fn write_list(
    found: BTreeSet<String>,
    limit: Option<usize>,
    warnings: Vec<String>,
    out: &mut Outlet,
) -> Result<(), Stop> {
    let kept = limit.unwrap_or(found.len());
    let warnings = truncation(warnings, kept < found.len());
    let write = |text: String, out: &mut Vec<u8>| write_json_string(&text, out);
    response::success_list(found.into_iter().take(kept), write, &warnings, out)
}

/// The name behind Prometheus' escaping of names: `U__` before it, `__` for an underscore, `_<hex>_` for any other
/// character. `None` if the text is not escaped, or wrongly so; it then stands for itself.
fn unescape(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix("U__")?;
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let tail = tail.strip_prefix('_')?;
        if let Some(tail) = tail.strip_prefix('_') {
            out.push('_');
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_once('_')?;
        if digits.len() > 6 || digits.bytes().any(|b| !b.is_ascii_hexdigit()) {
            return None;
        }
        out.push(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?);
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_undone() {
        assert_eq!(unescape("U__http_2e_status__code"), Some("http.status_code".into()));
        assert_eq!(unescape("U___1F600_"), Some("\u{1f600}".into()));
        for text in ["job", "U__a_zz", "U__a_2e", "U__a_110000_", "U__a_", "U__a_d800_"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
