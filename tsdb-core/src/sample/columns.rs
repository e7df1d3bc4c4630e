//! The samples of one series, as columns.

use super::{NO_START, STALE_NAN};
use crate::histogram::FloatHistogram;
use crate::{TimeRange, Timestamp};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// The samples of one series as columns of equal length, timestamps strictly ascending.
///
/// A sample is a number or a native histogram. Nearly all series hold numbers alone and pay nothing for the others:
/// the column of histograms is there only if the series has one.
///
/// The same holds for start timestamps.
///
/// INVARIANT: [`histograms`](Self::histograms) is empty, or as long as the other columns. Where it holds a histogram,
/// the value is the stale marker, so that a reader who knows numbers only sees no number there.
/// [`starts`](Self::starts) is empty, or as long as the other columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleColumns {
    /// Timestamps in ms.
    pub timestamps: Vec<Timestamp>,
    /// Values.
    pub values: Vec<f64>,
    /// Histograms; empty if there are none.
    pub histograms: Vec<Option<Arc<FloatHistogram>>>,
    /// Start timestamps in ms: when the counting began that the sample is the result of; [`NO_START`] where that is
    /// unknown. Empty if no sample has one.
    pub starts: Vec<Timestamp>,
}

impl SampleColumns {
    /// Columns without samples.
    pub const fn new() -> Self {
        Self { timestamps: Vec::new(), values: Vec::new(), histograms: Vec::new(), starts: Vec::new() }
    }

    /// Adds a number behind the others.
    #[inline]
    pub fn push(&mut self, timestamp: Timestamp, value: f64) {
        self.timestamps.push(timestamp);
        self.values.push(value);
        if !self.histograms.is_empty() {
            self.histograms.push(None);
        }
        self.push_unknown_start();
    }

    /// Adds a histogram behind the others.
    pub fn push_histogram(&mut self, timestamp: Timestamp, histogram: Arc<FloatHistogram>) {
        self.histograms.resize(self.timestamps.len(), None);
        self.timestamps.push(timestamp);
        self.values.push(STALE_NAN);
        self.histograms.push(Some(histogram));
        self.push_unknown_start();
    }

    #[inline]
    fn push_unknown_start(&mut self) {
        if !self.starts.is_empty() {
            self.starts.push(NO_START);
        }
    }

    /// Says when the counting behind the last sample began. Nothing happens if there is no sample, or if `start` is
    /// [`NO_START`].
    pub fn set_start(&mut self, start: Timestamp) {
        if start != NO_START && !self.timestamps.is_empty() {
            self.starts.resize(self.timestamps.len() - 1, NO_START);
            self.starts.push(start);
        }
    }

    /// Says when the counting behind the samples from `first` on began. Nothing happens if `start` is [`NO_START`].
    pub fn set_starts(&mut self, first: usize, start: Timestamp) {
        if start != NO_START && first < self.timestamps.len() {
            self.starts.resize(first, NO_START);
            self.starts.resize(self.timestamps.len(), start);
        }
    }

    /// The start timestamp of the sample at `index` in ms, [`NO_START`] if it is unknown.
    #[inline]
    pub fn start(&self, index: usize) -> Timestamp {
        self.starts.get(index).copied().unwrap_or(NO_START)
    }

    /// The histogram at `index`, if there is one.
    #[inline]
    pub fn histogram(&self, index: usize) -> Option<&Arc<FloatHistogram>> {
        self.histograms.get(index)?.as_ref()
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Are there no samples?
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Removes all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
    }

    /// Drops all but the first `len` samples.
    pub fn truncate(&mut self, len: usize) {
        self.timestamps.truncate(len);
        self.values.truncate(len);
        self.histograms.truncate(len);
        if self.histograms.iter().all(Option::is_none) {
            self.histograms.clear();
        }
        self.starts.truncate(len);
        if self.starts.iter().all(|start| *start == NO_START) {
            self.starts.clear();
        }
    }

