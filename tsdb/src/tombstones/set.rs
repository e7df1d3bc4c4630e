//! The tombstones of one block: of each series, by its number, the instants that are deleted.

use super::Intervals;
use tsdb_core::TimeRange;
use tsdb_index::RoaringBitmap;

/// What is deleted in a block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tombstones {
    runs: Vec<Run>,
    gone: RoaringBitmap,
}

/// Neighbouring series of which the same is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    /// Not empty.
    pub(super) deleted: Intervals,
    /// Does it leave no sample of these series?
    pub(super) is_all: bool,
}

impl Tombstones {
    /// Of `runs`, which must ascend and not overlap.
    pub(super) fn from_runs(runs: Vec<Run>) -> Self {
        let mut gone = RoaringBitmap::new();
        for run in runs.iter().filter(|run| run.is_all) {
            gone.insert_range(run.first..=run.last);
        }
        Self { runs, gone }
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Is nothing deleted?
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Number of series of which something is deleted.
    pub fn series_count(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.last.saturating_sub(run.first)).saturating_add(1)).sum()
    }

    /// The instants that are deleted of series number `series`.
    pub fn of(&self, series: u32) -> &Intervals {
        let place = self.runs.partition_point(|run| run.last < series);
        match self.runs.get(place).filter(|run| run.first <= series) {
            Some(run) => &run.deleted,
            None => const { &Intervals::NONE },
        }
    }

    /// The series of which no sample is left.
    pub fn gone(&self) -> &RoaringBitmap {
        &self.gone
    }

    /// These, with the instants of `range` deleted of `series` too. `is_all` is asked whether what is deleted of a
    /// series then leaves no sample of it.
    ///
    /// # Errors
    /// The first error of `is_all`.
    pub fn with<E>(
        &self,
        series: &RoaringBitmap,
        range: TimeRange,
        mut is_all: impl FnMut(u32, &Intervals) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut runs = Runs::default();
        let mut old =
            self.runs.iter().flat_map(|run| (run.first..=run.last).map(move |number| (number, run)));
        let mut next_old = old.next();
        let mut widened = Widened { range, last: None };
        for number in series {
            while let Some((before, run)) = next_old.filter(|(before, _)| *before < number) {
                runs.push(before, &run.deleted, run.is_all);
                next_old = old.next();
            }
            let known = next_old.filter(|(known, _)| *known == number).map(|(_, run)| run);
            if known.is_some() {
                next_old = old.next();
            }
            let deleted = widened.of(known.map_or(const { &Intervals::NONE }, |run| &run.deleted));
            let is_all = known.is_some_and(|run| run.is_all) || is_all(number, &deleted)?;
            runs.push(number, &deleted, is_all);
        }
        for (number, run) in next_old.into_iter().chain(old) {
            runs.push(number, &run.deleted, run.is_all);
        }
        Ok(Self::from_runs(runs.done))
    }
}

/// Neighbouring series mostly have the same intervals: what became of them last is remembered.
struct Widened {
    range: TimeRange,
    last: Option<(Intervals, Intervals)>,
}

impl Widened {
    fn of(&mut self, deleted: &Intervals) -> Intervals {
        match &self.last {
            Some((before, after)) if before == deleted => after.clone(),
            _ => {
                let after = deleted.with(self.range);
                self.last = Some((deleted.clone(), after.clone()));
                after
            }
        }
    }
}

/// Joins neighbours as they come.
#[derive(Default)]
struct Runs {
    done: Vec<Run>,
}

impl Runs {
    fn push(&mut self, number: u32, deleted: &Intervals, is_all: bool) {
        let goes_on = |run: &&mut Run| {
            run.last.checked_add(1) == Some(number) && run.is_all == is_all && run.deleted == *deleted
        };
        match self.done.last_mut().filter(goes_on) {
            Some(run) => run.last = number,
            None => self.done.push(Run { first: number, last: number, deleted: deleted.clone(), is_all }),
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn deletes_add_up_series_by_series(
            deletes in prop::collection::vec(
                (prop::collection::vec(0..30_u32, 0..12), -20..20_i64, 0..10_i64),
                0..8,
            ),
        ) {
            let mut found = Tombstones::default();
            let mut model: BTreeMap<u32, Intervals> = BTreeMap::new();
            for (series, start, len) in deletes {
                let range = TimeRange::new(start, start + len).unwrap();
                let is_all = |number: u32, deleted: &Intervals| Ok::<_, ()>(deleted.contains(number.into()));
                let series: RoaringBitmap = series.into_iter().collect();
                found = found.with(&series, range, is_all).unwrap();
                for number in &series {
                    let deleted = model.entry(number).or_default();
                    *deleted = deleted.with(range);
                }
            }
            for number in 0..32 {
                let expected = model.get(&number).cloned().unwrap_or_default();
                prop_assert_eq!(found.of(number), &expected);
                prop_assert_eq!(found.gone().contains(number), expected.contains(number.into()));
            }
            prop_assert_eq!(found.series_count(), model.len() as u64);
        }
    }
}
