//! Mean and variance.
//!
//! The mean is the compensated sum divided by the count; once the sum would overflow, it goes on as an incremental
//! mean. Source: Prometheus `promql/engine.go` and `functions.go` (issue 16714 argues the choice); the variance is
//! Welford's (1962).

use super::KahanSum;

/// Accumulates a mean.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MeanAccumulator {
    /// The sum of the values, or their mean once `incremental`.
    state: KahanSum,
    count: f64,
    incremental: bool,
}

impl MeanAccumulator {
    /// Takes another value in.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.state = KahanSum::starting_at(value);
            return;
        }
        if !self.incremental {
            let next = self.state.plus(value);
            if !next.sum.is_infinite() {
                self.state = next;
                return;
            }
            self.turn_incremental(self.count - 1.0);
        }
        let kept = (self.count - 1.0) / self.count;
        self.state = self.state.scaled(kept).plus(value / self.count);
    }

    /// Takes in all that `other` has seen.
    pub(crate) fn merge(&mut self, mut other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        if !self.incremental && !other.incremental {
            let mut sum = self.state;
            sum.merge(other.state);
            if !sum.sum.is_infinite() {
                *self = Self { state: sum, count, incremental: false };
                return;
            }
        }
        for part in [&mut *self, &mut other] {
            if !part.incremental {
                part.turn_incremental(part.count);
            }
        }
        let mut mean = self.state.scaled(self.count / count);
        mean.merge(other.state.scaled(other.count / count));
        *self = Self { state: mean, count, incremental: true };
    }

    fn turn_incremental(&mut self, count: f64) {
        self.state = KahanSum { sum: self.state.sum / count, compensation: self.state.compensation / count };
        self.incremental = true;
    }

    /// The mean; `None` if there were no values.
    #[inline]
    pub(crate) fn value(&self) -> Option<f64> {
        if self.count == 0.0 {
            None
        } else if self.incremental {
            Some(self.state.sum + self.state.compensation)
        } else {
            Some(self.state.sum / self.count + self.state.compensation / self.count)
        }
    }
}

/// Accumulates the variance of a population across series.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct VarianceAccumulator {
    count: f64,
    mean: f64,
    squares: f64,
}

impl VarianceAccumulator {
    /// Takes another value in. A NaN or infinity as the first value makes the result NaN.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    /// Takes in all that `other` has seen. Source: Chan, Golub, LeVeque (1979).
    pub(crate) fn merge(&mut self, other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * (self.count * other.count / count);
        self.mean += delta * (other.count / count);
        self.count = count;
    }

    /// The variance; `None` if there were no values.
    #[inline]
    pub(crate) fn value(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.squares / self.count)
    }
}

/// The variance of the values of a window, with compensated sums; NaN of no values.
pub(crate) fn windowed_variance(values: &[f64]) -> f64 {
    let mut count = 0.0;
    let mut mean = KahanSum::default();
    let mut squares = KahanSum::default();
    for value in values {
        count += 1.0;
        let delta = value - (mean.sum + mean.compensation);
        mean.add(delta / count);
        squares.add(delta * (value - (mean.sum + mean.compensation)));
    }
    (squares.sum + squares.compensation) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(values: &[f64]) -> MeanAccumulator {
        let mut mean = MeanAccumulator::default();
        values.iter().for_each(|v| mean.add(*v));
        mean
    }

    #[test]
    fn the_mean_of_huge_values_does_not_overflow() {
        let mean = mean_of(&[f64::MAX, f64::MAX, f64::MAX]).value().unwrap();
        assert!((mean - f64::MAX).abs() <= f64::MAX * 1e-15, "{mean}");
    }

    #[test]
    fn merged_means_equal_the_mean_of_all() {
        for (a, b) in [(vec![1.0, 2.0], vec![6.0]), (vec![f64::MAX; 2], vec![f64::MAX / 2.0; 3])] {
            let mut merged = mean_of(&a);
            merged.merge(mean_of(&b));
            let all = mean_of(&[a, b].concat()).value().unwrap();
            assert!((merged.value().unwrap() - all).abs() <= all * 1e-15);
        }
        assert_eq!(mean_of(&[]).value(), None);
    }

    #[test]
    fn variance_of_both_kinds_agrees() {
        let values = [10.0, 20.0, 10.0, 20.0, 33.0];
        let (mut left, mut right) = (VarianceAccumulator::default(), VarianceAccumulator::default());
        values[..2].iter().for_each(|v| left.add(*v));
        values[2..].iter().for_each(|v| right.add(*v));
        left.merge(right);
        assert!((left.value().unwrap() - windowed_variance(&values)).abs() < 1e-12);
        assert!(windowed_variance(&[]).is_nan());
    }
}
