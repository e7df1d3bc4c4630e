//! `anchored` and `smoothed` windows over native histograms.
//!
//! The rules are those of numbers (see [`extended`](super::extended)); a window is what the selector reads for it,
//! the lookback on either side included, and must not hold numbers besides. A histogram between two others is the
//! first plus a part of the difference, or a part of the second if the counter began anew in between.

use super::super::points::{Histogram, Point};
use super::extended::Extension;
use super::mixed::{MixedRange, MixedWindow};
use crate::annotation::Annotation;
use crate::ast::RangeExtension;
use crate::num::Stamp;
use crate::plan::RangeFn;
use std::sync::Arc;
use tsdb_core::Timestamp;
use tsdb_core::histogram::{FloatHistogram, ResetHint};

/// A histogram and its time.
type Timed<'a> = (Timestamp, &'a Histogram);

/// The samples between which a window's change is measured: their positions, and where the window ends.
#[derive(Debug, Clone, Copy)]
struct Borders {
    first: usize,
    last: usize,
    start: Timestamp,
    end: Timestamp,
    smoothed: bool,
}

impl Borders {
    /// `None` if nothing is known of the window from `start` to `end`.
    fn find(times: &[Timestamp], start: Timestamp, end: Timestamp, smoothed: bool) -> Option<Self> {
        let (newest, earlier) = times.split_last()?;
        let first = earlier.partition_point(|time| *time <= start).saturating_sub(1);
        let last = if smoothed { earlier.partition_point(|time| *time < end) } else { earlier.len() };
        let known = *times.get(last).unwrap_or(newest) > start && (!smoothed || *times.get(first)? <= end);
        known.then_some(Self { first, last, start, end, smoothed })
    }

    /// The neighbours of the start of the window, if no sample stands for it.
    fn left<'a>(&self, window: &MixedWindow<'a>) -> Option<(Timed<'a>, Timed<'a>)> {
        let before = timed(window, self.first)?;
        let after = timed(window, self.first.saturating_add(1))?;
        (self.smoothed && before.0 < self.start).then_some((before, after))
    }

    /// The neighbours of the end of the window, if no sample stands for it.
    fn right<'a>(&self, window: &MixedWindow<'a>) -> Option<(Timed<'a>, Timed<'a>)> {
        let before = timed(window, self.last.checked_sub(1)?)?;
        let after = timed(window, self.last)?;
        (self.smoothed && after.0 > self.end).then_some((before, after))
    }
}

fn timed<'a>(window: &MixedWindow<'a>, index: usize) -> Option<Timed<'a>> {
    Some((*window.histogram_times.get(index)?, window.histograms.get(index)?))
}

