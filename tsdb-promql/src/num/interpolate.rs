//! Values between two samples.
//!
//! Source: the behaviour of `smoothed` selectors in Prometheus (`promql/functions.go`), which decides the order of
//! the operations and what a counter does between a sample and a reset.

use tsdb_core::Timestamp;

/// The value at `at` on the line through two samples. Between a counter and its reset (`counter`, and the value
/// falls) the line starts at zero: where in between the counter began anew is not known.
#[inline]
pub(crate) fn interpolate(
    before: (Timestamp, f64),
    after: (Timestamp, f64),
    at: Timestamp,
    counter: bool,
) -> f64 {
    let reset = counter && after.1 < before.1;
    let start = if reset { 0.0 } else { before.1 };
    let passed = at.wrapping_sub(before.0) as f64;
    start + (after.1 - start) * passed / after.0.wrapping_sub(before.0) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_on_the_line_between_its_neighbours() {
        assert_eq!(interpolate((10, 1.0), (20, 3.0), 15, false), 2.0);
        assert_eq!(interpolate((10, 3.0), (20, 1.0), 12, false), 2.6);
        assert_eq!(interpolate((10, 1.0), (20, 3.0), 20, true), 3.0);
    }

    #[test]
    fn a_counter_that_falls_started_from_zero() {
        assert_eq!(interpolate((10, 100.0), (20, 10.0), 15, true), 5.0);
        assert_eq!(interpolate((10, 100.0), (20, 10.0), 15, false), 55.0);
    }
}
