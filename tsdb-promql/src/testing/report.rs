//! What came of a script.

use super::ScriptError;
use std::fmt;

/// What came of one evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All that was expected.
    Passed,
    /// Something else.
    Failed {
        /// How it differs.
        reason: String,
    },
}

/// One evaluation and what came of it.
#[derive(Debug, Clone)]
pub struct CaseReport {
    /// The line of the `eval` command, from 1.
    pub line: usize,
    /// The expression.
    pub expr: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a script. Displays as one line for each evaluation that did not pass.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The evaluations, in order. If a load failed, up to that load.
    pub cases: Vec<CaseReport>,
    /// A load that failed.
    pub error: Option<ScriptError>,
}

impl Report {
    /// Evaluations that gave what was expected.
    pub fn passed(&self) -> usize {
        self.count(|outcome| *outcome == Outcome::Passed)
    }

    /// Evaluations that gave something else.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed { .. }))
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| wanted(&case.outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CaseReport { line, expr, outcome } in &self.cases {
            match outcome {
                Outcome::Passed => {}
                Outcome::Failed { reason } => writeln!(f, "line {line}: {expr}\n    failed: {reason}")?,
            }
        }
        self.error.as_ref().map_or(Ok(()), |error| writeln!(f, "the script stopped: {error}"))
    }
}
