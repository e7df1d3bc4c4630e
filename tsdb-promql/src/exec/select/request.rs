//! What is asked of storage for a selector: the same for those who estimate what a query costs and those who run it.

use super::super::grid::{Grid, View};
use super::extended::Extension;
use crate::plan::{Selector, Window};
use tsdb_core::TimeRange;
use tsdb_core::read::{SelectHints, WindowEnds};

/// What an instant selector reads for the steps of `grid`.
pub(in super::super) fn instant_hints(selector: &Selector, grid: Grid, lookback_ms: i64) -> SelectHints {
    let view = grid.seen_through(selector.at, selector.offset_ms);
    let range = match Extension::of_instant(selector, lookback_ms) {
        Some(extension) => extension.touched(view, 0),
        None => view.touched(lookback_ms),
    };
    hints(selector, range, view, grid, 0, None)
}

/// What a range selector reads for the steps of `grid` and `function`.
pub(in super::super) fn window_hints(
    selector: &Selector,
    window: &Window,
    grid: Grid,
    lookback_ms: i64,
    function: Option<&'static str>,
) -> SelectHints {
    let view = View::of_window(grid, window);
    match selector.extension.map(|kind| Extension { kind, lookback_ms }) {
        // Beyond the window, no column that answers a function for the window helps.
        Some(extension) => {
            hints(selector, extension.touched(view, window.range_ms), view, grid, window.range_ms, None)
        }
        None => hints(selector, view.touched(window.range_ms), view, grid, window.range_ms, function),
    }
}

fn hints(
    selector: &Selector,
    range: TimeRange,
    view: View,
    grid: Grid,
    window_ms: i64,
    function: Option<&'static str>,
) -> SelectHints {
    let step_ms = if view.is_fixed() || view.steps() == 1 { 0 } else { grid.step_ms() };
    let ends = WindowEnds { first: view.time(0), step_ms };
    SelectHints {
        range,
        step_ms: grid.step_ms(),
        window_ms,
        function,
        projection: selector.projection.clone(),
        ends: selector.windows.then_some(ends),
        near: false,
    }
}
