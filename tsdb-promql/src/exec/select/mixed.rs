//! Functions of windows that hold native histograms, alone or among numbers.
//!
//! The numbers of such a series go through the same kernels as those of any other, in windows of their own; what is
//! here looks at the histograms of each window and decides what becomes of both.

use super::super::context::Context;
use super::super::grid::View;
use super::super::native::{Findings, Misfit, mean, sum};
use super::super::operator::{ABSENT, is_absent};
use super::super::points::{Histogram, Histograms, Point};
use super::extended::Extension;
use crate::annotation::{Annotation, StartTimeOverlap};
use crate::num::{Extrapolation, RateWindow, Stamp};
use crate::plan::RangeFn;
use crate::span::Span;
use std::sync::Arc;
use tsdb_core::Timestamp;
use tsdb_core::histogram::{FloatHistogram, IncompatibleSchemas, ResetHint};
use tsdb_core::sample::{NO_START, SampleColumns};

/// A function of the windows of one series.
pub(super) struct MixedRange<'a> {
    /// The query.
    pub(super) context: &'a Context<'a>,
    /// The function.
    pub(super) function: RangeFn,
    /// Where the windows end.
    pub(super) view: View,
    /// Length of the windows, ms.
    pub(super) range_ms: i64,
    /// How far the windows reach beyond their borders.
    pub(super) extension: Option<Extension>,
    /// Name of the metric.
    pub(super) metric: &'a str,
    /// The text of the range vector.
    pub(super) span: Span,
}

/// The histograms of a series, one behind the other.
#[derive(Debug, Default)]
pub(super) struct HistogramColumn {
    /// Their times, ms.
    pub(super) timestamps: Vec<Timestamp>,
    /// The histograms.
    pub(super) histograms: Vec<Histogram>,
    /// Their start timestamps; empty if none is known.
    pub(super) starts: Vec<Timestamp>,
    /// For how many samples each stands; empty if for itself.
    pub(super) weights: Vec<u32>,
    /// The same of the numbers beside them.
    pub(super) weights_of_numbers: Vec<u32>,
}

/// Cuts a series into its numbers and its histograms. `weights`: for how many samples each stands; empty if for itself.
pub(super) fn split(samples: &SampleColumns, weights: &[u32]) -> (SampleColumns, HistogramColumn) {
    let (mut numbers, mut column) = (SampleColumns::new(), HistogramColumn::default());
    for (index, (time, value)) in samples.timestamps.iter().zip(&samples.values).enumerate() {
        let start = samples.start(index);
        let weight = weights.get(index).copied();
        match samples.histogram(index) {
            Some(histogram) => {
                column.weights.extend(weight);
                column.timestamps.push(*time);
                column.histograms.push(histogram.clone());
                if !samples.starts.is_empty() {
                    column.starts.push(start);
                }
            }
            None => {
                column.weights_of_numbers.extend(weight);
                numbers.push(*time, *value);
                numbers.set_start(start);
            }
        }
    }
    (numbers, column)
}

/// The samples of one window.
#[derive(Clone, Copy)]
pub(super) struct MixedWindow<'a> {
    /// Times of the numbers.
    pub(super) times: &'a [Timestamp],
    /// The numbers.
    pub(super) values: &'a [f64],
    /// Start timestamps of the numbers; empty if none is known.
    pub(super) starts: &'a [Timestamp],
    /// Times of the histograms.
    pub(super) histogram_times: &'a [Timestamp],
    /// The histograms; not empty.
    pub(super) histograms: &'a [Histogram],
    /// Start timestamps of the histograms; empty if none is known.
    pub(super) histogram_starts: &'a [Timestamp],
    /// For how many samples the histograms stand; empty if for themselves.
    pub(super) histogram_weights: &'a [u32],
    /// The same of the numbers.
    pub(super) weights: &'a [u32],
}

impl<'a> MixedWindow<'a> {
    /// The samples at these positions.
    pub(super) fn of(
        numbers: &'a SampleColumns,
        (first, last): (usize, usize),
        column: &'a HistogramColumn,
        (start, end): (usize, usize),
    ) -> Self {
        Self {
            times: numbers.timestamps.get(first..last).unwrap_or(&[]),
            values: numbers.values.get(first..last).unwrap_or(&[]),
            starts: numbers.starts.get(first..last).unwrap_or(&[]),
            histogram_times: column.timestamps.get(start..end).unwrap_or(&[]),
            histograms: column.histograms.get(start..end).unwrap_or(&[]),
            histogram_starts: column.starts.get(start..end).unwrap_or(&[]),
            histogram_weights: column.weights.get(start..end).unwrap_or(&[]),
            weights: column.weights_of_numbers.get(first..last).unwrap_or(&[]),
        }
    }

