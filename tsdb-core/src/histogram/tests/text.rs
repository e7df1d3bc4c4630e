//! Histograms in print, and their buckets in order.

use super::*;
use alloc::string::ToString;

#[test]
fn exponential_histograms_in_print() {
    let histogram = "schema:1 count:3493.3 sum:2349209.324 z_bucket:5.5 z_bucket_w:0.01 offset:-2 buckets:[1 0 0 3.3 4.2 0.1] n_offset:2 n_buckets:[3.1 3 0 0 123400 1000]";
    let expected = "{count:3493.3, sum:2.349209324e+06, [-11.31370849898476,-8):1000, [-8,-5.65685424949238):123400, \
        [-2.82842712474619,-2):3, [-2,-1.414213562373095):3.1, [-0.01,0.01]:5.5, (0.35355339059327373,0.5]:1, \
        (1,1.414213562373095]:3.3, (1.414213562373095,2]:4.2, (2,2.82842712474619]:0.1}";
    assert_eq!(h(histogram).to_string(), expected);
}

#[test]
fn custom_histograms_in_print() {
    let histogram =
        "schema:-53 count:3493.3 sum:1e-07 custom_values:[1 2 5 10 15 20] buckets:[1 0 0 3.3 4.2 0.1 5]";
    assert_eq!(
        h(histogram).to_string(),
        "{count:3493.3, sum:1e-07, [-Inf,1]:1, (5,10]:3.3, (10,15]:4.2, (15,20]:0.1, (20,+Inf]:5}"
    );
}

#[test]
fn numbers_in_print() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (999_999.0, "999999"),
        (1e6, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.000_012_5, "1.25e-05"),
        (-1e100, "-1e+100"),
        (5e-324, "5e-324"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        let parts = FloatParts { sum: number, ..FloatParts::default() };
        let histogram = FloatHistogram::new(parts).unwrap();
        assert_eq!(histogram.to_string(), alloc::format!("{{count:0, sum:{text}}}"));
    }
}

#[test]
fn buckets_ascend_end_at_the_zero_bucket_and_say_which_bounds_are_theirs() {
    let histogram = h("count:10 z_bucket:2 z_bucket_w:0.75 buckets:[1 2] n_buckets:[3 0 4]");
    let found: Vec<_> = histogram.buckets().map(|b| (b.boundary_rule(), b.lower, b.upper, b.count)).collect();
    let expected = [
        (1, -4.0, -2.0, 4.0),
        (1, -2.0, -1.0, 0.0),
        (1, -1.0, -0.75, 3.0),
        (3, -0.75, 0.75, 2.0),
        (0, 0.75, 1.0, 1.0),
        (0, 1.0, 2.0, 2.0),
    ];
    assert_eq!(found, expected);
    let backwards: Vec<_> =
        histogram.buckets().rev().map(|b| (b.boundary_rule(), b.lower, b.upper, b.count)).collect();
    assert!(backwards.iter().rev().eq(&expected));
    let cumulative: Vec<_> = histogram.cumulative_buckets().map(|b| (b.upper, b.count)).collect();
    assert_eq!(cumulative, [(-2.0, 4.0), (-1.0, 4.0), (-0.75, 7.0), (0.75, 9.0), (1.0, 10.0), (2.0, 12.0)]);
    let custom: Vec<_> = h("schema:-53 custom_values:[1] buckets:[5 6]")
        .buckets()
        .map(|b| (b.boundary_rule(), b.lower, b.upper))
        .collect();
    assert_eq!(custom, [(3, f64::NEG_INFINITY, 1.0), (0, 1.0, f64::INFINITY)]);
}
