//! Series lines: a label set and its values over time, as in `foo{a="b"} 1+1x3 _ stale`.

mod histogram;
mod start;
mod values;

pub use histogram::{HistogramLiteral, HistogramValue};
pub(super) use start::parse_start_offsets;
pub(super) use values::parse_scalar;

use super::ScriptError;
use crate::parse::{ParseOptions, parse_metric};
use tsdb_core::Labels;

/// One value of a series line.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// `_`: no sample.
    Missing,
    /// A number or the stale marker.
    Float(f64),
    /// A native histogram.
    Histogram(Box<HistogramValue>),
}

/// The most values that one line may expand to.
const MAX_VALUES: usize = 1_000_000;

/// Parses a series line.
///
/// # Errors
/// A line that is none.
pub fn parse_series(line: &str) -> Result<(Labels, Vec<SequenceValue>), ScriptError> {
    let (labels, rest) = parse_labels(line)?;
    Ok((labels, values::parse_values(rest)?))
}

/// Parses the label set at the beginning of a line, and returns what follows it.
pub(super) fn parse_labels(line: &str) -> Result<(Labels, &str), ScriptError> {
    let options = ParseOptions::all_features();
    let (pairs, length) =
        parse_metric(line, &options).map_err(|error| ScriptError::new(error.to_string()))?;
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let labels = Labels::from_pairs(pairs).map_err(|error| ScriptError::new(error.to_string()))?;
    Ok((labels, line.get(length..).unwrap_or("")))
}

/// Adds `count` more values, if the line may grow that long.
fn push_values<T>(
    into: &mut Vec<T>,
    count: usize,
    mut next: impl FnMut(usize) -> T,
) -> Result<(), ScriptError> {
    if into.len().saturating_add(count) > MAX_VALUES {
        return Err(ScriptError::new(format!("a line may hold at most {MAX_VALUES} values")));
    }
    into.extend((0..count).map(&mut next));
    Ok(())
}

#[cfg(test)]
mod tests;