    /// How many histograms were written.
    fn histogram_count(&self) -> usize {
        written(self.histograms.len(), self.histogram_weights)
    }

    /// All samples in order of time.
    pub(super) fn merged(&self) -> Vec<(Stamp, Point)> {
        let numbers = (0..).zip(self.values).filter_map(|(index, value)| {
            Some((stamp(self.times, self.starts, index)?, Point::Number(*value)))
        });
        let histograms = (0..)
            .zip(self.histograms)
            .filter_map(|(index, histogram)| Some((self.stamp(index)?, Point::Histogram(histogram.clone()))));
        let mut all: Vec<_> = numbers.chain(histograms).collect();
        all.sort_by_key(|(stamp, _)| stamp.time);
        all
    }

    /// Where the histogram number `index` stands in time.
    fn stamp(&self, index: usize) -> Option<Stamp> {
        stamp(self.histogram_times, self.histogram_starts, index)
    }

    /// Did the counter begin anew with the histogram number `index`, which follows `before`?
    fn is_reset(&self, index: usize, before: &Histogram) -> bool {
        let started = || Some(self.stamp(index)?.began_anew_since(self.stamp(index.checked_sub(1)?)?));
        started() == Some(true) || self.histograms.get(index).is_some_and(|after| after.detect_reset(before))
    }

    fn overlaps(&self) -> bool {
        let overlap = |index: usize| Some(self.stamp(index)?.overlaps(self.stamp(index.checked_sub(1)?)?));
        !self.histogram_starts.is_empty()
            && (1..self.histograms.len()).any(|index| overlap(index) == Some(true))
    }
}

/// How many samples `len` entries with these weights stand for.
fn written(len: usize, weights: &[u32]) -> usize {
    if weights.is_empty() { len } else { weights.iter().map(|weight| *weight as usize).sum() }
}

fn stamp(times: &[Timestamp], starts: &[Timestamp], index: usize) -> Option<Stamp> {
    Some(Stamp { start: starts.get(index).copied().unwrap_or(NO_START), time: *times.get(index)? })
}

