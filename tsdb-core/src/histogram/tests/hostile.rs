//! What senders may send and nobody should.

use super::*;
use crate::histogram::spans::{Run, runs_of_spans};
use proptest::prelude::*;

fn refused(parts: FloatParts) -> HistogramError {
    FloatHistogram::new(parts).unwrap_err()
}

fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
    spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

#[test]
fn spans_must_fit_the_buckets_and_go_forward() {
    let with = |layout: &[(i32, u32)], counts: usize| {
        refused(FloatParts {
            negative_spans: spans(layout),
            negative_counts: alloc::vec![1.0; counts],
            ..FloatParts::default()
        })
    };
    let side = Side::Negative;
    assert_eq!(with(&[(0, 2)], 1), HistogramError::SpanLengths { side, spans: 2, counts: 1 });
    assert_eq!(with(&[], 1), HistogramError::SpanLengths { side, spans: 0, counts: 1 });
    assert_eq!(with(&[(0, 1), (-1, 1)], 2), HistogramError::SpanOffset { side, span: 1, offset: -1 });
    let limit = 1 << 30;
    assert_eq!(with(&[(i32::MAX, 1)], 1), HistogramError::SpanIndex { side, span: 0, limit });
    assert_eq!(with(&[(i32::MIN, 1)], 1), HistogramError::SpanIndex { side, span: 0, limit });
    assert_eq!(
        with(&[(0, 1), (0, u32::MAX), (0, u32::MAX)], 3),
        HistogramError::SpanIndex { side, span: 1, limit }
    );
    assert_eq!(
        with(&[(0, 1), (i32::MAX, 0), (i32::MAX, 1)], 2),
        HistogramError::SpanIndex { side, span: 1, limit }
    );
}

#[test]
fn counts_must_not_be_negative_from_outside() {
    assert_eq!(refused(parts("count:-1")), HistogramError::NegativeCount { count: -1.0 });
    assert_eq!(refused(parts("z_bucket:-1")), HistogramError::NegativeZeroCount { count: -1.0 });
    assert_eq!(
        refused(parts("buckets:[1 0 -2]")),
        HistogramError::NegativeBucket { side: Side::Positive, bucket: 2 }
    );
    assert!(FloatHistogram::for_evaluation(parts("count:-1 z_bucket:-1 buckets:[-1]")).is_ok());
    assert!(matches!(refused(parts("z_bucket_w:-1")), HistogramError::ZeroThreshold { .. }));
    assert!(matches!(refused(parts("z_bucket_w:NaN")), HistogramError::ZeroThreshold { .. }));
}

#[test]
fn custom_bounds_must_increase_be_finite_at_the_top_and_reach_all_buckets() {
    for (text, expected) in [
        ("custom_values:[1]", HistogramError::ExponentialWithBounds),
        ("schema:-53 custom_values:[1 NaN]", HistogramError::BoundNotANumber { bound: 1 }),
        ("schema:-53 custom_values:[1 1]", HistogramError::BoundsNotIncreasing { bound: 1 }),
        ("schema:-53 custom_values:[2 1]", HistogramError::BoundsNotIncreasing { bound: 1 }),
        ("schema:-53 custom_values:[1 inf]", HistogramError::BoundInfinite { bound: 1 }),
        ("schema:-53 custom_values:[inf inf]", HistogramError::BoundInfinite { bound: 0 }),
        (
            "schema:-53 custom_values:[1] buckets:[1 2 3]",
            HistogramError::BoundsTooFew { bounds: 1, bucket: 2 },
        ),
        (
            "schema:-53 custom_values:[1] offset:-1 buckets:[1]",
            HistogramError::CustomBucketIndex { bucket: -1 },
        ),
        ("schema:-53 z_bucket:1", HistogramError::CustomWithZeroBucket),
        ("schema:-53 z_bucket_w:1", HistogramError::CustomWithZeroBucket),
        ("schema:-53 n_buckets:[1]", HistogramError::CustomWithNegativeBuckets),
        ("schema:-54", HistogramError::Schema { schema: -54 }),
        ("schema:-5", HistogramError::Schema { schema: -5 }),
        ("schema:53", HistogramError::Schema { schema: 53 }),
    ] {
        assert_eq!(refused(parts(text)), expected, "{text}");
        assert_eq!(FloatHistogram::for_evaluation(parts(text)), Err(expected), "{text}");
    }
}

#[test]
fn too_fine_schemas_are_made_coarser() {
    let fine = h("schema:10 count:10 offset:1 buckets:[1 1 1 1 6]");
    assert_eq!(fine.schema(), Schema::FINEST);
    assert_eq!(fine.positive_counts(), [4.0, 6.0]);
    assert_eq!(
        h("schema:52 count:1 offset:-7 buckets:[1]").positive_spans().next(),
        Some(Span { offset: 0, length: 1 })
    );
}

#[test]
fn buckets_beyond_a_limit_cost_resolution() {
    let mut histogram = h(
        "schema:4 count:64 offset:1 buckets:[1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1]",
    );
    histogram.limit_buckets(32).unwrap();
    assert_eq!(histogram.schema().number(), 4);
    histogram.limit_buckets(5).unwrap();
    assert_eq!((histogram.schema().number(), histogram.positive_counts()), (1, &[8.0; 4][..]));
    let before = histogram.clone();
    assert_eq!(histogram.limit_buckets(0), Err(HistogramError::TooManyBuckets { buckets: 4, limit: 0 }));
    assert_eq!(histogram, before);
    let mut custom = h("schema:-53 custom_values:[1] buckets:[1 2]");
    assert_eq!(custom.limit_buckets(1), Err(HistogramError::TooManyBuckets { buckets: 2, limit: 1 }));
    let many = FloatParts { positive_counts: alloc::vec![1.0; MAX_BUCKETS + 1], ..FloatParts::default() };
    assert!(matches!(refused(many), HistogramError::TooManyBuckets { .. }));
}

