//! Bounds of windows within a column of timestamps.

use super::super::grid::View;
use tsdb_core::Timestamp;

/// Replaces `windows` by the positions `start..end` of the samples in the window of each step: later than
/// `range_ms` before the time of the step, up to and including that time.
///
/// Both bounds only move forward, so the cost is that of one pass over samples and steps.
pub(super) fn find_windows(
    timestamps: &[Timestamp],
    view: View,
    range_ms: i64,
    windows: &mut Vec<(usize, usize)>,
) {
    windows.clear();
    windows.reserve(view.steps());
    let (mut start, mut end) = (0usize, 0usize);
    for step in 0..view.steps() {
        if step > 0 && view.is_fixed() {
            windows.push((start, end));
            continue;
        }
        let last = view.time(step);
        let before = last.saturating_sub(range_ms);
        end += timestamps.get(end..).unwrap_or(&[]).iter().take_while(|t| **t <= last).count();
        start += timestamps.get(start..end).unwrap_or(&[]).iter().take_while(|t| **t <= before).count();
        windows.push((start, end));
    }
}

/// The windows found last and what they were found for: series of one scrape have the same timestamps, and comparing
/// those is cheaper than finding the windows again.
#[derive(Debug, Default)]
pub(in super::super) struct LastWindows {
    asked: Option<(View, i64)>,
    timestamps: Vec<Timestamp>,
    windows: Vec<(usize, usize)>,
}

impl LastWindows {
    /// As [`find_windows`].
    pub(super) fn find(
        &mut self,
        timestamps: &[Timestamp],
        view: View,
        range_ms: i64,
        windows: &mut Vec<(usize, usize)>,
    ) {
        if self.asked != Some((view, range_ms)) || self.timestamps != timestamps {
            find_windows(timestamps, view, range_ms, &mut self.windows);
            self.timestamps.clear();
            self.timestamps.extend_from_slice(timestamps);
            self.asked = Some((view, range_ms));
        }
        windows.clone_from(&self.windows);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::grid::Grid;
    use super::*;
    use proptest::prelude::*;

    fn windows(timestamps: &[i64], view: View, range: i64) -> Vec<(usize, usize)> {
        let mut windows = vec![(7, 7)];
        find_windows(timestamps, view, range, &mut windows);
        windows
    }

    #[test]
    fn a_window_excludes_its_start_and_includes_its_end() {
        let grid = Grid::range(20, 40, 10, 100).unwrap().unwrap();
        let view = grid.seen_through(None, 0);
        assert_eq!(windows(&[10, 20, 30], view, 10), [(1, 2), (2, 3), (3, 3)]);
        assert_eq!(windows(&[10, 20, 30], view, 20), [(0, 2), (1, 3), (2, 3)]);
    }

    #[test]
    fn a_fixed_window_is_the_same_at_all_steps() {
        let grid = Grid::range(20, 40, 10, 100).unwrap().unwrap();
        assert_eq!(windows(&[10, 20, 30], grid.seen_through(Some(30), 0), 10), [(2, 3); 3]);
    }

    #[test]
    fn windows_found_before_are_those_of_other_timestamps_only() {
        let view = Grid::range(20, 40, 10, 100).unwrap().unwrap().seen_through(None, 0);
        let (mut last, mut found) = (LastWindows::default(), Vec::new());
        for (timestamps, range) in
            [([10, 20, 30], 10), ([10, 20, 30], 10), ([10, 20, 30], 20), ([5, 25, 35], 20)]
        {
            last.find(&timestamps, view, range, &mut found);
            assert_eq!(found, windows(&timestamps, view, range));
        }
    }

    proptest! {
        #[test]
        fn sliding_bounds_are_those_of_a_search_at_each_step(
            mut timestamps in proptest::collection::btree_set(-1000..1000i64, 0..60),
            step in 1..200i64,
            range in 1..400i64,
            offset in -300..300i64,
        ) {
            timestamps.insert(0);
            let timestamps: Vec<_> = timestamps.into_iter().collect();
            let grid = Grid::range(-900, 900, step, 10_000).unwrap().unwrap();
            let naive: Vec<_> = grid.times().map(|t| {
                let before = |limit: i64| timestamps.iter().filter(|t| **t <= limit).count();
                (before(t - offset - range), before(t - offset))
            }).collect();
            prop_assert_eq!(windows(&timestamps, grid.seen_through(None, offset), range), naive);
        }
    }
}