impl MixedRange<'_> {
    /// `rate`, `increase` or `delta` of a window that ends at its borders.
    pub(super) fn between_borders(
        &self,
        extension: Extension,
        step: usize,
        window: MixedWindow<'_>,
    ) -> Option<Point> {
        let counter = self.function != RangeFn::Delta;
        let end = self.view.time(step);
        let start = end.saturating_sub(self.range_ms);
        let smoothed = extension.kind == RangeExtension::Smoothed;
        let borders = Borders::find(window.histogram_times, start, end, smoothed)?;
        self.check_uniform(window.histograms.get(borders.first..=borders.last)?, counter)?;
        let left =
            self.at_border(borders.left(&window), start, window.histograms.get(borders.first)?, counter)?;
        let right =
            self.at_border(borders.right(&window), end, window.histograms.get(borders.last)?, counter)?;
        if !counter && [&left, &right].into_iter().any(|border| border.reset_hint() != ResetHint::Gauge) {
            self.warn(|metric| Annotation::NativeHistogramNotGauge { metric });
        }
        let mut change = FloatHistogram::clone(&right);
        self.subtract(&mut change, &left)?;
        if counter && let Some(lost) = self.lost(&borders, &window, &left, &right)? {
            self.add(&mut change, &lost)?;
        }
        if self.function == RangeFn::Rate {
            change.div(self.range_ms as f64 / 1000.0);
        }
        change.set_reset_hint(ResetHint::Gauge);
        change.compact(0);
        Some(Point::Histogram(Arc::new(change)))
    }

    /// Refuses a mixture of exponential and custom buckets, and warns of gauges that are taken for counters.
    fn check_uniform(&self, histograms: &[Histogram], counter: bool) -> Option<()> {
        let custom = histograms.first()?.is_custom();
        for histogram in histograms {
            if histogram.is_custom() != custom {
                self.warn(|metric| Annotation::MixedExponentialCustomHistograms { metric });
                return None;
            }
            if counter && histogram.reset_hint() == ResetHint::Gauge {
                self.warn(|metric| Annotation::NativeHistogramNotCounter { metric });
            }
        }
        Some(())
    }

    /// The histogram at the border `at`: between its neighbours, or `sample` if it has none.
    fn at_border(
        &self,
        neighbours: Option<(Timed<'_>, Timed<'_>)>,
        at: Timestamp,
        sample: &Histogram,
        counter: bool,
    ) -> Option<Histogram> {
        match neighbours {
            Some((before, after)) => self.interpolated(before, after, at, counter),
            None => Some(sample.clone()),
        }
    }

    /// The histogram at `at` between two others; `None` if they do not fit.
    pub(super) fn interpolated(
        &self,
        (earlier, before): Timed<'_>,
        (later, after): Timed<'_>,
        at: Timestamp,
        counter: bool,
    ) -> Option<Histogram> {
        if at == earlier {
            return Some(before.clone());
        }
        if at == later {
            return Some(after.clone());
        }
        let part = at.wrapping_sub(earlier) as f64 / later.wrapping_sub(earlier) as f64;
        let mut result = FloatHistogram::clone(after);
        if counter && after.detect_reset(before) {
            result.mul(part);
            return Some(Arc::new(result));
        }
        self.subtract(&mut result, before)?;
        result.mul(part);
        self.add(&mut result, before)?;
        Some(Arc::new(result))
    }

    /// What the counter had before each of its resets between `left` and `right`; `None` within if it had none.
    ///
    /// The last sample is left out: `right` is that sample, or inherits what it says of a reset. A reset that `left`
    /// lies in is done with.
    fn lost(
        &self,
        borders: &Borders,
        window: &MixedWindow<'_>,
        left: &Histogram,
        right: &Histogram,
    ) -> Option<Option<FloatHistogram>> {
        let (mut from, mut previous) = (borders.first.saturating_add(1), left);
        if let Some(((_, before), (_, after))) = borders.left(window)
            && after.detect_reset(before)
        {
            (from, previous) = (from.saturating_add(1), after);
        }
        if from > borders.last {
            return Some(None);
        }
        let mut lost: Option<FloatHistogram> = None;
        let inner = window.histograms.get(from..borders.last).unwrap_or(&[]);
        for histogram in inner.iter().chain([right]) {
            if histogram.detect_reset(previous) {
                match &mut lost {
                    None => lost = Some(FloatHistogram::clone(previous)),
                    Some(lost) => self.add(lost, previous)?,
                }
            }
            previous = histogram;
        }
        Some(lost)
    }

    /// The samples that `changes` and `resets` look at: all of them, or in an anchored window those from the newest at
    /// or before its start. `None` if such a window has none later than that.
    pub(super) fn anchored<'s>(
        &self,
        step: usize,
        samples: &'s [(Stamp, Point)],
    ) -> Option<&'s [(Stamp, Point)]> {
        if self.extension.is_none() {
            return Some(samples);
        }
        let start = self.view.time(step).saturating_sub(self.range_ms);
        let behind = samples.partition_point(|(stamp, _)| stamp.time <= start);
        if behind == samples.len() { None } else { samples.get(behind.saturating_sub(1)..) }
    }

    /// The point of a smoothed instant selector that has `window` within reach.
    pub(super) fn smoothed(&self, step: usize, window: MixedWindow<'_>) -> Option<Point> {
        if !window.values.is_empty() {
            self.warn(|metric| Annotation::MixedFloatsHistograms { metric });
            return None;
        }
        let at = self.view.time(step);
        let behind = window.histogram_times.partition_point(|time| *time < at);
        let before = behind.checked_sub(1).and_then(|before| timed(&window, before));
        let histogram = match (before, timed(&window, behind)) {
            (_, Some((time, exact))) if time == at => exact.clone(),
            (Some(before), Some(after)) => {
                self.check_uniform_pair(before.1, after.1)?;
                let gauge = |(_, histogram): Timed<'_>| histogram.reset_hint() == ResetHint::Gauge;
                let counter = !(gauge(before) && gauge(after));
                self.interpolated(before, after, at, counter)?
            }
            (Some((_, newest)), None) => {
                let mut carried = FloatHistogram::clone(newest);
                carried.set_reset_hint(ResetHint::Unknown);
                Arc::new(carried)
            }
            (None, _) => return None,
        };
        Some(Point::Histogram(histogram))
    }

    fn check_uniform_pair(&self, before: &Histogram, after: &Histogram) -> Option<()> {
        if before.is_custom() == after.is_custom() {
            return Some(());
        }
        self.warn(|metric| Annotation::MixedExponentialCustomHistograms { metric });
        None
    }
}
