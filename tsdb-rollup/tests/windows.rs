//! What the windows of a series keep, against naive models.

#![expect(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use tsdb_core::metadata::MetricType;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Labels, STALE_NAN, is_stale_nan};
use tsdb_rollup::aggregate::{AggregateColumns, Form};
use tsdb_rollup::downsample::{downsample, form_of, window_of};

const MINUTE: i64 = 60_000;

fn columns(samples: &[(i64, f64)]) -> SampleColumns {
    let mut columns = SampleColumns::new();
    samples.iter().for_each(|(time, value)| columns.push(*time, *value));
    columns
}

fn windows(samples: &[(i64, f64)], form: Form, resolution_ms: i64) -> AggregateColumns {
    let mut into = AggregateColumns::default();
    downsample(&AggregateColumns::of_samples(columns(samples), form), resolution_ms, &mut into);
    into
}

/// Times, values and weights of entries.
fn entries(of: &AggregateColumns) -> Vec<(i64, String, u32)> {
    let samples = of.samples.timestamps.iter().zip(&of.samples.values).zip(&of.weights);
    let text = |value: f64| if is_stale_nan(value) { "stale".into() } else { value.to_string() };
    samples.map(|((time, value), weight)| (*time, text(*value), *weight)).collect()
}

fn entry(time: i64, value: &str, weight: u32) -> (i64, String, u32) {
    (time, value.into(), weight)
}

#[test]
fn a_window_begins_behind_a_multiple_of_the_resolution_and_ends_with_the_next() {
    assert_eq!((window_of(1, 10).start(), window_of(1, 10).end()), (1, 10));
    assert_eq!((window_of(10, 10).start(), window_of(10, 10).end()), (1, 10));
    assert_eq!((window_of(0, 10).start(), window_of(0, 10).end()), (-9, 0));
    assert_eq!(window_of(i64::MAX, 10).end(), i64::MAX);
    assert_eq!(window_of(i64::MIN, 10).start(), i64::MIN);
}

#[test]
fn a_counter_keeps_the_first_and_the_last_sample_of_a_window_and_both_at_a_fall() {
    let samples = [(1, 5.0), (2, 6.0), (3, 8.0), (4, 1.0), (5, 2.0), (6, 3.0), (11, 2.0)];
    let kept = windows(&samples, Form::Corners, 10);
    let expected = [(1, "5", 1), (3, "8", 1), (4, "1", 1), (6, "3", 3), (11, "2", 1)];
    assert_eq!(entries(&kept), expected.map(|(time, value, weight)| entry(time, value, weight)));
}

#[test]
fn a_gauge_keeps_its_last_sample_and_the_spread() {
    let kept = windows(&[(1, 5.0), (2, -1.0), (3, 3.0), (25, 7.0)], Form::Spread, 10);
    assert_eq!(entries(&kept), [entry(3, "3", 3), entry(25, "7", 1)]);
    let spread = kept.spread.unwrap();
    assert_eq!((spread.min, spread.max, spread.sum), (vec![-1.0, 7.0], vec![5.0, 7.0], vec![7.0, 7.0]));
}

#[test]
fn a_stale_marker_is_kept_only_at_the_end_of_its_window() {
    let samples = [(1, 1.0), (2, STALE_NAN), (3, 2.0), (4, STALE_NAN), (15, STALE_NAN), (21, 4.0)];
    let kept = [(3, "2", 2), (4, "stale", 0), (15, "stale", 0), (21, "4", 1)];
    let expected = kept.map(|(time, value, weight)| entry(time, value, weight));
    assert_eq!(entries(&windows(&samples, Form::Spread, 10)), expected);
    let corners = windows(&samples, Form::Corners, 10);
    assert_eq!(entries(&corners)[0], entry(1, "1", 1));
    assert_eq!(entries(&corners)[1..], expected.map(|e| (e.0, e.1, e.2.min(1)))[..]);
}

fn form(name: &str, le: bool, declared: MetricType, values: &[f64]) -> Form {
    let pairs = [("__name__", name), ("le", "1")];
    let labels = Labels::from_pairs(pairs.into_iter().take(if le { 2 } else { 1 })).unwrap();
    let samples: Vec<_> = (0..).zip(values.iter().copied()).collect();
    form_of(&labels, declared, &columns(&samples))
}

