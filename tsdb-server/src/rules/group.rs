//! Groups: rules that are evaluated one after the other at the same time, so that each sees what those before it gave.

use super::alert::{Alerts, Turn};
use super::rule::{Rule, RuleKind};
use crate::Period;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::labels::LabelsBuilder;
use tsdb_core::{Labels, METRIC_NAME, STALE_NAN, Timestamp};
use tsdb_promql::VectorSample;
use tsdb_promql::ast::Expr;

/// What rules ask of the world, and what they tell it.
pub(crate) trait World {
    /// The vector that `expr` gives at the time `at`; a scalar is a vector of one element without labels.
    fn query(&self, expr: &Expr, at: Timestamp) -> Result<Vec<VectorSample>, String>;

    /// The same for the text of an expression in a template.
    fn query_text(&self, query: &str, at: Timestamp) -> Result<Vec<VectorSample>, String>;

    /// Stores samples, so that what is asked next sees them. Answers which of them, by position, were not stored and
    /// why.
    fn store(&self, samples: &[RuleSample]) -> Result<Vec<(usize, String)>, String>;

    /// Labels that tell this server from others.
    fn external_labels(&self) -> &Labels;

    /// Where people reach this server, without a slash at the end.
    fn external_url(&self) -> &str;

    /// Time that has passed since some moment; it only ever grows.
    fn stopwatch(&self) -> Duration;
}

/// A sample that a rule gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuleSample {
    pub(crate) labels: Labels,
    pub(crate) timestamp: Timestamp,
    pub(crate) value: f64,
    /// In place of the number.
    pub(crate) histogram: Option<Arc<FloatHistogram>>,
}

impl RuleSample {
    pub(super) fn number(labels: Labels, timestamp: Timestamp, value: f64) -> Self {
        Self { labels, timestamp, value, histogram: None }
    }
}

/// What is said about a group but for its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    /// The file it comes from.
    pub(crate) file: String,
    /// Unique in its file.
    pub(crate) name: String,
    /// Time between two evaluations; `None` for the server's.
    pub(crate) interval: Option<Period>,
    /// Expressions are asked about so much earlier; `None` for the server's.
    pub(crate) query_offset: Option<Period>,
    /// The most series or alerts of a rule; 0 for any number.
    pub(crate) limit: usize,
}

/// A group with the state of its rules.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    settings: GroupSettings,
    rules: Vec<Running>,
    /// Series of rules that are no more: they get a stale marker with the next evaluation.
    orphans: BTreeSet<Labels>,
}

/// A rule with its state.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    rule: Arc<Rule>,
    alerts: Alerts,
    health: Health,
    /// How long the last evaluation took.
    took: Duration,
    /// Series that it gave last.
    series: BTreeSet<Labels>,
}

/// How the last evaluation of a rule went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Health {
    /// There was none.
    #[default]
    Unknown,
    Good,
    /// It failed, and this is why.
    Bad(String),
}

/// What the evaluation of a group did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Evaluation {
    /// Samples given, stale markers not among them.
    pub(crate) samples: usize,
    /// Rules that failed.
    pub(crate) failed: usize,
}

impl Running {
    pub(crate) fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(crate) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// For taking over alerts that were known before a restart.
    pub(crate) fn alerts_mut(&mut self) -> &mut Alerts {
        &mut self.alerts
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// How long the last evaluation took.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// What the rule makes of the answer to its expression.
    fn samples(
        &mut self,
        settings: &GroupSettings,
        at: Timestamp,
        offset: i64,
        world: &dyn World,
    ) -> Result<Vec<RuleSample>, String> {
        let asked = at.saturating_sub(offset);
        let vector = world.query(self.rule.expr(), asked)?;
        match self.rule.kind() {
            RuleKind::Recording => record(&self.rule, vector, asked, settings.limit),
            RuleKind::Alerting(alerting) => {
                let turn = Turn {
                    rule: &self.rule,
                    alerting,
                    at,
                    query_offset: offset,
                    limit: settings.limit,
                    world,
                };
                self.alerts.update(&turn, &vector).map_err(|error| error.to_string())
            }
        }
    }
}

/// The elements under the name and labels of a recording rule.
fn record(
    rule: &Rule,
    vector: Vec<VectorSample>,
    at: Timestamp,
    limit: usize,
) -> Result<Vec<RuleSample>, String> {
    if limit > 0 && vector.len() > limit {
        return Err(format!("exceeded limit of {limit} with {} series", vector.len()));
    }
    let mut seen = BTreeSet::new();
    let mut samples = Vec::with_capacity(vector.len());
    for sample in vector {
        let mut builder = LabelsBuilder::from_labels(&sample.labels);
        builder.set(METRIC_NAME, rule.name());
        for (name, value) in &rule.text().labels {
            builder.set(name, value);
        }
        let labels = builder.build().map_err(|error| error.to_string())?;
        if !seen.insert(labels.clone()) {
            let reason = "vector contains metrics with the same labelset after applying rule labels";
            return Err(reason.to_owned());
        }
        samples.push(RuleSample { labels, timestamp: at, value: sample.value, histogram: sample.histogram });
    }
    Ok(samples)
}

impl Group {
    pub(crate) fn new(settings: GroupSettings, rules: Vec<Rule>) -> Self {
        let fresh = |rule| Running {
            rule: Arc::new(rule),
            alerts: Alerts::default(),
            health: Health::default(),
            took: Duration::ZERO,
            series: BTreeSet::new(),
        };
        Self { settings, rules: rules.into_iter().map(fresh).collect(), orphans: BTreeSet::new() }
    }

