//! A rule with its state, and what an evaluation makes of both.
//!
//! An evaluation is *conclusive* if it says whether the elements are there. One that fails, or that has no data and a
//! policy that keeps alerts, is not: then nobody knows, alerts stay as they are, and the time does not count for `for`.
//! Evaluations that failed are made up for as soon as one succeeds, with the data of their own time, the oldest first.

use super::absence::Absence;
use super::alert::{Alerts, ERROR_LABEL, Missing, NO_DATA_LABEL, Turn};
use super::group::{Answer, RuleSample, World, marker};
use super::history::{Episode, History, RuleState};
use super::policy::Policy;
use super::rule::{AlertingRule, Rule, RuleKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::labels::LabelsBuilder;
use tsdb_core::{Labels, METRIC_NAME, Timestamp};
use tsdb_promql::VectorSample;

/// How an evaluation stands to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is the latest, and the data is there.
    Current,
    /// A later one follows at once: it is for recorded series and for how long elements have been there.
    CatchUp,
    /// Samples are awaited that belong before it: it changes no alert.
    Incomplete,
}

/// What an evaluation is told.
pub(super) struct Context<'a> {
    /// The time of the evaluation, ms.
    pub(super) at: Timestamp,
    /// Expressions are asked about so much earlier, ms.
    pub(super) offset: i64,
    /// The most series or alerts of a rule; 0 for any number.
    pub(super) limit: usize,
    /// Evaluations that are remembered.
    pub(super) history: usize,
    pub(super) mode: Mode,
    pub(super) world: &'a dyn World,
}

impl Context<'_> {
    fn at(&self, at: Timestamp) -> Self {
        Self { at, mode: Mode::CatchUp, ..*self }
    }

    fn asked(&self) -> Timestamp {
        self.at.saturating_sub(self.offset)
    }
}

/// A rule with its state.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    rule: Arc<Rule>,
    alerts: Alerts,
    health: Health,
    absence: Option<Absence>,
    /// Evaluations since the reason of an absence was looked for.
    absence_age: u32,
    /// Was the last evaluation made although samples were awaited?
    incomplete: bool,
    /// How long the last evaluation took.
    took: Duration,
    /// Series that it gave last.
    series: BTreeSet<Labels>,
    /// The time of the last evaluation, ms.
    last_at: Option<Timestamp>,
    /// Time since the last conclusive evaluation that nobody knows of, ms.
    unknown_ms: i64,
    past: Past,
    /// Evaluations that failed and are to be made up for, with the time since the one before each, ms.
    owed: Vec<(Timestamp, i64)>,
    history: History,
}

/// What a rule knows of its state from before it came into its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    /// Nothing, and nothing is looked for; another group may still bring it.
    Open,
    /// It is looked for in what is stored, in the next turn of the group.
    Sought,
    /// It was taken up, from another group or from what is stored. Then nothing else is newer.
    Settled,
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

/// Failed evaluations of a rule that are made up for at most.
const MOST_OWED: usize = 240;
/// Time that a rule spends on making up for failed evaluations in one turn.
const MAKE_UP_TIME: Duration = Duration::from_secs(1);
/// Evaluations until the reason of an absence is looked for again.
const ABSENCE_REPEAT: u32 = 20;

