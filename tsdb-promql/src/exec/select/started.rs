//! Functions of counters whose samples say when their counting began.
//!
//! A start behind the sample before is a reset, whether or not the value fell, and a counter that began within the
//! window was zero there, so nothing has to be guessed ahead of its first sample. `rate`, `increase`, `irate` and
//! `resets` know it; series without start timestamps never come here.

use super::super::operator::{ABSENT, Scratch, as_point};
use super::kernel::KernelInput;
use super::slide::with_pairs;
use crate::num::{Extrapolation, RateWindow, Stamp};
use crate::plan::RangeFn;
use tsdb_core::Timestamp;

/// Do start timestamps say something to `function`?
pub(super) const fn knows_starts(function: RangeFn) -> bool {
    matches!(function, RangeFn::Rate | RangeFn::Increase | RangeFn::Irate | RangeFn::Resets)
}

/// The numbers of a series with their start timestamps.
pub(super) struct StartedInput<'a> {
    /// The samples.
    pub(super) input: &'a KernelInput<'a>,
    /// A start timestamp for each.
    pub(super) starts: &'a [Timestamp],
}

impl StartedInput<'_> {
    /// Computes `function`, one of those that know starts, over the windows in `scratch`, one slot of `out` for each.
    /// Tells in how many windows samples overlap, which matters to extrapolated rates alone.
    pub(super) fn apply(&self, function: RangeFn, scratch: &mut Scratch, out: &mut [f64]) -> u64 {
        let Scratch { windows, positions, .. } = scratch;
        self.find_resets(positions);
        match function {
            RangeFn::Resets => {
                with_pairs(positions, windows, out, |_, _, resets| resets.len() as f64);
                0
            }
            RangeFn::Irate => {
                with_pairs(positions, windows, out, |_, window, resets| {
                    self.last_rate(window, resets).unwrap_or(ABSENT)
                });
                0
            }
            _ => {
                let extrapolation = Extrapolation { counter: true, per_second: function == RangeFn::Rate };
                with_pairs(positions, windows, out, |step, window, resets| {
                    self.extrapolated(extrapolation, step, window, resets).unwrap_or(ABSENT)
                });
                self.count_overlapping(windows)
            }
        }
    }

    fn value(&self, at: usize) -> Option<f64> {
        self.input.values.get(at).copied()
    }

    fn stamp(&self, at: usize) -> Option<Stamp> {
        Some(Stamp { start: *self.starts.get(at)?, time: *self.input.timestamps.get(at)? })
    }

    fn pairs<'a>(
        &'a self,
        holds: impl Fn(usize, usize) -> Option<bool> + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        (1..self.input.values.len()).filter(move |at| holds(at.saturating_sub(1), *at).unwrap_or(false))
    }

    fn find_resets(&self, positions: &mut Vec<usize>) {
        positions.clear();
        positions.extend(self.pairs(|before, at| {
            let fell = self.value(at)? < self.value(before)?;
            Some(fell || self.stamp(at)?.began_anew_since(self.stamp(before)?))
        }));
    }

    fn count_overlapping(&self, windows: &[(usize, usize)]) -> u64 {
        let overlaps: Vec<usize> =
            self.pairs(|before, at| Some(self.stamp(at)?.overlaps(self.stamp(before)?))).collect();
        if overlaps.is_empty() {
            return 0;
        }
        let overlapping = |(start, end): &&(usize, usize)| {
            let first = overlaps.partition_point(|at| at <= start);
            overlaps.get(first).is_some_and(|at| at < end)
        };
        windows.iter().filter(overlapping).count() as u64
    }

    fn last_rate(&self, (start, end): (usize, usize), resets: &[usize]) -> Option<f64> {
        let last = end.checked_sub(1)?;
        let before = last.checked_sub(1).filter(|before| *before >= start)?;
        let interval_ms = self.stamp(last)?.time.wrapping_sub(self.stamp(before)?.time);
        let new = self.value(last)?;
        let change = if resets.last() == Some(&last) { new } else { new - self.value(before)? };
        (interval_ms != 0).then(|| as_point(change / (interval_ms as f64 / 1000.0)))
    }

    fn extrapolated(
        &self,
        extrapolation: Extrapolation,
        step: usize,
        (start, end): (usize, usize),
        resets: &[usize],
    ) -> Option<f64> {
        let last = end.checked_sub(1)?;
        let (first_value, first) = (self.value(start)?, self.stamp(start)?);
        let lost = resets.iter().filter_map(|at| self.value(at.checked_sub(1)?));
        let window_end = self.input.view.time(step);
        let mut window = RateWindow {
            start: window_end.saturating_sub(self.input.range_ms),
            end: window_end,
            first_time: first.time,
            last_time: self.stamp(last)?.time,
            first_value,
            change: lost.fold(self.value(last)? - first_value, |change, value| change + value),
            samples: end.saturating_sub(start),
        };
        if let Some(begun) = first.begun_behind(window.start) {
            window.change += first_value;
            return Some(as_point(window.change * extrapolation.factor_since(&window, begun)));
        }
        (window.samples > 1).then(|| extrapolation.apply(&window))
    }
}