    /// Of the values and histograms from `before` on, which have no timestamps yet, keeps those of `range`, an index
    /// range counted from there, and appends their `timestamps`. For decoders that hold the timestamps already.
    pub(crate) fn keep(&mut self, before: usize, range: Range<usize>, timestamps: &[Timestamp]) {
        self.timestamps.extend_from_slice(timestamps.get(range.clone()).unwrap_or_default());
        keep(&mut self.values, before, &range);
        keep(&mut self.histograms, before, &range);
        if self.histograms.iter().all(Option::is_none) {
            self.histograms.clear();
        } else {
            self.histograms.resize(self.timestamps.len(), None);
        }
        if !self.starts.is_empty() {
            self.starts.resize(self.timestamps.len(), NO_START);
        }
    }

    /// Finds anew what the histograms say about counter resets, from the one before each: see
    /// [`FloatHistogram::hint_after`]. A number between two histograms, and the beginning, leave nothing known.
    pub fn renew_reset_hints(&mut self) {
        let mut previous: Option<Arc<FloatHistogram>> = None;
        for place in &mut self.histograms {
            if let Some(histogram) = place {
                let hint = histogram.hint_after(previous.as_deref());
                if histogram.reset_hint() != hint {
                    Arc::make_mut(histogram).set_reset_hint(hint);
                }
            }
            // Its new hint serves as well: gauges stay gauges, and nothing becomes one.
            previous.clone_from(place);
        }
    }

    /// Drops the samples at the positions `range`. What lies beyond the end is nothing.
    pub fn remove(&mut self, range: Range<usize>) {
        fn cut<T>(column: &mut Vec<T>, range: &Range<usize>) {
            let end = range.end.min(column.len());
            column.drain(range.start.min(end)..end);
        }
        cut(&mut self.timestamps, &range);
        cut(&mut self.values, &range);
        cut(&mut self.histograms, &range);
        cut(&mut self.starts, &range);
        if self.histograms.iter().all(Option::is_none) {
            self.histograms.clear();
        }
        if self.starts.iter().all(|start| *start == NO_START) {
            self.starts.clear();
        }
    }

    /// Drops the samples outside `range`.
    pub fn retain_range(&mut self, range: TimeRange) {
        let end = self.timestamps.partition_point(|t| *t <= range.end());
        self.timestamps.truncate(end);
        self.values.truncate(end);
        self.histograms.truncate(end);
        self.starts.truncate(end);
        let start = self.timestamps.partition_point(|t| *t < range.start());
        self.timestamps.drain(..start);
        self.values.drain(..start);
        self.histograms.drain(..start.min(self.histograms.len()));
        if self.histograms.iter().all(Option::is_none) {
            self.histograms.clear();
        }
        self.starts.drain(..start.min(self.starts.len()));
        if self.starts.iter().all(|start| *start == NO_START) {
            self.starts.clear();
        }
    }
}

