//! Groups: rules that are evaluated one after the other at the same time, so that each sees what those before it gave.

use super::moves::{Identity, give_away};
use super::rule::Rule;
use super::running::{Context, Mode, Running};
use crate::Period;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::{Labels, Matcher, STALE_NAN, TimeRange, Timestamp};
use tsdb_promql::VectorSample;
use tsdb_promql::ast::Expr;

/// What rules ask of the world, and what they tell it.
pub(crate) trait World {
    /// What `expr` gives at the time `at`.
    fn query(&self, expr: &Expr, at: Timestamp) -> Result<Answer, String>;

    /// The vector that the text of an expression gives; a scalar is a vector of one element without labels.
    fn query_text(&self, query: &str, at: Timestamp) -> Result<Vec<VectorSample>, String>;

    /// Stores samples, so that what is asked next sees them. Answers which of them, by position, were not stored and
    /// why.
    fn store(&self, samples: &[RuleSample]) -> Result<Vec<(usize, String)>, String>;

    /// Labels of at most `most` series that satisfy all `matchers` and may have samples within `range`; those of which all
    /// lies far away, as on object storage, are left out.
    fn series(&self, matchers: &[Matcher], range: TimeRange, most: usize) -> Result<Vec<Labels>, String>;

    /// The time of the newest sample of all, if it is known.
    fn newest(&self) -> Option<Timestamp>;

    /// Labels that tell this server from others.
    fn external_labels(&self) -> &Labels;

    /// Where people reach this server, without a slash at the end.
    fn external_url(&self) -> &str;

    /// Time that has passed since some moment; it only ever grows.
    fn stopwatch(&self) -> Duration;
}

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// Its elements; a scalar is one without labels.
    pub(crate) vector: Vec<VectorSample>,
    /// Samples that were read for it.
    pub(crate) samples_read: u64,
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

/// What the evaluation of a group did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Evaluation {
    /// Samples given, stale markers not among them.
    pub(crate) samples: usize,
    /// Rules that failed.
    pub(crate) failed: usize,
}

/// When and how a group is evaluated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    /// The time of the evaluation, ms.
    pub(crate) at: Timestamp,
    /// Expressions of groups that name no offset are asked about so much earlier, ms.
    pub(crate) default_offset: i64,
    /// The most series or alerts of a rule, whatever the group says; 0 for any number.
    pub(crate) limit: usize,
    /// Evaluations of each rule that are remembered.
    pub(crate) history: usize,
    pub(crate) mode: Mode,
}

impl Pass {
    /// The latest evaluation, with nothing special about it.
    #[cfg(any(test, feature = "rule-tests"))]
    pub(crate) const fn current(at: Timestamp) -> Self {
        Self { at, default_offset: 0, limit: 0, history: 0, mode: Mode::Current }
    }
}

impl Group {
    pub(crate) fn new(settings: GroupSettings, rules: Vec<Rule>) -> Self {
        Self { settings, rules: rules.into_iter().map(Running::new).collect(), orphans: BTreeSet::new() }
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

    /// The time of the last evaluation, ms, before a restart too.
    pub(crate) fn last_evaluation(&self) -> Option<Timestamp> {
        self.rules.iter().filter_map(Running::last_at).max()
    }

    /// How much earlier its expressions are asked about, ms.
    pub(crate) fn offset(&self, default: i64) -> i64 {
        self.settings.query_offset.map_or(default, Period::as_signed_ms)
    }

    /// Evaluates the rules in their order. A rule that fails keeps its alerts and its series as they are, unless it says
    /// otherwise.
    pub(crate) fn evaluate(&mut self, pass: Pass, world: &dyn World) -> Evaluation {
        let limits = [self.settings.limit, pass.limit];
        let context = Context {
            at: pass.at,
            offset: self.offset(pass.default_offset),
            limit: limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or(0),
            history: pass.history,
            mode: pass.mode,
            world,
        };
        let mut done = Evaluation::default();
        for running in &mut self.rules {
            match running.evaluate(&context) {
                Ok(stored) => done.samples += stored,
                Err(_) => done.failed += 1,
            }
        }
        let stale_at = pass.at.saturating_sub(context.offset);
        self.mark_orphans(stale_at, world);
        done
    }

    /// Evaluations were left out for good: so many ms that nobody knows of.
    pub(crate) fn miss(&mut self, unknown_ms: i64) {
        self.rules.iter_mut().for_each(|running| running.miss(unknown_ms));
    }

    /// The clock was set: all times become `by_ms` earlier.
    pub(crate) fn move_back(&mut self, by_ms: i64) {
        self.rules.iter_mut().for_each(|running| running.move_back(by_ms));
    }

    /// Takes over the state of the rules of `before` that are rules of this group too. Answers those that are not.
    pub(crate) fn take_over(&mut self, mut before: Self) -> Vec<Running> {
        self.orphans.append(&mut before.orphans);
        let mut known: BTreeMap<_, VecDeque<Running>> = BTreeMap::new();
        for old in before.rules {
            known.entry(Identity::of(&old)).or_default().push_back(old);
        }
        for running in &mut self.rules {
            // Of several rules with one identity the first follows the first.
            if let Some(old) = known.get_mut(&Identity::of(running)).and_then(VecDeque::pop_front) {
                running.take_over(old);
            }
        }
        let departed: Vec<Running> = known.into_values().flatten().collect();
        self.orphans.extend(departed.iter().flat_map(Running::series).cloned());
        departed
    }

    /// Takes up the state of a rule that came from another group. Answers one that is no rule of this group any more: its
    /// series end here.
    pub(super) fn receive(&mut self, state: Running) -> Option<Running> {
        let identity = Identity::of(&state);
        let mut known = self.rules.iter_mut().filter(|rule| Identity::of(rule) == identity).peekable();
        if known.peek().is_none() {
            self.orphans.extend(state.series().iter().cloned());
            return Some(state);
        }
        if let Some(running) = known.find(|rule| !rule.is_settled()) {
            running.arrive(state);
        }
        None
    }

    /// The states of all rules from before are to be taken up, as far as they are not known.
    pub(crate) fn seek(&mut self) {
        self.rules.iter_mut().for_each(Running::seek);
    }

    /// Are states from before to be taken up?
    pub(super) fn is_seeking(&self) -> bool {
        self.rules.iter().any(Running::is_sought)
    }

    /// The states from before are taken up.
    pub(super) fn settle(&mut self) {
        self.rules.iter_mut().for_each(Running::settle);
    }

    /// The series of `gone`, which is a rule of another group now, go on.
    pub(super) fn disown(&mut self, gone: &Running) {
        self.orphans.retain(|labels| !gone.series().contains(labels));
    }

    /// Rules that are `went` have gone to other groups, with their series.
    pub(super) fn give_away(&mut self, went: &[Identity]) {
        give_away(&mut self.rules, went);
    }

    fn mark_orphans(&mut self, at: Timestamp, world: &dyn World) {
        if self.orphans.is_empty() {
            return;
        }
        // A rule that gives the series now has taken it over.
        let given: BTreeSet<_> = self.rules.iter().flat_map(Running::series).cloned().collect();
        let markers: Vec<_> = self.orphans.difference(&given).map(|labels| marker(labels, at)).collect();
        match world.store(&markers) {
            Ok(_) => self.orphans.clear(),
            Err(reason) => {
                log::warn!("group {}: series of rules that are no more: {reason}", self.settings.name)
            }
        }
    }
}

/// Says that a series has ended.
pub(super) fn marker(labels: &Labels, at: Timestamp) -> RuleSample {
    RuleSample::number(labels.clone(), at, STALE_NAN)
}
