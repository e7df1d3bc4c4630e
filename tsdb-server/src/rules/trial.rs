//! What rules would do: over the data of a time, or of many times one after the other, without a trace in the store.
//!
//! Each evaluation is as it would have been had all data been there that is there now. Rules see what is stored, so a rule
//! that reads what another of its group records sees what was recorded in truth.

use super::alert::AlertState;
use super::group::{Answer, Group, Pass, RuleSample, World};
use super::running::Mode;
use std::collections::BTreeMap;
use std::time::Duration;
use tsdb_core::{Labels, Matcher, TimeRange, Timestamp};
use tsdb_promql::VectorSample;
use tsdb_promql::ast::Expr;

/// When the rules of a trial are evaluated. Times are in ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// Time between two evaluations; positive.
    pub(crate) step_ms: i64,
}

/// What rules would have done.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The group as it would be after the last evaluation.
    pub(crate) group: Group,
    /// How its alerts would have changed, in order of time.
    pub(crate) changes: Vec<Change>,
    /// Evaluations made.
    pub(crate) evaluations: usize,
    /// Was the trial ended before its last time?
    pub(crate) cut_short: bool,
}

/// A change of an alert.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) at: Timestamp,
    /// Position of its rule in the group.
    pub(crate) rule: usize,
    pub(crate) labels: Labels,
    /// What it became.
    pub(crate) state: AlertState,
    pub(crate) value: f64,
}

/// The most changes that are told.
const MOST_CHANGES: usize = 10_000;

/// Evaluates `group` at all `times` until `stop` says to stop.
pub(crate) fn try_out(
    mut group: Group,
    times: Times,
    limit: usize,
    world: &dyn World,
    stop: &dyn Fn() -> bool,
) -> Trial {
    let world = Aside(world);
    let mut states: BTreeMap<(usize, Labels), AlertState> = BTreeMap::new();
    let (mut changes, mut evaluations, mut cut_short) = (Vec::new(), 0, false);
    let mut at = times.start;
    while at <= times.end {
        if stop() || changes.len() >= MOST_CHANGES {
            cut_short = true;
            break;
        }
        group.evaluate(Pass { at, default_offset: 0, limit, history: 1, mode: Mode::Current }, &world);
        evaluations += 1;
        let mut now = BTreeMap::new();
        for (rule, running) in group.rules().iter().enumerate() {
            for alert in running.alerts().iter() {
                let key = (rule, alert.labels.clone());
                let before = states.remove(&key);
                if before != Some(alert.state) {
                    let (labels, state, value) = (alert.labels.clone(), alert.state, alert.value);
                    changes.push(Change { at, rule, labels, state, value });
                }
                now.insert(key, alert.state);
            }
        }
        // A pending alert whose element goes is forgotten at once.
        let forgotten = states.into_iter().filter(|(_, state)| *state != AlertState::Inactive);
        changes.extend(forgotten.map(|((rule, labels), _)| Change {
            at,
            rule,
            labels,
            state: AlertState::Inactive,
            value: 0.0,
        }));
        states = now;
        at = at.saturating_add(times.step_ms.max(1));
    }
    Trial { group, changes, evaluations, cut_short }
}

/// A world in which nothing is stored.
struct Aside<'a>(&'a dyn World);

impl World for Aside<'_> {
    fn query(&self, expr: &Expr, at: Timestamp) -> Result<Answer, String> {
        self.0.query(expr, at)
    }

    fn query_text(&self, query: &str, at: Timestamp) -> Result<Vec<VectorSample>, String> {
        self.0.query_text(query, at)
    }

    fn store(&self, _samples: &[RuleSample]) -> Result<Vec<(usize, String)>, String> {
        Ok(Vec::new())
    }

    fn series(&self, matchers: &[Matcher], range: TimeRange, most: usize) -> Result<Vec<Labels>, String> {
        self.0.series(matchers, range, most)
    }

    fn newest(&self) -> Option<Timestamp> {
        self.0.newest()
    }

    fn external_labels(&self) -> &Labels {
        self.0.external_labels()
    }

    fn external_url(&self) -> &str {
        self.0.external_url()
    }

    fn stopwatch(&self) -> Duration {
        self.0.stopwatch()
    }
}
