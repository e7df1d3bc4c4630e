//! The state of alerts as it survives a restart.

use super::{RuleId, rule::named, storable_text};
use serde::{Deserialize, Serialize};
use tsdb_core::{Labels, Timestamp};

named! {
    /// How far an alert, or a rule as a whole, has come.
    EvaluationState {
        /// Nothing is wrong.
        #[default]
        Ok = "OK",
        /// The element is there, but not long enough yet.
        Pending = "PENDING",
        /// It fires.
        Firing = "FIRING",
        /// There are no samples to judge by.
        NoData = "NO_DATA",
        /// It cannot be evaluated.
        Error = "ERROR",
    }
}

/// What an alert is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertKey {
    /// The rule that makes it.
    pub rule: RuleId,
    /// Its labels; none for the state of the rule as a whole.
    pub series: Labels,
}

/// The state of an alert after an evaluation. Times are in ms.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRecord {
    /// What it is known by.
    pub key: AlertKey,
    /// How far it has come.
    pub state: EvaluationState,
    /// Since when its element is there.
    pub first_triggered_at: Option<Timestamp>,
    /// Since when it fires.
    pub fired_at: Option<Timestamp>,
    /// Since when it fires only because the rule keeps it firing.
    pub kept_since: Option<Timestamp>,
    /// Since when it is over.
    pub resolved_at: Option<Timestamp>,
    /// When it was evaluated last.
    pub last_evaluated_at: Timestamp,
    /// The number that the expression gave last; one that is not a number is kept as `None`.
    pub last_value: Option<f64>,
    /// Why the last evaluation failed.
    pub last_error: Option<String>,
}

/// Bytes of the reason of a failure that are kept.
const MAX_ERROR_BYTES: usize = 4_096;

impl AlertRecord {
    /// What can be stored of it.
    pub(crate) fn storable(&self) -> Self {
        Self {
            last_value: self.last_value.filter(|value| !value.is_nan()),
            last_error: self.last_error.as_ref().map(|error| storable_text(error, MAX_ERROR_BYTES)),
            ..self.clone()
        }
    }
}
