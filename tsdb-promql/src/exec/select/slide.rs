//! Kernels whose cost does not depend on the length of the windows.
//!
//! Only where the result is exact: counts of integers, positions, and picks of a sample. Sums of floats are not
//! among them, because their last bit depends on where they begin.

use super::super::operator::ABSENT;
use std::collections::VecDeque;

/// Positions `i` at which `holds(values[i - 1], values[i])`.
pub(super) fn find_pairs(values: &[f64], positions: &mut Vec<usize>, holds: impl Fn(f64, f64) -> bool) {
    positions.clear();
    let pairs = values.array_windows().enumerate();
    positions.extend(pairs.filter(|(_, [a, b])| holds(*a, *b)).map(|(index, _)| index + 1));
}

/// For each window, calls `result` with the positions of `positions` that lie inside it behind its first sample.
/// Empty windows are absent.
pub(super) fn with_pairs(
    positions: &[usize],
    windows: &[(usize, usize)],
    out: &mut [f64],
    mut result: impl FnMut(usize, (usize, usize), &[usize]) -> f64,
) {
    let (mut first, mut last) = (0usize, 0usize);
    for (step, (window, slot)) in windows.iter().zip(out).enumerate() {
        let (start, end) = *window;
        if start >= end {
            *slot = ABSENT;
            continue;
        }
        first += count_below(positions, first, start + 1);
        last = last.max(first);
        last += count_below(positions, last, end);
        *slot = result(step, *window, positions.get(first..last).unwrap_or(&[]));
    }
}

fn count_below(positions: &[usize], from: usize, bound: usize) -> usize {
    positions.get(from..).unwrap_or(&[]).iter().take_while(|position| **position < bound).count()
}

/// For each window, calls `result` with the position of its extreme value; of a window of NaNs, its last sample.
/// Empty windows are absent.
///
/// `beats(new, old)`: does a later value replace an earlier one? The candidates form a queue in which each is
/// beaten by none behind it. Source: Lemire, "Streaming Maximum-Minimum Filter Using No More than Three Comparisons
/// per Element" (2006).
pub(super) fn with_extremes(
    values: &[f64],
    windows: &[(usize, usize)],
    candidates: &mut VecDeque<usize>,
    out: &mut [f64],
    beats: impl Fn(f64, f64) -> bool,
    result: impl Fn(usize) -> f64,
) {
    candidates.clear();
    let mut seen = 0usize;
    for ((start, end), slot) in windows.iter().zip(out) {
        // A window that begins behind all that was seen needs nothing from before it.
        seen = seen.max(*start);
        for (index, value) in values.iter().enumerate().take(*end).skip(seen) {
            if value.is_nan() {
                continue;
            }
            while candidates.back().and_then(|last| values.get(*last)).is_some_and(|old| beats(*value, *old))
            {
                candidates.pop_back();
            }
            candidates.push_back(index);
        }
        seen = seen.max(*end);
        while candidates.front().is_some_and(|first| first < start) {
            candidates.pop_front();
        }
        *slot = match candidates.front() {
            _ if start >= end => ABSENT,
            Some(index) => result(*index),
            None => result(end - 1),
        };
    }
}
