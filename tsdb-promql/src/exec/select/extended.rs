//! `anchored` and `smoothed` windows: rates that end at the borders of the window instead of being extrapolated.
//!
//! Both look beyond the window by the lookback, and both answer only if there is a sample later than its start.
//!
//! `anchored` starts from the newest sample at or before the start of the window, or from the first inside if there
//! is none, and ends with the last sample inside. Nothing is estimated: the result of a counter of integers is an
//! integer. `rate`, `increase`, `delta`, `changes` and `resets` know it.
//!
//! `smoothed` starts and ends with the values that lie, on the line between the neighbouring samples, exactly at the
//! borders; where there is no neighbour outside, the outermost sample inside stands for it. It needs the samples
//! behind the window, so the newest steps of a query still change when samples arrive. `rate`, `increase` and
//! `delta` know it.
//!
//! Source: the behaviour of `promql-extended-range-selectors` in Prometheus (`promql/engine.go`,
//! `promql/functions.go`; proposal PROM-52). Windows of subqueries have no extension: the parser refuses them.

use super::super::context::Context;
use super::super::grid::{Grid, View};
use super::super::operator::{ABSENT, Scratch, as_point};
use super::kernel::{KernelInput, apply};
use super::patience::Patience;
use super::slide::find_pairs;
use super::weights::Weights;
use super::window::find_windows;
use crate::ast::RangeExtension;
use crate::failure::QueryError;
use crate::num::interpolate;
use crate::plan::{RangeFn, RangeNode, Selector};
use tsdb_core::sample::SampleColumns;
use tsdb_core::{TimeRange, Timestamp};

/// Reduces `samples`, read for the only step of `grid`, to those of the window of `range`.
///
/// # Errors
/// Histograms in an extended window, as in Prometheus, which knows rates of them but not their samples.
pub(in super::super) fn cut_to_window(
    context: &Context<'_>,
    range: &RangeNode,
    grid: Grid,
    samples: &mut SampleColumns,
) -> Result<(), QueryError> {
    let window = range.window();
    let view = View::of_window(grid, &window);
    match (Extension::of(context, range), range) {
        (Some(extension), RangeNode::Select { .. }) => {
            if !samples.histograms.is_empty() {
                let modifier = extension.kind.name();
                return Err(QueryError::execution(format!(
                    "{modifier} modifier is not supported with histograms"
                )));
            }
            *samples = extension.window(samples, view, window.range_ms);
        }
        _ => samples.retain_range(view.touched(window.range_ms)),
    }
    Ok(())
}

/// How windows reach beyond their borders.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extension {
    /// Which borders, and what for.
    pub(super) kind: RangeExtension,
    /// How far, ms.
    pub(super) lookback_ms: i64,
}

impl Extension {
    /// That of the windows of `range`.
    pub(super) fn of(context: &Context<'_>, range: &RangeNode) -> Option<Self> {
        range.extension().map(|kind| Self { kind, lookback_ms: context.lookback_ms })
    }

    /// That of an instant selector: an anchored one is like any other.
    pub(super) fn of_instant(selector: &Selector, lookback_ms: i64) -> Option<Self> {
        let kind = selector.extension.filter(|kind| *kind == RangeExtension::Smoothed)?;
        Some(Self { kind, lookback_ms })
    }

    /// What windows of `range_ms` at the times of `view` read.
    pub(super) fn touched(self, view: View, range_ms: i64) -> TimeRange {
        let touched = view.touched(range_ms.saturating_add(self.lookback_ms));
        match self.kind {
            RangeExtension::Anchored => touched,
            RangeExtension::Smoothed => {
                let end = touched.end().saturating_add(self.lookback_ms);
                TimeRange::new(touched.start(), end).unwrap_or(touched)
            }
        }
    }

    /// Replaces `windows` by all that is read for each window of `range_ms`: the lookback on its sides included.
    pub(super) fn find_windows(
        self,
        timestamps: &[Timestamp],
        view: View,
        range_ms: i64,
        windows: &mut Vec<(usize, usize)>,
    ) {
        let ahead_ms = match self.kind {
            RangeExtension::Anchored => 0,
            RangeExtension::Smoothed => self.lookback_ms,
        };
        let reach_ms = range_ms.saturating_add(self.lookback_ms).saturating_add(ahead_ms);
        find_windows(timestamps, view.ahead(ahead_ms), reach_ms, windows);
    }

    /// Computes `function` over the windows in `scratch`, which are those without extension, one slot of `out` for
    /// each. The plan admits no other functions than the five.
    ///
    /// # Errors
    /// Those of the functions.
    pub(super) fn apply(
        self,
        function: RangeFn,
        input: &KernelInput<'_>,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) -> Result<(), QueryError> {
        if let RangeFn::Changes | RangeFn::Resets = function {
            self.anchor_windows(input, &mut scratch.windows);
            return apply(function, input, scratch, out);
        }
        let counter = function != RangeFn::Delta;
        let Scratch { windows, positions, .. } = scratch;
        find_pairs(input.values, positions, |a, b| b < a);
        let resets: &[usize] = positions;
        for (step, (window, slot)) in windows.iter().zip(out).enumerate() {
            let end = input.view.time(step);
            let begun = |borders: &Borders| input.timestamps.get(borders.first).is_some_and(|t| *t <= end);
            let borders = self.borders(input, step, *window).filter(begun);
            *slot = borders.map_or(ABSENT, |borders| {
                let change = borders.change(input, counter.then_some(resets));
                let seconds = input.range_ms as f64 / 1000.0;
                as_point(if function == RangeFn::Rate { change / seconds } else { change })
            });
        }
        Ok(())
    }

