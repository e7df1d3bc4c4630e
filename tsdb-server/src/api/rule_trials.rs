//! `/v1/rules/test`: what a rule would give now, and when it would have fired. `/v1/rules/history`: how rules stand, and
//! what became of their last evaluations.

use super::json;
use super::params::{Params, timestamp};
use crate::Period;
use crate::access::Scope;
use crate::error::ApiError;
use crate::ingest::read_body;
use crate::rfc3339;
use crate::rules::{Alert, Episode, Mode, Published, RuleKind, Running, Times, Trial, parse_file};
use crate::state::Server;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::time::Instant;
use tsdb_core::{Labels, Timestamp};

/// A rule to be tried.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// The rule as in a rule file.
    rule: Value,
    /// When to evaluate it; without any of these now.
    time: Option<Value>,
    /// Or from when to when, and how often.
    start: Option<Value>,
    end: Option<Value>,
    step: Option<Period>,
}

/// The most evaluations of one trial.
const MOST_EVALUATIONS: i64 = 11_000;

/// `POST /v1/rules/test`: a rule over the data of the tenant, `{"rule": {...}}` with the fields of a rule file. Without
/// times it is evaluated now; with `start` and `end` it is evaluated every `step` in between, and the answer says when its
/// alerts would have changed. Nothing is stored.
pub(super) async fn test(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let limits = server.limits(&tenant);
    let (timeout, body_timeout) = (limits.query.timeout, limits.ingest.body_timeout);
    let body =
        read_body(request, limits.query.max_body_bytes, "limits.query.max_body_bytes", body_timeout).await?;
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| ApiError::bad_data(format!("the body: {error}")))?;
    let times = question.times(server.now())?;
    let file = value!({"groups": [{"name": "test", "rules": [question.rule]}]}).to_string();
    let options = server.engine().options().parse.clone();
    let mut groups = parse_file("rule", &file, &options).map_err(|faults| {
        let reasons: Vec<_> = faults.iter().map(ToString::to_string).collect();
        ApiError::bad_data(reasons.join("; "))
    })?;
    let group = groups.pop().ok_or_else(|| ApiError::bad_data("there is no rule"))?;
    let (work, of_work) = (server.clone(), tenant.clone());
    let trial = server
        .run_query(&tenant, move || {
            let end = Instant::now() + timeout.as_duration();
            work.try_rules(&of_work, group, times, &|| Instant::now() >= end)
        })
        .await?;
    success(&told(&trial))
}

impl Question {
    fn times(&self, now: Timestamp) -> Result<Times, ApiError> {
        let at = |name: &str, field: &Option<Value>| match field {
            None => Ok(None),
            Some(Value::String(text)) => parsed(name, text).map(Some),
            Some(Value::Number(number)) => parsed(name, &number.to_string()).map(Some),
            Some(_) => Err(ApiError::bad_parameter(name, "it is neither a time nor a number of seconds")),
        };
        let step_ms = self.step.unwrap_or(Period::from_secs(60)).as_signed_ms();
        let (start, end) = (at("start", &self.start)?, at("end", &self.end)?);
        if let Some(start) = start {
            let end = end.unwrap_or(now);
            if end < start {
                return Err(ApiError::bad_parameter("end", "end lies before start"));
            }
            let evaluations =
                end.saturating_sub(start).checked_div(step_ms).map(|steps| steps.saturating_add(1));
            return match evaluations {
                None => Err(ApiError::bad_parameter("step", "it must not be zero")),
                Some(evaluations) if evaluations > MOST_EVALUATIONS => {
                    let reason = format!("{evaluations} evaluations, more than {MOST_EVALUATIONS}");
                    Err(ApiError::bad_parameter("step", reason))
                }
                Some(_) => Ok(Times { start, end, step_ms }),
            };
        }
        let at = at("time", &self.time)?.unwrap_or(now);
        Ok(Times { start: at, end: at, step_ms })
    }
}

