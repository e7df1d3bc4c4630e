//! Sums that are short to store.
//!
//! The last bits of a sum are rounding errors of its additions. A sum of decimals is a decimal of as many places, and is
//! stored as that; of a sum of numbers of full precision 43 bits are stored. Either is less than 2e-13 of the sum away from it.
//! Integers are left alone.

/// Places behind the point that are tried.
const PLACES: [f64; 5] = [1.0, 10.0, 100.0, 1000.0, 10_000.0];
/// How far a decimal may be from the sum, as a part of it.
const TOLERANCE: f64 = 1e-13;
/// Bits of the significand of an `f64` that are cut off.
const SPARE_BITS: u32 = 10;

/// `sums` to be stored, where `values` are columns of numbers of the kind that was added up.
pub(super) fn settle(sums: &[f64], values: &[&Vec<f64>]) -> Vec<f64> {
    let numbers = || values.iter().copied().flatten().copied().filter(|value| !value.is_nan());
    let is_decimal =
        |power: f64| numbers().all(|value| ((value * power).round() / power).to_bits() == value.to_bits());
    let power = PLACES.into_iter().find(|power| is_decimal(*power));
    sums.iter().map(|sum| shortest(*sum, power)).collect()
}

fn shortest(sum: f64, power: Option<f64>) -> f64 {
    if !sum.is_finite() || sum == sum.trunc() {
        return sum;
    }
    let decimal = power.map(|power| (sum * power).round() / power);
    let near = decimal.filter(|decimal| (decimal - sum).abs() <= sum.abs() * TOLERANCE);
    near.unwrap_or_else(|| rounded(sum))
}

/// The nearest number whose last bits are zero.
fn rounded(sum: f64) -> f64 {
    let half = 1_u64 << (SPARE_BITS - 1);
    let bits = sum.to_bits().saturating_add(half) & !((1 << SPARE_BITS) - 1);
    let rounded = f64::from_bits(bits);
    if rounded.is_finite() && rounded.is_normal() { rounded } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_of_decimals_are_decimals() {
        assert_eq!(settle(&[0.1 + 0.2], &[&vec![0.1, 0.2]]), [0.3]);
        assert_eq!(settle(&[0.1 + 0.2], &[&vec![std::f64::consts::PI]])[0].to_bits() & 0x3ff, 0);
    }

    proptest! {
        #[test]
        fn integers_stay_and_others_hardly_move(sum: f64, values in prop::collection::vec(any::<f64>(), 0..4)) {
            let settled = settle(&[sum], &[&values])[0];
            if sum.trunc() == sum || !sum.is_finite() {
                prop_assert_eq!(settled.to_bits(), sum.to_bits());
            } else {
                prop_assert!((settled - sum).abs() <= sum.abs() * 2e-13, "{} {}", sum, settled);
            }
        }
    }
}
