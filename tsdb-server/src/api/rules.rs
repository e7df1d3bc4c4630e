//! `/api/v1/rules`, `/api/v1/alerts` and `/-/reload`.

use super::number::write_decimal;
use super::params::Params;
use super::response::{self, write_json_string, write_labels};
use super::series::selectors;
use super::{json, parameters};
use crate::access::Scope;
use crate::error::{ApiError, ErrorKind};
use crate::rfc3339;
use crate::rules::{Alert, AlertState, Health, Published, RuleKind, Running};
use crate::state::Server;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tsdb_core::{Labels, Matcher, Timestamp};

/// The rules with their state, group by group.
pub(super) async fn rules(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let filter = Filter::new(&parameters(&server, request).await?)?;
    let (groups, next) = filter.page(server.rule_groups(&scope))?;
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"{\"groups\":[");
        separated(groups.iter(), out, |(group, rules), out| write_group(group, rules, &filter, out));
        out.push(b']');
        if let Some(token) = &next {
            out.extend_from_slice(b",\"groupNextToken\":");
            write_json_string(token, out);
        }
        out.push(b'}');
        Ok(())
    };
    response::success(write, &[], &[]).map(json)
}

/// The alerts that are pending or firing.
pub(super) async fn alerts(State(server): State<Server>, scope: Scope) -> Result<Response, ApiError> {
    let groups = server.rule_groups(&scope);
    let running = groups.iter().flat_map(|published| published.group.rules());
    let alerts = running.flat_map(|rule| rule.alerts().iter().filter(|alert| is_active(alert)));
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"{\"alerts\":[");
        separated(alerts, out, write_alert);
        out.extend_from_slice(b"]}");
        Ok(())
    };
    response::success(write, &[], &[]).map(json)
}

/// Reads the files anew that the settings name. A mistake in one leaves what it says as it was and is told.
pub(super) async fn reload(State(server): State<Server>) -> Result<Response, ApiError> {
    let work = move || {
        server
            .reload()
            .map_err(|error| ApiError::new(ErrorKind::Internal, format!("failed to reload config: {error}")))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map(|()| StatusCode::OK.into_response()),
        Err(_) => Err(ApiError::new(ErrorKind::Internal, "the request failed inside the server")),
    }
}

/// Which rules are asked for.
struct Filter {
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    selectors: Vec<Vec<Matcher>>,
    alerting: bool,
    recording: bool,
    with_alerts: bool,
    /// The most groups, and the token of the first.
    page: Option<(usize, Option<String>)>,
}

/// A group and which of its rules are wanted.
type Wanted = (Arc<Published>, Vec<usize>);

impl Filter {
    fn new(params: &Params) -> Result<Self, ApiError> {
        let list = |name: &str| params.all(name).map(str::to_owned).collect::<Vec<_>>();
        let kind = params.get("type").unwrap_or("").to_lowercase();
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            return Err(ApiError::bad_parameter("type", format!("not supported value {kind:?}")));
        }
        let with_alerts = match params.get("exclude_alerts").unwrap_or("").to_lowercase().as_str() {
            "" | "0" | "f" | "false" => true,
            "1" | "t" | "true" => false,
            other => {
                return Err(ApiError::bad_parameter(
                    "exclude_alerts",
                    format!("{other:?} is neither true nor false"),
                ));
            }
        };
        Ok(Self {
            names: list("rule_name[]"),
            groups: list("rule_group[]"),
            files: list("file[]"),
            selectors: selectors(params)?,
            alerting: kind != "record",
            recording: kind != "alert",
            with_alerts,
            page: page(params)?,
        })
    }

    /// The groups of the page asked for, and the token of the next.
    fn page(&self, groups: Vec<Arc<Published>>) -> Result<(Vec<Wanted>, Option<String>), ApiError> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let (most, mut from) = match &self.page {
            Some((most, from)) => (*most, from.clone()),
            None => (usize::MAX, None),
        };
        for published in groups {
            let token = token(&published);
            if from.as_ref().is_some_and(|from| *from != token) {
                continue;
            }
            from = None;
            let rules = self.rules(&published);
            if rules.is_empty() {
                continue;
            }
            if wanted.len() == most {
                return Ok((wanted, Some(token)));
            }
            wanted.push((published, rules));
        }
        match from {
            Some(token) => {
                let reason = format!("invalid group_next_token '{token}'. were rule groups changed?");
                Err(ApiError::bad_parameter("group_next_token", reason))
            }
            None => Ok((wanted, None)),
        }
    }

    fn rules(&self, published: &Published) -> Vec<usize> {
        let settings = published.group.settings();
        let named = |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);
        if !named(&self.groups, &settings.name) || !named(&self.files, &settings.file) {
            return Vec::new();
        }
        let is_wanted = |running: &Running| {
            let rule = running.rule();
            let of_kind = match rule.kind() {
                RuleKind::Recording => self.recording,
                RuleKind::Alerting(_) => self.alerting,
            };
            let labels = &rule.text().labels;
            let value =
                |name: &str| labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
            let matches = |matchers: &Vec<Matcher>| matchers.iter().all(|m| m.matches(value(m.name())));
            of_kind
                && named(&self.names, rule.name())
                && (self.selectors.is_empty() || self.selectors.iter().any(matches))
        };
        let rules = published.group.rules().iter().enumerate();
        rules.filter(|(_, running)| is_wanted(running)).map(|(index, _)| index).collect()
    }
}