fn parsed(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    timestamp(text).map_err(|error| ApiError::bad_parameter(name, error))
}

fn told(trial: &Trial) -> Value {
    let rules = trial.group.rules();
    let changes = trial.changes.iter().map(|change| {
        value!({
            "at": rfc3339::format(change.at),
            "state": change.state.name(),
            "labels": labels(&change.labels),
            "value": change.value.to_string(),
        })
    });
    let fired = trial.changes.iter().filter(|change| change.state == crate::rules::AlertState::Firing);
    value!({
        "rules": rules.iter().map(standing).collect::<Vec<_>>(),
        "evaluations": trial.evaluations,
        "cutShort": trial.cut_short,
        "wouldHaveFired": fired.map(|change| rfc3339::format(change.at)).collect::<Vec<_>>(),
        "changes": changes.collect::<Vec<_>>(),
    })
}

/// `GET /v1/rules/history`: of each rule how it stands and what became of its last evaluations; of those that
/// `rule_name[]`, `rule_group[]` and `file[]` name, if any are given.
pub(super) async fn history(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let params = super::parameters(&server, request).await?;
    let groups = server.rule_groups(&scope);
    let wanted = groups.iter().filter(|published| {
        let settings = published.group.settings();
        named(&params, "rule_group[]", &settings.name) && named(&params, "file[]", &settings.file)
    });
    let groups: Vec<Value> = wanted.map(|published| told_group(published, &params)).collect();
    success(&value!({"groups": groups}))
}

fn named(params: &Params, list: &str, name: &str) -> bool {
    params.all(list).next().is_none() || params.all(list).any(|wanted| wanted == name)
}

fn told_group(published: &Published, params: &Params) -> Value {
    let settings = published.group.settings();
    let rules = published.group.rules().iter();
    let rules = rules.filter(|running| named(params, "rule_name[]", running.rule().name())).map(|running| {
        let mut told = standing(running);
        told["history"] = running.history().iter().map(told_episode).collect();
        told
    });
    value!({
        "tenant": published.tenant.as_str(),
        "file": settings.file,
        "name": settings.name,
        "incomplete": published.mode == Mode::Incomplete,
        "rules": rules.collect::<Vec<_>>(),
    })
}

/// How a rule stands.
fn standing(running: &Running) -> Value {
    let rule = running.rule();
    let alerting = matches!(rule.kind(), RuleKind::Alerting(_));
    let mut told = value!({
        "name": rule.name(),
        "type": if alerting { "alerting" } else { "recording" },
        "query": rule.expr().to_string(),
        "state": running.state().name(),
        "incomplete": running.is_incomplete(),
    });
    if let crate::rules::Health::Bad(reason) = running.health() {
        told["error"] = reason.as_str().into();
    }
    if let Some(absence) = running.absence() {
        told["noData"] = value!({"reason": absence.name(), "message": absence.sentence()});
    }
    if alerting {
        told["alerts"] = running.alerts().iter().filter(|alert| alert.is_active()).map(told_alert).collect();
    }
    told
}

fn told_alert(alert: &Alert) -> Value {
    value!({
        "labels": labels(&alert.labels),
        "annotations": alert.annotations.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "state": alert.state.name(),
        "activeAt": rfc3339::format(alert.active_at),
        "value": alert.value.to_string(),
    })
}

fn told_episode(episode: &Episode) -> Value {
    let mut told = value!({
        "at": rfc3339::format(episode.at),
        "state": episode.state.name(),
        "samples": episode.samples,
        "seconds": episode.took.as_secs_f64(),
        "incomplete": episode.incomplete,
    });
    if let Some(reason) = &episode.reason {
        told["reason"] = (**reason).into();
    }
    told
}

fn labels(labels: &Labels) -> Value {
    labels
        .iter()
        .map(|(name, text)| (name.to_owned(), Value::from(text)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn success(data: &Value) -> Result<Response, ApiError> {
    let body = value!({"status": "success", "data": data});
    Ok(json(body.to_string().into_bytes()))
}
