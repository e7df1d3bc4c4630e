//! Double exponential smoothing (Holt's linear method).

/// The smoothed last value of `values` with the smoothing factor `level` and the trend factor `trend`, both between
/// 0 and 1; `None` of fewer than two values. Source: Holt (1957), with the start values that Prometheus takes.
pub(crate) fn double_exponential_smoothing(values: &[f64], level: f64, trend: f64) -> Option<f64> {
    let [first, second, ..] = values else { return None };
    let mut previous = 0.0;
    let mut current = *first;
    let mut slope = second - first;
    for (index, value) in values.iter().enumerate().skip(1) {
        if index > 1 {
            slope = trend * (current - previous) + (1.0 - trend) * slope;
        }
        let next = level * value + (1.0 - level) * (current + slope);
        previous = current;
        current = next;
    }
    Some(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_its_own_smoothing() {
        assert_eq!(double_exponential_smoothing(&[1.0, 2.0, 3.0, 4.0], 0.5, 0.5), Some(4.0));
        assert_eq!(double_exponential_smoothing(&[1.0], 0.5, 0.5), None);
    }
}
