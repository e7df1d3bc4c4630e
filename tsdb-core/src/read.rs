//! How anyone reads series.
//!
//! A [`Queryable`] hands out [`Querier`]s, each a consistent view. A querier resolves matchers to a [`SeriesSet`]:
//! an immutable array of series that threads share, each reading the series at its own positions into its own
//! [`SampleColumns`]. Columns, not iterators: a series is read in one call, into buffers the caller reuses.

use crate::histogram::FloatHistogram;
use crate::{Labels, Matcher, STALE_NAN, TimeRange, Timestamp};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;

/// Something that can be queried.
pub trait Queryable: Send + Sync {
    /// Opens a view of everything stored within `range`. Later appends may or may not be seen through it; what it
    /// has answered once stays readable until it and its series sets are dropped.
    ///
    /// # Errors
    /// Storage that cannot be read at all.
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError>;
}

/// A view of a store over a range of time.
pub trait Querier: Send + Sync {
    /// The series that satisfy all `matchers` and may have samples within `hints.range`.
    ///
    /// No two series of the set have equal labels. Their order is not specified.
    ///
    /// # Errors
    /// Damage or I/O failure. Damage to a part of the store is no error: the set then lacks that part and says so
    /// in [`SeriesSet::warnings`].
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError>;

    /// Names of the labels of all series that satisfy `matchers` (of all series if there are none), sorted, unique.
    ///
    /// # Errors
    /// As for [`select`](Self::select).
    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError>;

    /// Values of the label `name` among all series that satisfy `matchers`, sorted, unique.
    ///
    /// # Errors
    /// As for [`select`](Self::select).
    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError>;
}

/// The series that a selection found. Shared by threads; all methods may be called in any order, any number of times.
pub trait SeriesSet: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;

    /// Is the set empty?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Labels of the series at `index`, all of them or at least those that the projection asks for.
    /// Empty labels if `index` is not below [`len`](Self::len).
    fn labels(&self, index: usize) -> Labels;

    /// Replaces `into` by the samples of the series at `index` within the range of the hints, in order of time,
    /// one per timestamp. Stale markers are samples like any other.
    ///
    /// # Errors
    /// Damage or I/O failure; `into` is then empty.
    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError>;

    /// An upper estimate of the samples in all series, from metadata alone.
    fn estimated_samples(&self) -> u64;

    /// What is missing or doubtful in this set, as sentences for people.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The samples of one series as columns of equal length, timestamps strictly ascending.
///
/// A sample is a number or a native histogram. Nearly all series hold numbers alone and pay nothing for the others:
/// the column of histograms is there only if the series has one.
///
/// INVARIANT: [`histograms`](Self::histograms) is empty, or as long as the other columns. Where it holds a histogram,
/// the value is the stale marker, so that a reader who knows numbers only sees no number there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleColumns {
    /// Timestamps in ms.
    pub timestamps: Vec<Timestamp>,
    /// Values.
    pub values: Vec<f64>,
    /// Histograms; empty if there are none.
    pub histograms: Vec<Option<Arc<FloatHistogram>>>,
}

impl SampleColumns {
    /// Columns without samples.
    pub const fn new() -> Self {
        Self { timestamps: Vec::new(), values: Vec::new(), histograms: Vec::new() }
    }

    /// Adds a number behind the others.
    #[inline]
    pub fn push(&mut self, timestamp: Timestamp, value: f64) {
        self.timestamps.push(timestamp);
        self.values.push(value);
        if !self.histograms.is_empty() {
            self.histograms.push(None);
        }
    }

    /// Adds a histogram behind the others.
    pub fn push_histogram(&mut self, timestamp: Timestamp, histogram: Arc<FloatHistogram>) {
        self.histograms.resize(self.timestamps.len(), None);
        self.timestamps.push(timestamp);
        self.values.push(STALE_NAN);
        self.histograms.push(Some(histogram));
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
    }

    /// Drops the samples outside `range`.
    pub fn retain_range(&mut self, range: TimeRange) {
        let end = self.timestamps.partition_point(|t| *t <= range.end());
        self.timestamps.truncate(end);
        self.values.truncate(end);
        self.histograms.truncate(end);
        let start = self.timestamps.partition_point(|t| *t < range.start());
        self.timestamps.drain(..start);
        self.values.drain(..start);
        self.histograms.drain(..start.min(self.histograms.len()));
        if self.histograms.iter().all(Option::is_none) {
            self.histograms.clear();
        }
    }
}

/// What the reader knows of its use of a selection. All but the range are advice: a store may ignore them.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectHints {
    /// Samples outside are of no interest. Both ends included, ms.
    pub range: TimeRange,
    /// Distance of the evaluation steps in ms; 0 for a single instant.
    pub step_ms: i64,
    /// Length of the range selector's window in ms; 0 for an instant selector.
    pub window_ms: i64,
    /// Name of the function or aggregation that consumes the selection.
    pub function: Option<&'static str>,
    /// Which labels the reader looks at.
    pub projection: Projection,
}

impl SelectHints {
    /// Hints that say nothing but the range.
    pub const fn over(range: TimeRange) -> Self {
        Self { range, step_ms: 0, window_ms: 0, function: None, projection: Projection::All }
    }
}

/// Which labels a reader looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Projection {
    /// All of them.
    #[default]
    All,
    /// Only these.
    Only(Vec<String>),
}

/// Storage that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file or a structure in memory is damaged.
    #[error("{origin}: {source}")]
    Corrupt {
        /// The file or part of the store.
        origin: String,
        /// What is wrong with it.
        source: crate::Corruption,
    },
    /// The storage below failed.
    #[error("{origin}: {source}")]
    Storage {
        /// What was being read.
        origin: String,
        /// The failure.
        source: Box<dyn Error + Send + Sync>,
    },
}
