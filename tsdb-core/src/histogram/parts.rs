//! From parts to a histogram: what is refused, and what is brought into shape.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::buckets::Buckets;
use super::error::Side;
use super::spans::{Runs, runs_of_spans};
use super::{FloatHistogram, HistogramError, Model, ResetHint, Schema, Span};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A histogram from outside has at most this many buckets. What a tenant may send is a limit of its own, usually a
/// few hundred: see [`FloatHistogram::limit_buckets`].
pub const MAX_BUCKETS: usize = 65_536;

/// Finer schemas than this are not defined. Those up to it are accepted and become [`Schema::FINEST`].
const FINEST_RESERVED: i32 = 52;

/// A histogram of floats as it is written or transferred. What is not given is zero or empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloatParts {
    /// What is known about a counter reset.
    pub reset_hint: ResetHint,
    /// -4 to 8 for exponential buckets, -53 for custom ones. Finer exponential schemas, up to 52, are reduced to 8.
    pub schema: i32,
    /// The zero bucket covers this much on both sides of zero.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Observations in all.
    pub count: f64,
    /// Sum of the observations.
    pub sum: f64,
    /// Which positive (or custom) buckets there are.
    pub positive_spans: Vec<Span>,
    /// What they hold, one number for each bucket of the spans.
    pub positive_counts: Vec<f64>,
    /// Which negative buckets there are.
    pub negative_spans: Vec<Span>,
    /// What they hold.
    pub negative_counts: Vec<f64>,
    /// Upper bounds of custom buckets, without +Inf.
    pub bounds: Arc<[f64]>,
}

/// A histogram of integers as remote write transfers it: each bucket is the difference to the one before.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IntegerParts {
    /// What is known about a counter reset.
    pub reset_hint: ResetHint,
    /// -4 to 8 for exponential buckets, -53 for custom ones. Finer exponential schemas, up to 52, are reduced to 8.
    pub schema: i32,
    /// The zero bucket covers this much on both sides of zero.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Observations in all.
    pub count: u64,
    /// Sum of the observations.
    pub sum: f64,
    /// Which positive (or custom) buckets there are.
    pub positive_spans: Vec<Span>,
    /// What they hold: the first a count, each other the difference to the one before.
    pub positive_deltas: Vec<i64>,
    /// Which negative buckets there are.
    pub negative_spans: Vec<Span>,
    /// What they hold, likewise.
    pub negative_deltas: Vec<i64>,
    /// Upper bounds of custom buckets, without +Inf.
    pub bounds: Arc<[f64]>,
}

impl FloatHistogram {
    /// A histogram from outside: nothing has been observed a negative number of times.
    ///
    /// As in Prometheus, the count is not compared with the buckets, whose sum may differ by rounding, and NaN passes.
    ///
    /// # Errors
    /// What makes the parts no histogram.
    pub fn new(parts: FloatParts) -> Result<Self, HistogramError> {
        let buckets = parts.positive_counts.len().saturating_add(parts.negative_counts.len());
        if buckets > MAX_BUCKETS {
            return Err(HistogramError::TooManyBuckets { buckets, limit: MAX_BUCKETS });
        }
        if parts.count < 0.0 {
            return Err(HistogramError::NegativeCount { count: parts.count });
        }
        if parts.zero_count < 0.0 {
            return Err(HistogramError::NegativeZeroCount { count: parts.zero_count });
        }
        for (side, counts) in
            [(Side::Positive, &parts.positive_counts), (Side::Negative, &parts.negative_counts)]
        {
            if let Some(bucket) = counts.iter().position(|count| *count < 0.0) {
                return Err(HistogramError::NegativeBucket { side, bucket });
            }
        }
        Self::for_evaluation(parts)
    }

    /// A histogram in the course of an evaluation (or a test script): counts may be anything, their number is not
    /// limited, but the layout is sound.
    ///
    /// # Errors
    /// What makes the parts no histogram, counts aside.
    pub fn for_evaluation(parts: FloatParts) -> Result<Self, HistogramError> {
        let (schema, steps) = known_schema(parts.schema)?;
        if parts.zero_threshold.is_nan() || parts.zero_threshold < 0.0 {
            return Err(HistogramError::ZeroThreshold { threshold: parts.zero_threshold });
        }
        let positive = runs_of_spans(Side::Positive, &parts.positive_spans, parts.positive_counts.len())?;
        let negative = runs_of_spans(Side::Negative, &parts.negative_spans, parts.negative_counts.len())?;
        if schema.is_custom() {
            check_custom(&parts, &positive)?;
        } else if !parts.bounds.is_empty() {
            return Err(HistogramError::ExponentialWithBounds);
        }
        let positive = Buckets::new(positive, parts.positive_counts);
        let negative = Buckets::new(negative, parts.negative_counts);
        Ok(Self(Model {
            hint: parts.reset_hint,
            schema,
            zero_threshold: parts.zero_threshold,
            zero_count: parts.zero_count,
            count: parts.count,
            sum: parts.sum,
            positive: if steps == 0 { positive } else { positive.coarser(steps) },
            negative: if steps == 0 { negative } else { negative.coarser(steps) },
            bounds: parts.bounds,
        }))
    }