impl MixedRange<'_> {
    pub(super) fn warn(&self, annotation: impl FnOnce(String) -> Annotation) {
        self.context.annotate(annotation(self.metric.to_owned()), self.span);
    }

    /// The point of a window; `of_numbers` is what the kernel made of its numbers.
    pub(super) fn point(&self, step: usize, window: MixedWindow<'_>, of_numbers: f64) -> Option<Point> {
        let number = |value: f64| Some(Point::Number(value));
        let seconds = |stamp: &Stamp| number(stamp.time as f64 / 1000.0);
        let mixed = !window.values.is_empty();
        match self.function {
            RangeFn::Rate | RangeFn::Increase | RangeFn::Delta | RangeFn::Sum | RangeFn::Avg if mixed => {
                self.warn(|metric| Annotation::MixedFloatsHistograms { metric });
                None
            }
            RangeFn::Rate | RangeFn::Increase | RangeFn::Delta => match self.extension {
                Some(extension) => self.between_borders(extension, step, window),
                None => self.extrapolated(step, window),
            },
            RangeFn::Sum | RangeFn::Avg => self.total(window.histograms),
            RangeFn::Irate | RangeFn::Idelta => self.last_change(&window.merged()),
            RangeFn::Count => {
                number((written(window.values.len(), window.weights) + window.histogram_count()) as f64)
            }
            RangeFn::Present => number(1.0),
            RangeFn::First => window.merged().into_iter().next().map(|(_, point)| point),
            RangeFn::Last => window.merged().into_iter().next_back().map(|(_, point)| point),
            RangeFn::FirstTime => window.merged().first().and_then(|(stamp, _)| seconds(stamp)),
            RangeFn::LastTime => window.merged().last().and_then(|(stamp, _)| seconds(stamp)),
            RangeFn::Changes => number(count_pairs(self.anchored(step, &window.merged())?, changed)),
            RangeFn::Resets => number(count_pairs(self.anchored(step, &window.merged())?, was_reset)),
            _ => {
                if mixed {
                    self.warn(|metric| Annotation::HistogramIgnoredInMixedRange { metric });
                }
                Point::of_slot(of_numbers)
            }
        }
    }

    fn total(&self, histograms: &[Histogram]) -> Option<Point> {
        let mut findings = Findings::default();
        let all = histograms.iter().map(AsRef::as_ref);
        let total = match self.function {
            RangeFn::Avg => mean(all, &mut findings),
            _ => sum(all, &mut findings),
        };
        match total {
            Err(Misfit(_)) => {
                self.warn(|metric| Annotation::MixedExponentialCustomHistograms { metric });
                None
            }
            Ok(total) => {
                findings.annotate(self.context, self.span);
                total.map(|total| Point::Histogram(Arc::new(total)))
            }
        }
    }

    fn last_change(&self, samples: &[(Stamp, Point)]) -> Option<Point> {
        let [.., (before, old), (after, new)] = samples else { return None };
        let rate = self.function == RangeFn::Irate;
        let begun = after.began_anew_since(*before);
        let seconds = after.time.wrapping_sub(before.time) as f64 / 1000.0;
        match (old, new) {
            (Point::Histogram(old), Point::Histogram(new)) => {
                let mut change = self.histogram_change(old, new, rate, begun)?;
                if rate {
                    change.div(seconds);
                }
                Some(Point::Histogram(Arc::new(change)))
            }
            (Point::Number(old), Point::Number(new)) => {
                let change = if rate && (new < old || begun) { *new } else { new - old };
                Some(Point::Number(if rate { change / seconds } else { change }))
            }
            _ => {
                self.warn(|metric| Annotation::MixedFloatsHistograms { metric });
                None
            }
        }
    }

    /// The last change as `irate` (`rate`) and `idelta` see it; `begun`: a start timestamp tells of a reset.
    fn histogram_change(
        &self,
        old: &Histogram,
        new: &Histogram,
        rate: bool,
        begun: bool,
    ) -> Option<FloatHistogram> {
        let gauges = [old, new].map(|histogram| histogram.reset_hint() == ResetHint::Gauge);
        if rate && gauges.contains(&true) {
            self.warn(|metric| Annotation::NativeHistogramNotCounter { metric });
        }
        if !rate && gauges.contains(&false) {
            self.warn(|metric| Annotation::NativeHistogramNotGauge { metric });
        }
        let mut change = FloatHistogram::clone(new);
        if !rate || !(begun || new.detect_reset(old)) {
            self.subtract(&mut change, old)?;
        }
        change.set_reset_hint(ResetHint::Gauge);
        change.compact(0);
        Some(change)
    }

    pub(super) fn subtract(&self, from: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        let done = from.sub(other);
        self.reconciled("subtraction", done)
    }

    pub(super) fn add(&self, to: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        let done = to.add(other);
        self.reconciled("addition", done)
    }

    /// Notes what had to be reconciled; `None` if that was not possible. Conflicting hints are expected here.
    fn reconciled(
        &self,
        operation: &'static str,
        done: Result<tsdb_core::histogram::Reconciled, IncompatibleSchemas>,
    ) -> Option<()> {
        let Ok(reconciled) = done else {
            self.warn(|metric| Annotation::MixedExponentialCustomHistograms { metric });
            return None;
        };
        if reconciled.bounds {
            self.context.annotate(Annotation::MismatchedCustomBuckets { operation }, self.span);
        }
        Some(())
    }

    fn extrapolated(&self, step: usize, window: MixedWindow<'_>) -> Option<Point> {
        let counter = self.function != RangeFn::Delta;
        let (first, first_stamp) = (window.histograms.first()?, window.stamp(0)?);
        let end = self.view.time(step);
        let start = end.saturating_sub(self.range_ms);
        let begun = first_stamp.begun_behind(start).filter(|_| counter);
        let mut change = match (window.histograms, begun) {
            ([only], Some(_)) => FloatHistogram::clone(only),
            _ => self.change(window, counter)?,
        };
        let rate_window = RateWindow {
            start,
            end,
            first_time: first_stamp.time,
            last_time: *window.histogram_times.last()?,
            first_value: first.count(),
            change: change.count(),
            samples: window.histogram_count(),
        };
        let extrapolation = Extrapolation { counter, per_second: self.function == RangeFn::Rate };
        match begun {
            None => change.mul(extrapolation.factor(&rate_window)),
            Some(begun) => {
                if rate_window.samples > 1 {
                    self.add(&mut change, first)?;
                }
                change.mul(extrapolation.factor_since(&rate_window, begun));
            }
        }
        Some(Point::Histogram(Arc::new(change)))
    }

    /// The last histogram minus the first, what was lost in resets added back if it is a counter.
    fn change(&self, window: MixedWindow<'_>, counter: bool) -> Option<FloatHistogram> {
        let histograms = window.histograms;
        let [first, second, ..] = histograms else { return None };
        let last = histograms.last()?;
        self.check_kind(histograms, first, last, counter);
        // What lies before a reset is not looked at, so its buckets need not fit.
        let begins_anew = counter && window.is_reset(1, first);
        let start = if begins_anew { Arc::new(second.empty_like()) } else { first.clone() };
        let relevant = || {
            let inner = histograms.get(1..histograms.len().saturating_sub(1)).unwrap_or(&[]);
            let inner = if counter { inner } else { &[] };
            inner.iter().chain([&start, last])
        };
        if relevant().any(|histogram| histogram.is_custom() != last.is_custom()) {
            self.warn(|metric| Annotation::MixedExponentialCustomHistograms { metric });
            return None;
        }
        let coarsest = relevant().map(|histogram| histogram.schema()).min()?;
        let mut change = last.copy_to_schema(coarsest)?;
        self.subtract(&mut change, &start)?;
        if counter {
            self.warn_of_overlap(window);
            let mut previous = &start;
            for (index, histogram) in histograms.iter().enumerate().skip(1) {
                if window.is_reset(index, previous) {
                    self.add(&mut change, previous)?;
                }
                previous = histogram;
            }
        }
        change.set_reset_hint(ResetHint::Gauge);
        change.compact(0);
        Some(change)
    }

    fn warn_of_overlap(&self, window: MixedWindow<'_>) {
        if window.overlaps() {
            self.warn(|metric| Annotation::StartTimeOverlap(StartTimeOverlap { metric, count: 1 }));
        }
    }

    fn check_kind(&self, all: &[Histogram], first: &Histogram, last: &Histogram, counter: bool) {
        let gauge = |histogram: &Histogram| histogram.reset_hint() == ResetHint::Gauge;
        if counter && all.iter().any(gauge) {
            self.warn(|metric| Annotation::NativeHistogramNotCounter { metric });
        }
        if !counter && [first, last].into_iter().any(|histogram| !gauge(histogram)) {
            self.warn(|metric| Annotation::NativeHistogramNotGauge { metric });
        }
    }
}

