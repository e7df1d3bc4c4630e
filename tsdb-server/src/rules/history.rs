//! What became of the last evaluations of a rule.

use super::alert::AlertState;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::Timestamp;

/// How a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleState {
    /// It was evaluated, and no alert is active.
    Ok,
    /// An alert is pending, none fires.
    Pending,
    /// An alert fires.
    Firing,
    /// There is nothing to judge by.
    NoData,
    /// It cannot be evaluated.
    Error,
}

impl RuleState {
    /// The name in APIs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Pending => "PENDING",
            Self::Firing => "FIRING",
            Self::NoData => "NO_DATA",
            Self::Error => "ERROR",
        }
    }
}

impl From<AlertState> for RuleState {
    fn from(state: AlertState) -> Self {
        match state {
            AlertState::Inactive => Self::Ok,
            AlertState::Pending => Self::Pending,
            AlertState::Firing => Self::Firing,
        }
    }
}

/// One evaluation of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Episode {
    /// The time it was for, ms.
    pub(crate) at: Timestamp,
    /// How long it took.
    pub(crate) took: Duration,
    /// Samples it gave.
    pub(crate) samples: usize,
    /// How the rule stood afterwards.
    pub(crate) state: RuleState,
    /// Was it made although samples were still awaited? Then it changed no alert.
    pub(crate) incomplete: bool,
    /// Why it failed or had no data.
    pub(crate) reason: Option<Arc<str>>,
}

/// The last evaluations, the oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    episodes: VecDeque<Episode>,
}

impl History {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Episode> {
        self.episodes.iter()
    }

    /// Adds an evaluation and keeps the last `most`.
    pub(super) fn push(&mut self, episode: Episode, most: usize) {
        while self.episodes.len() >= most.max(1) {
            self.episodes.pop_front();
        }
        if most > 0 {
            self.episodes.push_back(episode);
        }
    }
}