fn keep<T>(column: &mut Vec<T>, before: usize, range: &Range<usize>) {
    column.truncate(before.saturating_add(range.end));
    column.drain(before.min(column.len())..before.saturating_add(range.start).min(column.len()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{FloatParts, ResetHint};
    use alloc::vec;

    #[test]
    fn starts_of_many_samples_are_set_at_once() {
        let mut columns = SampleColumns::new();
        (0..5).for_each(|t| columns.push(t, 0.5));
        columns.set_starts(2, NO_START);
        columns.set_starts(5, 7);
        assert!(columns.starts.is_empty());
        columns.set_starts(2, 7);
        assert_eq!(columns.starts, [0, 0, 7, 7, 7]);
        columns.set_starts(4, 9);
        assert_eq!(columns.starts, [0, 0, 7, 7, 9]);
    }

    #[test]
    fn the_column_of_starts_is_there_only_if_a_start_is_known() {
        let mut columns = SampleColumns::new();
        columns.push(10, 1.0);
        columns.set_start(NO_START);
        assert!(columns.starts.is_empty());
        columns.push(20, 2.0);
        columns.set_start(5);
        columns.push(30, 3.0);
        assert_eq!(columns.starts, vec![NO_START, 5, NO_START]);
        assert_eq!((columns.start(1), columns.start(2), columns.start(9)), (5, NO_START, NO_START));
    }

    #[test]
    fn columns_that_hold_nothing_within_a_range_vanish() {
        let mut columns = SampleColumns::new();
        columns.push(10, 1.0);
        columns.set_start(5);
        columns.push_histogram(20, Arc::new(FloatHistogram::new(FloatParts::default()).unwrap()));
        columns.push(30, 3.0);
        columns.push(40, 4.0);
        columns.retain_range(TimeRange::new(30, 35).unwrap());
        let mut expected = SampleColumns::new();
        expected.push(30, 3.0);
        assert_eq!(columns, expected);
    }

    #[test]
    fn reset_hints_are_found_from_the_histogram_before() {
        let histogram = |count: f64, hint| {
            let parts = FloatParts { count, reset_hint: hint, ..FloatParts::default() };
            Arc::new(FloatHistogram::new(parts).unwrap())
        };
        let mut columns = SampleColumns::new();
        columns.push_histogram(10, histogram(5.0, ResetHint::NotReset));
        columns.push_histogram(20, histogram(7.0, ResetHint::Unknown));
        columns.push_histogram(30, histogram(6.0, ResetHint::NotReset));
        columns.push_histogram(40, histogram(8.0, ResetHint::Reset));
        columns.push_histogram(50, histogram(9.0, ResetHint::Gauge));
        columns.push_histogram(60, histogram(10.0, ResetHint::Unknown));
        columns.push(70, 1.0);
        columns.push_histogram(80, histogram(11.0, ResetHint::Unknown));
        columns.renew_reset_hints();
        let hints: Vec<_> =
            columns.histograms.iter().map(|histogram| histogram.as_ref().map(|h| h.reset_hint())).collect();
        let (unknown, continued) = (Some(ResetHint::Unknown), Some(ResetHint::NotReset));
        let (reset, gauge) = (Some(ResetHint::Reset), Some(ResetHint::Gauge));
        assert_eq!(hints, vec![unknown, continued, unknown, reset, gauge, unknown, None, unknown]);
    }

    #[test]
    fn truncated_columns_are_as_long_as_each_other() {
        let mut columns = SampleColumns::new();
        columns.push(10, 1.0);
        columns.set_start(5);
        columns.push_histogram(20, Arc::new(FloatHistogram::new(FloatParts::default()).unwrap()));
        columns.truncate(1);
        let mut expected = SampleColumns::new();
        expected.push(10, 1.0);
        expected.set_start(5);
        assert_eq!(columns, expected);
    }

    #[test]
    fn removed_samples_leave_columns_of_one_length() {
        let mut columns = SampleColumns::new();
        columns.push(10, 1.0);
        columns.push_histogram(20, Arc::new(FloatHistogram::new(FloatParts::default()).unwrap()));
        columns.set_start(5);
        columns.push(30, 3.0);
        columns.push(40, 4.0);
        let mut part = columns.clone();
        part.remove(2..3);
        assert_eq!((part.timestamps.as_slice(), part.starts.len()), (&[10, 20, 40][..], 3));
        columns.remove(1..2);
        columns.remove(2..9);
        columns.remove(7..9);
        let mut expected = SampleColumns::new();
        expected.push(10, 1.0);
        expected.push(30, 3.0);
        assert_eq!(columns, expected);
    }

    #[test]
    fn setting_the_start_of_nothing_changes_nothing() {
        let mut columns = SampleColumns::new();
        columns.set_start(5);
        assert_eq!(columns, SampleColumns::new());
    }
}