impl Running {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule: Arc::new(rule),
            alerts: Alerts::default(),
            health: Health::default(),
            absence: None,
            absence_age: 0,
            incomplete: false,
            took: Duration::ZERO,
            series: BTreeSet::new(),
            last_at: None,
            unknown_ms: 0,
            past: Past::Open,
            owed: Vec::new(),
            history: History::default(),
        }
    }

    pub(crate) fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(crate) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

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

    /// Why there was no data, if there was none.
    pub(crate) fn absence(&self) -> Option<&Absence> {
        self.absence.as_ref()
    }

    /// Was the last evaluation made although samples were awaited?
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// The last evaluations.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// How it stands.
    pub(crate) fn state(&self) -> RuleState {
        match (&self.health, &self.absence) {
            (Health::Bad(_), _) => RuleState::Error,
            (_, Some(_)) => RuleState::NoData,
            _ => self.alerts.state().into(),
        }
    }

    pub(super) fn series(&self) -> &BTreeSet<Labels> {
        &self.series
    }

    /// Takes over the state of `old`, the same rule in an earlier form.
    pub(super) fn take_over(&mut self, old: Self) {
        let rule = Arc::clone(&self.rule);
        *self = Self { rule, ..old };
    }

    /// Takes over the state that it had as a rule of another group; or what that did not know yet is sought here.
    pub(super) fn arrive(&mut self, old: Self) {
        let given = std::mem::take(&mut self.series);
        self.take_over(old);
        self.series.extend(given);
        if !self.is_sought() {
            self.past = Past::Settled;
        }
    }

    /// Its state from before is to be taken up from what is stored, unless it is known.
    pub(super) fn seek(&mut self) {
        if self.past == Past::Open {
            self.past = Past::Sought;
        }
    }

    /// What was sought is taken up, as far as there is one.
    pub(super) fn settle(&mut self) {
        if self.is_sought() {
            self.past = Past::Settled;
        }
    }

    /// Is its state from before to be taken up from what is stored?
    pub(crate) fn is_sought(&self) -> bool {
        self.past == Past::Sought
    }

    /// Was its state from before taken up?
    pub(super) fn is_settled(&self) -> bool {
        self.past == Past::Settled
    }

    /// Will its state from before be known, or is it?
    pub(super) fn has_past(&self) -> bool {
        self.past != Past::Open
    }

    /// The time of the last evaluation, ms.
    pub(crate) fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// It was judged at `at`, before a restart.
    pub(crate) fn was_evaluated(&mut self, at: Timestamp) {
        self.last_at = Some(self.last_at.map_or(at, |last| last.max(at)));
    }

    /// Evaluations were left out for good: so many ms more that nobody knows of.
    pub(super) fn miss(&mut self, unknown_ms: i64) {
        self.unknown_ms = self.unknown_ms.saturating_add(unknown_ms);
        self.last_at = self.last_at.map(|last| last.saturating_add(unknown_ms));
    }

    /// The clock was set: all times become `by_ms` earlier.
    pub(super) fn move_back(&mut self, by_ms: i64) {
        self.alerts.move_back(by_ms);
        self.owed.clear();
        self.last_at = self.last_at.map(|last| last.saturating_sub(by_ms));
    }

    /// Evaluates the rule. Answers how many samples were stored.
    pub(super) fn evaluate(&mut self, context: &Context<'_>) -> Result<usize, String> {
        if context.mode == Mode::CatchUp && !self.needs_the_past() {
            return Ok(0);
        }
        let started = context.world.stopwatch();
        self.incomplete = context.mode == Mode::Incomplete;
        let outcome = match context.world.query(self.rule.expr(), context.asked()) {
            Ok(answer) if self.incomplete => self.preview(answer, context),
            Ok(answer) => self.conclude(answer, context),
            Err(reason) => self.fail(reason, context),
        };
        self.took = context.world.stopwatch().saturating_sub(started);
        self.health = match &outcome {
            Ok(_) => Health::Good,
            Err(reason) => Health::Bad(reason.clone()),
        };
        self.remember(outcome.as_ref().copied().unwrap_or(0), context);
        outcome
    }

    /// Does it matter what was in the past? Not for an alert that looks at the present alone.
    fn needs_the_past(&self) -> bool {
        let text = self.rule.text();
        text.alert.is_empty() || text.hold.as_ms() > 0 || text.keep_firing.as_ms() > 0
    }

    fn remember(&mut self, samples: usize, context: &Context<'_>) {
        let reason = match (&self.health, &self.absence) {
            (Health::Bad(reason), _) => Some(Arc::from(reason.as_str())),
            (_, Some(absence)) => Some(Arc::from(absence.name())),
            _ => None,
        };
        let episode = Episode {
            at: context.at,
            took: self.took,
            samples,
            state: self.state(),
            incomplete: self.incomplete,
            reason,
        };
        self.history.push(episode, context.history);
    }

    /// Stores what a recording rule gives now, for those who look; it is stored again when all samples are there.
    fn preview(&self, answer: Answer, context: &Context<'_>) -> Result<usize, String> {
        match self.rule.kind() {
            RuleKind::Recording => {
                let samples = record(&self.rule, answer.vector, context.asked(), context.limit)?;
                context.world.store(&samples)?;
                Ok(samples.len())
            }
            RuleKind::Alerting(_) => Ok(0),
        }
    }

    fn conclude(&mut self, answer: Answer, context: &Context<'_>) -> Result<usize, String> {
        let elapsed = self.elapsed(context.at);
        self.make_up(context);
        match self.judge(answer, elapsed, context) {
            Ok(samples) => self.store(samples, context),
            Err(reason) => self.judge_error(reason, context),
        }
    }

    fn fail(&mut self, reason: String, context: &Context<'_>) -> Result<usize, String> {
        if context.mode != Mode::Incomplete {
            let elapsed = self.elapsed(context.at);
            if self.owed.len() == MOST_OWED {
                let (_, dropped) = self.owed.remove(0);
                self.unknown_ms = self.unknown_ms.saturating_add(dropped);
            }
            self.owed.push((context.at, elapsed));
            self.absence = None;
        }
        self.judge_error(reason, context)
    }

    /// Time since the last evaluation, ms; this is the last now.
    fn elapsed(&mut self, at: Timestamp) -> i64 {
        let last = self.last_at.replace(at);
        last.map_or(0, |last| at.saturating_sub(last).max(0))
    }

    /// Makes up for evaluations that failed.
    fn make_up(&mut self, context: &Context<'_>) {
        let owed = std::mem::take(&mut self.owed);
        let started = context.world.stopwatch();
        for (at, elapsed) in owed {
            let past = context.at(at);
            let late = context.world.stopwatch().saturating_sub(started) > MAKE_UP_TIME;
            let answer = if late || !self.needs_the_past() {
                None
            } else {
                context.world.query(self.rule.expr(), past.asked()).ok()
            };
            let outcome = answer.map(|answer| {
                self.judge(answer, elapsed, &past).and_then(|samples| self.store(samples, &past))
            });
            if !matches!(outcome, Some(Ok(_))) {
                self.unknown_ms = self.unknown_ms.saturating_add(elapsed);
            }
        }
    }

    /// What the rule makes of an answer.
    fn judge(
        &mut self,
        answer: Answer,
        elapsed: i64,
        context: &Context<'_>,
    ) -> Result<Vec<RuleSample>, String> {
        let rule = Arc::clone(&self.rule);
        let alerting = match rule.kind() {
            RuleKind::Recording => {
                return record(&rule, answer.vector, context.asked(), context.limit);
            }
            RuleKind::Alerting(alerting) => alerting,
        };
        let policy = alerting.policies.no_data;
        let absent = is_absent(&rule, &answer, policy, context)?;
        self.note_absence(absent, answer.samples_read, context);
        // Nothing was read at a time of which not all samples may have been kept: that proves nothing.
        let is_unknown =
            context.mode == Mode::CatchUp && answer.samples_read == 0 && !rule.selectors().is_empty();
        if is_unknown || (absent && policy != Policy::Ok) {
            self.unknown_ms = self.unknown_ms.saturating_add(elapsed);
            let tells = !is_unknown && policy == Policy::Alert;
            let sentence = self.absence.as_ref().map(Absence::sentence).filter(|_| tells);
            return self.stand_still(alerting, NO_DATA_LABEL, sentence.as_deref(), context);
        }
        self.alerts.stop_clocks(std::mem::take(&mut self.unknown_ms));
        let turn = turn(&rule, alerting, None, context);
        self.alerts.update(&turn, &answer.vector, Missing::Gone).map_err(|error| error.to_string())
    }

    fn note_absence(&mut self, absent: bool, samples_read: u64, context: &Context<'_>) {
        if !absent {
            self.absence = None;
        } else if self.absence.is_none() || self.absence_age >= ABSENCE_REPEAT {
            self.absence_age = 0;
            self.absence = Some(Absence::of(&self.rule, samples_read, context.asked(), context.world));
        } else {
            self.absence_age += 1;
        }
    }

    /// Alerts stay; if there is a reason to tell, an alert with the label `marker` tells it.
    fn stand_still(
        &mut self,
        alerting: &AlertingRule,
        marker: &str,
        reason: Option<&str>,
        context: &Context<'_>,
    ) -> Result<Vec<RuleSample>, String> {
        let rule = Arc::clone(&self.rule);
        let turn = turn(&rule, alerting, reason, context);
        let labels = Labels::from_pairs([(marker, "true")]).map_err(|error| error.to_string())?;
        let vector: Vec<_> = reason.map(|_| VectorSample::new(labels, context.at, 1.0)).into_iter().collect();
        self.alerts.update(&turn, &vector, Missing::Unknown).map_err(|error| error.to_string())
    }

    /// What the policy of the rule makes of an evaluation that failed. Answers `reason` as the error.
    fn judge_error(&mut self, reason: String, context: &Context<'_>) -> Result<usize, String> {
        let rule = Arc::clone(&self.rule);
        let RuleKind::Alerting(alerting) = rule.kind() else { return Err(reason) };
        let samples = match (alerting.policies.on_error, context.mode) {
            (Policy::Alert, Mode::Current) => self.stand_still(alerting, ERROR_LABEL, Some(&reason), context),
            (Policy::Ok, Mode::Current) => {
                let turn = turn(&rule, alerting, None, context);
                self.alerts.update(&turn, &[], Missing::Gone).map_err(|error| error.to_string())
            }
            _ => return Err(reason),
        };
        // What is wrong with the evaluation matters more than what is wrong with telling of it.
        if let Err(error) = samples.and_then(|samples| self.store(samples, context)) {
            log::warn!("rule {}: {error}", rule.name());
        }
        Err(reason)
    }

    /// Stores the samples, and stale markers for series that are not among them any more. Answers how many were
    /// stored.
    fn store(&mut self, samples: Vec<RuleSample>, context: &Context<'_>) -> Result<usize, String> {
        let series: BTreeSet<_> = samples.iter().map(|sample| sample.labels.clone()).collect();
        let given = samples.len();
        let mut batch = samples;
        batch.extend(self.series.difference(&series).map(|labels| marker(labels, context.asked())));
        let refused = context.world.store(&batch)?;
        self.series = series;
        if context.mode == Mode::CatchUp {
            // What an evaluation stored that was made too early stands where the store keeps what came first.
            return Ok(given.saturating_sub(refused.len()));
        }
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

fn turn<'a>(
    rule: &'a Rule,
    alerting: &'a AlertingRule,
    reason: Option<&'a str>,
    context: &Context<'a>,
) -> Turn<'a> {
    Turn {
        rule,
        alerting,
        at: context.at,
        query_offset: context.offset,
        limit: context.limit,
        reason,
        world: context.world,
    }
}

/// Is there nothing that `rule` could be judged by?
fn is_absent(rule: &Rule, answer: &Answer, policy: Policy, context: &Context<'_>) -> Result<bool, String> {
    let is_asked = answer.samples_read == 0 || policy != Policy::Ok;
    if !answer.vector.is_empty() || rule.selectors().is_empty() || !is_asked {
        return Ok(false);
    }
    let subject = context.world.query(rule.subject(), context.asked())?;
    Ok(subject.vector.iter().all(|sample| sample.histogram.is_none() && sample.value.is_nan()))
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
