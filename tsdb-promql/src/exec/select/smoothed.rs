//! `smoothed` instant selectors: at each step, the value on the line between the samples around it.
//!
//! Both neighbours have to lie within the lookback: at most that far behind the step, and less than that before it.
//! A sample exactly at the step is the value; without a later sample the newest stays; without an earlier one there
//! is no value. Stale markers do not end a series here, and values are taken for gauges, for nothing says that a
//! series is a counter. Histograms say themselves which they are; among numbers they have no value.
//!
//! Source: the behaviour of `promql-extended-range-selectors` in Prometheus (`promql/engine.go`).

use super::super::context::Context;
use super::super::grid::{Grid, View};
use super::super::operator::{ABSENT, Identity, Scratch, VectorOp, as_point};
use super::super::points::{Histograms, Point, slots_of};
use super::extended::Extension;
use super::mixed::{HistogramColumn, MixedRange, MixedWindow, split};
use super::range::{Source, drop_stale_markers, select};
use super::request::instant_hints;
use crate::ast::RangeExtension;
use crate::failure::QueryError;
use crate::num::interpolate;
use crate::plan::{RangeFn, Selector};
use crate::span::Span;
use tsdb_core::Timestamp;
use tsdb_core::sample::SampleColumns;

/// The interpolated value of each series at each step.
pub(in super::super) struct SmoothedOp<'c> {
    context: &'c Context<'c>,
    source: Source,
    view: View,
    extension: Extension,
    span: Span,
}

impl<'c> SmoothedOp<'c> {
    /// Selects the series.
    ///
    /// # Errors
    /// Those of storage.
    pub(in super::super) fn new(
        context: &'c Context<'c>,
        selector: &Selector,
        grid: Grid,
    ) -> Result<Self, QueryError> {
        let view = grid.seen_through(selector.at, selector.offset_ms);
        let extension = Extension { kind: RangeExtension::Smoothed, lookback_ms: context.lookback_ms };
        let source = select(context, selector, instant_hints(selector, grid, context.lookback_ms))?;
        Ok(Self { context, source, view, extension, span: selector.span })
    }

    fn read(
        &self,
        row: usize,
        samples: &mut SampleColumns,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        self.source.read(self.context, row, samples)?;
        let _held = self.context.budget.hold(samples.len())?;
        drop_stale_markers(samples);
        let lookback_ms = self.context.lookback_ms;
        if samples.histograms.is_empty() {
            between_samples(&samples.timestamps, &samples.values, self.view, lookback_ms, out);
            return Ok(());
        }
        let slots = samples.histograms.iter().flatten().map(|histogram| slots_of(histogram)).sum();
        let _held = self.context.budget.hold(slots)?;
        let (numbers, column) = split(samples, &[]);
        between_samples(&numbers.timestamps, &numbers.values, self.view, lookback_ms, out);
        self.put_histograms(row, &numbers, &column, out, histograms);
        Ok(())
    }

    /// Replaces the points of steps within reach of which there are histograms.
    fn put_histograms(
        &self,
        row: usize,
        numbers: &SampleColumns,
        column: &HistogramColumn,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) {
        let range = MixedRange {
            context: self.context,
            // A selector picks, as this one does.
            function: RangeFn::Last,
            view: self.view,
            range_ms: 0,
            extension: Some(self.extension),
            metric: self.source.identities.get(row).map_or("", |identity| identity.labels.metric_name()),
            span: self.span,
        };
        let (mut near_numbers, mut near) = (Vec::new(), Vec::new());
        self.extension.find_windows(&numbers.timestamps, self.view, 0, &mut near_numbers);
        self.extension.find_windows(&column.timestamps, self.view, 0, &mut near);
        for (step, (numbers_at, at)) in near_numbers.iter().zip(&near).enumerate() {
            let window = MixedWindow::of(numbers, *numbers_at, column, *at);
            if !window.histograms.is_empty() {
                let point = range.smoothed(step, window);
                Point::put(point, out, histograms, step);
            }
        }
    }
}

impl VectorOp for SmoothedOp<'_> {
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
        histograms.clear();
        let mut samples = scratch.take_columns();
        let result = self.read(row, &mut samples, out, histograms);
        scratch.give_columns(samples);
        self.source.named(result)
    }

    fn unique_without_name(&self) -> bool {
        self.source.unique_without_name
    }
    fn is_silent(&self) -> bool {
        !self.context.may_hold_histograms
    }
}

/// Fills `out` with the values at the times of `view` between samples that lie within `lookback_ms`.
fn between_samples(timestamps: &[Timestamp], values: &[f64], view: View, lookback_ms: i64, out: &mut [f64]) {
    let mut samples = timestamps.iter().copied().zip(values.iter().copied()).peekable();
    let mut newest = None;
    for (step, slot) in out.iter_mut().enumerate() {
        let time = view.time(step);
        while let Some(sample) = samples.next_if(|(t, _)| *t <= time) {
            newest = Some(sample);
        }
        let before = newest.filter(|(t, _)| *t > time.saturating_sub(lookback_ms));
        let after = samples.peek().filter(|(t, _)| *t <= time.saturating_add(lookback_ms));
        *slot = match (before, after) {
            (None, _) => ABSENT,
            (Some(before), Some(after)) if before.0 < time => {
                as_point(interpolate(before, *after, time, false))
            }
            (Some((_, value)), _) => value,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::operator::is_absent;
    use super::*;
    use proptest::prelude::*;

    fn values(samples: &[(i64, f64)], grid: Grid, lookback: i64) -> Vec<String> {
        let (times, values): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
        let mut out = vec![0.0; grid.steps()];
        between_samples(&times, &values, grid.seen_through(None, 0), lookback, &mut out);
        out.iter().map(|v| if is_absent(*v) { "-".into() } else { v.to_string() }).collect()
    }

    #[test]
    fn a_value_lies_between_its_neighbours_or_stays_the_newest() {
        let grid = Grid::range(0, 60, 10, 100).unwrap().unwrap();
        let samples = [(5, 1.0), (20, 4.0), (25, 9.0)];
        assert_eq!(values(&samples, grid, 30), ["-", "2", "4", "9", "9", "9", "-"]);
    }

    #[test]
    fn a_neighbour_out_of_reach_is_none() {
        let grid = Grid::instant(20);
        assert_eq!(values(&[(10, 1.0), (40, 4.0)], grid, 20), ["2"]);
        assert_eq!(values(&[(10, 1.0), (41, 4.0)], grid, 20), ["1"]);
        assert_eq!(values(&[(0, 1.0), (30, 4.0)], grid, 20), ["-"]);
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
            let samples: Vec<_> = gaps.iter().map(|gap| { time += gap; (time, (time * time % 17) as f64) }).collect();
            let grid = Grid::range(start, start + 500, step, 1000).unwrap().unwrap();
            let naive: Vec<_> = grid.times().map(|at| {
                let near: Vec<_> = samples.iter().filter(|(t, _)| (at - lookback + 1..=at + lookback).contains(t)).collect();
                let after = near.iter().find(|(t, _)| *t >= at);
                match (near.iter().rev().find(|(t, _)| *t <= at), after) {
                    (None, _) => "-".to_owned(),
                    (Some(before), Some(after)) if before.0 < after.0 => {
                        let part = (after.1 - before.1) * (at - before.0) as f64 / (after.0 - before.0) as f64;
                        (before.1 + part).to_string()
                    }
                    (Some(before), _) => before.1.to_string(),
                }
            }).collect();
            prop_assert_eq!(values(&samples, grid, lookback), naive);
        }
    }
}
