//! The times of evaluation.

use crate::failure::QueryError;
use crate::plan::Window;
use tsdb_core::{TimeRange, Timestamp};

/// The most times of a grid, whatever the limits: one row of them takes 2 GiB.
const MOST_STEPS: u64 = 1 << 28;

/// How many times there are from `start` in steps of `step_ms` up to and including `end`, which is not before it.
pub(super) const fn steps_between(start: Timestamp, end: Timestamp, step_ms: i64) -> u64 {
    let step = if step_ms > 1 { step_ms.unsigned_abs() } else { 1 };
    (end.abs_diff(start) / step).saturating_add(1)
}

/// Evenly spaced times; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    start: Timestamp,
    step_ms: i64,
    steps: usize,
}

impl Grid {
    /// The one time `at`.
    pub(super) const fn instant(at: Timestamp) -> Self {
        Self { start: at, step_ms: 1, steps: 1 }
    }

    /// From `start` in steps of `step_ms` up to and including `end`; `None` if `end` lies before `start`.
    ///
    /// # Errors
    /// More than `limit` steps: their points could not be held.
    pub(super) fn range(
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
        limit: u64,
    ) -> Result<Option<Self>, QueryError> {
        if end < start {
            return Ok(None);
        }
        let needed = steps_between(start, end, step_ms);
        let limit = limit.min(MOST_STEPS);
        match usize::try_from(needed) {
            Ok(steps) if needed <= limit => Ok(Some(Self { start, step_ms: step_ms.max(1), steps })),
            _ => Err(QueryError::TooManySamples { operator: None, needed, limit }),
        }
    }

    /// Only the first of the times.
    pub(super) const fn first_only(self) -> Self {
        Self::instant(self.start)
    }

    /// How many times there are.
    pub(super) const fn steps(self) -> usize {
        self.steps
    }

    /// Distance of the times, ms.
    pub(super) const fn step_ms(self) -> i64 {
        self.step_ms
    }

    /// The first time.
    pub(super) const fn first(self) -> Timestamp {
        self.start
    }

    /// The time number `step`.
    #[inline]
    pub(super) fn time(self, step: usize) -> Timestamp {
        self.start.saturating_add(self.step_ms.saturating_mul(step as i64))
    }

    /// All times.
    pub(super) fn times(self) -> impl Iterator<Item = Timestamp> {
        (0..self.steps).map(move |step| self.time(step))
    }

    /// The times as seen through `@ at` and `offset`.
    pub(super) fn seen_through(self, at: Option<Timestamp>, offset_ms: i64) -> View {
        View { grid: self, at, offset_ms }
    }
}

/// A grid whose times are moved, or all replaced by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    grid: Grid,
    at: Option<Timestamp>,
    offset_ms: i64,
}

impl View {
    /// The grid seen through a window's modifiers.
    pub(super) fn of_window(grid: Grid, window: &Window) -> Self {
        grid.seen_through(window.at, window.offset_ms)
    }

    /// How many times there are.
    pub(super) const fn steps(self) -> usize {
        self.grid.steps
    }

    /// The time to look from at `step`.
    #[inline]
    pub(super) fn time(self, step: usize) -> Timestamp {
        self.at.unwrap_or_else(|| self.grid.time(step)).saturating_sub(self.offset_ms)
    }

    /// The same times, each later by `ms`.
    pub(super) fn ahead(self, ms: i64) -> Self {
        Self { offset_ms: self.offset_ms.saturating_sub(ms), ..self }
    }

    /// Is it the same time at all steps?
    pub(super) const fn is_fixed(self) -> bool {
        self.at.is_some()
    }

    /// What a look back of `reach_ms` from all times touches; the far end of the reach is not included.
    pub(super) fn touched(self, reach_ms: i64) -> TimeRange {
        let first = self.time(0).saturating_sub(reach_ms).saturating_add(1);
        let last = self.time(self.grid.steps.saturating_sub(1));
        TimeRange::new(first.min(last), last).unwrap_or(TimeRange::instant(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_ends_at_the_last_whole_step() {
        let grid = Grid::range(10, 35, 10, 100).unwrap().unwrap();
        assert_eq!(grid.times().collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(Grid::range(10, 9, 10, 100).unwrap(), None);
    }

    #[test]
    fn more_steps_than_the_limit_are_refused() {
        let error = Grid::range(i64::MIN, i64::MAX, 1, 1000).unwrap_err();
        assert!(matches!(error, QueryError::TooManySamples { limit: 1000, .. }));
    }

    #[test]
    fn a_view_moves_or_fixes_the_times() {
        let grid = Grid::range(10, 30, 10, 100).unwrap().unwrap();
        assert_eq!(grid.seen_through(None, 3).time(1), 17);
        assert_eq!(grid.seen_through(Some(5), -1).time(1), 6);
        assert_eq!(grid.seen_through(None, 0).touched(5), TimeRange::new(6, 30).unwrap());
    }
}
