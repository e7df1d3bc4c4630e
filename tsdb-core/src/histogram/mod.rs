//! Native histograms: counts of observations in exponential or custom buckets.
//!
//! A [`FloatHistogram`] is what queries compute with and what storage gives out; histograms of integers, as senders
//! deliver them, become one by [`IntegerParts`]. What the operations do is what Prometheus 3.14 does
//! (`model/histogram` and `promql/quantile.go`), including which bucket slots exist afterwards, even empty ones, because
//! quantiles look at that.
//!
//! # What always holds
//! - The schema is known, the zero threshold is a number not below 0, custom bounds increase and are enough for the
//!   buckets, and only custom schemas have them. Custom histograms have neither a zero bucket nor negative buckets.
//! - Each set of buckets has one layout: neighbouring and empty spans are joined when a histogram is made. So equal
//!   layouts are equal spans.
//! - Counts may be anything, negative and NaN included, because the difference of two histograms is a histogram. Whoever
//!   takes histograms from outside makes them by [`FloatHistogram::new`], which refuses negative counts; evaluation
//!   uses [`FloatHistogram::for_evaluation`].
//!
//! # What this module does not do
//! It raises no annotations: operations return what is to be warned of. It encodes nothing, and knows no series.

mod arithmetic;
mod buckets;
mod compare;
mod count;
mod custom;
mod error;
mod iterate;
mod layout;
mod moments;
mod parts;
mod quantile;
mod real;
mod reset;
mod schema;
mod spans;
mod sum;
#[cfg(test)]
mod tests;
mod text;
mod trim;
mod zero;

pub use arithmetic::Reconciled;
pub use error::{HistogramError, IncompatibleSchemas, Side};
pub use iterate::Bucket;
pub(crate) use layout::{Layout, Totals, max_layout_bytes, to_whole, whole_or_zero};
pub use parts::{FloatParts, IntegerParts, MAX_BUCKETS};
pub use quantile::{Estimate, NanObservations};
pub use schema::Schema;
pub(crate) use spans::Run;
pub use spans::Span;
pub use sum::HistogramSum;

use crate::is_stale_nan;
use alloc::sync::Arc;
use buckets::Buckets;
use count::Count;
use spans::spans_of_runs;

/// What is known about a counter reset before a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Nothing: compare with the histogram before.
    #[default]
    Unknown,
    /// There was one.
    Reset,
    /// There was none.
    NotReset,
    /// The histogram is a gauge, which has no resets.
    Gauge,
}

/// A native histogram with counts that need not be whole. See the [module](self) for what always holds.
#[derive(Debug, Clone)]
pub struct FloatHistogram(Model<f64>);

/// A histogram whose counts and sums are of type `C`.
#[derive(Debug, Clone)]
struct Model<C> {
    hint: ResetHint,
    schema: Schema,
    zero_threshold: f64,
    zero_count: C,
    count: C,
    sum: C,
    positive: Buckets<C>,
    negative: Buckets<C>,
    /// Empty unless the schema is custom.
    bounds: Arc<[f64]>,
}

impl FloatHistogram {
    /// A histogram without observations that has the schema and the custom bounds of `self`.
    #[must_use]
    pub fn empty_like(&self) -> Self {
        Self(Model {
            hint: ResetHint::Unknown,
            schema: self.0.schema,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: Buckets::default(),
            negative: Buckets::default(),
            bounds: self.0.bounds.clone(),
        })
    }

    /// A histogram of the same schema that keeps the count of all observations, their sum and the reset hint, and
    /// knows nothing of buckets.
    #[must_use]
    pub fn totals(&self) -> Self {
        Self(Model {
            hint: self.0.hint,
            schema: self.0.schema,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: self.0.count,
            sum: self.0.sum,
            positive: Buckets::default(),
            negative: Buckets::default(),
            bounds: Arc::default(),
        })
    }

    /// What is known about a counter reset before this histogram.
    pub fn reset_hint(&self) -> ResetHint {
        self.0.hint
    }

    /// Sets what is known about a counter reset before this histogram.
    pub fn set_reset_hint(&mut self, hint: ResetHint) {
        self.0.hint = hint;
    }

    /// How the buckets are bounded.
    pub fn schema(&self) -> Schema {
        self.0.schema
    }

    /// Are the bounds listed rather than computed?
    pub fn is_custom(&self) -> bool {
        self.0.schema.is_custom()
    }

    /// The zero bucket covers this much on both sides of zero, bounds included.
    pub fn zero_threshold(&self) -> f64 {
        self.0.zero_threshold
    }

    /// Observations in the zero bucket.
    pub fn zero_count(&self) -> f64 {
        self.0.zero_count
    }

    /// Observations in all. More than the buckets hold if NaN was observed.
    pub fn count(&self) -> f64 {
        self.0.count
    }

    /// Sum of the observations.
    pub fn sum(&self) -> f64 {
        self.0.sum
    }

