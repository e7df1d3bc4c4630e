//! The windows of one series.

use crate::aggregate::{AggregateColumns, Form, differ_in_kind};
use std::ops::Range;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{TimeRange, Timestamp};

/// The window of `resolution_ms` (positive) that holds `at`: it begins behind a multiple of the resolution and ends with
/// the next one. Clipped at the ends of time.
pub fn window_of(at: Timestamp, resolution_ms: i64) -> TimeRange {
    let resolution = i128::from(resolution_ms.max(1));
    let end = -(-i128::from(at)).div_euclid(resolution) * resolution;
    let start = end - resolution + 1;
    let start = Timestamp::try_from(start).unwrap_or(Timestamp::MIN);
    let end = Timestamp::try_from(end).unwrap_or(Timestamp::MAX);
    TimeRange::new(start, end).unwrap_or(TimeRange::instant(at))
}

/// All windows in which a part of `range` lies, as one range.
pub fn windows_of(range: TimeRange, resolution_ms: i64) -> TimeRange {
    window_of(range.start(), resolution_ms).union(&window_of(range.end(), resolution_ms))
}

/// Replaces `into` by the windows of `resolution_ms` over the entries of `from`, which are samples (see
/// [`AggregateColumns::of_samples`]) or windows of which each lies within one of the new ones.
///
/// From windows comes what would come from their samples; only sums of numbers that are no integers may differ in the
/// last bits.
pub fn downsample(from: &AggregateColumns, resolution_ms: i64, into: &mut AggregateColumns) {
    into.clear(from.form());
    let times = &from.samples.timestamps;
    let mut start = 0;
    while let Some(first) = times.get(start) {
        let end = window_of(*first, resolution_ms).end();
        let count = times.get(start..).unwrap_or_default().partition_point(|time| *time <= end);
        let window = start..start + count.max(1);
        start = window.end;
        one_window(from, window, into);
    }
    into.samples.renew_reset_hints();
}

/// Adds one window.
fn one_window(from: &AggregateColumns, window: Range<usize>, into: &mut AggregateColumns) {
    let weight = |index: usize| from.weights.get(index).copied().unwrap_or(0);
    let total = window.clone().map(weight).fold(0, u32::saturating_add);
    if let Some(last) = window.clone().rev().find(|index| weight(*index) > 0) {
        match from.form() {
            Form::Corners => corners(from, window.start..last + 1, total, into),
            Form::Spread => {
                into.push_entry(&from.samples, last, total);
                spread(from, window.start..last + 1, into);
            }
        }
    }
    let end = window.end.saturating_sub(1);
    if window.contains(&end) && weight(end) == 0 {
        into.push_stale(&from.samples, end);
    }
}

/// Adds the first and the last entry of `window`, which ends with one that is no stale marker, and those at which the
/// series does anything but go on rising. The last one stands for all that are left out.
fn corners(from: &AggregateColumns, window: Range<usize>, total: u32, into: &mut AggregateColumns) {
    let last = window.end.saturating_sub(1);
    let mut before: Option<(usize, bool)> = None;
    let mut kept = 0;
    let mut keep = |index: usize, weight: u32| {
        into.push_entry(&from.samples, index, weight);
        kept += weight;
    };
    for index in window.filter(|index| from.weights.get(*index).is_some_and(|weight| *weight > 0)) {
        let turns = match before {
            None => true,
            Some((previous, is_kept)) => {
                let turns = turns(&from.samples, previous, index);
                if turns && !is_kept {
                    keep(previous, 1);
                }
                turns
            }
        };
        if turns && index != last {
            keep(index, 1);
        }
        before = Some((index, turns));
    }
    let kept = kept;
    into.push_entry(&from.samples, last, total.saturating_sub(kept).max(1));
}

/// Does anything happen between two samples that follow one another but that the counter goes on?
fn turns(samples: &SampleColumns, before: usize, after: usize) -> bool {
    if samples.start(before) != samples.start(after) {
        return true;
    }
    match (samples.histogram(before), samples.histogram(after)) {
        (Some(a), Some(b)) => b.detect_reset(a) || differ_in_kind(a, b),
        (None, None) => match (samples.values.get(before), samples.values.get(after)) {
            // Zeros are equal and differ in sign; a NaN is neither above nor below.
            (Some(a), Some(b)) => b < a || a.is_nan() || b.is_nan() || a == b && a.to_bits() != b.to_bits(),
            _ => true,
        },
        _ => true,
    }
}

/// Adds minimum, maximum and sum of `window`.
fn spread(from: &AggregateColumns, window: Range<usize>, into: &mut AggregateColumns) {
    let (Some(from_spread), Some(into_spread)) = (&from.spread, &mut into.spread) else { return };
    let (mut min, mut max) = (f64::NAN, f64::NAN);
    let mut sum = CompensatedSum::default();
    for index in window.filter(|index| from.weights.get(*index).is_some_and(|weight| *weight > 0)) {
        let at = |column: &[f64]| column.get(index).copied().unwrap_or(f64::NAN);
        let (low, high) = (at(&from_spread.min), at(&from_spread.max));
        if min.is_nan() || low < min {
            min = low;
        }
        if max.is_nan() || high > max {
            max = high;
        }
        sum.add(at(&from_spread.sum));
    }
    into_spread.min.push(min);
    into_spread.max.push(max);
    into_spread.sum.push(sum.value());
}

/// A sum with the rounding errors of its additions. Source: Neumaier, "Rundungsfehleranalyse einiger Verfahren zur
/// Summation endlicher Summen" (1974).
#[derive(Default)]
struct CompensatedSum {
    sum: f64,
    lost: f64,
}

impl CompensatedSum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += match self.sum.abs() >= value.abs() {
            _ if sum.is_infinite() => 0.0,
            true => (self.sum - sum) + value,
            false => (value - sum) + self.sum,
        };
        self.sum = sum;
    }

    fn value(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}