#[test]
fn integer_histograms_add_their_deltas_and_count_what_their_buckets_do() {
    let parts = IntegerParts {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2,
        count: 21,
        sum: 18.4,
        positive_spans: spans(&[(0, 2), (1, 2)]),
        positive_deltas: alloc::vec![1, 1, -1, 0],
        negative_spans: spans(&[(0, 2), (1, 2)]),
        negative_deltas: alloc::vec![2, 2, -1, 2],
        ..IntegerParts::default()
    };
    let histogram = FloatHistogram::try_from(parts.clone()).unwrap();
    assert_eq!(histogram.positive_counts(), [1.0, 2.0, 1.0, 1.0]);
    assert_eq!(histogram.negative_counts(), [2.0, 4.0, 3.0, 5.0]);
    let changed = |change: &dyn Fn(&mut IntegerParts)| {
        let mut parts = parts.clone();
        change(&mut parts);
        FloatHistogram::try_from(parts)
    };
    let mismatch = HistogramError::CountMismatch { count: 22, in_buckets: 21 };
    assert_eq!(changed(&|parts| parts.count = 22), Err(mismatch));
    assert!(changed(&|parts| (parts.count, parts.sum) = (22, f64::NAN)).is_ok());
    assert!(changed(&|parts| (parts.count, parts.sum) = (20, f64::NAN)).is_err());
    let negative = HistogramError::NegativeBucket { side: Side::Positive, bucket: 2 };
    assert_eq!(changed(&|parts| parts.positive_deltas[2] = -3), Err(negative));
    let overflow = HistogramError::BucketOverflow { side: Side::Negative, bucket: 1 };
    assert_eq!(changed(&|parts| parts.negative_deltas[1] = i64::MAX), Err(overflow));
    let stale = IntegerParts { sum: crate::STALE_NAN, ..IntegerParts::default() };
    assert!(FloatHistogram::try_from(stale).unwrap().is_stale());
}

/// Numbers that arithmetic stumbles over.
fn odd_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MAX),
        Just(5e-324),
        -10.0..10.0_f64,
        any::<f64>(),
    ]
}

fn odd_spans() -> impl Strategy<Value = Vec<Span>> {
    let offset = prop_oneof![-5..5_i32, any::<i32>(), -(1 << 30)..(1 << 30)];
    let length = prop_oneof![4 => 0..5_u32, 1 => any::<u32>()];
    proptest::collection::vec((offset, length).prop_map(|(offset, length)| Span { offset, length }), 0..4)
}

prop_compose! {
    fn odd_parts()(
        schema in prop_oneof![Just(-53), -5..10, any::<i32>()],
        [zero_threshold, zero_count, count, sum] in [odd_number(), odd_number(), odd_number(), odd_number()],
        positive_spans in odd_spans(),
        negative_spans in odd_spans(),
        numbers in proptest::collection::vec(odd_number(), 40),
        bounds in proptest::collection::vec(odd_number(), 0..4),
    ) -> FloatParts {
        let counts = |spans: &[Span]| {
            let length: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
            numbers.iter().copied().cycle().take(usize::try_from(length).unwrap_or(0).min(40)).collect()
        };
        let (positive_counts, negative_counts) = (counts(&positive_spans), counts(&negative_spans));
        FloatParts {
            reset_hint: ResetHint::Unknown, schema, zero_threshold, zero_count, count, sum,
            positive_spans, positive_counts, negative_spans, negative_counts, bounds: bounds.into(),
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_is_accepted_panics_or_hangs(a in odd_parts(), b in odd_parts(), [x, y] in [odd_number(), odd_number()]) {
        drop(FloatHistogram::new(a.clone()));
        if let (Ok(a), Ok(b)) = (FloatHistogram::for_evaluation(a), FloatHistogram::for_evaluation(b)) {
            let _: bool = a.detect_reset(&b);
            let mut sum = HistogramSum::starting_at(&a);
            let kahan = sum.add(&b);
            let mut result = a.clone();
            prop_assert_eq!(result.add(&b), kahan);
            prop_assert_eq!(result.sub(&b).is_ok(), kahan.is_ok());
            result.mul(x);
            result.trim_above(y);
            result.trim_below(x);
            result.compact(3);
            for histogram in [&a, &result, &sum.finish()] {
                let _: (Estimate, Estimate) = (histogram.quantile(x), histogram.fraction(x, y));
                let _: (f64, usize) = (histogram.standard_deviation(), alloc::format!("{histogram}").len());
                let again = FloatHistogram::for_evaluation(histogram.to_parts()).unwrap();
                prop_assert!(again.same_data(histogram));
            }
        }
    }

    #[test]
    fn runs_are_the_same_set_of_indexes_as_the_spans(layout in odd_spans()) {
        let total: u64 = layout.iter().map(|span| u64::from(span.length)).sum();
        if let Ok(runs) = runs_of_spans(Side::Positive, &layout, usize::try_from(total).unwrap()) {
            prop_assert!(runs.windows(2).all(|pair| pair[0].end() < pair[1].start));
            prop_assert!(runs.iter().all(|run| run.length > 0));
            prop_assert_eq!(runs.iter().map(|run| u64::from(run.length)).sum::<u64>(), total);
            let back: Vec<Span> = spans_of_runs(&runs).collect();
            let again = runs_of_spans(Side::Positive, &back, usize::try_from(total).unwrap()).unwrap();
            let again: &[Run] = &again;
            prop_assert_eq!(again, &*runs);
        }
    }
}
