//! Cases of Prometheus' `native_histograms.test` that need no query: literals in, literals out.

use super::*;

const POSITIVE: &str = "schema:0 count:12 sum:100 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]";
const NEGATIVE: &str = "schema:0 count:12 sum:100 z_bucket:2 z_bucket_w:0.001 n_buckets:[2 3 0 1 4]";
const BOTH: &str =
    "schema:0 count:24 sum:100 z_bucket:4 z_bucket_w:0.001 buckets:[2 3 0 1 4] n_buckets:[2 3 0 1 4]";
const CUSTOM: &str = "schema:-53 sum:5 count:4 custom_values:[5 10] buckets:[1 2 1]";
const INF: f64 = f64::INFINITY;

#[test]
fn quantiles() {
    for (histogram, cases) in [
        (
            POSITIVE,
            &[
                (1.001, INF),
                (1.0, 16.0),
                (0.99, 15.67072476139083),
                (0.9, 12.99603834169977),
                (0.6, 4.594793419988138),
                (0.5, 1.5874010519681994),
                (0.1, 0.0006),
                (0.0, 0.0),
                (-1.0, -INF),
            ][..],
        ),
        (
            NEGATIVE,
            &[
                (1.0, 0.0),
                (0.99, -0.00006),
                (0.9, -0.0006),
                (0.5, -1.5874010519681996),
                (0.1, -12.996038341699768),
                (0.0, -16.0),
            ],
        ),
        (
            BOTH,
            &[
                (1.0, 16.0),
                (0.99, 15.34822590920423),
                (0.9, 10.556063286183155),
                (0.7, 1.2030250360821164),
                (0.55, 0.0006),
                (0.5, 0.0),
                (0.45, -0.0006),
                (0.3, -1.2030250360821169),
                (0.1, -10.556063286183155),
                (0.0, -16.0),
                (f64::NAN, f64::NAN),
            ],
        ),
        (CUSTOM, &[(0.5, 7.5), (0.0, 0.0), (1.0, 10.0)]),
        ("schema:-1 sum:6 count:5 buckets:[0 5]", &[(0.5, 2.0)]),
        ("schema:1 sum:4 count:5 buckets:[0 5]", &[(0.5, 1.189207115002721)]),
        ("", &[(0.5, f64::NAN)]),
    ] {
        for (q, expected) in cases {
            let found = h(histogram).quantile(*q);
            // Zero is found only up to rounding.
            if expected.abs() == 0.0 {
                assert!(found.value.abs() < 1e-15)
            } else {
                assert_near(found.value, *expected)
            }
            assert_eq!(found.nan, NanObservations::None);
        }
    }
}

#[test]
fn quantiles_among_observations_of_nan() {
    let (only, some) = ("count:3 sum:NaN", "count:15 sum:NaN buckets:[12]");
    for (histogram, q, expected, nan) in [
        (only, 1.0, f64::NAN, NanObservations::Hit),
        (only, 0.4, f64::NAN, NanObservations::Hit),
        (some, 0.81, f64::NAN, NanObservations::Hit),
        (some, 0.8, 1.0, NanObservations::Skew),
        (some, 0.4, core::f64::consts::FRAC_1_SQRT_2, NanObservations::Skew),
    ] {
        let found = h(histogram).quantile(q);
        assert_near(found.value, expected);
        assert_eq!(found.nan, nan, "{histogram} {q}");
    }
    for (histogram, share) in [(only, 0.0), (some, 0.8)] {
        let found = h(histogram).fraction(-INF, INF);
        assert_eq!((found.value, found.nan), (share, NanObservations::Skew));
    }
}

