//! Start timestamps: what they say of a counter.
//!
//! Source: the behaviour of `use-start-timestamps` in Prometheus (`promql/functions.go`) and the data model of
//! OpenTelemetry, in which a delta starts at the sample before, and a cumulative counter of unknown start says in its
//! first sample that it starts there.

use tsdb_core::Timestamp;
use tsdb_core::sample::NO_START;

/// Where a sample stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When the counting began that it is the result of, ms, or [`NO_START`].
    pub(crate) start: Timestamp,
    /// When it was taken, ms.
    pub(crate) time: Timestamp,
}

impl Stamp {
    /// Does its start say that the counter began anew since the sample `before`?
    pub(crate) fn began_anew_since(self, before: Self) -> bool {
        if self.start == NO_START || self.start >= self.time || self.start < before.time {
            return false;
        }
        // A start at the sample before is that of a delta, unless that sample was the first of a counter of which it
        // is not known when it began.
        self.start > before.time || (before.start != NO_START && before.start < before.time)
    }

    /// Does it count what the sample `before` has counted already, and something else besides?
    pub(crate) fn overlaps(self, before: Self) -> bool {
        self.start != NO_START && self.start < before.time && self.start != before.start
    }

    /// The start, if it lies later than `border` and before the sample: there the counter was zero.
    pub(crate) fn begun_behind(self, border: Timestamp) -> Option<Timestamp> {
        (self.start != NO_START && self.start > border && self.start < self.time).then_some(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(start: Timestamp, time: Timestamp) -> Stamp {
        Stamp { start, time }
    }

    #[test]
    fn a_start_behind_the_sample_before_is_a_reset() {
        assert!(stamp(15, 20).began_anew_since(stamp(5, 10)));
        assert!(stamp(15, 20).began_anew_since(stamp(NO_START, 10)));
        assert!(!stamp(5, 20).began_anew_since(stamp(5, 10)));
        assert!(!stamp(NO_START, 20).began_anew_since(stamp(5, 10)));
    }

    #[test]
    fn a_start_at_or_after_its_own_sample_says_nothing() {
        assert!(!stamp(20, 20).began_anew_since(stamp(5, 10)));
        assert!(!stamp(21, 20).began_anew_since(stamp(5, 10)));
        assert_eq!(stamp(20, 20).begun_behind(0), None);
    }

    #[test]
    fn a_start_at_the_sample_before_is_a_reset_only_if_that_one_has_a_start() {
        assert!(stamp(10, 20).began_anew_since(stamp(5, 10)));
        for unknown in [NO_START, 10, 11] {
            assert!(!stamp(10, 20).began_anew_since(stamp(unknown, 10)), "{unknown}");
        }
    }

    #[test]
    fn what_is_counted_twice_overlaps() {
        assert!(stamp(7, 20).overlaps(stamp(5, 10)));
        for start in [NO_START, 5, 10, 12] {
            assert!(!stamp(start, 20).overlaps(stamp(5, 10)), "{start}");
        }
    }

    #[test]
    fn a_counter_is_zero_where_it_began_within_the_window() {
        assert_eq!(stamp(7, 20).begun_behind(6), Some(7));
        assert_eq!(stamp(7, 20).begun_behind(7), None);
        assert_eq!(stamp(NO_START, 20).begun_behind(-5), None);
    }
}
