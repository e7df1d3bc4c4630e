//! Instant selectors: at each step, the newest sample within the lookback.

use super::super::context::Context;
use super::super::grid::{Grid, View};
use super::super::operator::{ABSENT, Identity, Scratch, VectorOp, is_absent};
use super::super::points::Histograms;
use super::range::{Source, select};
use super::request::instant_hints;
use crate::failure::QueryError;
use crate::plan::Selector;
use tsdb_core::Timestamp;
use tsdb_core::sample::SampleColumns;

/// What of the newest sample is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Reading {
    /// Its value.
    Value,
    /// Its time, in seconds.
    Time,
    /// Its time, in seconds; it must not be a histogram.
    TimeOfNumber,
    /// When the counting began that it is the result of, in seconds.
    Start,
}

/// The newest sample of each series at each step.
pub(in super::super) struct InstantOp<'c> {
    context: &'c Context<'c>,
    source: Source,
    view: View,
    reading: Reading,
}

impl<'c> InstantOp<'c> {
    /// Selects the series.
    ///
    /// # Errors
    /// Those of storage.
    pub(in super::super) fn new(
        context: &'c Context<'c>,
        selector: &Selector,
        grid: Grid,
        reading: Reading,
    ) -> Result<Self, QueryError> {
        let view = grid.seen_through(selector.at, selector.offset_ms);
        let mut source = select(context, selector, instant_hints(selector, grid, context.lookback_ms))?;
        if reading != Reading::Value {
            source.drop_names();
        }
        Ok(Self { context, source, view, reading })
    }

    fn read(
        &self,
        row: usize,
        samples: &mut SampleColumns,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        histograms.clear();
        self.source.read(self.context, row, samples)?;
        let _held = self.context.budget.hold(samples.len())?;
        let SampleColumns { timestamps, values, .. } = &*samples;
        let lookback_ms = self.context.lookback_ms;
        if samples.histograms.is_empty() && self.reading != Reading::Start {
            newest_at_steps(timestamps, values, self.view, lookback_ms, self.reading, out);
        } else {
            let indexes: Vec<f64> = (0..samples.len()).map(|index| index as f64).collect();
            newest_at_steps(timestamps, &indexes, self.view, lookback_ms, Reading::Value, out);
            self.pick(row, samples, out, histograms)?;
        }
        Ok(())
    }
}

impl InstantOp<'_> {
    /// Replaces positions of samples by what is asked of them.
    fn pick(
        &self,
        row: usize,
        samples: &SampleColumns,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        let steps = out.len();
        for (step, slot) in out.iter_mut().enumerate().filter(|(_, slot)| !is_absent(**slot)) {
            let index = *slot as usize;
            let histogram = samples.histogram(index);
            let value = samples.values.get(index).copied().unwrap_or(ABSENT);
            let time = samples.timestamps.get(index).map_or(ABSENT, |t| *t as f64 / 1000.0);
            *slot = match (self.reading, histogram) {
                (_, Some(histogram)) if histogram.is_stale() => ABSENT,
                (Reading::Value, Some(histogram)) => {
                    histograms.set(step, steps, histogram.clone());
                    ABSENT
                }
                (Reading::Value, None) => value,
                (Reading::TimeOfNumber, Some(_)) => return Err(self.not_a_number(row)),
                (_, None) if is_absent(value) => ABSENT,
                (Reading::Time | Reading::TimeOfNumber, _) => time,
                (Reading::Start, _) => samples.start(index) as f64 / 1000.0,
            };
        }
        Ok(())
    }

    fn not_a_number(&self, row: usize) -> QueryError {
        let labels =
            self.source.identities.get(row).map_or(String::new(), |series| series.labels.to_string());
        QueryError::execution(format!("this should be an info metric, with float samples: {labels}"))
    }
}

impl VectorOp for InstantOp<'_> {
    fn rows(&self) -> &[Identity] {
        &self.source.identities
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        let mut samples = scratch.take_columns();
        let result = self.read(row, &mut samples, out, histograms);
        scratch.give_columns(samples);
        self.source.named(result)
    }

    fn unique_without_name(&self) -> bool {
        self.source.unique_without_name
    }
    fn is_silent(&self) -> bool {
        true
    }
}

/// Fills `out` with the newest sample at or before each time of `view`, not older than `lookback_ms`.
///
/// A stale marker needs no look: its pattern is that of an absent point.
fn newest_at_steps(
    timestamps: &[Timestamp],
    values: &[f64],
    view: View,
    lookback_ms: i64,
    reading: Reading,
    out: &mut [f64],
) {
    let mut samples = timestamps.iter().zip(values).peekable();
    let mut newest = None;
    for (step, slot) in out.iter_mut().enumerate() {
        let time = view.time(step);
        while let Some(sample) = samples.next_if(|(t, _)| **t <= time) {
            newest = Some(sample);
        }
        *slot = match newest {
            Some((t, value)) if *t > time.saturating_sub(lookback_ms) => match reading {
                Reading::Value => *value,
                _ if is_absent(*value) => ABSENT,
                _ => *t as f64 / 1000.0,
            },
            _ => ABSENT,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsdb_core::STALE_NAN;

    fn newest(samples: &[(i64, f64)], grid: Grid, lookback: i64, reading: Reading) -> Vec<String> {
        let (times, values): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
        let mut out = vec![0.0; grid.steps()];
        newest_at_steps(&times, &values, grid.seen_through(None, 0), lookback, reading, &mut out);
        out.iter().map(|v| if is_absent(*v) { "-".into() } else { v.to_string() }).collect()
    }

    #[test]
    fn a_sample_counts_until_it_is_as_old_as_the_lookback() {
        let grid = Grid::range(0, 50, 10, 100).unwrap().unwrap();
        let samples = [(5, 1.0), (10, 2.0)];
        assert_eq!(newest(&samples, grid, 30, Reading::Value), ["-", "2", "2", "2", "-", "-"]);
        assert_eq!(newest(&samples, grid, 30, Reading::Time), ["-", "0.01", "0.01", "0.01", "-", "-"]);
    }

    #[test]
    fn a_stale_marker_ends_a_series_at_once() {
        let grid = Grid::range(0, 30, 10, 100).unwrap().unwrap();
        let samples = [(0, 1.0), (10, STALE_NAN), (25, f64::NAN)];
        assert_eq!(newest(&samples, grid, 30, Reading::Value), ["1", "-", "-", "NaN"]);
        assert_eq!(newest(&samples, grid, 30, Reading::Time), ["0", "-", "-", "0.025"]);
    }

    proptest! {
        #[test]
        fn one_pass_finds_what_a_search_at_each_step_finds(
            gaps in proptest::collection::vec(1..50i64, 0..40),
            start in -50..50i64,
            step in 1..40i64,
            lookback in 1..100i64,
        ) {
            let mut time = 0;
            let samples: Vec<_> = gaps.iter().map(|gap| { time += gap; (time, time as f64) }).collect();
            let grid = Grid::range(start, start + 500, step, 1000).unwrap().unwrap();
            let naive: Vec<_> = grid.times().map(|at| {
                let found = samples.iter().rev().find(|(t, _)| *t <= at && *t > at - lookback);
                found.map_or("-".to_owned(), |(_, v)| v.to_string())
            }).collect();
            prop_assert_eq!(newest(&samples, grid, lookback, Reading::Value), naive);
        }
    }
}
