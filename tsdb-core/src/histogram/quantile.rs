//! Quantiles of the observations, and which share of them lies in a range.
//!
//! Within a custom bucket and the zero bucket observations are taken to be spread evenly; within an exponential
//! bucket, evenly on a logarithmic scale. If there are no buckets below (above) zero, the zero bucket is taken to
//! begin (end) at zero, and so is the first custom bucket if its upper bound is positive.
#![warn(clippy::indexing_slicing)]

use super::iterate::Slot;
use super::real::{exp2, log2};
use super::{Bucket, FloatHistogram, Model};
use core::cmp::Ordering;

/// An estimate, and what NaN among the observations has to do with it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The quantile or the share.
    pub value: f64,
    /// Were there observations of NaN? They are in no bucket.
    pub nan: NanObservations,
}

/// What observations of NaN have to do with an estimate. The user may want to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanObservations {
    /// Nothing: there were none.
    None,
    /// They moved the estimate: quantiles take them for larger than anything, shares leave them out of every range.
    Skew,
    /// The quantile is among them, so it is NaN.
    Hit,
}

impl Estimate {
    const fn plain(value: f64) -> Self {
        Self { value, nan: NanObservations::None }
    }
}

impl FloatHistogram {
    /// The estimated `q`-quantile of the observations. Infinite if `q` is outside of 0 to 1, NaN if it is NaN or there
    /// are no observations.
    pub fn quantile(&self, q: f64) -> Estimate {
        if q < 0.0 {
            return Estimate::plain(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return Estimate::plain(f64::INFINITY);
        }
        if self.count() == 0.0 || q.is_nan() {
            return Estimate::plain(f64::NAN);
        }
        // From the closer end, for the sake of precision. Observations of NaN are behind the upper end.
        if self.sum().is_nan() || q < 0.5 {
            self.0.quantile_from(self.0.slots(), q * self.count(), true)
        } else {
            self.0.quantile_from(self.0.slots().rev(), (1.0 - q) * self.count(), false)
        }
    }

    /// The estimated share of the observations between `lower` and `upper`. NaN if either is NaN or there are no
    /// observations; 0 if `lower` is not below `upper`.
    pub fn fraction(&self, lower: f64, upper: f64) -> Estimate {
        if self.count() == 0.0 || lower.is_nan() || upper.is_nan() {
            return Estimate::plain(f64::NAN);
        }
        if lower >= upper {
            return Estimate::plain(0.0);
        }
        let [from, to] = self.0.ranks([lower, upper]);
        let (mut count, mut nan) = (self.count(), NanObservations::None);
        if self.sum().is_nan() {
            count = self.0.slots().map(|slot| slot.count).sum();
            if count < self.count() {
                nan = NanObservations::Skew;
            }
        }
        // Rounding may have found more than there is; what ends behind the last bucket has found everything.
        let within =
            |rank: Option<f64>| rank.filter(|rank| rank.partial_cmp(&count) != Some(Ordering::Greater));
        let share = (within(to).unwrap_or(count) - within(from).unwrap_or(count)) / self.count();
        Estimate { value: share, nan }
    }
}

impl Model<f64> {
    /// The quantile at `rank`, counted in the direction of `slots`.
    fn quantile_from(&self, mut slots: impl Iterator<Item = Slot>, rank: f64, forward: bool) -> Estimate {
        let (mut count, mut found) = (0.0, None);
        for slot in slots.by_ref() {
            found = Some(slot);
            if slot.count != 0.0 {
                count += slot.count;
                if count >= rank {
                    break;
                }
            }
        }
        let mut bucket = found.map(|slot| self.clipped(slot)).unwrap_or_default();
        if let Some(value) = self.cut_open_end(&mut bucket) {
            return Estimate::plain(value);
        }
        // Rounding may have found more than there is.
        count = if count > self.count { self.count } else { count };
        if count < rank {
            // Only NaN can be behind the last bucket. Otherwise counts are imprecise, and this is the best guess.
            return if self.sum.is_nan() {
                Estimate { value: f64::NAN, nan: NanObservations::Hit }
            } else {
                Estimate::plain(bucket.upper)
            };
        }
        let within = if forward { rank - (count - bucket.count) } else { count - rank };
        let mut nan = NanObservations::None;
        // A sum is NaN also if both infinities were observed; then the buckets hold everything.
        if self.sum.is_nan() && slots.fold(count, |count, slot| count + slot.count) < self.count {
            nan = NanObservations::Skew;
        }
        Estimate { value: interpolate(&bucket, within / bucket.count, self.schema.is_custom()), nan }
    }

    /// Gives a bucket that holds a quantile finite bounds. Where that cannot be, its finite bound is the answer.
    fn cut_open_end(&self, bucket: &mut Bucket) -> Option<f64> {
        if !self.schema.is_custom() {
            if bucket.lower < 0.0 && bucket.upper > 0.0 {
                self.cut_zero_bucket(bucket);
            }
        } else if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return Some(bucket.upper);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return Some(bucket.lower);
        }
        None
    }

    /// The zero bucket ends at zero on a side that has no buckets, if the other side has some.
    fn cut_zero_bucket(&self, bucket: &mut Bucket) {
        match (self.negative.is_empty(), self.positive.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// How many observations lie below each of the two ascending values. `None`: below the end of no bucket.
    fn ranks(&self, values: [f64; 2]) -> [Option<f64>; 2] {
        let mut ranks = [None; 2];
        let mut rank = 0.0;
        for slot in self.slots() {
            let mut bucket = self.clipped(slot);
            let holds_zero = bucket.holds_zero();
            if holds_zero {
                self.cut_zero_bucket(&mut bucket);
            }
            for (value, found) in values.into_iter().zip(&mut ranks) {
                if found.is_some() {
                    continue;
                }
                if bucket.lower >= value {
                    *found = Some(rank);
                } else if bucket.upper > value {
                    let linear = self.schema.is_custom() || holds_zero;
                    *found = Some(rank_within(&bucket, rank, value, linear));
                }
            }
            if ranks.iter().all(Option::is_some) {
                break;
            }
            rank += bucket.count;
        }
        ranks
    }
}

/// How many observations lie below `value`, which is in the bucket, if `before` lie below the bucket.
fn rank_within(bucket: &Bucket, before: f64, value: f64, linear: bool) -> f64 {
    // A bucket without a lower bound counts as a whole; one without an upper bound not at all, by the formula.
    if linear && bucket.lower == f64::NEG_INFINITY {
        return bucket.count;
    }
    before + bucket.count * bucket.share_below(value, linear)
}

/// The number at `fraction` of the way through the bucket.
fn interpolate(bucket: &Bucket, fraction: f64, is_custom: bool) -> f64 {
    if is_custom || bucket.holds_zero() {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    if bucket.lower > 0.0 {
        exp2(lower + (upper - lower) * fraction)
    } else {
        -exp2(upper + (lower - upper) * (1.0 - fraction))
    }
}
