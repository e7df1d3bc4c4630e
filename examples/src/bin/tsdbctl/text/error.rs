//! Why a line says nothing.

/// Why a line is no sample and no description.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum LineError {
    /// Something is missing or misplaced.
    #[error("expected {expected} at byte {at}")]
    Expected {
        /// What should stand there.
        expected: &'static str,
        /// Where.
        at: usize,
    },
    /// A number that is none.
    #[error("{text:?} is no {what}")]
    Number {
        /// What it should be.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// Labels that make no series.
    #[error("the labels are invalid: {reason}")]
    Labels {
        /// Why.
        reason: String,
    },
    /// Parts that make no native histogram.
    #[error("the native histogram is invalid: {reason}")]
    Histogram {
        /// Why.
        reason: String,
    },
}
