//! Quantiles of unordered values, with linear interpolation between neighbours.

use super::ascending_exactly;

/// The `q`-quantile of `values`, which this puts in order with NaN first.
///
/// NaN of no values or of a NaN `q`, minus infinity below 0, plus infinity above 1. Source: Prometheus
/// `promql/quantile.go`.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if (0.0..=1.0).contains(&q) {
        values.sort_unstable_by(ascending_exactly);
    }
    quantile_of_ordered(q, values)
}

/// As [`quantile`], of values that are in order, NaN first.
pub(crate) fn quantile_of_ordered(q: f64, values: &[f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    // Both indexes are whole numbers between 0 and the last index.
    let at = |index: f64| values.get(index as usize).copied().unwrap_or(f64::NAN);
    at(lower) * (1.0 - weight) + at(upper) * weight
}

/// The median of the distances of `values` from their median; NaN if one of them is NaN. Overwrites `values`.
pub(crate) fn median_absolute_deviation(values: &mut [f64]) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, values);
    for value in values.iter_mut() {
        *value = (*value - median).abs();
    }
    quantile(0.5, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        assert_eq!(quantile(0.5, &mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(quantile(0.0, &mut [4.0, 1.0]), 1.0);
        assert_eq!(quantile(1.0, &mut [4.0, 1.0]), 4.0);
        assert_eq!(quantile(-0.1, &mut [4.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut [4.0]), f64::INFINITY);
        assert!(quantile(f64::NAN, &mut [4.0]).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
    }

    #[test]
    fn nan_counts_as_the_smallest_value() {
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [1.0, f64::NAN]), 1.0);
    }

    #[test]
    fn deviation_is_the_median_distance_from_the_median() {
        assert_eq!(median_absolute_deviation(&mut [4.0, 6.0, 2.0, 1.0, 999.0, 1.0, 2.0]), 1.0);
        assert!(median_absolute_deviation(&mut [1.0, f64::NAN]).is_nan());
    }
}
