//! A piece of the results of one query: neighbouring steps, the series that have points there, and until when it holds.

use std::cmp::Ordering;
use std::sync::Arc;
use tsdb::{ChangeMark, Changed};
use tsdb_core::Timestamp;
use tsdb_promql::{Annotations, HistogramPoint, Reach, SeriesPoints};

/// Steps of a cell. Cells begin at the same steps for all queries.
pub(super) const CELL_STEPS: i64 = 512;

/// The steps of a query, counted so that two queries with the same distance and offset of their steps count the same
/// step alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) step_ms: i64,
    pub(super) offset_ms: i64,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Steps {
    /// The steps of a query from `start` to `end`; `None` if they are beyond what can be counted.
    pub(super) fn of(start: Timestamp, end: Timestamp, step_ms: i64) -> Option<Self> {
        if step_ms <= 0 || end < start {
            return None;
        }
        let count = end.checked_sub(start)?.checked_div(step_ms)?;
        let (first, offset_ms) = (start.checked_div_euclid(step_ms)?, start.checked_rem_euclid(step_ms)?);
        let last = first.checked_add(count)?;
        // The ends of the cells around are times as well.
        last.checked_add(CELL_STEPS)?.checked_mul(step_ms)?.checked_add(offset_ms)?;
        first.checked_sub(CELL_STEPS)?.checked_mul(step_ms)?;
        Some(Self { step_ms, offset_ms, first, last })
    }

    /// When the step with this number is.
    pub(super) const fn time(&self, number: i64) -> Timestamp {
        number.saturating_mul(self.step_ms).saturating_add(self.offset_ms)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> i64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The number of the last step at or before `time`.
    pub(super) const fn number_at(&self, time: Timestamp) -> i64 {
        time.saturating_sub(self.offset_ms).div_euclid(self.step_ms)
    }

    /// Those of the steps from `first` to `last`; `None` if there are none.
    pub(super) fn within(self, first: i64, last: i64) -> Option<Self> {
        let (first, last) = (self.first.max(first), self.last.min(last));
        (first <= last).then_some(Self { first, last, ..self })
    }
}

/// Results of neighbouring steps of a query.
#[derive(Debug)]
pub(super) struct Cell {
    /// The steps for which the results are known, whether or not any series has a point there.
    pub(super) known: Steps,
    /// Since when nobody asked whether they still hold.
    pub(super) mark: ChangeMark,
    /// Sorted by labels.
    pub(super) series: Vec<SeriesPoints>,
    /// What was said about them.
    pub(super) annotations: Annotations,
    /// The text that the annotations point into.
    pub(super) text: Arc<str>,
}

impl Cell {
    /// The steps that still have the same results, with what `changed` since then.
    pub(super) fn still_known(&self, changed: Changed, reach: Reach) -> Option<Steps> {
        let known = self.known;
        let mut valid = Some(known);
        if let Some(from) = changed.from {
            // A step sees the data up to `after_ms` behind it, which must end before the change.
            let last = known.number_at(from.saturating_sub(reach.after_ms).saturating_sub(1));
            valid = valid.and_then(|valid| valid.within(i64::MIN, last));
        }
        if let Some(until) = changed.until {
            let first = known.number_at(until.saturating_add(reach.before_ms)).saturating_add(1);
            valid = valid.and_then(|valid| valid.within(first, i64::MAX));
        }
        valid
    }

    /// Memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let series = self.series.iter().map(bytes_of).fold(0, usize::saturating_add);
        series.saturating_add(size_of::<Self>()).saturating_add(self.text.len()) as u64
    }
}

fn bytes_of(series: &SeriesPoints) -> usize {
    let points = series.timestamps.capacity().saturating_add(series.values.capacity()).saturating_mul(8);
    let histogram =
        |point: &HistogramPoint| point.histogram.size_bytes().saturating_add(size_of::<HistogramPoint>());
    let histograms = series.histograms.iter().map(histogram).fold(0, usize::saturating_add);
    [series.labels.encoded_len(), size_of::<SeriesPoints>(), points]
        .into_iter()
        .fold(histograms, usize::saturating_add)
}