    /// Puts the sample before each window that is not empty into it.
    pub(super) fn anchor_windows(self, input: &KernelInput<'_>, windows: &mut [(usize, usize)]) {
        for (step, window) in windows.iter_mut().enumerate() {
            if window.0 < window.1
                && let Some(before) = self.before(input, step, window.0)
            {
                window.0 = before;
            }
        }
    }

    /// The position of the sample that stands for the start of the window of `step`, whose first sample inside is
    /// `first`.
    fn before(self, input: &KernelInput<'_>, step: usize, first: usize) -> Option<usize> {
        let before = first.checked_sub(1)?;
        let reach = start_of(input, step).saturating_sub(self.lookback_ms);
        (*input.timestamps.get(before)? > reach).then_some(before)
    }

    /// The position of the sample that stands for the end of the window of `step`, which ends before the position
    /// `behind`.
    fn last(self, input: &KernelInput<'_>, step: usize, behind: usize) -> Option<usize> {
        let inside = behind.checked_sub(1);
        if self.kind == RangeExtension::Anchored {
            return inside;
        }
        let end = input.view.time(step);
        let time = |at: usize| input.timestamps.get(at).copied();
        if inside.and_then(time) == Some(end) {
            return inside;
        }
        match time(behind) {
            Some(next) if next <= end.saturating_add(self.lookback_ms) => Some(behind),
            _ => inside,
        }
    }

    /// The values at the borders of the window of `step`; `None` if nothing is known of it.
    fn borders(self, input: &KernelInput<'_>, step: usize, window: (usize, usize)) -> Option<Borders> {
        let first = self.before(input, step, window.0).unwrap_or(window.0);
        let last = self.last(input, step, window.1)?;
        let (start, end) = (start_of(input, step), input.view.time(step));
        let (first_time, last_time) = (*input.timestamps.get(first)?, *input.timestamps.get(last)?);
        if last_time <= start {
            return None;
        }
        let smoothed = self.kind == RangeExtension::Smoothed;
        let left = (smoothed && first_time < start).then_some((first, first.saturating_add(1), start));
        let right =
            (smoothed && first < last && last_time > end).then_some((last.saturating_sub(1), last, end));
        Some(Borders {
            left,
            right,
            first,
            last,
            inside: (
                if first_time <= start { first.saturating_add(1) } else { first },
                if last_time >= end { last } else { last.saturating_add(1) },
            ),
        })
    }

    /// The samples of the window of `range_ms` at the only step of `view` with the values at its borders, both as
    /// samples: the value of a whole query `x[5m] anchored`.
    fn window(self, samples: &SampleColumns, view: View, range_ms: i64) -> SampleColumns {
        let SampleColumns { timestamps, values, .. } = samples;
        let input = KernelInput {
            timestamps,
            values,
            view,
            step_time: &|step| view.time(step),
            range_ms,
            params: &[],
            weights: &Weights::default(),
            patience: &Patience::endless(),
        };
        let mut windows = Vec::new();
        find_windows(timestamps, view, range_ms, &mut windows);
        let mut result = SampleColumns::new();
        let Some(borders) = windows.first().and_then(|window| self.borders(&input, 0, *window)) else {
            return result;
        };
        result.push(start_of(&input, 0), value(&input, borders.left, borders.first, false));
        let (start, end) = borders.inside;
        let inside = timestamps.iter().zip(values).take(end).skip(start);
        inside.for_each(|(time, value)| result.push(*time, *value));
        result.push(view.time(0), value(&input, borders.right, borders.last, false));
        result
    }
}

/// A border that no sample stands at: the positions of its neighbours, and its time.
type Between = (usize, usize, Timestamp);

/// Between which values a window's change is measured.
#[derive(Debug, Clone, Copy)]
struct Borders {
    left: Option<Between>,
    right: Option<Between>,
    /// The sample at the start, unless `left` says better.
    first: usize,
    /// The sample at the end, unless `right` says better.
    last: usize,
    /// The samples between the borders.
    inside: (usize, usize),
}

impl Borders {
    /// Last value minus first value. `resets`: the positions at which a counter falls; what it had before each of
    /// those inside is added back.
    fn change(&self, input: &KernelInput<'_>, resets: Option<&[usize]>) -> f64 {
        let counter = resets.is_some();
        let left = value(input, self.left, self.first, counter);
        let right = value(input, self.right, self.last, counter);
        let change = right - left;
        let Some(resets) = resets else { return change };
        let at = |at: usize| input.values.get(at).copied();
        let (start, end) = self.inside;
        let mut lost = 0.0;
        let mut newest = left;
        if let (true, Some(first), Some(last)) = (start < end, at(start), at(end.saturating_sub(1))) {
            if first < left {
                lost += left;
            }
            let from = resets.partition_point(|reset| *reset <= start);
            let falls = resets.get(from..).unwrap_or(&[]).iter().take_while(|reset| **reset < end);
            lost = falls.filter_map(|reset| at(reset.checked_sub(1)?)).fold(lost, |lost, value| lost + value);
            newest = last;
        }
        if right < newest {
            lost += newest;
        }
        change + lost
    }
}

fn value(input: &KernelInput<'_>, between: Option<Between>, sample: usize, counter: bool) -> f64 {
    let point = |at: usize| Some((*input.timestamps.get(at)?, *input.values.get(at)?));
    let interpolated = between
        .and_then(|(before, after, time)| Some(interpolate(point(before)?, point(after)?, time, counter)));
    interpolated.unwrap_or_else(|| input.values.get(sample).copied().unwrap_or(f64::NAN))
}

fn start_of(input: &KernelInput<'_>, step: usize) -> Timestamp {
    input.view.time(step).saturating_sub(input.range_ms)
}

#[cfg(test)]
mod tests;