    /// The parts of the histogram.
    pub fn to_parts(&self) -> FloatParts {
        FloatParts {
            reset_hint: self.reset_hint(),
            schema: self.schema().number(),
            zero_threshold: self.zero_threshold(),
            zero_count: self.zero_count(),
            count: self.count(),
            sum: self.sum(),
            positive_spans: self.positive_spans().collect(),
            positive_counts: self.positive_counts().to_vec(),
            negative_spans: self.negative_spans().collect(),
            negative_counts: self.negative_counts().to_vec(),
            bounds: self.bounds().clone(),
        }
    }
}

impl TryFrom<IntegerParts> for FloatHistogram {
    type Error = HistogramError;

    /// A histogram from outside. The count must be that of the buckets, or at least that if the sum is NaN, because an
    /// observed NaN is in no bucket.
    ///
    /// Counts beyond 2^53 are rounded to the nearest float.
    fn try_from(parts: IntegerParts) -> Result<Self, HistogramError> {
        let (positive_counts, positive) = counts_of_deltas(Side::Positive, &parts.positive_deltas)?;
        let (negative_counts, negative) = counts_of_deltas(Side::Negative, &parts.negative_deltas)?;
        // A stale marker needs no buckets and has a NaN for a sum.
        let in_buckets = positive.saturating_add(negative).saturating_add(parts.zero_count.into());
        let count = u128::from(parts.count);
        if in_buckets > count || (in_buckets < count && !parts.sum.is_nan()) {
            return Err(HistogramError::CountMismatch { count: parts.count, in_buckets });
        }
        Self::new(FloatParts {
            reset_hint: parts.reset_hint,
            schema: parts.schema,
            zero_threshold: parts.zero_threshold,
            zero_count: to_float(parts.zero_count),
            count: to_float(parts.count),
            sum: parts.sum,
            positive_spans: parts.positive_spans,
            positive_counts,
            negative_spans: parts.negative_spans,
            negative_counts,
            bounds: parts.bounds,
        })
    }
}

/// The counts that the deltas describe, and their sum.
fn counts_of_deltas(side: Side, deltas: &[i64]) -> Result<(Vec<f64>, u128), HistogramError> {
    let (mut count, mut sum) = (0_i64, 0_u128);
    let mut counts = Vec::with_capacity(deltas.len().min(MAX_BUCKETS));
    for (bucket, delta) in deltas.iter().enumerate() {
        count = count.checked_add(*delta).ok_or(HistogramError::BucketOverflow { side, bucket })?;
        let unsigned = u64::try_from(count).map_err(|_| HistogramError::NegativeBucket { side, bucket })?;
        sum = sum.saturating_add(unsigned.into());
        counts.push(to_float(unsigned));
    }
    Ok((counts, sum))
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are rounded, as documented")]
fn to_float(count: u64) -> f64 {
    count as f64
}

/// The schema, and how often the resolution has to be halved to have it.
fn known_schema(number: i32) -> Result<(Schema, u32), HistogramError> {
    let finest = Schema::FINEST.number();
    if (finest..=FINEST_RESERVED).contains(&number) {
        return Ok((Schema::FINEST, number.abs_diff(finest)));
    }
    Schema::new(number).map(|schema| (schema, 0)).ok_or(HistogramError::Schema { schema: number })
}

/// Custom buckets have no zero bucket and no negative buckets, increasing bounds, and a bound for every bucket.
pub(super) fn check_custom(parts: &FloatParts, positive: &Runs) -> Result<(), HistogramError> {
    if parts.zero_count != 0.0 || parts.zero_threshold != 0.0 {
        return Err(HistogramError::CustomWithZeroBucket);
    }
    if !parts.negative_counts.is_empty() {
        return Err(HistogramError::CustomWithNegativeBuckets);
    }
    let mut previous = None;
    for (bound, value) in parts.bounds.iter().copied().enumerate() {
        if value.is_nan() {
            return Err(HistogramError::BoundNotANumber { bound });
        }
        if previous.is_some_and(|previous| value <= previous) {
            return Err(HistogramError::BoundsNotIncreasing { bound });
        }
        if value == f64::INFINITY {
            return Err(HistogramError::BoundInfinite { bound });
        }
        previous = Some(value);
    }
    let (Some(first), Some(last)) = (positive.first(), positive.last()) else {
        return Ok(());
    };
    if first.start < 0 {
        return Err(HistogramError::CustomBucketIndex { bucket: first.start });
    }
    // One bucket more than bounds: the last ends at +Inf.
    if usize::try_from(last.end()).is_ok_and(|end| end > parts.bounds.len().saturating_add(1)) {
        return Err(HistogramError::BoundsTooFew {
            bounds: parts.bounds.len(),
            bucket: last.end().saturating_sub(1),
        });
    }
    Ok(())
}
