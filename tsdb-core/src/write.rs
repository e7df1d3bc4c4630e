//! How anyone writes series.
//!
//! An [`Appender`] is one batch: name the series, append samples to them, commit. A sample that breaks a rule is
//! left out and reported; the rest of the batch is written.

use crate::histogram::FloatHistogram;
use crate::{Exemplar, Labels, SeriesRef, Timestamp, metadata::Metadata};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;

/// Something that can be appended to.
pub trait Appendable: Send + Sync {
    /// Opens an empty batch.
    fn appender(&self) -> Box<dyn Appender + '_>;
}

/// One batch of samples. Dropping it without [`commit`](Self::commit) throws its samples away.
pub trait Appender {
    /// The series whose labels have the wire form `wire` (see [`labels::write_wire`](crate::labels::write_wire)), if
    /// the store holds it. Bytes in any other form are simply unknown. This is the fast path: nothing is decoded.
    fn lookup(&mut self, wire: &[u8]) -> Option<SeriesRef>;

    /// Length of the wire form of the series that will probably be looked up next, because it was after the same series
    /// before. Whoever reads a message in which such labels may stand can try
    /// [`lookup_expected`](Self::lookup_expected) with so many bytes of it before it looks for their end.
    fn expected_len(&self) -> Option<usize> {
        None
    }

    /// As [`lookup`](Self::lookup), of the series that is expected next alone: for less work, and none if the bytes are
    /// others.
    fn lookup_expected(&mut self, wire: &[u8]) -> Option<SeriesRef> {
        let _: &[u8] = wire;
        None
    }

    /// Says where the series of this batch come from, for a store that budgets new ones by it.
    fn set_origin(&mut self, origin: Origin) {
        let _: Origin = origin;
    }

    /// Why the store takes no new series at the moment, whatever its labels, if it takes none. Whoever knows that a series
    /// is new asks this before decoding its labels, and [notes](Self::note_refused) that it refused it for that.
    fn closed(&mut self) -> Option<Exceeded> {
        None
    }

    /// Counts a new series that was refused because the store is [closed](Self::closed).
    fn note_refused(&mut self) {}

    /// The series with these labels, registered if it is new.
    ///
    /// # Errors
    /// The store refuses the series; nothing of it is kept.
    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, SeriesError>;

    /// Adds a sample to the batch; `series` must come from this appender. Whether it can be stored shows at [`commit`](Self::commit), which reports
    /// refusals by the position of the sample in the batch: the number of calls of this method before this one.
    fn append(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64);

    /// Adds a native histogram to the batch, under the same rules as [`append`](Self::append) and counted in the same
    /// positions.
    ///
    /// # Errors
    /// [`SampleError::HistogramsUnsupported`] from a store that keeps numbers alone, which is what this does unless a
    /// store says otherwise: the histogram is left out whole and has no position.
    fn append_histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        histogram: FloatHistogram,
    ) -> Result<(), SampleError> {
        drop(histogram);
        let _: SeriesRef = series;
        Err(SampleError::HistogramsUnsupported { timestamp })
    }

    /// Says when the counting began that the sample added last is the result of (ms). A store that keeps no start
    /// timestamps ignores it, which is what this does unless a store says otherwise.
    fn set_start(&mut self, start: Timestamp) {
        let _: Timestamp = start;
    }

    /// Adds an exemplar of `series` to the batch. Exemplars have no position and are never reported: a store keeps as
    /// many as it has room for, or none, which is what this does unless a store says otherwise.
    fn append_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) {
        drop((series, exemplar));
    }

    /// Says what a metric is.
    fn set_metadata(&mut self, metric: &str, metadata: Metadata);

    /// Writes the batch. When it returns, the accepted samples are visible to new queriers and as durable as the
    /// store promises.
    ///
    /// # Errors
    /// The log could not be written: nothing of the batch is acknowledged, some of it may be found later.
    fn commit(self: Box<Self>) -> Result<AppendReport, CommitError>;
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendReport {
    /// Samples stored, exact repetitions of stored samples included.
    pub accepted: u64,
    /// Samples refused, in order of position.
    pub refused: Vec<RefusedSample>,
}

/// A sample that was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedSample {
    /// Position of the sample in its batch, from 0.
    pub position: usize,
    /// Why.
    pub reason: SampleError,
}

