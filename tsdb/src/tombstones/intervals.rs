//! A set of instants: closed intervals in order.

use std::sync::Arc;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{TimeRange, Timestamp};

/// Instants of which samples are deleted. Clones share the list; the empty one takes no memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals {
    /// Ascending, neither overlapping nor touching; never an empty list.
    list: Option<Arc<[TimeRange]>>,
}

impl Intervals {
    /// No instant.
    pub const NONE: Self = Self { list: None };

    /// The instants of `ranges`, which must ascend and neither overlap nor touch.
    pub(super) fn from_sorted(ranges: Vec<TimeRange>) -> Self {
        Self { list: (!ranges.is_empty()).then(|| ranges.into()) }
    }

    /// The intervals, ascending.
    pub fn as_slice(&self) -> &[TimeRange] {
        self.list.as_deref().unwrap_or_default()
    }

    /// Is no instant in the set?
    pub fn is_empty(&self) -> bool {
        self.list.is_none()
    }

    /// Is every instant of `range` in the set?
    pub fn covers(&self, range: &TimeRange) -> bool {
        let ending = self.ending_from(range.start()).first();
        ending.is_some_and(|interval| interval.start() <= range.start() && range.end() <= interval.end())
    }

    /// Is any instant of `range` in the set?
    pub fn overlaps(&self, range: &TimeRange) -> bool {
        self.ending_from(range.start()).first().is_some_and(|interval| interval.overlaps(range))
    }

    /// Is `at` in the set?
    pub fn contains(&self, at: Timestamp) -> bool {
        self.covers(&TimeRange::instant(at))
    }

    /// The set with the instants of `range`.
    #[must_use]
    pub fn with(&self, range: TimeRange) -> Self {
        if self.covers(&range) {
            return self.clone();
        }
        let mut joined = range;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for interval in self.as_slice() {
            if interval.end() < range.start().saturating_sub(1) {
                before.push(*interval);
            } else if interval.start() > range.end().saturating_add(1) {
                after.push(*interval);
            } else {
                joined = joined.union(interval);
            }
        }
        before.push(joined);
        before.append(&mut after);
        Self::from_sorted(before)
    }

    /// Takes out of `columns` the samples from position `before` on that have a time in the set.
    pub fn remove_from(&self, columns: &mut SampleColumns, before: usize) {
        let len = columns.len();
        let new = columns.timestamps.get(before..).unwrap_or_default();
        let Some(times) = new.first().zip(new.last()).and_then(|(first, last)| TimeRange::new(*first, *last))
        else {
            return;
        };
        // From behind, so that the places of what comes before stay as they are.
        for interval in self.ending_from(times.start()).iter().rev().filter(|each| each.overlaps(&times)) {
            let new = columns.timestamps.get(before..).unwrap_or_default();
            let first = new.partition_point(|timestamp| *timestamp < interval.start());
            let behind = new.partition_point(|timestamp| *timestamp <= interval.end());
            columns.remove(before.saturating_add(first)..before.saturating_add(behind));
        }
        if columns.len() < len {
            // What a histogram says of the one before it may concern one that is gone.
            columns.renew_reset_hints();
        }
    }

    /// The intervals that end at `at` or later.
    fn ending_from(&self, at: Timestamp) -> &[TimeRange] {
        let list = self.as_slice();
        list.get(list.partition_point(|interval| interval.end() < at)..).unwrap_or_default()
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(ranges: &[(Timestamp, Timestamp)]) -> Intervals {
        let ranges = ranges.iter().map(|(start, end)| TimeRange::new(*start, *end).unwrap());
        ranges.fold(Intervals::NONE, |set, range| set.with(range))
    }

    fn list(set: &Intervals) -> Vec<(Timestamp, Timestamp)> {
        set.as_slice().iter().map(|interval| (interval.start(), interval.end())).collect()
    }

    #[test]
    fn intervals_that_touch_become_one() {
        assert_eq!(list(&set(&[(10, 20), (30, 40), (21, 25)])), [(10, 25), (30, 40)]);
        assert_eq!(list(&set(&[(10, 20), (30, 40), (20, 30)])), [(10, 40)]);
        assert_eq!(list(&set(&[(30, 40), (10, 20), (50, 60), (0, 100)])), [(0, 100)]);
    }

    #[test]
    fn the_ends_of_time_are_instants_like_others() {
        let all = set(&[(Timestamp::MIN, -1), (1, Timestamp::MAX)]);
        assert!(all.contains(Timestamp::MIN) && all.contains(Timestamp::MAX) && !all.contains(0));
        assert_eq!(list(&all.with(TimeRange::instant(0))), [(Timestamp::MIN, Timestamp::MAX)]);
        assert_eq!(set(&[(5, 5)]).with(TimeRange::ALL), set(&[(Timestamp::MIN, Timestamp::MAX)]));
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_its_instants(
            ranges in prop::collection::vec((-40..40_i64, 0..12_i64), 0..10),
            probe in (-45..45_i64, 0..20_i64),
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(start, len)| (start, start + len)).collect();
            let found = set(&ranges);
            let model: BTreeSet<Timestamp> = ranges.iter().flat_map(|(start, end)| *start..=*end).collect();
            let probe = TimeRange::new(probe.0, probe.0 + probe.1).unwrap();
            let mut instants = probe.start()..=probe.end();
            prop_assert_eq!(found.covers(&probe), instants.all(|at| model.contains(&at)));
            let mut instants = probe.start()..=probe.end();
            prop_assert_eq!(found.overlaps(&probe), instants.any(|at| model.contains(&at)));
            let apart = found.as_slice().windows(2).all(|pair| pair[0].end() + 1 < pair[1].start());
            prop_assert!(apart);
            let mut columns = SampleColumns::new();
            (-50..50_i64).filter(|at| at % 3 != 0).for_each(|at| columns.push(at, at as f64));
            found.remove_from(&mut columns, 20);
            let all: Vec<Timestamp> = (-50..50_i64).filter(|at| at % 3 != 0).collect();
            let kept = all[20..].iter().filter(|at| !model.contains(at));
            let expected: Vec<Timestamp> = all[..20].iter().chain(kept).copied().collect();
            prop_assert_eq!(&columns.timestamps, &expected);
            prop_assert!(columns.values.iter().zip(expected).all(|(value, at)| *value == at as f64));
        }
    }
}
