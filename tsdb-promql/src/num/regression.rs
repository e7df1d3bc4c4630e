//! Least squares.

use super::KahanSum;
use tsdb_core::Timestamp;

/// Slope (per second) and intercept, at the time `origin` (ms), of the line through the samples; the two slices have
/// equal length.
///
/// Equal values give a slope of exactly 0. Source: Prometheus `promql/functions.go`.
pub(crate) fn linear_regression(timestamps: &[Timestamp], values: &[f64], origin: Timestamp) -> (f64, f64) {
    let Some(first) = values.first().copied() else { return (f64::NAN, f64::NAN) };
    if values.iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut count, mut x_sum, mut y_sum) = (0.0, KahanSum::default(), KahanSum::default());
    let (mut xy_sum, mut xx_sum) = (KahanSum::default(), KahanSum::default());
    for (time, y) in timestamps.iter().zip(values) {
        count += 1.0;
        let x = time.wrapping_sub(origin) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let total = |sum: KahanSum| sum.sum + sum.compensation;
    let (x, y) = (total(x_sum), total(y_sum));
    let covariance = total(xy_sum) - x * y / count;
    let variance = total(xx_sum) - x * x / count;
    let slope = covariance / variance;
    (slope, y / count - slope * x / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_on_a_line_give_the_line() {
        let times: Vec<i64> = (0..10).map(|i| i * 1000).collect();
        let values: Vec<f64> = (0..10).map(|i| f64::from(i) * 2.0 + 5.0).collect();
        let (slope, intercept) = linear_regression(&times, &values, 0);
        assert!((slope - 2.0).abs() < 1e-12 && (intercept - 5.0).abs() < 1e-12);
    }

    #[test]
    fn constant_values_have_no_slope() {
        assert_eq!(linear_regression(&[0, 7, 9], &[3.0; 3], 5), (0.0, 3.0));
        assert!(linear_regression(&[0, 7], &[f64::INFINITY; 2], 5).0.is_nan());
    }
}
