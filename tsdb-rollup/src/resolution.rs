//! Which windows answer a query, and where.
//!
//! A function of a range is answered exactly from windows if the ranges are made of whole windows (see
//! [`downsample`](crate::downsample)) and the form of the series has a column for it. Long windows are read before short
//! ones, and either before samples. What cannot be answered exactly is answered from samples, and from windows only
//! where no samples are left.

use crate::aggregate::{Column, Form};
use tsdb_core::TimeRange;
use tsdb_core::read::SelectHints;

/// From what of windows a function is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The column that is read.
    pub column: Column,
    /// Is it the same as from samples if the series has corners?
    corners: bool,
    /// And if it has a spread?
    spread: bool,
}

impl Answer {
    /// What answers the selection that `hints` describe.
    pub fn of(hints: &SelectHints) -> Self {
        let (column, corners, spread) = match hints.function {
            None => (Column::Samples, hints.window_ms == 0, hints.window_ms == 0),
            Some(
                "last_over_time"
                | "present_over_time"
                | "absent_over_time"
                | "count_over_time"
                | "ts_of_last_over_time",
            ) => (Column::Samples, true, true),
            Some("min_over_time") => (Column::Min, true, true),
            Some("max_over_time") => (Column::Max, true, true),
            Some("sum_over_time" | "avg_over_time") => (Column::Sum, false, true),
            Some("rate" | "increase" | "delta" | "resets" | "first_over_time" | "ts_of_first_over_time") => {
                (Column::Samples, true, false)
            }
            Some(_) => (Column::Samples, false, false),
        };
        Self { column, corners, spread }
    }

    /// Is the answer that of samples if the series is of `form` and ranges are made of whole windows?
    pub const fn is_exact_for(self, form: Form) -> bool {
        match form {
            Form::Corners => self.corners,
            Form::Spread => self.spread,
        }
    }

    /// Is the number of samples in windows of use even where the answer is an approximation?
    pub const fn counts_windows(self) -> bool {
        self.corners && self.spread
    }

    /// Is there a form of which it is?
    pub const fn is_ever_exact(self) -> bool {
        self.corners || self.spread
    }
}

/// Are the ranges that `hints` describe made of whole windows of `resolution_ms`, which is positive?
pub fn is_aligned(hints: &SelectHints, resolution_ms: i64) -> bool {
    hints.window_ms.rem_euclid(resolution_ms) == 0
        && hints.ends.is_some_and(|ends| ends.are_multiples_of(resolution_ms))
}

/// Windows that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Their length, ms.
    pub resolution_ms: i64,
    /// What they cover.
    pub covers: TimeRange,
    /// Are the samples they were made of still there?
    pub has_samples: bool,
}

/// What is read for a part of a range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The part.
    pub range: TimeRange,
    /// Which of the candidates is read; `None` for samples.
    pub candidate: Option<usize>,
    /// Do the ranges of the query lie across its windows?
    pub is_across: bool,
}

/// Divides what `hints` ask for among `candidates` and samples: parts in order of time without gaps between.
pub fn divide(hints: &SelectHints, candidates: &[Candidate]) -> Vec<Part> {
    let exact = Answer::of(hints).is_ever_exact();
    let fits = |candidate: &Candidate| exact && is_aligned(hints, candidate.resolution_ms);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    // What fits comes first, from long to short. Of what is left, samples answer where they are, and elsewhere short
    // windows rather than long ones.
    order.sort_by_key(|index| {
        let candidate = candidates.get(*index);
        candidate.map(|c| match fits(c) {
            true => (0, -c.resolution_ms),
            false => (if c.has_samples { 1 } else { 2 }, c.resolution_ms),
        })
    });
    let mut parts = Vec::new();
    let mut open = vec![hints.range];
    for index in order {
        let Some(candidate) = candidates.get(index) else { continue };
        let fits = fits(candidate);
        let read = Some(index).filter(|_| fits || !candidate.has_samples);
        let mut left = Vec::new();
        for range in open {
            let Some(taken) = range.intersect(&candidate.covers) else {
                left.push(range);
                continue;
            };
            parts.push(Part { range: taken, candidate: read, is_across: !fits && read.is_some() });
            left.extend(around(range, taken));
        }
        open = left;
    }
    parts.extend(open.into_iter().map(|range| Part { range, candidate: None, is_across: false }));
    parts.sort_by_key(|part| part.range.start());
    parts.dedup_by(|later, part| {
        let both = part.candidate.is_none() && later.candidate.is_none();
        if both {
            part.range = part.range.union(&later.range);
        }
        both
    });
    parts
}

