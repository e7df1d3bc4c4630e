//! Kernels whose cost does not depend on the length of the windows.
//!
//! Only where the result is exact: counts of integers, positions, picks of a sample, and sums of integers. Sums of
//! other floats are not among them, because their last bit depends on where they begin.

use super::super::operator::ABSENT;
use super::patience::Patience;
use crate::num::ascending_exactly;
use std::collections::VecDeque;

/// Positions `i` at which `holds(values[i - 1], values[i])`.
pub(super) fn find_pairs(values: &[f64], positions: &mut Vec<usize>, holds: impl Fn(f64, f64) -> bool) {
    positions.clear();
    // Mostly there are none, and without an early end the loop looks at several at once.
    if !values.array_windows().fold(false, |any, [a, b]| any | holds(*a, *b)) {
        return;
    }
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

/// For each window its extreme value, the first of equal ones; of a window of NaNs, its last value. Empty windows are
/// absent.
///
/// `beats(new, old)`: does a later value replace an earlier one? NaN beats nothing. Samples that are in the same
/// windows are one candidate of the queue of [`with_extremes`], and the extreme of such a run is found without
/// branches.
pub(super) fn with_extreme_values(
    values: &[f64],
    windows: &[(usize, usize)],
    candidates: &mut VecDeque<(usize, f64)>,
    out: &mut [f64],
    beats: impl Fn(f64, f64) -> bool + Copy,
) {
    candidates.clear();
    let mut seen = 0usize;
    let mut starts = windows.iter().map(|(start, _)| *start).peekable();
    for ((start, end), slot) in windows.iter().zip(out) {
        seen = seen.max(*start);
        while seen < *end {
            while starts.next_if(|next| *next <= seen).is_some() {}
            let cut = starts.peek().map_or(*end, |next| (*next).min(*end));
            if let Some(extreme) = extreme_of(values.get(seen..cut).unwrap_or(&[]), beats) {
                while candidates.pop_back_if(|(_, old)| beats(extreme, *old)).is_some() {}
                candidates.push_back((seen, extreme));
            }
            seen = cut;
        }
        while candidates.pop_front_if(|(first, _)| *first < *start).is_some() {}
        *slot = match candidates.front() {
            _ if start >= end => ABSENT,
            Some((_, extreme)) => *extreme,
            None => values.get(end - 1).copied().unwrap_or(ABSENT),
        };
    }
}

/// Values that are compared side by side.
const LANES: usize = 4;

/// The first of the values that none beats; `None` if all are NaN.
fn extreme_of(values: &[f64], beats: impl Fn(f64, f64) -> bool + Copy) -> Option<f64> {
    let values = values.get(values.iter().position(|value| !value.is_nan())?..)?;
    let better = |new: f64, old: f64| if beats(new, old) { new } else { old };
    let (rows, rest) = values.as_chunks::<LANES>();
    let mut lanes = [*values.first()?; LANES];
    for row in rows {
        for (lane, value) in lanes.iter_mut().zip(row) {
            *lane = better(*value, *lane);
        }
    }
    let extreme = lanes.iter().chain(rest).fold(*values.first()?, |old, new| better(*new, old));
    // Zeros are equal and differ in sign.
    if extreme == 0.0 { values.iter().copied().find(|value| *value == 0.0) } else { Some(extreme) }
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

/// 1.5 * 2^52: adding it to a number below 2^51 rounds that to an integer.
const ROUNDS: f64 = 6_755_399_441_055_744.0;

/// Are all sums of `values`, of any part of them in any order, exact? So they are if all are integers whose sums stay
/// below 2^51.
pub(super) fn sums_are_exact(values: &[f64]) -> bool {
    let bound = (1_u64 << 51) as f64 / values.len().max(1) as f64;
    let is_small_integer = |value: f64| (value.abs() < bound) & ((value + ROUNDS) - ROUNDS == value);
    values.iter().fold(true, |all, value| all & is_small_integer(*value))
}

/// For each window, calls `result` with the sum of its values, all sums of which are exact, and their number. Empty
/// windows are absent.
pub(super) fn with_exact_sums(
    values: &[f64],
    windows: &[(usize, usize)],
    out: &mut [f64],
    result: impl Fn(f64, f64) -> f64,
) {
    let (mut first, mut last, mut sum) = (0usize, 0usize, 0.0);
    let total = |start: usize, end: usize| values.get(start..end).unwrap_or(&[]).iter().sum::<f64>();
    for ((start, end), slot) in windows.iter().zip(out) {
        if *start >= last {
            (first, last, sum) = (*start, *start, 0.0);
        }
        sum += total(last, *end) - total(first, *start);
        (first, last) = (*start, *end);
        // Adding zero makes a positive zero of a negative one, as a sum that begins at zero is.
        *slot = if start >= end { ABSENT } else { result(sum + 0.0, (end - start) as f64) };
    }
}

/// So many moves within a window take about as long as sorting it, however long it is.
const MOVES_WORTH_A_SORT: usize = 64;

/// For each window that is not empty, calls `result` with its step and its values in ascending order, NaN first.
///
/// The values are kept in order from window to window, so each costs a search and a move when it comes and when it
/// goes. A move shifts half of the window, so where many come and go it is sorted anew.
pub(super) fn with_ordered(
    values: &[f64],
    windows: &[(usize, usize)],
    ordered: &mut Vec<f64>,
    out: &mut [f64],
    patience: &Patience<'_>,
    result: impl Fn(usize, &[f64]) -> f64,
) {
    ordered.clear();
    let (mut first, mut last) = (0usize, 0usize);
    for (step, ((start, end), slot)) in windows.iter().zip(out).enumerate() {
        let stays = last.saturating_sub(*start);
        let moves = (start - first.min(*start)) + end.saturating_sub(last);
        if !patience.allows(moves.min(MOVES_WORTH_A_SORT).saturating_mul(end.saturating_sub(*start))) {
            return;
        }
        if moves >= stays.min(MOVES_WORTH_A_SORT) {
            ordered.clear();
            ordered.extend_from_slice(values.get(*start..*end).unwrap_or(&[]));
            ordered.sort_unstable_by(ascending_exactly);
        } else {
            for gone in values.get(first..*start).unwrap_or(&[]) {
                let place = ordered.partition_point(|value| ascending_exactly(value, gone).is_lt());
                if place < ordered.len() {
                    ordered.remove(place);
                }
            }
            for come in values.get(last..*end).unwrap_or(&[]) {
                let place = ordered.partition_point(|value| ascending_exactly(value, come).is_lt());
                ordered.insert(place, *come);
            }
        }
        (first, last) = (*start, *end);
        *slot = if start >= end { ABSENT } else { result(step, ordered) };
    }
}
