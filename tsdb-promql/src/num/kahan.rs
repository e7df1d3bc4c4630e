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

/// The compensated sums of `N` runs of `len` values each, run `i` beginning at `starts[i]`; the sums begin at 0. `None` if a run does not fit or meets what is not finite: then [`KahanSum`] has to do it.
///
/// Bit for bit the sums of [`KahanSum`], but without branches and with `N` chains of additions side by side, which a
/// processor overlaps. The error of an addition is computed as Knuth does (The Art of Computer Programming, volume
/// 2, 4.2.2): exact, like Neumaier's, so both add the same number to the compensation.
#[expect(clippy::needless_range_loop, reason = "the lanes step through several slices together")]
#[inline]
pub(crate) fn sums_side_by_side<const N: usize>(
    values: &[f64],
    starts: [usize; N],
    len: usize,
) -> Option<SumsSideBySide<N>> {
    let mut runs: [&[f64]; N] = [&[]; N];
    for (run, start) in runs.iter_mut().zip(starts) {
        // Cut in two steps, so that the compiler knows the length of every run to be `len`.
        *run = values.get(start..)?.get(..len)?;
    }
    let mut sums = [0.0; N];
    let mut compensations = [0.0; N];
    for index in 0..len {
        for lane in 0..N {
            let (sum, value) = (sums[lane], runs[lane][index]);
            let total = sum + value;
            let added = total - sum;
            compensations[lane] += (sum - (total - added)) + (value - added);
            sums[lane] = total;
        }
    }
    let finite = sums.iter().chain(&compensations).all(|part| part.is_finite());
    finite.then_some(SumsSideBySide { sums, compensations })
}

/// Several [`KahanSum`]s. Two arrays, not one of pairs: of pairs, the compiler makes vectors that mix the chains.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SumsSideBySide<const N: usize> {
    sums: [f64; N],
    compensations: [f64; N],
}

impl<const N: usize> SumsSideBySide<N> {
    /// The sum number `lane`.
    pub(crate) fn lane(&self, lane: usize) -> Option<KahanSum> {
        let (sum, compensation) = (self.sums.get(lane)?, self.compensations.get(lane)?);
        Some(KahanSum { sum: *sum, compensation: *compensation })
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

    proptest::proptest! {
        #[test]
        fn sums_side_by_side_are_the_same_bits(
            values in proptest::collection::vec(proptest::prelude::any::<f64>(), 30),
            len in 1usize..25,
        ) {
            let naive = |start: usize| {
                let mut sum = KahanSum::default();
                values[start..start + len].iter().for_each(|v| sum.add(*v));
                sum
            };
            if let Some(sums) = sums_side_by_side(&values, [0, 2, 3, 5], len) {
                for (lane, start) in [0, 2, 3, 5].into_iter().enumerate() {
                    let sum = sums.lane(lane).unwrap();
                    assert_eq!(sum.sum.to_bits(), naive(start).sum.to_bits());
                    assert_eq!(sum.compensation, naive(start).compensation);
                }
            }
        }
    }

    #[test]
    fn runs_that_do_not_fit_have_no_sums() {
        assert!(sums_side_by_side(&[1.0, 2.0], [0, 1], 2).is_none());
        assert!(sums_side_by_side(&[f64::MAX, f64::MAX], [0], 2).is_none());
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
