//! Alerts: what an alerting rule makes of the answers to its expression.
//!
//! An alert is known by its labels. It is *pending* until the expression has given its element for as long as the rule
//! says, then it *fires*, and goes on firing until the element is gone and the time that the rule keeps it is over;
//! then it is *inactive*, and kept for a quarter of an hour so that receivers are told of its end more than once.

use super::group::{RuleSample, World};
use super::rule::{AlertingRule, Rule};
use super::template::{AlertData, Sample, Scope, Template, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tsdb_core::labels::LabelsBuilder;
use tsdb_core::{Labels, METRIC_NAME, Timestamp};
use tsdb_promql::VectorSample;

/// Name of the series that tell which alerts are active.
const ALERTS: &str = "ALERTS";
/// Name of the series that tell since when they are.
pub(super) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// Label of the alert's name.
pub(super) const ALERT_NAME: &str = "alertname";
/// Label of the alert's state.
const ALERT_STATE: &str = "alertstate";
/// How long an alert that is over is kept, ms.
const RESOLVED_RETENTION_MS: i64 = 15 * 60 * 1_000;

/// How far an alert has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AlertState {
    /// It is over.
    Inactive,
    /// Its element is there, but not long enough yet.
    Pending,
    /// It fires.
    Firing,
}

impl AlertState {
    /// The name in APIs and in series.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert. Times are in ms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    /// What it is known by: labels of the element and of the rule.
    pub(crate) labels: Labels,
    /// Texts for people.
    pub(crate) annotations: Vec<(String, String)>,
    pub(crate) state: AlertState,
    /// The number that the expression gave last.
    pub(crate) value: f64,
    /// Since when its element is there.
    pub(crate) active_at: Timestamp,
    /// Since when it fires.
    pub(crate) fired_at: Option<Timestamp>,
    /// Since when it is over.
    pub(crate) resolved_at: Option<Timestamp>,
    /// Since when it fires only because the rule keeps it firing.
    pub(crate) kept_since: Option<Timestamp>,
}

/// An evaluation that makes no alerts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AlertError {
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    DuplicateLabels,
    #[error("exceeded limit of {limit} with {alerts} alerts")]
    TooMany { limit: usize, alerts: usize },
    #[error(transparent)]
    Labels(#[from] tsdb_core::labels::LabelError),
}

/// The alerts of one rule, by their labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alerts {
    alerts: BTreeMap<Labels, Alert>,
}

/// When and how the alerts of a rule are brought up to date.
pub(super) struct Turn<'a> {
    pub(super) rule: &'a Rule,
    pub(super) alerting: &'a AlertingRule,
    /// The time of the evaluation, ms.
    pub(super) at: Timestamp,
    /// Samples are written, and the expression was asked, so much earlier, ms.
    pub(super) query_offset: i64,
    /// The most alerts; 0 for any number.
    pub(super) limit: usize,
    /// Why the rule cannot be judged; a text of alerts that say so.
    pub(super) reason: Option<&'a str>,
    pub(super) world: &'a dyn World,
}

/// What it says of a known alert that its element is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The element is gone.
    Gone,
    /// Nothing: the alert stays as it is. Those that tell that a rule cannot be judged are gone all the same.
    Unknown,
}

/// Label of an alert that tells that there is no data.
pub(super) const NO_DATA_LABEL: &str = "no_data";
/// Label of an alert that tells that its rule cannot be evaluated.
pub(super) const ERROR_LABEL: &str = "evaluation_error";
/// Annotation that gives the reason.
const REASON: &str = "tsdb_reason";

impl Alerts {
    /// All alerts, those that are over too, by their labels.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// The alert with these labels.
    pub(super) fn of(&self, labels: &Labels) -> Option<&Alert> {
        self.alerts.get(labels)
    }

    /// Takes over an alert known from before.
    pub(crate) fn insert(&mut self, alert: Alert) {
        self.alerts.insert(alert.labels.clone(), alert);
    }

    /// The furthest that one has come.
    pub(crate) fn state(&self) -> AlertState {
        self.alerts.values().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }

