//! Rate, increase and delta: the change over a window, extrapolated to its borders.
//!
//! Source: Prometheus `promql/functions.go` (extrapolated rate); the rules are described there and in the
//! documentation of `rate`.

use tsdb_core::Timestamp;

/// Which of the three is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extrapolation {
    /// Is the series a counter, so that it starts at zero and a decrease is a reset?
    pub(crate) counter: bool,
    /// Is the result per second of the window?
    pub(crate) per_second: bool,
}

/// What is known of the samples of one window. There are at least two of them, unless the counter began within.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateWindow {
    /// Start of the window (not included), ms.
    pub(crate) start: Timestamp,
    /// End of the window (included), ms.
    pub(crate) end: Timestamp,
    /// Time of the first sample, ms.
    pub(crate) first_time: Timestamp,
    /// Time of the last sample, ms.
    pub(crate) last_time: Timestamp,
    /// Value of the first sample.
    pub(crate) first_value: f64,
    /// Last value minus first value, resets added back if it is a counter.
    pub(crate) change: f64,
    /// Number of samples.
    pub(crate) samples: usize,
}

impl Extrapolation {
    /// The change of `window`, stretched to the borders of the window where the samples suggest that the series
    /// goes on to them.
    pub(crate) fn apply(self, window: &RateWindow) -> f64 {
        window.change * self.factor(window)
    }

    /// What the change of `window` is multiplied with to stretch it.
    pub(crate) fn factor(self, window: &RateWindow) -> f64 {
        let sampled = seconds(window.first_time, window.last_time);
        let average_gap = sampled / (window.samples.saturating_sub(1)) as f64;
        let mut to_start = seconds(window.start, window.first_time);
        if to_start >= threshold(average_gap) {
            to_start = average_gap / 2.0;
        }
        if self.counter {
            to_start = self.limit_to_zero_point(window, sampled, to_start);
        }
        self.stretch(window, sampled, to_start, average_gap)
    }

    /// The same of a window within which the counter began at `begun` (ms), from zero: nothing lies before that, and
    /// a single sample is enough.
    pub(crate) fn factor_since(self, window: &RateWindow, begun: Timestamp) -> f64 {
        let gaps = window.samples.saturating_sub(1);
        let observed = seconds(window.first_time, window.last_time);
        let average_gap = if gaps == 0 { 0.0 } else { observed / gaps as f64 };
        self.stretch(window, seconds(begun, window.last_time), 0.0, average_gap)
    }

    fn stretch(self, window: &RateWindow, sampled: f64, to_start: f64, average_gap: f64) -> f64 {
        let mut to_end = seconds(window.last_time, window.end);
        if to_end >= threshold(average_gap) {
            to_end = average_gap / 2.0;
        }
        let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
        if self.per_second {
            factor /= seconds(window.start, window.end);
        }
        factor
    }

    /// A counter is never negative: it started no earlier than where its slope crosses zero.
    fn limit_to_zero_point(self, window: &RateWindow, sampled: f64, to_start: f64) -> f64 {
        if window.change > 0.0 && window.first_value >= 0.0 {
            let to_zero = sampled * (window.first_value / window.change);
            if to_zero < to_start {
                return to_zero;
            }
        }
        to_start
    }
}

/// A border further away than a usual gap (and a tenth) is no border of the series.
fn threshold(average_gap: f64) -> f64 {
    average_gap * 1.1
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.wrapping_sub(from) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: RateWindow = RateWindow {
        start: 0,
        end: 60_000,
        first_time: 10_000,
        last_time: 50_000,
        first_value: 100.0,
        change: 40.0,
        samples: 5,
    };

    #[test]
    fn a_change_is_stretched_to_near_borders() {
        let increase = Extrapolation { counter: true, per_second: false };
        assert_eq!(increase.apply(&WINDOW), 60.0);
        assert_eq!(Extrapolation { per_second: true, ..increase }.apply(&WINDOW), 1.0);
    }

    #[test]
    fn a_change_is_stretched_by_half_a_gap_towards_far_borders() {
        let window = RateWindow { end: 120_000, ..WINDOW };
        let delta = Extrapolation { counter: false, per_second: false };
        assert_eq!(delta.apply(&window), 55.0);
    }

    #[test]
    fn a_counter_is_not_stretched_below_zero() {
        let window = RateWindow { first_value: 5.0, ..WINDOW };
        let increase = Extrapolation { counter: true, per_second: false };
        assert_eq!(increase.apply(&window), 55.0);
    }
}
