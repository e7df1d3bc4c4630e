//! Spans in, spans out, and what compaction leaves.

use super::*;

fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
    spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

fn positive(layout: &[(i32, u32)], counts: &[f64]) -> FloatHistogram {
    let parts = FloatParts {
        positive_spans: spans(layout),
        positive_counts: counts.to_vec(),
        ..FloatParts::default()
    };
    FloatHistogram::new(parts).unwrap()
}

#[test]
fn neighbouring_and_empty_spans_are_joined_on_the_way_in() {
    let histogram =
        positive(&[(-3, 2), (0, 1), (4, 0), (2, 0), (1, 2), (0, 0), (0, 1)], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(histogram.positive_spans().collect::<Vec<_>>(), spans(&[(-3, 3), (7, 3)]));
    assert_eq!(histogram.positive_counts(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(FloatHistogram::new(histogram.to_parts()).unwrap(), histogram);
}

#[test]
fn compaction_drops_empty_buckets_except_in_small_gaps() {
    let original =
        positive(&[(-2, 6), (3, 4), (1, 1)], &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 4.0]);
    for (max_empty, layout, counts) in [
        (0, &[(-1, 1), (2, 1), (5, 1), (3, 1)][..], &[1.0, 2.0, 3.0, 4.0][..]),
        (2, &[(-1, 4), (5, 1), (3, 1)], &[1.0, 0.0, 0.0, 2.0, 3.0, 4.0]),
        (3, &[(-1, 4), (5, 5)], &[1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 4.0]),
        (5, &[(-1, 14)], &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 4.0]),
    ] {
        let mut compact = original.clone();
        compact.compact(max_empty);
        assert_eq!(compact.positive_spans().collect::<Vec<_>>(), spans(layout));
        assert_eq!(compact.positive_counts(), counts);
    }
    let mut empty = positive(&[(0, 3)], &[0.0, -0.0, 0.0]);
    empty.compact(0);
    assert_eq!(empty.bucket_count(), 0);
}

#[test]
fn addition_keeps_empty_buckets_and_compaction_drops_them() {
    let mut sum = positive(&[(0, 2)], &[1.0, 0.0]);
    assert_eq!(sum.add(&positive(&[(3, 2)], &[0.0, 2.0])), Ok(Reconciled::default()));
    assert_eq!(sum.positive_spans().collect::<Vec<_>>(), spans(&[(0, 2), (1, 2)]));
    assert_eq!(sum.positive_counts(), [1.0, 0.0, 0.0, 2.0]);
}

#[test]
fn equality_is_of_bits_and_nearness_of_observations() {
    let (a, b) = (positive(&[(0, 2)], &[1.0, 0.0]), positive(&[(0, 1)], &[1.0 + 1e-9]));
    assert!(!a.same_data(&b) && a.nearly_equals(&b, TOLERANCE) && !a.nearly_equals(&b, 1e-12));
    let mut hinted = a.clone();
    hinted.set_reset_hint(ResetHint::Gauge);
    assert!(hinted.same_data(&a) && hinted != a && hinted.nearly_equals(&a, 0.0));
    let stale = h("count:0 sum:0");
    let with_sum = |sum: f64| FloatHistogram::new(FloatParts { sum, ..stale.to_parts() }).unwrap();
    assert!(with_sum(f64::NAN).nearly_equals(&with_sum(-f64::NAN), TOLERANCE));
    assert!(!with_sum(crate::STALE_NAN).nearly_equals(&with_sum(f64::NAN), TOLERANCE));
    assert!(with_sum(crate::STALE_NAN).is_stale() && !with_sum(f64::NAN).is_stale());
    assert!(!with_sum(0.0).same_data(&with_sum(-0.0)) && with_sum(0.0).nearly_equals(&with_sum(-0.0), 0.0));
}
