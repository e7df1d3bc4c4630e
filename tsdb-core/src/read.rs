//! How anyone reads series.
//!
//! A [`Queryable`] hands out [`Querier`]s, each a consistent view. A querier resolves matchers to a [`SeriesSet`]:
//! an immutable array of series that threads share, each reading the series at its own positions into its own
//! [`SampleColumns`]. Columns, not iterators: a series is read in one call, into buffers the caller reuses.

use crate::{Exemplar, Labels, Matcher, TimeRange, Timestamp};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;

pub use crate::sample::SampleColumns;

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

    /// May native histograms be among the samples? `false` only if there are certainly none: readers then leave out
    /// what only histograms would make them do.
    fn may_hold_histograms(&self) -> bool {
        true
    }

    /// May windows stand for samples? Then what a selection is used for decides what is read: a reader that takes windows
    /// does not share selections between uses.
    fn may_hold_windows(&self) -> bool {
        false
    }

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

    /// What is missing or doubtful in the names and values told so far, as sentences for people. What a selection
    /// lacks is said by its set.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
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

    /// As [`read`](Self::read), for readers that take windows for samples: replaces `weights` by how many samples each
    /// entry of `into` stands for, 0 for stale markers. No weights at all are those of samples.
    ///
    /// # Errors
    /// As for `read`.
    fn read_weighted(
        &self,
        index: usize,
        into: &mut SampleColumns,
        weights: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        weights.clear();
        self.read(index, into)
    }

    /// Length of the longest windows that stand for samples in this set, ms; `None` if there are none.
    fn resolution_ms(&self) -> Option<i64> {
        None
    }

    /// An upper estimate of the samples in all series, from metadata alone.
    fn estimated_samples(&self) -> u64;

    /// What is missing or doubtful in this set, as sentences for people.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// In what the samples read so far are but an approximation, as sentences for people.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Something that keeps exemplars and can be asked for them.
pub trait ExemplarQueryable: Send + Sync {
    /// The exemplars within `range` of the series that satisfy all matchers of at least one of `selectors`, ordered by
    /// labels, and by time within a series. Series without exemplars are left out.
    ///
    /// # Errors
    /// As for [`Querier::select`].
    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError>;
}

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// Labels of the series.
    pub labels: Labels,
    /// Its exemplars in order of time.
    pub exemplars: Vec<Exemplar>,
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
    /// Where the windows of the reader end, if it takes windows of the store for samples and reads them with
    /// [`SeriesSet::read_weighted`].
    ///
    /// A store that has windows then answers `function` from them where that gives the same result, because they fill the
    /// windows of the reader, and where it has nothing else. What it puts into the columns is what the function computes
    /// its result of: minima for `min_over_time`, sums for `sum_over_time` and `avg_over_time`, else samples, and for all
    /// of them the weights to count with.
    pub ends: Option<WindowEnds>,
    /// Is what lies far away, as on object storage, of no interest? For readers that rather know less than wait.
    pub near: bool,
}

/// Times at which the windows of a reader end; for an instant selector, the times of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowEnds {
    /// The first of them, ms.
    pub first: Timestamp,
    /// Distance of the others, ms; 0 if there are no others.
    pub step_ms: i64,
}

impl WindowEnds {
    /// Are all of them multiples of `resolution_ms`, which is positive?
    pub const fn are_multiples_of(self, resolution_ms: i64) -> bool {
        self.first.rem_euclid(resolution_ms) == 0 && self.step_ms.rem_euclid(resolution_ms) == 0
    }
}

impl SelectHints {
    /// Hints that say nothing but the range.
    pub const fn over(range: TimeRange) -> Self {
        Self {
            range,
            step_ms: 0,
            window_ms: 0,
            function: None,
            projection: Projection::All,
            ends: None,
            near: false,
        }
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

impl ReadError {
    /// May it be read later? Bytes that were read and are wrong stay as they are.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Corrupt { source, .. } => source.may_pass(),
            Self::Storage { .. } => true,
        }
    }
}
