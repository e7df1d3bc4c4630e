//! How series lines are read.

use super::*;
use tsdb_core::is_stale_nan;

fn floats(line: &str) -> Vec<Option<f64>> {
    let (_, values) = parse_series(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let float = |value: &SequenceValue| match value {
        SequenceValue::Missing => None,
        SequenceValue::Float(value) => Some(*value),
        SequenceValue::Histogram(h) => panic!("{h:?}"),
    };
    values.iter().map(float).collect()
}

#[test]
fn repetitions_count_as_the_language_says() {
    assert_eq!(floats("m 1x3"), [Some(1.0); 4]);
    assert_eq!(floats("m _x3"), [None; 3]);
    assert_eq!(floats("m 0x3"), [Some(0.0); 4]);
    assert_eq!(
        floats("m 5-2x2 _ -1-2x2"),
        [Some(5.0), Some(3.0), Some(1.0), None, Some(-1.0), Some(-3.0), Some(-5.0)]
    );
    assert_eq!(floats("m 010 1e-3+1e-3x1"), [Some(8.0), Some(0.001), Some(0.002)]);
    assert_eq!(floats("m Inf -inf +1"), [Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(1.0)]);
}

#[test]
fn steps_are_added_one_by_one() {
    let sums = [0.1, 0.1 + 0.1, 0.1 + 0.1 + 0.1];
    assert_eq!(floats("m 0.1+0.1x2"), sums.map(Some));
}

#[test]
fn stale_markers_keep_their_bits() {
    let values = floats("m 1 stale NaNx1");
    assert!(is_stale_nan(values[1].unwrap()));
    assert!(values[2].unwrap().is_nan() && !is_stale_nan(values[2].unwrap()));
}

#[test]
fn label_sets_have_all_forms() {
    let labels = |line| parse_series(line).unwrap().0.to_string();
    assert_eq!(labels("foo 1"), "foo");
    assert_eq!(labels("{__name__=\"foo\",a='b'} 1"), "foo{a=\"b\"}");
    assert_eq!(labels("{\"my.metric\", \"a.b\"=`c`} 1"), "{\"my.metric\", \"a.b\"=\"c\"}");
    assert_eq!(labels("{} 1"), "{}");
    assert_eq!(labels("sum{offset=\"\"} 1"), "sum");
}

#[test]
fn histograms_become_values_of_their_own() {
    let (_, values) = parse_series(
        "h {{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 7] offset:-3 \
         n_buckets:[4.1 5] n_offset:-5 counter_reset_hint:gauge}} {{}}-{{sum:1}}x2",
    )
    .unwrap();
    let SequenceValue::Histogram(first) = &values[0] else { panic!() };
    assert_eq!(first.base.buckets, [5.1, 10.0, 7.0]);
    assert_eq!((first.base.schema, first.base.offset, first.base.negative_offset), (1, -3, -5));
    assert_eq!(first.base.reset_hint, Some(tsdb_core::histogram::ResetHint::Gauge));
    assert_eq!(values.len(), 4);
    let SequenceValue::Histogram(last) = &values[3] else { panic!() };
    assert_eq!(last.step.as_ref().map(|(step, sign)| (step.sum, *sign)), Some((1.0, -1)));
    assert_eq!(last.times, 2);
}

#[test]
fn start_offsets_step_like_values() {
    assert_eq!(
        parse_start_offsets("_x2 -30s-1mx2 0").unwrap(),
        [None, None, Some(-30_000), Some(-90_000), Some(-150_000), Some(0)]
    );
}

#[test]
fn malformed_lines_are_refused() {
    for line in [
        "m 1x",
        "m 1+1",
        "m 1y",
        "m{a=\"b\"}1",
        "m {{sum:1",
        "m {{sum:1 sum:2}}",
        "m {{foo:1}}",
        "m _y",
        "m 1x99999999999",
        "m {{schema:3}}+{{schema:1}}x2",
        "{a!=\"b\"} 1",
        "m{a=\"1\",a=\"2\"} 1",
    ] {
        assert!(parse_series(line).is_err(), "{line}");
    }
}