/// The points of `series` at these steps; series without any are left out.
pub(super) fn cut(series: &[SeriesPoints], steps: Steps) -> Vec<SeriesPoints> {
    let (from, to) = (steps.time(steps.first), steps.time(steps.last));
    series.iter().filter_map(|series| points_within(series, from, to)).collect()
}

fn points_within(series: &SeriesPoints, from: Timestamp, to: Timestamp) -> Option<SeriesPoints> {
    let first = series.timestamps.partition_point(|time| *time < from);
    let end = series.timestamps.partition_point(|time| *time <= to);
    let times = series.timestamps.get(first..end).unwrap_or_default();
    let values = series.values.get(first..end).unwrap_or_default();
    let first = series.histograms.partition_point(|point| point.timestamp < from);
    let end = series.histograms.partition_point(|point| point.timestamp <= to);
    let histograms = series.histograms.get(first..end).unwrap_or_default();
    if times.is_empty() && histograms.is_empty() {
        return None;
    }
    let mut cut = SeriesPoints::new(series.labels.clone(), times.to_vec(), values.to_vec());
    cut.histograms = histograms.to_vec();
    Some(cut)
}

/// The points of both, those of `later` being later; both and the result are sorted by labels.
pub(super) fn joined(earlier: Vec<SeriesPoints>, later: Vec<SeriesPoints>) -> Vec<SeriesPoints> {
    if earlier.is_empty() {
        return later;
    }
    let mut all = Vec::with_capacity(earlier.len().max(later.len()));
    let (mut earlier, mut later) = (earlier.into_iter().peekable(), later.into_iter().peekable());
    loop {
        let order = match (earlier.peek(), later.peek()) {
            (None, None) => return all,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.labels.cmp(&b.labels),
        };
        let first = if order.is_le() { earlier.next() } else { None };
        let second = if order.is_ge() { later.next() } else { None };
        all.extend(match (first, second) {
            (Some(mut first), Some(second)) => {
                first.timestamps.extend(second.timestamps);
                first.values.extend(second.values);
                first.histograms.extend(second.histograms);
                Some(first)
            }
            (first, second) => first.or(second),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::Labels;

    fn series(name: &str, points: &[(i64, f64)]) -> SeriesPoints {
        let labels = Labels::from_pairs([("__name__", name)]).unwrap();
        let (times, values) = points.iter().copied().unzip();
        SeriesPoints::new(labels, times, values)
    }

    #[test]
    fn steps_of_queries_that_are_moved_by_whole_steps_have_the_same_numbers() {
        let (a, b) = (Steps::of(-70, 1_000, 50).unwrap(), Steps::of(130, 2_000, 50).unwrap());
        assert_eq!((a.offset_ms, a.first, a.last, a.len()), (30, -2, 19, 22));
        assert_eq!(b.offset_ms, 30);
        assert_eq!((a.time(-2), b.time(b.first), a.number_at(130)), (-70, 130, b.first));
        assert_eq!((a.number_at(129), a.number_at(179)), (b.first - 1, b.first));
        assert_eq!(Steps::of(0, 0, 5).unwrap().len(), 1);
        for (start, end, step) in
            [(0, 10, 0), (10, 0, 1), (i64::MIN, 0, 1), (0, i64::MAX, 1), (0, 1, i64::MAX)]
        {
            assert_eq!(Steps::of(start, end, step), None);
        }
    }

    #[test]
    fn what_is_cut_and_joined_again_is_the_same() {
        let all = vec![
            series("a", &[(0, 1.0), (10, 2.0), (20, 3.0)]),
            series("b", &[(30, 4.0)]),
            series("c", &[(0, 5.0)]),
        ];
        let steps = Steps::of(0, 30, 10).unwrap();
        for border in 0..4 {
            let parts = [steps.within(0, border - 1), steps.within(border, 3)];
            let parts = parts.map(|part| part.map(|part| cut(&all, part)).unwrap_or_default());
            let [earlier, later] = parts;
            assert_eq!(joined(earlier, later), all);
        }
    }
}