    /// Brings the alerts up to date with what the expression gave, and returns the samples that tell of them.
    ///
    /// # Errors
    /// Elements that cannot be told apart: nothing changes. Too many alerts: all are forgotten.
    pub(super) fn update(
        &mut self,
        turn: &Turn<'_>,
        vector: &[VectorSample],
        missing: Missing,
    ) -> Result<Vec<RuleSample>, AlertError> {
        if turn.limit > 0 && vector.len() > turn.limit {
            self.alerts.clear();
            return Err(AlertError::TooMany { limit: turn.limit, alerts: vector.len() });
        }
        let current = turn.alerts_of(vector)?;
        let stays = |alert: &Alert| missing == Missing::Unknown && !alert.is_about_the_rule();
        for alert in self.alerts.values_mut() {
            match current.get(&alert.labels) {
                Some(_) => alert.kept_since = None,
                None if stays(alert) => {}
                None => alert.is_gone(turn),
            }
        }
        let known: BTreeSet<Labels> = current.keys().cloned().collect();
        self.alerts.retain(|labels, alert| {
            known.contains(labels) || alert.is_kept(turn.at) || (stays(alert) && alert.is_active())
        });
        for (labels, fresh) in current {
            match self.alerts.get_mut(&labels) {
                Some(known) if known.state != AlertState::Inactive => {
                    (known.value, known.annotations) = (fresh.value, fresh.annotations);
                }
                _ => drop(self.alerts.insert(labels, fresh)),
            }
        }
        let count = self.alerts.values().filter(|alert| alert.is_active()).count();
        if turn.limit > 0 && count > turn.limit {
            self.alerts.clear();
            return Err(AlertError::TooMany { limit: turn.limit, alerts: count });
        }
        let hold = turn.rule.text().hold.as_signed_ms();
        let mut samples = Vec::new();
        for alert in self.alerts.values_mut().filter(|alert| alert.is_active()) {
            if missing == Missing::Gone || known.contains(&alert.labels) {
                alert.promote(turn.at, hold);
            }
            samples.extend(alert.samples(turn)?);
        }
        Ok(samples)
    }

    /// Nobody knows of so many ms whether the elements of pending alerts were there: they do not count for `for`.
    pub(super) fn stop_clocks(&mut self, unknown_ms: i64) {
        for alert in self.alerts.values_mut().filter(|alert| alert.state == AlertState::Pending) {
            alert.active_at = alert.active_at.saturating_add(unknown_ms);
        }
    }

    /// The clock was set: all times become `by_ms` earlier.
    pub(super) fn move_back(&mut self, by_ms: i64) {
        for alert in self.alerts.values_mut() {
            alert.active_at = alert.active_at.saturating_sub(by_ms);
            let times = [&mut alert.fired_at, &mut alert.resolved_at, &mut alert.kept_since];
            for time in times.into_iter().flatten() {
                *time = time.saturating_sub(by_ms);
            }
        }
    }
}

impl Alert {
    /// Is it pending or firing?
    pub(crate) fn is_active(&self) -> bool {
        self.state != AlertState::Inactive
    }

    /// Does it tell that its rule cannot be judged?
    fn is_about_the_rule(&self) -> bool {
        self.labels.get(NO_DATA_LABEL).is_some() || self.labels.get(ERROR_LABEL).is_some()
    }

    /// Its element is not there any more.
    fn is_gone(&mut self, turn: &Turn<'_>) {
        let keep = turn.rule.text().keep_firing.as_signed_ms();
        if self.state == AlertState::Firing && keep > 0 {
            let since = *self.kept_since.get_or_insert(turn.at);
            if turn.at.saturating_sub(since) < keep {
                return;
            }
        }
        if self.state == AlertState::Firing {
            self.state = AlertState::Inactive;
            self.resolved_at = Some(turn.at);
        }
    }

    /// Is it still needed, though its element is gone? One that never fired is not.
    fn is_kept(&self, at: Timestamp) -> bool {
        match (self.state, self.resolved_at) {
            (AlertState::Firing, _) => true,
            (AlertState::Pending, _) => false,
            (_, Some(resolved)) => at.saturating_sub(resolved) <= RESOLVED_RETENTION_MS,
            (_, None) => false,
        }
    }