fn count_pairs(samples: &[(Stamp, Point)], holds: impl Fn(&(Stamp, Point), &(Stamp, Point)) -> bool) -> f64 {
    samples.array_windows().filter(|[a, b]| holds(a, b)).count() as f64
}

fn changed((_, before): &(Stamp, Point), (_, after): &(Stamp, Point)) -> bool {
    match (before, after) {
        (Point::Number(a), Point::Number(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Point::Histogram(a), Point::Histogram(b)) => !a.same_data(b),
        _ => true,
    }
}

fn was_reset((earlier, before): &(Stamp, Point), (later, after): &(Stamp, Point)) -> bool {
    match (before, after) {
        _ if later.began_anew_since(*earlier) => true,
        (Point::Number(a), Point::Number(b)) => b < a,
        (Point::Histogram(a), Point::Histogram(b)) => b.detect_reset(a),
        _ => true,
    }
}

/// Puts the points of `windows` that hold histograms into a row whose numbers are computed.
pub(super) fn with_histograms<'a>(
    range: &MixedRange<'_>,
    (numbers, number_windows): (&'a SampleColumns, &[(usize, usize)]),
    (column, windows): (&'a HistogramColumn, &[(usize, usize)]),
    out: &mut [f64],
    histograms: &mut Histograms,
) {
    for (step, (of_histograms, of_numbers)) in windows.iter().zip(number_windows).enumerate() {
        let window = MixedWindow::of(numbers, *of_numbers, column, *of_histograms);
        if window.histograms.is_empty() {
            continue;
        }
        let of_numbers = out.get(step).copied().unwrap_or(ABSENT);
        let point = range.point(step, window, if is_absent(of_numbers) { ABSENT } else { of_numbers });
        Point::put(point, out, histograms, step);
    }
}

#[cfg(test)]
mod tests;