#[test]
fn fractions() {
    for (histogram, cases) in [
        (
            POSITIVE,
            &[
                (0.0, INF, 1.0),
                (-INF, 0.0, 0.0),
                (-0.001, 0.0, 0.0),
                (0.0, 0.001, 1.0 / 6.0),
                (0.001, INF, 5.0 / 6.0),
                (0.0, 0.0005, 1.0 / 12.0),
                (-INF, -0.001, 0.0),
                (1.0, 2.0, 0.25),
                (0.0, 1.5, 0.4795739585136224),
                (1.5, 2.0, 0.10375937481971091),
                (1.0, 8.0, 1.0 / 3.0),
                (0.0, 6.0, 0.6320802083934297),
                (1.5, 6.0, 0.15250624987980724),
                (-2.0, -1.5, 0.0),
                (42.0, 3.1, 0.0),
                (0.0, 0.0, 0.0),
                (f64::NAN, 1.0, f64::NAN),
                (1.0, f64::NAN, f64::NAN),
                (-INF, INF, 1.0),
            ][..],
        ),
        (
            NEGATIVE,
            &[
                (0.0, INF, 0.0),
                (-INF, 0.0, 1.0),
                (-0.0005, 0.0, 1.0 / 12.0),
                (-INF, -0.0005, 11.0 / 12.0),
                (1.5, 2.0, 0.0),
                (-2.0, -1.0, 0.25),
                (-2.0, -1.5, 0.10375937481971091),
                (-INF, -6.0, 0.36791979160657035),
                (-6.0, -1.5, 0.15250624987980724),
            ],
        ),
        (
            BOTH,
            &[
                (0.0, INF, 0.5),
                (-0.0005, 0.0005, 1.0 / 12.0),
                (-INF, 0.0005, 13.0 / 24.0),
                (1.5, 6.0, 0.07625312493990366),
                (-6.0, -1.5, 0.07625312493990362),
                (-INF, INF, 1.0),
            ],
        ),
        (CUSTOM, &[(5.0, 10.0, 0.5)]),
        ("", &[(3.0, 42.0, f64::NAN)]),
    ] {
        for (lower, upper, expected) in cases {
            let found = h(histogram).fraction(*lower, *upper);
            assert_near(found.value, *expected);
            assert_eq!(found.nan, NanObservations::None);
        }
    }
}

#[test]
fn spread() {
    let mixed = "schema:3 count:7 z_bucket:1 buckets:[0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 1 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1] n_buckets:[0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1]";
    for (histogram, sum, deviation, variance) in [
        ("schema:2 count:4 buckets:[1 0 0 0 1 0 0 1 1]", 10.0, 1.0787993180043811, 1.163807968526718),
        ("schema:8 count:10 buckets:[1 2 3 4]", 10.0, 0.0048960313898237465, 2.3971123370139447e-05),
        (mixed, 62.0, 42.94723640026, 1844.4651144196398),
        (
            "count:10 n_buckets:[0 0 1 1 1 0 1 1 0 0 3 0 0 0 1 0 0 1]",
            -112946.0,
            27556.344499842,
            759352122.1939945,
        ),
        ("count:10 n_buckets:[0 0 0 0 10]", -100.0, 1.3137084989848, 1.725830020304794),
        (mixed, f64::NAN, f64::NAN, f64::NAN),
        (mixed, INF, INF, INF),
    ] {
        let mut parts = parts(histogram);
        parts.sum = sum;
        let histogram = FloatHistogram::for_evaluation(parts).unwrap();
        assert_near(histogram.standard_deviation(), deviation);
        assert_near(histogram.variance(), variance);
        assert_near(histogram.mean(), sum / histogram.count());
    }
}

#[test]
fn multiples() {
    let base = "schema:0 count:30 sum:33 z_bucket:3 z_bucket_w:0.001 buckets:[3 3 3] n_buckets:[6 6 6]";
    let mut thrice = h(base);
    thrice.mul(3.0);
    assert_same(
        &thrice,
        "schema:0 count:90 sum:99 z_bucket:9 z_bucket_w:0.001 buckets:[9 9 9] n_buckets:[18 18 18]",
    );
    assert_eq!(thrice.reset_hint(), ResetHint::Unknown);
    let mut minus = h(base);
    minus.div(-3.0);
    assert_same(
        &minus,
        "schema:0 count:-10 sum:-11 z_bucket:-1 z_bucket_w:0.001 buckets:[-1 -1 -1] n_buckets:[-2 -2 -2]",
    );
    assert_eq!(minus.reset_hint(), ResetHint::Gauge);
    let mut infinite = h(base);
    infinite.div(0.0);
    assert_same(&infinite, "schema:0 count:inf sum:inf z_bucket:inf z_bucket_w:0.001");
    assert!(infinite.has_overflow() && infinite.bucket_count() == 0 && !h(base).has_overflow());
}

const SUMMANDS: [&str; 4] = [
    "schema:0 count:25 sum:3.1 z_bucket:4 z_bucket_w:0.001 buckets:[1 2 0 1 1] n_buckets:[2 4 0 0 1 9]",
    "schema:0 count:41 sum:1e100 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] n_buckets:[0 1 4 2 7 0 0 0 0 5 5 2]",
    "schema:0 count:41 sum:-1e100 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] n_buckets:[0 1 4 2 7 0 0 0 0 5 5 2]",
    "schema:1 count:0 sum:1.3 z_bucket:3 z_bucket_w:0.001 buckets:[2 4 2 3 2 2] n_buckets:[1 2 5 3 8 1 1 1 1 6 3]",
];