    /// Fires if it is time to; no longer if the rule has come to ask for more time.
    fn promote(&mut self, at: Timestamp, hold: i64) {
        let long_enough = at.saturating_sub(self.active_at) >= hold;
        match self.state {
            AlertState::Pending if long_enough => {
                self.state = AlertState::Firing;
                self.fired_at = Some(at);
            }
            AlertState::Firing if !long_enough => {
                self.state = AlertState::Pending;
                (self.fired_at, self.kept_since) = (None, None);
            }
            _ => {}
        }
    }

    /// The samples that tell of it.
    fn samples(&self, turn: &Turn<'_>) -> Result<[RuleSample; 2], AlertError> {
        let timestamp = turn.at.saturating_sub(turn.query_offset);
        let mut builder = LabelsBuilder::from_labels(&self.labels);
        builder.set(METRIC_NAME, ALERTS_FOR_STATE).set(ALERT_NAME, turn.rule.name());
        // Whole seconds, as Prometheus has them.
        let since = self.active_at.div_euclid(1_000) as f64;
        let of_state = RuleSample::number(builder.clone().build()?, timestamp, since);
        builder.set(METRIC_NAME, ALERTS).set(ALERT_STATE, self.state.name());
        Ok([RuleSample::number(builder.build()?, timestamp, 1.0), of_state])
    }
}

impl Turn<'_> {
    /// The alerts that the elements of `vector` would be if all were new.
    fn alerts_of(&self, vector: &[VectorSample]) -> Result<BTreeMap<Labels, Alert>, AlertError> {
        let mut alerts = BTreeMap::new();
        for sample in vector {
            let alert = self.alert_of(sample)?;
            if alerts.insert(alert.labels.clone(), alert).is_some() {
                return Err(AlertError::DuplicateLabels);
            }
        }
        Ok(alerts)
    }

    fn alert_of(&self, sample: &VectorSample) -> Result<Alert, AlertError> {
        let value = match &sample.histogram {
            Some(histogram) => Value::Histogram(Arc::clone(histogram)),
            None => Value::Float(sample.value),
        };
        let data = Value::Data(Arc::new(AlertData {
            labels: sample.labels.clone(),
            external_labels: self.world.external_labels().clone(),
            external_url: self.world.external_url().to_owned(),
            value,
        }));
        let mut labels = LabelsBuilder::from_labels(&sample.labels);
        labels.remove(METRIC_NAME);
        for (name, template) in &self.alerting.labels {
            labels.set(name, &self.expand(template, &data));
        }
        labels.set(ALERT_NAME, self.rule.name());
        let annotations = self.alerting.annotations.iter();
        let annotations = annotations.map(|(name, t)| (name.clone(), self.expand(t, &data)));
        let reason = self.reason.map(|reason| (REASON.to_owned(), reason.to_owned()));
        Ok(Alert {
            labels: labels.build()?,
            annotations: annotations.chain(reason).collect(),
            state: AlertState::Pending,
            value: if sample.histogram.is_some() { 0.0 } else { sample.value },
            active_at: self.at,
            fired_at: None,
            resolved_at: None,
            kept_since: None,
        })
    }

    /// The text of `template`; a template that cannot be expanded is no reason for an alert not to be.
    fn expand(&self, template: &Template, data: &Value) -> String {
        template.expand(data, self).unwrap_or_else(|error| {
            log::warn!("alert {}: {error}", self.rule.name());
            format!("<error expanding template: {error}>")
        })
    }
}

impl Scope for Turn<'_> {
    fn query(&self, query: &str) -> Result<Vec<Sample>, String> {
        let vector = self.world.query_text(query, self.at)?;
        let samples = vector.into_iter().map(|sample| Sample {
            value: match sample.histogram {
                Some(histogram) => Value::Histogram(histogram),
                None => Value::Float(sample.value),
            },
            labels: sample.labels,
        });
        Ok(samples.collect())
    }

    fn now(&self) -> Timestamp {
        self.at
    }

    fn external_url(&self) -> &str {
        self.world.external_url()
    }
}
