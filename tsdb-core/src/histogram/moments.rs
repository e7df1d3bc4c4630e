//! Mean and spread of the observations.

use super::FloatHistogram;
use super::count::{Count, Kahan};
use super::real::sqrt;

impl FloatHistogram {
    /// The mean of the observations. NaN if there are none.
    pub fn mean(&self) -> f64 {
        self.sum() / self.count()
    }

    /// The estimated variance of the observations. NaN if there are none.
    ///
    /// Every observation counts as the middle of its bucket: the arithmetic mean of the bounds of custom buckets, the
    /// geometric one of exponential buckets, and 0 in the zero bucket.
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        let mut squares = Kahan::default();
        for slot in self.0.slots().filter(|slot| slot.count != 0.0) {
            let bucket = self.0.clipped(slot);
            let middle = if self.is_custom() {
                (bucket.upper + bucket.lower) / 2.0
            } else if bucket.holds_zero() {
                0.0
            } else {
                let middle = sqrt(bucket.upper * bucket.lower);
                if bucket.upper < 0.0 { -middle } else { middle }
            };
            let distance = middle - mean;
            squares.add(Kahan::from(bucket.count * distance * distance));
        }
        (squares.sum + squares.compensation) / self.count()
    }

    /// The estimated standard deviation of the observations: the root of [`FloatHistogram::variance`].
    pub fn standard_deviation(&self) -> f64 {
        sqrt(self.variance())
    }
}
