//! Functions of windows with histograms, against all samples in order of time.

use super::super::super::budget::Budget;
use super::super::super::grid::Grid;
use super::*;
use crate::options::{EngineOptions, QueryParams};
use proptest::prelude::*;
use tsdb_core::TimeRange;
use tsdb_core::histogram::FloatParts;
use tsdb_core::read::Queryable;
use tsdb_core::testing::MemStore;

fn native(count: u8) -> Histogram {
    let count = f64::from(count);
    let parts = FloatParts { count, zero_count: count, ..FloatParts::default() };
    Arc::new(FloatHistogram::new(parts).unwrap())
}

/// A sample every ten seconds from 10 s on: a number, or the count of a histogram.
fn column(samples: &[Result<u8, u8>]) -> SampleColumns {
    let mut columns = SampleColumns::new();
    for (time, sample) in (1..).zip(samples) {
        match sample {
            Ok(number) => columns.push(time * 10_000, f64::from(*number)),
            Err(count) => columns.push_histogram(time * 10_000, native(*count)),
        }
    }
    columns
}

/// What `function` makes of a window that ends at the last of `samples` and begins ten seconds before the first,
/// and what is said about it. Histograms are shown as their counts.
fn point(function: RangeFn, samples: &[Result<u8, u8>]) -> (Option<Result<f64, f64>>, Vec<String>) {
    let (options, store) = (EngineOptions::default(), MemStore::new());
    let querier = store.querier(TimeRange::new(0, 1).unwrap()).unwrap();
    let budget = Budget::new(&options, &QueryParams::instant(0));
    let context = Context::new(&*querier, &options, 0, Arc::new(budget));
    let range_ms = 10_000 * samples.len() as i64;
    let range = MixedRange {
        context: &context,
        function,
        view: Grid::instant(range_ms).seen_through(None, 0),
        range_ms,
        extension: None,
        metric: "h",
        span: Span { start: 0, end: 0 },
    };
    let (numbers, histograms) = split(&column(samples), &[]);
    let all = ((0, numbers.len()), (0, histograms.timestamps.len()));
    let window = MixedWindow::of(&numbers, all.0, &histograms, all.1);
    let point = range.point(0, window, ABSENT).map(|point| match point {
        Point::Number(number) => Ok(number),
        Point::Histogram(histogram) => Err(histogram.count()),
    });
    (point, context.take_annotations().iter().map(|(annotation, _)| annotation.to_string()).collect())
}

fn figure(sample: Result<u8, u8>) -> Result<f64, f64> {
    sample.map(f64::from).map_err(f64::from)
}

#[test]
fn what_adds_up_makes_nothing_of_numbers_among_histograms_and_says_so() {
    for function in [RangeFn::Rate, RangeFn::Increase, RangeFn::Delta, RangeFn::Sum, RangeFn::Avg] {
        let (point, said) = point(function, &[Ok(1), Err(2), Err(3)]);
        assert_eq!((point, said.len()), (None, 1), "{function:?}: {said:?}");
    }
    for function in [RangeFn::Irate, RangeFn::Idelta] {
        let (mixed, said) = point(function, &[Err(1), Ok(2), Err(3)]);
        assert_eq!((mixed, said.len()), (None, 1), "{function:?}: {said:?}");
        // Only the last two are looked at.
        assert!(point(function, &[Ok(1), Err(2), Err(3)]).0.is_some(), "{function:?}");
    }
}

#[test]
fn functions_of_numbers_pass_histograms_over_and_say_so_where_there_are_both() {
    for function in [RangeFn::Min, RangeFn::Max, RangeFn::Stddev] {
        let (_, said) = point(function, &[Ok(1), Err(2)]);
        assert_eq!(said.len(), 1, "{function:?}: {said:?}");
        let (alone, said) = point(function, &[Err(1), Err(2)]);
        assert_eq!((alone, said.len()), (None, 0), "{function:?}: {said:?}");
    }
}