/// Why a sample was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// Older than the newest sample of its series, and the store keeps samples in order.
    #[error("out of order: {timestamp} ms lies before {newest} ms, the newest sample of the series")]
    OutOfOrder {
        /// Its timestamp, ms.
        timestamp: Timestamp,
        /// Timestamp of the newest sample of the series, ms.
        newest: Timestamp,
    },
    /// The series has another value at this time.
    #[error("duplicate timestamp: the series has another value at {timestamp} ms")]
    Duplicate {
        /// The timestamp, ms.
        timestamp: Timestamp,
    },
    /// Older than anything the head may still take.
    #[error("too old: {timestamp} ms lies before {oldest} ms, the oldest time still writable")]
    TooOld {
        /// Its timestamp, ms.
        timestamp: Timestamp,
        /// The oldest time still writable, ms.
        oldest: Timestamp,
    },
    /// Older than the newest sample of its series, and the store has no more memory for such samples at the moment.
    #[error(
        "too many late samples: there is no memory for {timestamp} ms, because they take {allowed} bytes, which is all that they may; try again"
    )]
    TooManyLate {
        /// Its timestamp, ms.
        timestamp: Timestamp,
        /// The bytes that they may take.
        allowed: u64,
    },
    /// Further ahead of the clock than the store allows.
    #[error("too far in the future: {timestamp} ms lies behind {newest} ms, the newest time accepted")]
    TooFarInFuture {
        /// Its timestamp, ms.
        timestamp: Timestamp,
        /// The newest time accepted, ms.
        newest: Timestamp,
    },
    /// A native histogram, and the store keeps numbers alone.
    #[error("native histogram at {timestamp} ms: this store keeps numbers alone")]
    HistogramsUnsupported {
        /// Its timestamp, ms.
        timestamp: Timestamp,
    },
    /// A native histogram that no store of the family keeps whole.
    #[error("native histogram at {timestamp} ms: {buckets} buckets exceed the limit of {limit}")]
    TooManyBuckets {
        /// Its timestamp, ms.
        timestamp: Timestamp,
        /// Buckets that it has.
        buckets: usize,
        /// The largest number of buckets.
        limit: usize,
    },
    /// Its series is new and a limit on series is reached, which showed only when the batch was written.
    #[error("{exceeded}")]
    SeriesLimit {
        /// The limit.
        exceeded: Exceeded,
    },
    /// Its series is new and of a metric that nobody has approved of, which showed only when the batch was written.
    #[error("the metric is declared high-cardinality and not approved")]
    SeriesNotApproved,
    /// The reference names no series of this store.
    #[error("series reference {series} is unknown", series = series.0)]
    UnknownSeries {
        /// The reference.
        series: SeriesRef,
    },
}

/// The way in which series come into a store. Each has a budget of new series of its own, because what is usual for one
/// is a mistake in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Origin {
    /// The application that embeds the store.
    #[default]
    Embedded,
    /// A client that pushes its own samples.
    Push,
    /// A sender that forwards the samples of many.
    RemoteWrite,
    /// A target that is scraped.
    Scrape,
    /// A recording or alerting rule.
    Rule,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Embedded, Self::Push, Self::RemoteWrite, Self::Scrape, Self::Rule];
}

/// The limits on series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SeriesLimit {
    /// New series within a minute.
    NewPerMinute,
    /// Series in all.
    Active,
    /// Series of one metric.
    PerMetric,
    /// Values of one label of one metric.
    LabelValues,
    /// Numbers that series can have.
    Numbers,
    /// Bytes of the index.
    IndexBytes,
}

impl SeriesLimit {
    /// Its name, in settings and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewPerMinute => "max_new_series_per_minute",
            Self::Active => "max_active_series",
            Self::PerMetric => "max_series_per_metric",
            Self::LabelValues => "max_label_values_per_metric",
            Self::Numbers => "series_numbers",
            Self::IndexBytes => "label_index_bytes",
        }
    }
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit {} of {allowed} is reached, there are {found}", limit.name())]
pub struct Exceeded {
    /// Which.
    pub limit: SeriesLimit,
    /// What the limit allows.
    pub allowed: u64,
    /// How many there are already.
    pub found: u64,
}

/// A series that the store refuses to register.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// A limit on series is reached.
    #[error("{exceeded}; refused series: {series}")]
    Limit {
        /// The limit.
        exceeded: Exceeded,
        /// The refused series.
        series: Labels,
    },
    /// A label of the metric has too many values.
    #[error("{exceeded} values of the label {label:?} of this metric; refused series: {series}")]
    LabelValues {
        /// The limit.
        exceeded: Exceeded,
        /// Name of the label.
        label: String,
        /// The refused series.
        series: Labels,
    },
    /// The metric is declared to have many series, and nobody has approved of it.
    #[error("the metric is declared high-cardinality and not approved; refused series: {series}")]
    NotApproved {
        /// The refused series.
        series: Labels,
    },
    /// The labels are empty.
    #[error("a series needs at least one label")]
    NoLabels,
}

/// A batch that was not written.
#[derive(Debug, thiserror::Error)]
#[error("the batch was not written: {source}")]
pub struct CommitError {
    /// Why.
    pub source: Box<dyn Error + Send + Sync>,
    /// Is it worth trying again later, as with a full disk?
    pub temporary: bool,
}
