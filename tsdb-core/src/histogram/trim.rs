//! Cutting off the observations above or below a number: the operators `</` and `>/` of PromQL.
#![warn(clippy::indexing_slicing)]

use super::error::Side;
use super::real::sqrt;
use super::{Bucket, FloatHistogram, Model};

/// Which observations stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

impl FloatHistogram {
    /// Removes the observations above `bound`: what `</` does.
    ///
    /// A bucket that `bound` cuts through keeps the share that interpolation finds below it: linear in custom buckets
    /// and the zero bucket, else logarithmic. Buckets without a finite bound cannot be cut and are kept or removed as
    /// a whole, except the first custom bucket, which is taken to begin at zero if it ends above. If anything is
    /// removed, count and sum are estimated anew from the buckets, and the histogram is compact afterwards.
    pub fn trim_above(&mut self, bound: f64) {
        self.0.trim(bound, Keep::Below);
    }

    /// Removes the observations below `bound`: what `>/` does. See [`FloatHistogram::trim_above`].
    pub fn trim_below(&mut self, bound: f64) {
        self.0.trim(bound, Keep::Above);
    }
}

/// What stays of a bucket: how many observations, and what they are on average.
#[derive(Debug, Clone, Copy)]
struct Kept {
    count: f64,
    middle: f64,
}

impl Kept {
    const NOTHING: Self = Self { count: 0.0, middle: 0.0 };
}

impl Model<f64> {
    fn trim(&mut self, at: f64, keep: Keep) {
        let (mut count, mut sum, mut trimmed) = (0.0, 0.0, false);
        let mut populated = [false; 2];
        for (side, populated) in [Side::Positive, Side::Negative].into_iter().zip(&mut populated) {
            let kept = self.kept_of_side(side, at, keep);
            let buckets = if side == Side::Positive { &mut self.positive } else { &mut self.negative };
            for (bucket, kept) in buckets.counts_mut().iter_mut().zip(kept) {
                if *bucket == 0.0 {
                    continue;
                }
                *populated = true;
                count += kept.count;
                sum += kept.middle * kept.count;
                if *bucket != kept.count {
                    *bucket = kept.count;
                    trimmed = true;
                }
            }
        }
        if self.zero_count > 0.0 {
            let kept = self.kept_of_zero_bucket(at, keep, populated);
            trimmed |= self.zero_count != kept.count;
            self.zero_count = kept.count;
            sum += kept.middle * kept.count;
            count += kept.count;
        }
        if trimmed {
            (self.count, self.sum) = (count, sum);
            self.positive.compact(0);
            self.negative.compact(0);
        }
    }

    /// What stays of each bucket of a side.
    fn kept_of_side(&self, side: Side, at: f64, keep: Keep) -> alloc::vec::Vec<Kept> {
        let buckets = if side == Side::Positive { &self.positive } else { &self.negative };
        let kept = buckets.iter().map(|(index, count)| {
            if count == 0.0 {
                Kept::NOTHING
            } else {
                self.kept(side, &self.bucket(side, index, count), at, keep)
            }
        });
        kept.collect()
    }

    fn kept(&self, side: Side, bucket: &Bucket, at: f64, keep: Keep) -> Kept {
        let (whole, cut) = match keep {
            Keep::Below => (bucket.upper <= at, bucket.lower < at),
            Keep::Above => (bucket.lower >= at, bucket.upper > at),
        };
        let linear = self.schema.is_custom();
        if whole {
            return Kept { count: bucket.count, middle: middle(bucket.lower, bucket.upper, side, linear) };
        }
        if !cut {
            return Kept::NOTHING;
        }
        if bucket.lower == f64::NEG_INFINITY {
            return kept_without_lower_bound(bucket, at, keep);
        }
        if bucket.upper == f64::INFINITY {
            return match keep {
                Keep::Below => Kept::NOTHING,
                Keep::Above => Kept { count: bucket.count, middle: at },
            };
        }
        let below = bucket.count * bucket.share_below(at, linear);
        match keep {
            Keep::Below => Kept { count: below, middle: middle(bucket.lower, at, side, linear) },
            Keep::Above => {
                Kept { count: bucket.count - below, middle: middle(at, bucket.upper, side, linear) }
            }
        }
    }

    /// The zero bucket ends at zero on a side where nothing is, if something is on the other.
    fn kept_of_zero_bucket(&self, at: f64, keep: Keep, [positive, negative]: [bool; 2]) -> Kept {
        let lower = if positive && !negative { 0.0 } else { -self.zero_threshold };
        let upper = if negative && !positive { 0.0 } else { self.zero_threshold };
        let whole = Kept { count: self.zero_count, middle: (lower + upper) / 2.0 };
        let part = |from: f64, to: f64| Kept {
            count: self.zero_count * ((to - from) / (upper - lower)),
            middle: (from + to) / 2.0,
        };
        match keep {
            Keep::Below if at <= lower => Kept::NOTHING,
            Keep::Below if at >= upper => whole,
            Keep::Below => part(lower, at),
            Keep::Above if at <= lower => whole,
            Keep::Above if at >= upper => Kept::NOTHING,
            Keep::Above => part(at, upper),
        }
    }
}

/// What stays of the first custom bucket if it is cut: it is taken to begin at zero if it ends above.
fn kept_without_lower_bound(bucket: &Bucket, at: f64, keep: Keep) -> Kept {
    let finite = bucket.upper < f64::INFINITY;
    match keep {
        Keep::Below if at > 0.0 && finite => {
            Kept { count: bucket.count * at / bucket.upper, middle: at / 2.0 }
        }
        Keep::Below if bucket.upper <= 0.0 => Kept { count: bucket.count, middle: at },
        Keep::Above if at >= 0.0 && finite => {
            Kept { count: bucket.count * (1.0 - at / bucket.upper), middle: (at + bucket.upper) / 2.0 }
        }
        _ => Kept::NOTHING,
    }
}

/// The average of what lies between two bounds. If one is infinite, the other; but of a range that begins at minus
/// infinity and ends above zero, the middle between zero and the end.
fn middle(lower: f64, upper: f64, side: Side, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let middle = sqrt((lower * upper).abs());
            if side == Side::Positive { middle } else { -middle }
        }
    }
}
