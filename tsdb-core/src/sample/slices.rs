//! The samples of one series, borrowed.

use super::SampleColumns;
use crate::histogram::FloatHistogram;
use crate::{NO_START, Timestamp};
use alloc::sync::Arc;

/// A part of [`SampleColumns`]: samples that follow one another.
#[derive(Debug, Clone, Copy, Default)]
pub struct SampleSlices<'a> {
    timestamps: &'a [Timestamp],
    values: &'a [f64],
    histograms: &'a [Option<Arc<FloatHistogram>>],
    starts: &'a [Timestamp],
}

impl<'a> SampleSlices<'a> {
    /// How many of the samples are native histograms.
    pub fn histogram_count(&self) -> usize {
        self.histograms.iter().filter(|histogram| histogram.is_some()).count()
    }

    /// Numbers alone, of which no start is known. Columns that differ in length are as long as the shorter one.
    pub fn of_numbers(timestamps: &'a [Timestamp], values: &'a [f64]) -> Self {
        let len = timestamps.len().min(values.len());
        let (timestamps, _) = timestamps.split_at(len);
        let (values, _) = values.split_at(len);
        Self { timestamps, values, histograms: &[], starts: &[] }
    }

    /// Number of samples.
    pub const fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Are there no samples?
    pub const fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Timestamps in ms.
    pub const fn timestamps(&self) -> &'a [Timestamp] {
        self.timestamps
    }

    /// Values; stale markers where there are histograms.
    pub const fn values(&self) -> &'a [f64] {
        self.values
    }

    /// Is any sample a histogram?
    pub fn has_histograms(&self) -> bool {
        self.histograms.iter().any(Option::is_some)
    }

    /// Is any start timestamp known?
    pub fn has_starts(&self) -> bool {
        self.starts.iter().any(|start| *start != NO_START)
    }

    /// The histogram at `index`, if there is one.
    #[inline]
    pub fn histogram(&self, index: usize) -> Option<&'a Arc<FloatHistogram>> {
        self.histograms.get(index)?.as_ref()
    }

    /// The start timestamp of the sample at `index` in ms, [`NO_START`] if it is unknown.
    #[inline]
    pub fn start(&self, index: usize) -> Timestamp {
        self.starts.get(index).copied().unwrap_or(NO_START)
    }

    /// The first `len` samples, or all, and the others.
    #[must_use]
    pub fn split_at(&self, len: usize) -> (Self, Self) {
        fn cut<T>(column: &[T], len: usize) -> (&[T], &[T]) {
            column.split_at_checked(len).unwrap_or((column, &[]))
        }
        let (timestamps, later_timestamps) = cut(self.timestamps, len);
        let (values, later_values) = cut(self.values, len);
        let (histograms, later_histograms) = cut(self.histograms, len);
        let (starts, later_starts) = cut(self.starts, len);
        (
            Self { timestamps, values, histograms, starts },
            Self {
                timestamps: later_timestamps,
                values: later_values,
                histograms: later_histograms,
                starts: later_starts,
            },
        )
    }
}

impl SampleColumns {
    /// Adds `samples`, which must lie behind the others in time.
    pub fn extend(&mut self, samples: SampleSlices<'_>) {
        let (before, after) = (self.len(), self.len().saturating_add(samples.len()));
        self.timestamps.extend_from_slice(samples.timestamps);
        self.values.extend_from_slice(samples.values);
        if samples.has_histograms() {
            self.histograms.resize(before, None);
            self.histograms.extend_from_slice(samples.histograms);
        }
        if !self.histograms.is_empty() {
            self.histograms.resize(after, None);
        }
        if samples.has_starts() {
            self.starts.resize(before, NO_START);
            self.starts.extend_from_slice(samples.starts);
        }
        if !self.starts.is_empty() {
            self.starts.resize(after, NO_START);
        }
    }

    /// All samples, borrowed.
    pub fn as_slices(&self) -> SampleSlices<'_> {
        SampleSlices {
            histograms: &self.histograms,
            starts: &self.starts,
            ..SampleSlices::of_numbers(&self.timestamps, &self.values)
        }
    }
}