#[test]
fn compensated_sums_and_means_keep_what_large_terms_would_swallow() {
    let mut sum = HistogramSum::starting_at(&h(SUMMANDS[0]));
    for summand in &SUMMANDS[1..] {
        assert_eq!(sum.add(&h(summand)), Ok(Reconciled::default()));
    }
    let total = "schema:0 count:107 sum:4.4 z_bucket:17 z_bucket_w:0.001 buckets:[5 14 7 7 3 2 2] n_buckets:[3 13 19 6 17 18 0 0 0 10 10 4]";
    assert_same(&sum.finish(), total);
    sum.div(4.0);
    let mean = "schema:0 count:26.75 sum:1.1 z_bucket:4.25 z_bucket_w:0.001 buckets:[1.25 3.5 1.75 1.75 0.75 0.5 0.5] n_buckets:[0.75 3.25 4.75 1.5 4.25 4.5 0 0 0 2.5 2.5 1]";
    assert_same(&sum.finish(), mean);
}

#[test]
fn differences() {
    let large = "schema:0 count:41 sum:2345.6 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] n_buckets:[0 1 4 2 7 0 0 0 0 5 5 2]";
    let fine = "schema:1 count:11 sum:1234.5 z_bucket:3 z_bucket_w:0.001 buckets:[0 2 1] n_buckets:[0 0 3 2]";
    for (from, what, expected) in [
        (
            large,
            "schema:0 count:11 sum:1234.5 z_bucket:3 z_bucket_w:0.001 buckets:[0 2 1] n_buckets:[0 0 3 2]",
            "schema:0 count:30 sum:1111.1 z_bucket:2 z_bucket_w:0.001 buckets:[1 1 0 2 1 1 1] n_buckets:[0 1 1 0 7 0 0 0 0 5 5 2]",
        ),
        (
            large,
            fine,
            "schema:0 count:30 sum:1111.1 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 1 2 1 1 1] n_buckets:[0 -2 2 2 7 0 0 0 0 5 5 2]",
        ),
        (
            fine,
            large,
            "schema:0 count:-30 sum:-1111.1 z_bucket:-2 z_bucket_w:0.001 buckets:[-1 0 -1 -2 -1 -1 -1] n_buckets:[0 2 -2 -2 -7 0 0 0 0 -5 -5 -2]",
        ),
    ] {
        let mut difference = h(from);
        assert_eq!(difference.sub(&h(what)), Ok(Reconciled::default()));
        assert_same(&difference, expected);
    }
}

#[test]
fn custom_bounds_are_reconciled_to_those_both_have() {
    for (from, what, expected) in [
        (
            "schema:-53 sum:555 count:450 custom_values:[1 2 3 4 5 6 7 8] buckets:[10 20 30 40 50 60 70 80 90]",
            "schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]",
            "schema:-53 sum:500 count:435 custom_values:[2 4 6] buckets:[29 68 105 233]",
        ),
        (
            "schema:-53 sum:5560 count:1000 custom_values:[3 5 7] buckets:[100 200 300 400]",
            "schema:-53 sum:55 count:45 custom_values:[1 2 3 4 5 6 7 8] buckets:[1 2 3 4 5 6 7 8 9]",
            "schema:-53 sum:5505 count:955 custom_values:[3 5 7] buckets:[94 191 287 383]",
        ),
        (
            "schema:-53 sum:1 count:3 custom_values:[1 2] buckets:[1 1 1]",
            "schema:-53 sum:1 count:3 custom_values:[3] buckets:[1 2]",
            "schema:-53 sum:0 count:0",
        ),
    ] {
        let mut difference = h(from);
        assert_eq!(difference.sub(&h(what)), Ok(Reconciled { bounds: true, hint_conflict: false }));
        assert_same(&difference, expected);
        assert_eq!(difference.add(&h("")), Err(IncompatibleSchemas));
        assert_eq!(h("").sub(&difference), Err(IncompatibleSchemas));
    }
}

#[test]
fn hints_of_sums() {
    let hints = ["unknown", "reset", "not_reset", "gauge"];
    let results = [
        ["unknown", "unknown", "unknown", "gauge"],
        ["unknown", "reset", "unknown", "gauge"],
        ["unknown", "unknown", "not_reset", "gauge"],
        ["gauge", "gauge", "gauge", "gauge"],
    ];
    let with = |hint: &str| h(&alloc::format!("counter_reset_hint:{hint}"));
    for (row, a) in hints.into_iter().enumerate() {
        for (column, b) in hints.into_iter().enumerate() {
            let mut sum = with(a);
            let conflict = (row == 1 && column == 2) || (row == 2 && column == 1);
            assert_eq!(sum.add(&with(b)), Ok(Reconciled { hint_conflict: conflict, bounds: false }));
            assert_eq!(sum.reset_hint(), with(results[row][column]).reset_hint(), "{a} + {b}");
        }
    }
}
