//! `load` commands.

use super::{Lines, ScriptError, parse_duration};
use crate::testing::series::{SequenceValue, parse_labels, parse_series, parse_start_offsets};
use tsdb_core::Labels;

/// Data to add.
#[derive(Debug, Clone)]
pub struct Load {
    /// The line of the command, from 1.
    pub line: usize,
    /// Distance of the values in ms.
    pub step_ms: i64,
    /// Shall classic histograms be converted to native ones besides?
    pub with_nhcb: bool,
    /// The series, no two with the same labels.
    pub series: Vec<LoadedSeries>,
}

/// A series to add: value `i` belongs at `i` steps.
#[derive(Debug, Clone)]
pub struct LoadedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its values.
    pub values: Vec<SequenceValue>,
    /// Start timestamps, as offsets from the time of each value, ms. `None` if the script gives none.
    pub start_offsets: Option<Vec<Option<i64>>>,
}

impl LoadedSeries {
    /// The start timestamp of the value number `index` as an offset from its time, ms, if the script gives one.
    pub fn start_offset(&self, index: usize) -> Option<i64> {
        *self.start_offsets.as_ref()?.get(index)?
    }
}

pub(super) fn parse(line: &str, lines: &mut Lines<'_>) -> Result<Load, ScriptError> {
    let (word, step) = super::split_word(line);
    let with_nhcb = match word {
        "load" => false,
        "load_with_nhcb" => true,
        other => return Err(ScriptError::new(format!("unknown command {other:?}"))),
    };
    let mut load =
        Load { line: lines.number(), step_ms: parse_duration(step)?, with_nhcb, series: Vec::new() };
    let mut start: Option<(Labels, Vec<Option<i64>>)> = None;
    while let Some(line) = lines.next_of_block() {
        let (labels, rest) = parse_labels(line)?;
        if let Some(offsets) = rest.strip_prefix("@st") {
            if start.replace((labels, parse_start_offsets(offsets)?)).is_some() {
                return Err(ScriptError::new("@st line has no following sample line"));
            }
            continue;
        }
        let (labels, values) = parse_series(line)?;
        let start_offsets =
            start.take().map(|start| check_start(start, &labels, values.len())).transpose()?;
        // The last line of a series wins.
        load.series.retain(|series| series.labels != labels);
        load.series.push(LoadedSeries { labels, values, start_offsets });
    }
    match start {
        Some(_) => Err(ScriptError::new("@st line has no following sample line")),
        None => Ok(load),
    }
}

fn check_start(
    (of, offsets): (Labels, Vec<Option<i64>>),
    labels: &Labels,
    values: usize,
) -> Result<Vec<Option<i64>>, ScriptError> {
    if of != *labels || offsets.len() != values {
        let message = format!(
            "@st line of {of} with {} values does not fit the line of {labels} with {values}",
            offsets.len()
        );
        return Err(ScriptError::new(message));
    }
    Ok(offsets)
}