#[test]
fn the_type_is_the_declared_one_else_that_of_the_name_else_that_of_the_shape() {
    let falling = [3.0, 2.5, 2.0];
    assert_eq!(form("requests", false, MetricType::Counter, &falling), Form::Corners);
    assert_eq!(form("heat_total", false, MetricType::Gauge, &falling), Form::Spread);
    assert_eq!(form("time_bucket", true, MetricType::Histogram, &falling), Form::Corners);
    assert_eq!(form("time", false, MetricType::Summary, &falling), Form::Spread);
    assert_eq!(form("requests_total", false, MetricType::Unknown, &falling), Form::Corners);
    assert_eq!(form("time_bucket", true, MetricType::Unknown, &falling), Form::Corners);
    assert_eq!(form("time_bucket", false, MetricType::Unknown, &falling), Form::Spread);
    assert_eq!(form("heat", false, MetricType::Unknown, &falling), Form::Spread);
    assert_eq!(form("work", false, MetricType::Unknown, &[1.0, 5.0, 0.0, 2.0]), Form::Corners);
    assert_eq!(form("flat", false, MetricType::Unknown, &[1.0, 1.0]), Form::Spread);
}

/// A series with gaps, falls, stale markers, NaNs and both zeros.
fn any_series() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![
        8 => (0..50_u32).prop_map(f64::from),
        2 => (0..5000_u32).prop_map(|x| f64::from(x) / 100.0),
        1 => Just(STALE_NAN),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
    ];
    let gap = prop_oneof![9 => 10_000..20_000_i64, 1 => MINUTE..40 * MINUTE];
    prop::collection::vec((gap, value), 0..120).prop_map(|steps| {
        let mut time = -30 * MINUTE;
        steps
            .into_iter()
            .map(|(gap, value)| {
                time += gap;
                (time, value)
            })
            .collect()
    })
}

fn bits(columns: &[f64]) -> Vec<u64> {
    // All NaN that are no stale markers are one: which of them stays is told by no rule.
    columns.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #[test]
    fn longer_windows_from_windows_are_those_from_samples(
        series in any_series(), form in prop_oneof![Just(Form::Corners), Just(Form::Spread)],
    ) {
        let (short, long) = (5 * MINUTE, 60 * MINUTE);
        let mut derived = AggregateColumns::default();
        downsample(&windows(&series, form, short), long, &mut derived);
        let direct = windows(&series, form, long);
        prop_assert_eq!(&derived.samples.timestamps, &direct.samples.timestamps);
        prop_assert_eq!(&derived.weights, &direct.weights);
        prop_assert_eq!(bits(&derived.samples.values), bits(&direct.samples.values));
        if let (Some(a), Some(b)) = (derived.spread, direct.spread) {
            prop_assert_eq!(bits(&a.min), bits(&b.min));
            prop_assert_eq!(bits(&a.max), bits(&b.max));
            for (x, y) in a.sum.iter().zip(&b.sum) {
                prop_assert!(x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-14 * y.abs());
            }
        }
    }

    #[test]
    fn windows_tell_how_many_samples_they_had_and_end_as_the_samples_do(
        series in any_series(), form in prop_oneof![Just(Form::Corners), Just(Form::Spread)],
    ) {
        let kept = windows(&series, form, 5 * MINUTE);
        prop_assert!(kept.samples.timestamps.is_sorted_by(|a, b| a < b));
        for (time, _) in &series {
            let window = window_of(*time, 5 * MINUTE);
            let within: Vec<_> = series.iter().filter(|sample| window.contains(sample.0)).collect();
            let count = within.iter().filter(|sample| !is_stale_nan(sample.1)).count();
            let entries: Vec<_> =
                (0..kept.len()).filter(|i| window.contains(kept.samples.timestamps[*i])).collect();
            let weight: u32 = entries.iter().map(|index| kept.weights[*index]).sum();
            prop_assert_eq!(weight as usize, count);
            let last = *entries.last().unwrap();
            prop_assert_eq!(kept.samples.timestamps[last], within.last().unwrap().0);
            prop_assert_eq!(kept.samples.values[last].to_bits(), within.last().unwrap().1.to_bits());
        }
    }

    #[test]
    fn no_fall_is_lost_and_none_is_added(series in any_series()) {
        let falls = |samples: &SampleColumns| {
            let values: Vec<_> = samples.values.iter().copied().filter(|value| !is_stale_nan(*value)).collect();
            values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0].to_bits()).collect::<Vec<_>>()
        };
        prop_assert_eq!(falls(&windows(&series, Form::Corners, 5 * MINUTE).samples), falls(&columns(&series)));
    }
}
