//! Compensated summation.
//!
//! Source: A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen" (1974), with
//! Prometheus' rule that a sum that has reached infinity carries no compensation.

/// A running sum and the rounding error it has left behind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KahanSum {
    /// The sum as rounded so far.
    pub(crate) sum: f64,
    /// What rounding has lost.
    pub(crate) compensation: f64,
}

impl KahanSum {
    /// A sum that has seen one value.
    #[inline]
    pub(crate) const fn starting_at(value: f64) -> Self {
        Self { sum: value, compensation: 0.0 }
    }

    /// The sum with `value` added.
    #[inline]
    #[must_use]
    pub(crate) fn plus(self, value: f64) -> Self {
        let total = self.sum + value;
        let compensation = if total.is_infinite() {
            0.0
        } else if self.sum.abs() >= value.abs() {
            self.compensation + ((self.sum - total) + value)
        } else {
            self.compensation + ((value - total) + self.sum)
        };
        Self { sum: total, compensation }
    }

    /// Adds `value`.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        *self = self.plus(value);
    }

    /// Adds another sum.
    #[inline]
    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.compensation += other.compensation;
    }

    /// Both parts multiplied by `factor`.
    #[inline]
    #[must_use]
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { sum: self.sum * factor, compensation: self.compensation * factor }
    }

    /// The sum with the error put back.
    #[inline]
    pub(crate) fn value(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_large_ones() {
        let mut sum = KahanSum::default();
        for value in [1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.value(), 1.0);
    }

    #[test]
    fn infinity_is_kept_and_opposite_infinities_make_nan() {
        let mut sum = KahanSum::starting_at(f64::INFINITY);
        sum.add(1.0);
        assert_eq!(sum.value(), f64::INFINITY);
        sum.add(f64::NEG_INFINITY);
        assert!(sum.value().is_nan());
    }

    #[test]
    fn merged_halves_equal_the_whole() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i) * 0.1 + 1e10).collect();
        let sum_of = |part: &[f64]| {
            let mut sum = KahanSum::default();
            part.iter().for_each(|v| sum.add(*v));
            sum
        };
        let mut halves = sum_of(&values[..500]);
        halves.merge(sum_of(&values[500..]));
        assert_eq!(halves.value(), sum_of(&values).value());
    }
}
