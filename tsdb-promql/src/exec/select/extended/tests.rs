//! Windows that reach beyond their borders, against a search in each.

use super::super::super::operator::is_absent;
use super::super::patience::Patience;
use super::*;
use proptest::prelude::*;

#[derive(Debug)]
struct Case {
    samples: SampleColumns,
    grid: Grid,
    at: Option<Timestamp>,
    range_ms: i64,
    extension: Extension,
}

type Point = (Timestamp, f64);

impl Case {
    fn run(&self, function: RangeFn) -> Vec<Option<f64>> {
        let view = self.grid.seen_through(self.at, 0);
        let SampleColumns { timestamps, values, .. } = &self.samples;
        let mut scratch = Scratch::default();
        find_windows(timestamps, view, self.range_ms, &mut scratch.windows);
        let input = KernelInput {
            timestamps,
            values,
            view,
            step_time: &|step| self.grid.time(step),
            range_ms: self.range_ms,
            params: &[],
            weights: &Weights::default(),
            patience: &Patience::endless(),
        };
        let mut out = vec![0.0; self.grid.steps()];
        self.extension.apply(function, &input, &mut scratch, &mut out).unwrap();
        out.into_iter().map(|slot| (!is_absent(slot)).then_some(slot)).collect()
    }

    fn naive(&self, function: RangeFn) -> Vec<Option<f64>> {
        let view = self.grid.seen_through(self.at, 0);
        (0..self.grid.steps()).map(|step| self.naive_at(function, view.time(step))).collect()
    }

    fn naive_at(&self, function: RangeFn, end: Timestamp) -> Option<f64> {
        let start = end - self.range_ms;
        let counter = function != RangeFn::Delta;
        let path = match self.extension.kind {
            RangeExtension::Anchored => self.anchored_path(start, end)?,
            RangeExtension::Smoothed => self.smoothed_path(start, end, counter)?,
        };
        let pairs = || path.array_windows().map(|[(_, a), (_, b)]| (*a, *b));
        Some(match function {
            RangeFn::Changes => pairs().filter(|(a, b)| a != b).count() as f64,
            RangeFn::Resets => pairs().filter(|(a, b)| b < a).count() as f64,
            RangeFn::Delta => pairs().map(|(a, b)| b - a).sum(),
            _ => {
                let increase: f64 = pairs().map(|(a, b)| if b < a { b } else { b - a }).sum();
                if function == RangeFn::Rate { increase * 1000.0 / self.range_ms as f64 } else { increase }
            }
        })
    }

    /// The samples that are in reach of a window and satisfy `condition`.
    fn reached(&self, end: Timestamp, condition: impl Fn(Timestamp) -> bool) -> Vec<Point> {
        let Extension { kind, lookback_ms } = self.extension;
        let ahead = if kind == RangeExtension::Smoothed { lookback_ms } else { 0 };
        let reach = end - self.range_ms - lookback_ms + 1..=end + ahead;
        let samples = self.samples.timestamps.iter().copied().zip(self.samples.values.iter().copied());
        samples.filter(|(t, _)| reach.contains(t) && condition(*t)).collect()
    }

    fn anchored_path(&self, start: Timestamp, end: Timestamp) -> Option<Vec<Point>> {
        let mut inside = self.reached(end, |t| t > start);
        let anchor = self.reached(end, |t| t <= start).last().copied();
        inside.first()?;
        inside.splice(0..0, anchor);
        Some(inside)
    }