fn page(params: &Params) -> Result<Option<(usize, Option<String>)>, ApiError> {
    let token = params.get("group_next_token").filter(|token| !token.is_empty());
    let Some(limit) = params.get("group_limit").filter(|limit| !limit.is_empty()) else {
        return match token {
            None => Ok(None),
            Some(_) => {
                let reason = "group_limit needs to be present in order to paginate over the groups";
                Err(ApiError::bad_parameter("group_next_token", reason))
            }
        };
    };
    match limit.parse() {
        Ok(0) => Err(ApiError::bad_parameter("group_limit", "group_limit needs to be greater than 0")),
        Ok(limit) => Ok(Some((limit, token.map(str::to_owned)))),
        Err(_) => Err(ApiError::bad_parameter("group_limit", "group_limit needs to be a valid number")),
    }
}

/// What names a group in a token: clients pass it back and look at nothing in it.
fn token(published: &Published) -> String {
    let settings = published.group.settings();
    let tenant = ("tenant", published.tenant.as_str());
    let pairs = [("file", settings.file.as_str()), ("name", settings.name.as_str()), tenant];
    format!("{:016x}", Labels::from_pairs(pairs).map_or(0, |labels| labels.stable_hash()))
}

fn write_group(published: &Published, rules: &[usize], filter: &Filter, out: &mut Vec<u8>) {
    let settings = published.group.settings();
    out.extend_from_slice(b"{\"name\":");
    write_json_string(&settings.name, out);
    out.extend_from_slice(b",\"file\":");
    write_json_string(&settings.file, out);
    out.extend_from_slice(b",\"rules\":[");
    let chosen = rules.iter().filter_map(|index| published.group.rules().get(*index));
    separated(chosen, out, |running, out| write_rule(running, published, filter, out));
    out.extend_from_slice(b"],\"interval\":");
    write_decimal(published.interval_ms as f64 / 1e3, out);
    out.extend_from_slice(format!(",\"limit\":{}", settings.limit).as_bytes());
    out.extend_from_slice(b",\"evaluationTime\":");
    write_decimal(published.took.as_secs_f64(), out);
    out.extend_from_slice(b",\"lastEvaluation\":");
    write_time(published.evaluated_at, out);
    out.push(b'}');
}

fn write_rule(running: &Running, published: &Published, filter: &Filter, out: &mut Vec<u8>) {
    let (rule, text) = (running.rule(), running.rule().text());
    let alerting = matches!(rule.kind(), RuleKind::Alerting(_));
    out.push(b'{');
    if alerting {
        let state = match running.health() {
            Health::Unknown => "unknown",
            _ => running.alerts().state().name(),
        };
        out.extend_from_slice(b"\"state\":");
        write_json_string(state, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"name\":");
    write_json_string(rule.name(), out);
    out.extend_from_slice(b",\"query\":");
    write_json_string(&rule.expr().to_string(), out);
    if alerting {
        out.extend_from_slice(b",\"duration\":");
        write_decimal(text.hold.as_ms() as f64 / 1e3, out);
        out.extend_from_slice(b",\"keepFiringFor\":");
        write_decimal(text.keep_firing.as_ms() as f64 / 1e3, out);
    }
    out.extend_from_slice(b",\"labels\":");
    write_pairs(&text.labels, out);
    if alerting {
        out.extend_from_slice(b",\"annotations\":");
        write_pairs(&text.annotations, out);
        out.extend_from_slice(b",\"alerts\":");
        if filter.with_alerts {
            out.push(b'[');
            separated(running.alerts().iter().filter(|alert| is_active(alert)), out, write_alert);
            out.push(b']');
        } else {
            out.extend_from_slice(b"null");
        }
    }
    let (health, error) = match running.health() {
        Health::Unknown => ("unknown", None),
        Health::Good => ("ok", None),
        Health::Bad(reason) => ("err", Some(reason)),
    };
    out.extend_from_slice(b",\"health\":");
    write_json_string(health, out);
    if let Some(error) = error {
        out.extend_from_slice(b",\"lastError\":");
        write_json_string(error, out);
    }
    out.extend_from_slice(b",\"evaluationTime\":");
    write_decimal(running.took().as_secs_f64(), out);
    out.extend_from_slice(b",\"lastEvaluation\":");
    write_time(published.evaluated_at, out);
    out.extend_from_slice(b",\"type\":");
    write_json_string(if alerting { "alerting" } else { "recording" }, out);
    out.push(b'}');
}

fn is_active(alert: &Alert) -> bool {
    alert.state != AlertState::Inactive
}

fn write_alert(alert: &Alert, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"labels\":");
    write_labels(&alert.labels, out);
    out.extend_from_slice(b",\"annotations\":");
    write_pairs(&alert.annotations, out);
    out.extend_from_slice(b",\"state\":");
    write_json_string(alert.state.name(), out);
    out.extend_from_slice(b",\"activeAt\":");
    write_time(Some(alert.active_at), out);
    if let Some(since) = alert.kept_since {
        out.extend_from_slice(b",\"keepFiringSince\":");
        write_time(Some(since), out);
    }
    out.extend_from_slice(b",\"value\":");
    write_json_string(&scientific(alert.value), out);
    out.push(b'}');
}

/// The fewest digits that give the number back, with an exponent of at least two digits.
fn scientific(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn write_pairs(pairs: &[(String, String)], out: &mut Vec<u8>) {
    out.push(b'{');
    separated(pairs.iter(), out, |(name, value), out| {
        write_json_string(name, out);
        out.push(b':');
        write_json_string(value, out);
    });
    out.push(b'}');
}

/// No time at all is the year 1, as in Go.
fn write_time(at: Option<Timestamp>, out: &mut Vec<u8>) {
    match at {
        Some(at) => write_json_string(&rfc3339::format(at), out),
        None => out.extend_from_slice(b"\"0001-01-01T00:00:00Z\""),
    }
}

fn separated<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}
