//! What the evaluation of rules did since the start: numbers for metrics.

use super::group::Evaluation;
use super::running::Mode;
use std::time::Duration;
use tsdb_core::Timestamp;

/// One turn of a group.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// The time it was for, ms.
    pub(super) at: Timestamp,
    pub(super) mode: Mode,
    pub(super) evaluation: Evaluation,
    /// How long after it was due it began, ms.
    pub(super) late_ms: i64,
    /// How long it took.
    pub(super) took: Duration,
    /// Evaluations left out because this one took too long.
    pub(super) missed: u64,
    /// Was there no store to ask?
    pub(super) failed: bool,
}

impl Default for Done {
    fn default() -> Self {
        Self {
            at: 0,
            mode: Mode::Current,
            evaluation: Evaluation::default(),
            late_ms: 0,
            took: Duration::ZERO,
            missed: 0,
            failed: true,
        }
    }
}

/// Bounds of the buckets of lateness, s.
pub(crate) const LATENESS_BOUNDS: [f64; 9] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 180.0];

/// Counts since the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counts {
    /// Evaluations of groups.
    pub(crate) iterations: u64,
    /// Evaluations that were left out because the one before took too long.
    pub(crate) missed: u64,
    /// Evaluations of groups that could not be made for want of a store.
    pub(crate) iterations_failed: u64,
    /// Evaluations of groups made although samples were awaited.
    pub(crate) incomplete: u64,
    /// Evaluations of groups that were made up for.
    pub(crate) caught_up: u64,
    /// Evaluations of rules.
    pub(crate) evaluations: u64,
    /// Evaluations of rules that failed.
    pub(crate) failures: u64,
    /// Samples stored.
    pub(crate) samples: u64,
    /// Time spent, s.
    pub(crate) seconds: f64,
    /// Latest evaluations that began no later after they were due than each of the bounds.
    pub(crate) lateness: [u64; LATENESS_BOUNDS.len()],
    /// All of them.
    pub(crate) lateness_count: u64,
    /// Their lateness together, s.
    pub(crate) lateness_seconds: f64,
}

impl Counts {
    /// Adds a turn of a group of so many rules.
    pub(super) fn add(&mut self, done: &Done, rules: usize) {
        self.iterations += 1;
        self.missed += done.missed;
        self.seconds += done.took.as_secs_f64();
        self.incomplete += u64::from(done.mode == Mode::Incomplete);
        self.caught_up += u64::from(done.mode == Mode::CatchUp);
        if done.failed {
            self.iterations_failed += 1;
        } else {
            self.evaluations += rules as u64;
            self.failures += done.evaluation.failed as u64;
            self.samples += done.evaluation.samples as u64;
        }
        if done.mode != Mode::CatchUp {
            let seconds = done.late_ms.max(0) as f64 / 1e3;
            for (bucket, bound) in self.lateness.iter_mut().zip(LATENESS_BOUNDS) {
                *bucket += u64::from(seconds <= bound);
            }
            self.lateness_count += 1;
            self.lateness_seconds += seconds;
        }
    }
}
