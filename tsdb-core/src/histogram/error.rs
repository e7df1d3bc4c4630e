//! Why something is not a histogram, or two cannot be combined.

use core::fmt;

/// Which buckets of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The buckets above zero, or the custom buckets.
    Positive,
    /// The buckets below zero.
    Negative,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        })
    }
}

/// Why parts do not make a histogram. Numbers of spans, buckets and bounds begin at 0.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// No such schema.
    #[error(
        "schema {schema} is neither exponential (-4 to 8, finer ones up to 52) nor -53 for custom buckets"
    )]
    Schema {
        /// The number found.
        schema: i32,
    },
    /// A span goes back.
    #[error("{side} span {span} has the negative offset {offset}")]
    SpanOffset {
        /// Of which buckets.
        side: Side,
        /// The span.
        span: usize,
        /// Its offset.
        offset: i32,
    },
    /// A span leaves the range of indexes.
    #[error("{side} span {span} has buckets beyond index {limit} or its negative")]
    SpanIndex {
        /// Of which buckets.
        side: Side,
        /// The span.
        span: usize,
        /// The highest index there may be.
        limit: i32,
    },
    /// Spans and counts disagree.
    #[error("{side} spans need {spans} buckets, there are {counts}")]
    SpanLengths {
        /// Of which buckets.
        side: Side,
        /// Buckets that the spans describe.
        spans: u64,
        /// Counts there are.
        counts: usize,
    },
    /// More buckets than allowed, and no coarser resolution helps.
    #[error("{buckets} buckets exceed the limit of {limit}")]
    TooManyBuckets {
        /// Buckets found.
        buckets: usize,
        /// The limit.
        limit: usize,
    },
    /// A bucket has seen less than nothing.
    #[error("{side} bucket {bucket} has a negative count")]
    NegativeBucket {
        /// Of which buckets.
        side: Side,
        /// The bucket, counted from the first one listed.
        bucket: usize,
    },
    /// The zero bucket has seen less than nothing.
    #[error("the zero bucket has the negative count {count}")]
    NegativeZeroCount {
        /// The count.
        count: f64,
    },
    /// The histogram has seen less than nothing.
    #[error("the count of observations is negative: {count}")]
    NegativeCount {
        /// The count.
        count: f64,
    },
    /// The deltas of integer buckets leave the range of 64-bit integers.
    #[error("{side} bucket {bucket} overflows a 64-bit integer")]
    BucketOverflow {
        /// Of which buckets.
        side: Side,
        /// The bucket, counted from the first one listed.
        bucket: usize,
    },
    /// An integer histogram counts other than its buckets do.
    #[error("the count is {count}, but the buckets hold {in_buckets} observations")]
    CountMismatch {
        /// The count of observations.
        count: u64,
        /// The sum of the buckets.
        in_buckets: u128,
    },
    /// The zero bucket has no width.
    #[error("the zero threshold {threshold} is negative or not a number")]
    ZeroThreshold {
        /// The threshold found.
        threshold: f64,
    },
    /// Custom buckets together with a zero bucket.
    #[error("a histogram of custom buckets has no zero bucket")]
    CustomWithZeroBucket,
    /// Custom buckets together with negative ones.
    #[error("a histogram of custom buckets has no negative buckets")]
    CustomWithNegativeBuckets,
    /// Custom bounds with an exponential schema.
    #[error("a histogram of exponential buckets has no custom bounds")]
    ExponentialWithBounds,
    /// A bound that is NaN.
    #[error("custom bound {bound} is not a number")]
    BoundNotANumber {
        /// The bound.
        bound: usize,
    },
    /// A bound that is not above the one before.
    #[error("custom bound {bound} is not above the one before")]
    BoundsNotIncreasing {
        /// The bound.
        bound: usize,
    },
    /// +Inf among the bounds: the last bucket ends there anyway.
    #[error("custom bound {bound} is +Inf, which is implied")]
    BoundInfinite {
        /// The bound.
        bound: usize,
    },
    /// Buckets without bounds.
    #[error("{bounds} custom bounds do not reach bucket {bucket}")]
    BoundsTooFew {
        /// Bounds there are.
        bounds: usize,
        /// The highest bucket.
        bucket: i32,
    },
    /// A custom bucket below the first.
    #[error("custom buckets begin at 0, not at {bucket}")]
    CustomBucketIndex {
        /// The lowest bucket.
        bucket: i32,
    },
}

/// Exponential and custom buckets cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("histograms of exponential and of custom buckets cannot be combined")]
#[non_exhaustive]
pub struct IncompatibleSchemas;