    /// The upper bounds of custom buckets, without the +Inf of the last; empty for exponential ones.
    pub fn bounds(&self) -> &Arc<[f64]> {
        &self.0.bounds
    }

    /// The spans of the positive (or custom) buckets.
    pub fn positive_spans(&self) -> impl Iterator<Item = Span> {
        spans_of_runs(self.0.positive.runs())
    }

    /// The spans of the negative buckets.
    pub fn negative_spans(&self) -> impl Iterator<Item = Span> {
        spans_of_runs(self.0.negative.runs())
    }

    /// The counts of the positive (or custom) buckets, one for each bucket of the spans.
    pub fn positive_counts(&self) -> &[f64] {
        self.0.positive.counts()
    }

    /// The counts of the negative buckets, one for each bucket of the spans.
    pub fn negative_counts(&self) -> &[f64] {
        self.0.negative.counts()
    }

    /// How many buckets are stored, empty ones included, the zero bucket not.
    pub fn bucket_count(&self) -> usize {
        self.0.positive.len() + self.0.negative.len()
    }

    /// Do both histograms have the same schema, zero threshold, custom bounds and buckets?
    pub fn same_layout(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        a.schema == b.schema
            && a.zero_threshold == b.zero_threshold
            && custom::same_bounds(&a.bounds, &b.bounds)
            && a.positive.runs() == b.positive.runs()
            && a.negative.runs() == b.negative.runs()
    }

    /// Is this the marker that the series has ended?
    pub fn is_stale(&self) -> bool {
        is_stale_nan(self.0.sum)
    }

    /// Is any count, sum or bound infinite? Additions of large histograms can run over.
    pub fn has_overflow(&self) -> bool {
        self.0.has_overflow() || self.0.bounds.iter().any(|bound| bound.is_infinite())
    }

    /// Bytes of memory, counted as if nothing were shared.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.0.positive.heap_bytes())
            .saturating_add(self.0.negative.heap_bytes())
            .saturating_add(size_of_val::<[f64]>(&self.0.bounds))
    }

    /// Joins spans and drops empty buckets: afterwards no span begins or ends with one, and empty buckets are only
    /// where at most `max_empty` lie between two that hold something. 0 leaves none.
    pub fn compact(&mut self, max_empty: u16) {
        self.0.positive.compact(max_empty);
        self.0.negative.compact(max_empty);
    }

    /// The histogram in a coarser schema, with the same reset hint. `None` if `schema` is finer, or either is custom
    /// and they differ.
    #[must_use]
    pub fn copy_to_schema(&self, schema: Schema) -> Option<Self> {
        let mut copy = self.clone();
        copy.reduce_resolution(schema).then_some(copy)
    }

    /// Makes the schema coarser. `false`, and nothing has changed, if `schema` is finer, or either is custom and they
    /// differ.
    #[must_use = "false if the histogram cannot have the schema"]
    pub fn reduce_resolution(&mut self, schema: Schema) -> bool {
        if schema == self.0.schema {
            return true;
        }
        let Some(steps) = self.0.schema.steps_to(schema) else {
            return false;
        };
        self.0.positive = self.0.positive.coarser(steps);
        self.0.negative = self.0.negative.coarser(steps);
        self.0.schema = schema;
        true
    }

    /// Makes the schema as coarse as it takes to have at most `limit` buckets.
    ///
    /// # Errors
    /// [`HistogramError::TooManyBuckets`] if even the coarsest schema has more, or the buckets are custom. The
    /// histogram has not changed then.
    pub fn limit_buckets(&mut self, limit: usize) -> Result<(), HistogramError> {
        let too_many = HistogramError::TooManyBuckets { buckets: self.bucket_count(), limit };
        if self.bucket_count() <= limit {
            return Ok(());
        }
        let mut reduced = self.clone();
        while reduced.bucket_count() > limit {
            let coarser = if self.is_custom() { None } else { reduced.0.schema.coarser() };
            if !coarser.is_some_and(|schema| reduced.reduce_resolution(schema)) {
                return Err(too_many);
            }
        }
        *self = reduced;
        Ok(())
    }
}

impl<C: Count> Model<C> {
    fn has_overflow(&self) -> bool {
        let totals = [self.zero_count, self.count, self.sum];
        let mut all = totals.iter().chain(self.positive.counts()).chain(self.negative.counts());
        all.any(|count| count.value().is_infinite())
    }

    /// Changes every count and sum by `f`.
    fn apply(&mut self, f: impl Fn(f64) -> f64) {
        self.zero_count = self.zero_count.map(&f);
        self.count = self.count.map(&f);
        self.sum = self.sum.map(&f);
        self.positive.apply(&f);
        self.negative.apply(&f);
    }

    /// Every count and sum through `f`.
    fn map<D>(&self, f: impl Fn(C) -> D) -> Model<D> {
        Model {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: f(self.zero_count),
            count: f(self.count),
            sum: f(self.sum),
            positive: self.positive.map(&f),
            negative: self.negative.map(&f),
            bounds: self.bounds.clone(),
        }
    }
}
