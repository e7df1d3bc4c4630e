//! Buckets with their bounds, in the order of the numbers they count.
#![warn(clippy::indexing_slicing)]

use super::error::Side;
use super::real::log2;
use super::{FloatHistogram, Model};

/// A bucket and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Bucket {
    /// The lower bound; minus infinity for the first custom bucket.
    pub lower: f64,
    /// The upper bound; infinite for the last custom bucket.
    pub upper: f64,
    /// Does the lower bound belong to the bucket?
    pub lower_inclusive: bool,
    /// Does the upper bound belong to the bucket?
    pub upper_inclusive: bool,
    /// Observations in the bucket; in all buckets up to this one if the bucket is cumulative.
    pub count: f64,
}

impl Bucket {
    /// Which bounds belong to the bucket, as the HTTP API of Prometheus says it: 0 the upper one, 1 the lower one,
    /// 2 neither, 3 both.
    pub fn boundary_rule(&self) -> u8 {
        match (self.lower_inclusive, self.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        }
    }

    /// The share of the bucket that lies at or below `value`, which is strictly between finite bounds: of its width
    /// if `linear`, else of its width on a logarithmic scale.
    pub(super) fn share_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, at) = (log2(self.lower.abs()), log2(self.upper.abs()), log2(value.abs()));
        if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - ((at - upper) / (lower - upper)) }
    }

    /// Does the bucket reach zero? Of exponential histograms, only the zero bucket does.
    pub(super) fn holds_zero(&self) -> bool {
        self.lower <= 0.0 && self.upper >= 0.0
    }
}

/// Which bucket, and what it holds. Its bounds cost more, so they are computed only for buckets that matter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    place: Place,
    pub(super) count: f64,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Negative(i32),
    Zero,
    Positive(i32),
}

impl FloatHistogram {
    /// All buckets from the lowest to the highest numbers, empty ones included, the zero bucket only if its count is
    /// positive. Buckets that reach into the zero bucket begin or end at the zero threshold.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        self.0.slots().map(|slot| self.0.clipped(slot))
    }

    /// The positive (or custom) buckets from the lowest to the highest, empty ones included.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        let model = &self.0;
        model.positive.iter().map(|(index, count)| model.bucket(Side::Positive, index, count))
    }

    /// The negative buckets from the one closest to zero downwards, empty ones included.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        let model = &self.0;
        model.negative.iter().map(|(index, count)| model.bucket(Side::Negative, index, count))
    }

    /// The zero bucket. Custom histograms have none.
    pub fn zero_bucket(&self) -> Option<Bucket> {
        (!self.is_custom()).then(|| self.0.zero_bucket())
    }

    /// All buckets of [`Self::buckets`], each from minus infinity and with the counts of all before.
    pub fn cumulative_buckets(&self) -> impl Iterator<Item = Bucket> {
        let mut count = 0.0;
        self.buckets().map(move |bucket| {
            count += bucket.count;
            Bucket { lower: f64::NEG_INFINITY, lower_inclusive: true, count, ..bucket }
        })
    }
}

impl Model<f64> {
    /// All buckets from the lowest to the highest numbers.
    pub(super) fn slots(&self) -> impl DoubleEndedIterator<Item = Slot> + Clone {
        let zero = (self.zero_count > 0.0).then_some(Slot { place: Place::Zero, count: self.zero_count });
        let negative = self.negative.iter().rev();
        let negative = negative.map(|(index, count)| Slot { place: Place::Negative(index), count });
        let positive = self.positive.iter();
        let positive = positive.map(|(index, count)| Slot { place: Place::Positive(index), count });
        negative.chain(zero).chain(positive)
    }

    /// The bucket of a slot, cut off where the zero bucket begins.
    pub(super) fn clipped(&self, slot: Slot) -> Bucket {
        match slot.place {
            Place::Zero => self.zero_bucket(),
            Place::Positive(index) => {
                let mut bucket = self.bucket(Side::Positive, index, slot.count);
                if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
                    bucket.lower = self.zero_threshold;
                }
                bucket
            }
            Place::Negative(index) => {
                let mut bucket = self.bucket(Side::Negative, index, slot.count);
                if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
                    bucket.upper = -self.zero_threshold;
                }
                bucket
            }
        }
    }

    fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }
}

impl<C> Model<C> {
    /// The bucket `index` of a side.
    pub(super) fn bucket(&self, side: Side, index: i32, count: f64) -> Bucket {
        // No overflow: see MAX_INDEX.
        let (near, far) = (self.bound(index - 1), self.bound(index));
        if self.schema.is_custom() {
            return Bucket {
                lower: near,
                upper: far,
                lower_inclusive: index == 0,
                upper_inclusive: true,
                count,
            };
        }
        let (lower, upper) = match side {
            Side::Positive => (near, far),
            Side::Negative => (-far, -near),
        };
        Bucket { lower, upper, lower_inclusive: lower < 0.0, upper_inclusive: upper > 0.0, count }
    }

    /// The bound of bucket `index` that is farther from zero; of custom buckets, the upper one.
    pub(super) fn bound(&self, index: i32) -> f64 {
        if !self.schema.is_custom() {
            return self.schema.bound(index);
        }
        match usize::try_from(index) {
            Ok(index) => self.bounds.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }
}
