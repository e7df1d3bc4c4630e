//! Samples as lines of text, to be written and read back without loss.
//!
//! Two dialects: OpenMetrics, and the text format of Prometheus, which differs in times. Both are extended by what they
//! have no words for: native histograms and start timestamps in the form of the draft of OpenMetrics 2.0, NaNs with
//! their bits. `docs/text-format.md` describes all of it.

mod error;
mod histogram;
mod number;
mod read;
mod scan;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use error::LineError;
pub(crate) use read::parse_line;
pub(crate) use write::{Extent, write_description, write_sample};

use std::sync::Arc;
use tsdb::{Labels, Timestamp};
use tsdb_core::Exemplar;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::MetricType;

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Seconds, with fractions.
    Openmetrics,
    /// Milliseconds.
    Prometheus,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Line {
    /// A sample.
    Sample(Box<Sample>),
    /// The type of a family of metrics.
    Type(String, MetricType),
    /// Its unit.
    Unit(String, String),
    /// What it is for.
    Help(String, String),
    /// Nothing follows.
    End,
    /// Nothing.
    Blank,
}

/// A sample, its series, and the exemplars that came with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: Labels,
    /// ms.
    pub(crate) timestamp: Timestamp,
    /// When its counting began, ms; `NO_START` if nobody knows.
    pub(crate) start: Timestamp,
    pub(crate) value: Value,
    pub(crate) exemplars: Vec<Exemplar>,
}

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Number(f64),
    Histogram(Arc<FloatHistogram>),
}

/// Equality bit by bit: NaNs are data.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => one.to_bits() == two.to_bits(),
            (Self::Histogram(one), Self::Histogram(two)) => {
                one.same_data(two) && one.reset_hint() == two.reset_hint()
            }
            _ => false,
        }
    }
}
