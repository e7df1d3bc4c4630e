//! The windows of one series in memory.

use crate::merge::renew_seam;
use std::ops::Range;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{STALE_NAN, Timestamp, is_stale_nan};

/// What is kept of the windows of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// The samples between which a counter only rose: the first and the last of each window, and those before and behind
    /// each fall. For counters, buckets and native histograms.
    Corners,
    /// The last sample of each window, and minimum, maximum and sum of all. For gauges.
    Spread,
}

/// Entries in order of time. An entry is a sample that was written, at its own time, and stands for samples of its
/// window.
///
/// INVARIANT: all columns have equal length; [`spread`](Self::spread) is there for [`Form::Spread`] and only there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AggregateColumns {
    /// The samples.
    pub samples: SampleColumns,
    /// For how many samples each entry stands: together those of the window. 0 for a stale marker, which is kept only at
    /// the end of its window.
    pub weights: Vec<u32>,
    /// Minimum, maximum and sum of the window at the entry of its last sample; stale markers at stale markers.
    pub spread: Option<Spread>,
}

/// The columns that only gauges have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread {
    /// The smallest value that is not NaN, the first of equal ones; of NaNs alone, the last.
    pub min: Vec<f64>,
    /// The largest value that is not NaN, the first of equal ones; of NaNs alone, the last.
    pub max: Vec<f64>,
    /// The sum.
    pub sum: Vec<f64>,
}

impl AggregateColumns {
    /// Samples as they were written, each its own window. Histograms have no spread.
    pub fn of_samples(samples: SampleColumns, form: Form) -> Self {
        let stale = |index: usize| match samples.histogram(index) {
            Some(histogram) => histogram.is_stale(),
            None => samples.values.get(index).is_none_or(|value| is_stale_nan(*value)),
        };
        let weights = (0..samples.len()).map(|index| u32::from(!stale(index))).collect();
        let spread = (form == Form::Spread).then(|| {
            let values = &samples.values;
            Spread { min: values.clone(), max: values.clone(), sum: values.clone() }
        });
        Self { samples, weights, spread }
    }

    /// What is kept of the windows.
    pub const fn form(&self) -> Form {
        if self.spread.is_some() { Form::Spread } else { Form::Corners }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Are there no entries?
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Removes all entries; what follows is of `form`.
    pub fn clear(&mut self, form: Form) {
        self.samples.clear();
        self.weights.clear();
        match (&mut self.spread, form) {
            (Some(spread), Form::Spread) => {
                spread.min.clear();
                spread.max.clear();
                spread.sum.clear();
            }
            (spread, Form::Spread) => *spread = Some(Spread::default()),
            (spread, Form::Corners) => *spread = None,
        }
    }

    /// Adds the entries of `later`, which lie behind the others and are of the same form.
    pub fn extend(&mut self, later: &Self) {
        let seam = self.samples.len();
        self.samples.extend(later.samples.as_slices());
        renew_seam(&mut self.samples, seam);
        self.weights.extend_from_slice(&later.weights);
        if let (Some(mine), Some(theirs)) = (&mut self.spread, &later.spread) {
            mine.min.extend_from_slice(&theirs.min);
            mine.max.extend_from_slice(&theirs.max);
            mine.sum.extend_from_slice(&theirs.sum);
        }
    }

    /// Keeps the entries with times of which `keep` says so.
    pub fn retain(&mut self, keep: impl Fn(Timestamp) -> bool) {
        let kept: Vec<usize> = (0..self.len())
            .filter(|index| self.samples.timestamps.get(*index).is_some_and(|t| keep(*t)))
            .collect();
        if kept.len() < self.len() {
            let all = std::mem::take(self);
            self.clear(all.form());
            kept.into_iter().for_each(|index| self.extend(&all.slice(index..index.saturating_add(1))));
        }
    }

    /// The entries `range`.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let cut = |column: &[f64]| column.get(range.clone()).unwrap_or_default().to_vec();
        let (_, samples) = self.samples.as_slices().split_at(range.start);
        let (samples, _) = samples.split_at(range.len());
        let mut part = Self::default();
        part.samples.extend(samples);
        part.weights.extend_from_slice(self.weights.get(range.clone()).unwrap_or_default());
        part.spread = self.spread.as_ref().map(|spread| Spread {
            min: cut(&spread.min),
            max: cut(&spread.max),
            sum: cut(&spread.sum),
        });
        part
    }

    /// Copies the entry `index` of `from`, as standing for `weight` samples.
    pub(crate) fn push_entry(&mut self, from: &SampleColumns, index: usize, weight: u32) {
        let (Some(time), Some(value)) = (from.timestamps.get(index), from.values.get(index)) else { return };
        match from.histogram(index) {
            Some(histogram) => self.samples.push_histogram(*time, histogram.clone()),
            None => self.samples.push(*time, *value),
        }
        self.samples.set_start(from.start(index));
        self.weights.push(weight);
    }

    /// Adds a stale marker, the entry `index` of `from`.
    pub(crate) fn push_stale(&mut self, from: &SampleColumns, index: usize) {
        self.push_entry(from, index, 0);
        if let Some(spread) = &mut self.spread {
            spread.min.push(STALE_NAN);
            spread.max.push(STALE_NAN);
            spread.sum.push(STALE_NAN);
        }
    }
}

/// Do the two differ in what a rate would have to make equal first?
pub(crate) fn differ_in_kind(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    a.schema() != b.schema()
        || a.zero_threshold().to_bits() != b.zero_threshold().to_bits()
        || a.bounds() != b.bounds()
        || a.reset_hint() != b.reset_hint() && is_gauge(a) != is_gauge(b)
}

fn is_gauge(histogram: &FloatHistogram) -> bool {
    histogram.reset_hint() == tsdb_core::histogram::ResetHint::Gauge
}