/// What is left of `range` without `taken`, which lies within.
fn around(range: TimeRange, taken: TimeRange) -> impl Iterator<Item = TimeRange> {
    let before = taken.start().checked_sub(1).and_then(|end| TimeRange::new(range.start(), end));
    let after = taken.end().checked_add(1).and_then(|start| TimeRange::new(start, range.end()));
    before.into_iter().chain(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::read::WindowEnds;

    const HOUR: i64 = 3_600_000;
    const MINUTE: i64 = 60_000;

    fn hints(function: Option<&'static str>, window_ms: i64, step_ms: i64) -> SelectHints {
        let range = TimeRange::new(10 * HOUR - window_ms + 1, 20 * HOUR).unwrap();
        let ends = Some(WindowEnds { first: 10 * HOUR, step_ms });
        SelectHints { step_ms, window_ms, function, ends, ..SelectHints::over(range) }
    }

    fn candidate(resolution_ms: i64, from: i64, to: i64, has_samples: bool) -> Candidate {
        Candidate { resolution_ms, covers: TimeRange::new(from * HOUR + 1, to * HOUR).unwrap(), has_samples }
    }

    fn divided(hints: &SelectHints, candidates: &[Candidate]) -> Vec<(i64, Option<usize>, bool)> {
        let parts = divide(hints, candidates);
        let joined = parts.array_windows().all(|[a, b]| a.range.end() + 1 == b.range.start());
        assert!(joined && parts[0].range.start() == hints.range.start(), "{parts:?}");
        assert_eq!(parts.last().map(|part| part.range.end()), Some(hints.range.end()));
        parts.iter().map(|part| (part.range.end() / HOUR, part.candidate, part.is_across)).collect()
    }

    #[test]
    fn long_windows_come_before_short_ones_and_these_before_samples() {
        let all = [candidate(5 * MINUTE, 0, 18, true), candidate(HOUR, 0, 15, true)];
        let hourly = hints(Some("max_over_time"), HOUR, HOUR);
        assert_eq!(divided(&hourly, &all), [(15, Some(1), false), (18, Some(0), false), (20, None, false)]);
        let half = hints(Some("max_over_time"), 30 * MINUTE, HOUR);
        assert_eq!(divided(&half, &all), [(18, Some(0), false), (20, None, false)]);
        let odd = hints(Some("max_over_time"), HOUR, 7 * MINUTE);
        assert_eq!(divided(&odd, &all), [(20, None, false)]);
    }

    #[test]
    fn what_windows_answer_only_about_comes_from_them_only_where_no_samples_are_left() {
        let all = [
            candidate(5 * MINUTE, 12, 16, true),
            candidate(5 * MINUTE, 0, 12, false),
            candidate(HOUR, 0, 15, false),
        ];
        let quantile = hints(Some("quantile_over_time"), HOUR, HOUR);
        assert_eq!(divided(&quantile, &all), [(12, Some(1), true), (20, None, false)]);
        let odd = hints(Some("rate"), HOUR, 7 * MINUTE);
        assert_eq!(divided(&odd, &all), [(12, Some(1), true), (20, None, false)]);
    }

    #[test]
    fn an_instant_selector_at_the_ends_of_windows_is_answered_whatever_its_lookback() {
        let mut hints = hints(None, 0, HOUR);
        hints.range = TimeRange::new(10 * HOUR - 7 * MINUTE, 20 * HOUR).unwrap();
        assert_eq!(
            divided(&hints, &[candidate(HOUR, 0, 15, false)]),
            [(15, Some(0), false), (20, None, false)]
        );
    }

    #[test]
    fn rates_are_exact_for_corners_and_sums_for_spreads() {
        let of = |function| Answer::of(&hints(Some(function), HOUR, HOUR));
        assert!(of("rate").is_exact_for(Form::Corners) && !of("rate").is_exact_for(Form::Spread));
        assert!(!of("sum_over_time").is_exact_for(Form::Corners));
        assert!(of("sum_over_time").is_exact_for(Form::Spread));
        assert!(!of("stddev_over_time").is_ever_exact());
        assert!(!Answer::of(&hints(None, HOUR, HOUR)).is_ever_exact());
    }
}