    pub(crate) fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    pub(crate) fn rules(&self) -> &[Running] {
        &self.rules
    }

    /// For taking over alerts that were known before a restart.
    pub(crate) fn rules_mut(&mut self) -> &mut [Running] {
        &mut self.rules
    }

    /// Evaluates the rules in their order at the time `at`, asking about `default_offset` ms earlier unless the group
    /// says otherwise. A rule that fails keeps its alerts and its series as they are.
    pub(crate) fn evaluate(&mut self, at: Timestamp, default_offset: i64, world: &dyn World) -> Evaluation {
        let offset = self.settings.query_offset.map_or(default_offset, Period::as_signed_ms);
        let stale_at = at.saturating_sub(offset);
        let mut done = Evaluation::default();
        for running in &mut self.rules {
            let started = world.stopwatch();
            let outcome = running
                .samples(&self.settings, at, offset, world)
                .and_then(|samples| running.store(samples, stale_at, world));
            running.took = world.stopwatch().saturating_sub(started);
            running.health = match outcome {
                Ok(stored) => {
                    done.samples += stored;
                    Health::Good
                }
                Err(reason) => {
                    done.failed += 1;
                    Health::Bad(reason)
                }
            };
        }
        self.mark_orphans(stale_at, world);
        done
    }

    /// Takes over the state of the rules of `before` that are rules of this group too.
    pub(crate) fn take_over(&mut self, mut before: Self) {
        self.orphans.append(&mut before.orphans);
        for running in &mut self.rules {
            // Of several rules with one identity the first follows the first.
            let same = |old: &Running| old.rule.identity() == running.rule.identity();
            if let Some(index) = before.rules.iter().position(same) {
                let old = before.rules.remove(index);
                (running.alerts, running.series, running.health) = (old.alerts, old.series, old.health);
            }
        }
        self.orphans.extend(before.rules.into_iter().flat_map(|old| old.series));
    }

    fn mark_orphans(&mut self, at: Timestamp, world: &dyn World) {
        // A rule that gives the series now has taken it over.
        let given: BTreeSet<_> = self.rules.iter().flat_map(|running| &running.series).cloned().collect();
        let markers: Vec<_> = self.orphans.difference(&given).map(|labels| marker(labels, at)).collect();
        match world.store(&markers) {
            Ok(_) => self.orphans.clear(),
            Err(reason) => {
                log::warn!("group {}: series of rules that are no more: {reason}", self.settings.name)
            }
        }
    }
}

impl Running {
    /// Stores the samples, and stale markers for series that are not among them any more. Answers how many were
    /// stored.
    fn store(
        &mut self,
        samples: Vec<RuleSample>,
        stale_at: Timestamp,
        world: &dyn World,
    ) -> Result<usize, String> {
        let series: BTreeSet<_> = samples.iter().map(|sample| sample.labels.clone()).collect();
        let given = samples.len();
        let mut batch = samples;
        batch.extend(self.series.difference(&series).map(|labels| marker(labels, stale_at)));
        let refused = world.store(&batch)?;
        self.series = series;
        // A marker comes too late where another rule gives the series now.
        let mut of_samples = refused.into_iter().filter(|(position, _)| *position < given);
        match of_samples.next() {
            None => Ok(given),
            Some((_, reason)) => {
                Err(format!("{} of {given} samples not stored: {reason}", of_samples.count() + 1))
            }
        }
    }
}

fn marker(labels: &Labels, at: Timestamp) -> RuleSample {
    RuleSample::number(labels.clone(), at, STALE_NAN)
}