    fn smoothed_path(&self, start: Timestamp, end: Timestamp, counter: bool) -> Option<Vec<Point>> {
        let all = self.reached(end, |_| true);
        if all.first()?.0 > end || all.last()?.0 <= start {
            return None;
        }
        let border = |at: Timestamp| {
            let before = self.reached(end, |t| t <= at).last().copied();
            let after = self.reached(end, |t| t >= at).first().copied();
            (
                at,
                match (before, after) {
                    (Some(before), Some(after)) if before.0 == after.0 => before.1,
                    (Some((_, a)), Some((_, b))) if counter && b < a => {
                        let (before, after) = (before.unwrap().0, after.unwrap().0);
                        b * (at - before) as f64 / (after - before) as f64
                    }
                    (Some(before), Some(after)) => {
                        before.1 + (after.1 - before.1) * (at - before.0) as f64 / (after.0 - before.0) as f64
                    }
                    (before, after) => before.or(after).unwrap().1,
                },
            )
        };
        let mut path = vec![border(start)];
        path.extend(self.reached(end, |t| t > start && t < end));
        path.push(border(end));
        Some(path)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let samples = proptest::collection::vec((1..40i64, 0..6i32), 0..40);
    let kind = prop_oneof![Just(RangeExtension::Anchored), Just(RangeExtension::Smoothed)];
    let at = proptest::option::weighted(0.2, 0..400i64);
    (samples, kind, at, -100..100i64, 1..60i64, 1..120i64, 1..100i64).prop_map(
        |(samples, kind, at, start, step, range_ms, lookback_ms)| {
            let mut columns = SampleColumns::new();
            let mut time = 0;
            for (gap, value) in samples {
                time += gap;
                columns.push(time, f64::from(value));
            }
            let grid = Grid::range(start, start + 700, step, 10_000).unwrap().unwrap();
            Case { samples: columns, grid, at, range_ms, extension: Extension { kind, lookback_ms } }
        },
    )
}

fn close(a: &[Option<f64>], b: &[Option<f64>]) -> bool {
    a.iter().zip(b).all(|pair| match pair {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    })
}

proptest! {
    #[test]
    fn every_window_has_the_result_of_its_own_samples(case in cases()) {
        let mut functions = vec![RangeFn::Rate, RangeFn::Increase, RangeFn::Delta];
        if case.extension.kind == RangeExtension::Anchored {
            functions.extend([RangeFn::Changes, RangeFn::Resets]);
        }
        for function in functions {
            let (found, naive) = (case.run(function), case.naive(function));
            prop_assert!(close(&found, &naive), "{function:?}: {found:?}, naive {naive:?}");
        }
    }

    #[test]
    fn what_is_touched_holds_every_sample_in_reach(case in cases()) {
        let view = case.grid.seen_through(case.at, 0);
        let touched = case.extension.touched(view, case.range_ms);
        for step in 0..case.grid.steps() {
            for (time, _) in case.reached(view.time(step), |_| true) {
                prop_assert!(touched.contains(time));
            }
        }
    }
}

#[test]
fn a_whole_window_begins_and_ends_with_its_borders() {
    let samples = SampleColumns {
        timestamps: vec![5, 10, 20, 30, 50],
        values: vec![0.0, 1.0, 2.0, 4.0, 8.0],
        ..SampleColumns::new()
    };
    let window = |kind, end, range_ms| {
        let extension = Extension { kind, lookback_ms: 100 };
        let result = extension.window(&samples, Grid::instant(end).seen_through(None, 0), range_ms);
        result.timestamps.into_iter().zip(result.values).collect::<Vec<_>>()
    };
    let (anchored, smoothed) = (RangeExtension::Anchored, RangeExtension::Smoothed);
    assert_eq!(window(anchored, 40, 28), [(12, 1.0), (20, 2.0), (30, 4.0), (40, 4.0)]);
    assert_eq!(window(smoothed, 40, 25), [(15, 1.5), (20, 2.0), (30, 4.0), (40, 6.0)]);
    assert_eq!(window(anchored, 30, 20), [(10, 1.0), (20, 2.0), (30, 4.0)]);
    assert_eq!(window(anchored, 4, 20), []);
    assert_eq!(window(smoothed, 4, 20), [(-16, 0.0), (4, 0.0)]);
    assert_eq!(window(smoothed, 90, 20), []);
}