#[test]
fn an_increase_takes_a_fall_for_a_reset() {
    // The window reaches ten seconds beyond the first sample, and the counter could not have been below zero.
    let (increase, _) = point(RangeFn::Increase, &[Err(10), Err(20), Err(5), Err(15)]);
    let expected = 25.0 * (30.0 + 10.0) / 30.0;
    assert!(matches!(increase, Some(Err(count)) if (count - expected).abs() < 1e-9), "{increase:?}");
    assert_eq!(point(RangeFn::Increase, &[Err(10)]).0, None);
    assert_eq!(point(RangeFn::Irate, &[Err(10), Err(4)]).0, Some(Err(0.4)));
}

fn any_samples() -> impl Strategy<Value = Vec<Result<u8, u8>>> {
    let sample = prop_oneof![(0..4_u8).prop_map(Ok), (0..4_u8).prop_map(Err)];
    prop::collection::vec(sample, 1..12).prop_map(|mut samples| {
        samples.push(Err(1));
        samples
    })
}

proptest! {
    #[test]
    fn a_series_is_cut_into_its_numbers_and_its_histograms_and_put_together_again(
        samples in any_samples(),
        starts in prop::collection::vec(0..9_i64, 13),
    ) {
        let mut all = SampleColumns::new();
        for (index, start) in (0..samples.len()).zip(&starts) {
            let one = column(&samples);
            match one.histogram(index) {
                Some(histogram) => all.push_histogram(one.timestamps[index], histogram.clone()),
                None => all.push(one.timestamps[index], one.values[index]),
            }
            all.set_start(*start);
        }
        let (numbers, histograms) = split(&all, &[]);
        prop_assert_eq!(numbers.len() + histograms.timestamps.len(), samples.len());
        let ends = (numbers.len(), histograms.timestamps.len());
        let merged = MixedWindow::of(&numbers, (0, ends.0), &histograms, (0, ends.1)).merged();
        let merged: Vec<_> = merged.iter().map(|(stamp, point)| match point {
            Point::Number(number) => (stamp.time, stamp.start, Ok(*number)),
            Point::Histogram(histogram) => (stamp.time, stamp.start, Err(histogram.count())),
        }).collect();
        let model: Vec<_> = (0..samples.len())
            .map(|index| (all.timestamps[index], all.start(index), figure(samples[index])))
            .collect();
        prop_assert_eq!(merged, model);
    }

    #[test]
    fn functions_of_mixed_windows_are_those_of_all_samples_in_order(samples in any_samples()) {
        let pairs = |holds: fn(Result<u8, u8>, Result<u8, u8>) -> bool| {
            let count = samples.array_windows().filter(|[before, after]| holds(*before, *after)).count();
            Some(Ok(count as f64))
        };
        let fell = |before: Result<u8, u8>, after| match (before, after) {
            (Ok(before), Ok(after)) | (Err(before), Err(after)) => after < before,
            _ => true,
        };
        for (function, expected) in [
            (RangeFn::Count, Some(Ok(samples.len() as f64))),
            (RangeFn::Present, Some(Ok(1.0))),
            (RangeFn::First, samples.first().copied().map(figure)),
            (RangeFn::Last, samples.last().copied().map(figure)),
            (RangeFn::FirstTime, Some(Ok(10.0))),
            (RangeFn::LastTime, Some(Ok(10.0 * samples.len() as f64))),
            (RangeFn::Changes, pairs(|before, after| before != after)),
            (RangeFn::Resets, pairs(fell)),
        ] {
            prop_assert_eq!(point(function, &samples), (expected, vec![]), "{:?}", function);
        }
    }

    #[test]
    fn sums_and_means_of_histograms_are_those_of_their_counts(counts in prop::collection::vec(any::<u8>(), 1..12)) {
        let samples: Vec<_> = counts.iter().map(|count| Err(*count)).collect();
        let sum: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        prop_assert_eq!(point(RangeFn::Sum, &samples).0, Some(Err(sum)));
        let (mean, expected) = (point(RangeFn::Avg, &samples).0, sum / counts.len() as f64);
        prop_assert!(matches!(mean, Some(Err(mean)) if (mean - expected).abs() < 1e-9), "{mean:?}");
    }
}
