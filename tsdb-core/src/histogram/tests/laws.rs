//! Laws, and a twin that keeps every bucket in a map.

use super::*;
use crate::histogram::schema::coarser_index;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A histogram as maps from index to count. Counts are whole, so that sums are exact in any order.
#[derive(Debug, Clone, PartialEq)]
struct Twin {
    schema: Schema,
    zero_threshold: f64,
    zero_count: f64,
    count: f64,
    sum: f64,
    /// Positive and negative buckets that hold something.
    sides: [BTreeMap<i32, f64>; 2],
}

impl Twin {
    fn of(histogram: &FloatHistogram) -> Self {
        let side = |spans: &mut dyn Iterator<Item = Span>, counts: &[f64]| {
            let mut end = 0;
            let indexes = spans.flat_map(|span| {
                let start = end + span.offset;
                end = start + i32::try_from(span.length).unwrap();
                start..end
            });
            indexes.zip(counts.iter().copied()).filter(|(_, count)| *count != 0.0).collect()
        };
        Self {
            schema: histogram.schema(),
            zero_threshold: histogram.zero_threshold(),
            zero_count: histogram.zero_count(),
            count: histogram.count(),
            sum: histogram.sum(),
            sides: [
                side(&mut histogram.positive_spans(), histogram.positive_counts()),
                side(&mut histogram.negative_spans(), histogram.negative_counts()),
            ],
        }
    }

    fn coarser(&self, schema: Schema) -> Self {
        let steps = self.schema.steps_to(schema).unwrap();
        let mut twin = Self { schema, sides: Default::default(), ..self.clone() };
        for (target, source) in twin.sides.iter_mut().zip(&self.sides) {
            for (index, count) in source {
                *target.entry(coarser_index(*index, steps)).or_default() += count;
            }
        }
        twin
    }

    /// The threshold, moved out of any bucket it cuts through.
    fn uncut(&self, threshold: f64) -> f64 {
        let ends = self.sides.iter().flat_map(BTreeMap::keys).filter_map(|index| {
            let (begin, end) = (self.schema.bound(index - 1), self.schema.bound(*index));
            (begin < threshold && threshold < end).then_some(end)
        });
        ends.fold(threshold, f64::max)
    }

    fn widened(&self, threshold: f64) -> Self {
        let mut twin = Self { zero_threshold: threshold, ..self.clone() };
        for side in &mut twin.sides {
            let (outside, inside) =
                side.iter().partition(|(index, _)| self.schema.bound(**index - 1) >= threshold);
            let inside: BTreeMap<i32, f64> = inside;
            *side = outside;
            twin.zero_count += inside.values().sum::<f64>();
        }
        twin
    }

    fn plus(&self, other: &Self, sign: f64) -> Self {
        let mut threshold = self.zero_threshold.max(other.zero_threshold);
        while self.uncut(threshold) != threshold || other.uncut(threshold) != threshold {
            threshold = self.uncut(other.uncut(threshold));
        }
        let schema = self.schema.min(other.schema);
        let (mut sum, other) =
            (self.widened(threshold).coarser(schema), other.widened(threshold).coarser(schema));
        sum.zero_count += sign * other.zero_count;
        sum.count += sign * other.count;
        sum.sum += sign * other.sum;
        for (mine, theirs) in sum.sides.iter_mut().zip(&other.sides) {
            for (index, count) in theirs {
                *mine.entry(*index).or_default() += sign * count;
            }
            mine.retain(|_, count| *count != 0.0);
        }
        sum
    }
}

fn side() -> impl Strategy<Value = (Vec<Span>, Vec<f64>)> {
    let span = (0..6_i32, 0..6_u32).prop_map(|(offset, length)| Span { offset, length });
    (-12..8_i32, proptest::collection::vec(span, 0..4), proptest::collection::vec(0..5_u32, 24)).prop_map(
        |(start, mut spans, counts)| {
            if let Some(first) = spans.first_mut() {
                first.offset = start;
            }
            let length: u32 = spans.iter().map(|span| span.length).sum();
            (spans, counts.into_iter().take(length.try_into().unwrap()).map(f64::from).collect())
        },
    )
}

prop_compose! {
    /// Thresholds are bounds of every schema drawn: elsewhere, a coarser bucket could begin inside the zero bucket.
    fn exponential()(
        schema in -1..=3_i32,
        zero_threshold in prop_oneof![Just(0.0), Just(0.25), Just(1.0), Just(4.0)],
        [zero_count, sum] in [0..9_u32, 0..1000_u32],
        (positive_spans, positive_counts) in side(),
        (negative_spans, negative_counts) in side(),
    ) -> FloatHistogram {
        let mut histogram = FloatHistogram::new(FloatParts {
            schema, zero_threshold, zero_count: zero_count.into(), sum: sum.into(),
            positive_spans, positive_counts, negative_spans, negative_counts, ..FloatParts::default()
        }).unwrap();
        // What is small is counted in the zero bucket.
        let schema = histogram.schema();
        for side in [&mut histogram.0.positive, &mut histogram.0.negative] {
            let inside: Vec<bool> = side.iter().map(|(index, _)| schema.bound(index - 1) < zero_threshold).collect();
            for (count, inside) in side.counts_mut().iter_mut().zip(inside) {
                *count = if inside { 0.0 } else { *count };
            }
        }
        histogram.0.count = in_buckets(&histogram);
        histogram
    }
}

prop_compose! {
    fn custom()(
        bounds in proptest::collection::btree_set(0..8_i32, 0..6),
        counts in proptest::collection::vec(0..5_u32, 7),
    ) -> FloatHistogram {
        let positive_counts: Vec<f64> = counts.into_iter().take(bounds.len() + 1).map(f64::from).collect();
        FloatHistogram::new(FloatParts {
            schema: -53,
            count: positive_counts.iter().sum(),
            positive_spans: one_span(0, &positive_counts),
            positive_counts,
            bounds: bounds.into_iter().map(f64::from).collect(),
            ..FloatParts::default()
        }).unwrap()
    }
}

fn sum_of(a: &FloatHistogram, b: &FloatHistogram) -> FloatHistogram {
    let mut sum = a.clone();
    let reconciled = sum.add(b).unwrap();
    assert!(!reconciled.hint_conflict);
    sum
}

fn in_buckets(histogram: &FloatHistogram) -> f64 {
    let sides = histogram.positive_counts().iter().chain(histogram.negative_counts());
    sides.sum::<f64>() + histogram.zero_count()
}

proptest! {
    #[test]
    fn sums_and_differences_are_those_of_the_twin(a in exponential(), b in exponential()) {
        prop_assert_eq!(Twin::of(&sum_of(&a, &b)), Twin::of(&a).plus(&Twin::of(&b), 1.0));
        let mut difference = a.clone();
        prop_assert_eq!(difference.sub(&b), Ok(Reconciled::default()));
        prop_assert_eq!(Twin::of(&difference), Twin::of(&a).plus(&Twin::of(&b), -1.0));
    }

    #[test]
    fn addition_commutes_and_the_compensated_sum_agrees(a in exponential(), b in exponential(), c in exponential()) {
        let sum = sum_of(&a, &b);
        prop_assert_eq!(Twin::of(&sum), Twin::of(&sum_of(&b, &a)));
        let mut compensated = HistogramSum::starting_at(&a);
        for other in [&b, &c] {
            prop_assert_eq!(compensated.add(other), Ok(Reconciled::default()));
        }
        prop_assert_eq!(Twin::of(&compensated.finish()), Twin::of(&sum_of(&sum, &c)));
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_the_counts(a in exponential(), b in exponential()) {
        let mut back = sum_of(&a, &b);
        prop_assert_eq!(in_buckets(&back), in_buckets(&a) + in_buckets(&b));
        prop_assert_eq!(back.sub(&b), Ok(Reconciled::default()));
        prop_assert_eq!((back.count(), back.sum(), in_buckets(&back)), (a.count(), a.sum(), in_buckets(&a)));
        if a.schema() == back.schema() && a.zero_threshold() == back.zero_threshold() {
            prop_assert!(back.nearly_equals(&a, 0.0));
        }
    }

    #[test]
    fn coarser_schemas_keep_all_observations_and_are_no_reset(a in exponential(), steps in 0..4_i32) {
        let target = Schema::new((a.schema().number() - steps).max(-4)).unwrap();
        let coarser = a.copy_to_schema(target).unwrap();
        prop_assert_eq!(Twin::of(&coarser), Twin::of(&a).coarser(target));
        prop_assert_eq!(in_buckets(&coarser), in_buckets(&a));
        prop_assert!(!coarser.detect_reset(&a));
        let finer = coarser.copy_to_schema(Schema::FINEST);
        prop_assert!(finer.is_none() && coarser.copy_to_schema(Schema::CUSTOM).is_none());
    }

    #[test]
    fn compaction_changes_no_bucket_and_leaves_no_large_gap_filled(a in exponential(), max_empty in 0..4_u16) {
        let mut compact = a.clone();
        compact.compact(max_empty);
        prop_assert_eq!(Twin::of(&compact), Twin::of(&a));
        prop_assert!(compact.nearly_equals(&a, 0.0));
        prop_assert!(compact.positive_spans().skip(1).all(|span| span.offset > i32::from(max_empty)));
        if max_empty == 0 {
            prop_assert!(compact.positive_counts().iter().chain(compact.negative_counts()).all(|count| *count != 0.0));
        }
        let once = compact.clone();
        compact.compact(max_empty);
        prop_assert_eq!(compact, once);
    }

    #[test]
    fn a_counter_that_only_grows_is_never_reset_and_one_that_shrinks_is(a in exponential(), b in exponential()) {
        let sum = sum_of(&a, &b);
        // Where the sum is finer than what it is compared with, or has a smaller zero bucket, nothing can be said.
        prop_assert!(!sum.detect_reset(&a), "{} after {}", sum, a);
        if sum.schema() == a.schema() && sum.zero_threshold() == a.zero_threshold() {
            prop_assert_eq!(a.detect_reset(&sum), in_buckets(&b) > 0.0);
        }
    }

    #[test]
    fn a_trim_keeps_what_lies_on_its_side(mut a in exponential(), at in -20.0..20.0_f64) {
        // Empty buckets within the zero bucket would count as a side of it.
        a.compact(0);
        let (mut below, mut above) = (a.clone(), a.clone());
        below.trim_above(at);
        above.trim_below(at);
        prop_assert!((below.count() + above.count() - a.count()).abs() < 1e-9);
        prop_assert!(below.buckets().all(|bucket| bucket.lower < at) && above.buckets().all(|bucket| bucket.upper > at));
        if a.count() > 0.0 {
            let share = a.fraction(f64::NEG_INFINITY, at).value * a.count();
            prop_assert!((share - below.count()).abs() < 1e-9, "{} {}", share, below.count());
        }
    }

    #[test]
    fn quantiles_ascend_and_fractions_invert_them(mut a in exponential(), [p, q] in [0.0..=1.0_f64, 0.0..=1.0]) {
        // Empty buckets within the zero bucket would count as a side of it.
        a.compact(0);
        prop_assume!(a.count() > 0.0);
        let (low, high) = (a.quantile(p.min(q)).value, a.quantile(p.max(q)).value);
        prop_assert!(low <= high || (low - high).abs() <= 1e-9 * low.abs(), "{} {}", low, high);
        // Only inside of a bucket, and not where the zero bucket is a point, is the inverse unique.
        let share = a.fraction(f64::NEG_INFINITY, low).value;
        let inside = a.buckets().any(|bucket| bucket.count > 0.0 && bucket.lower < low && low < bucket.upper);
        prop_assert!(!inside || (share - p.min(q)).abs() < 1e-6, "{} {} {}", share, p.min(q), low);
    }

    #[test]
    fn custom_sums_hold_what_lies_between_the_common_bounds(a in custom(), b in custom()) {
        let mut sum = a.clone();
        let reconciled = sum.add(&b).unwrap();
        prop_assert_eq!(reconciled.bounds, a.bounds() != b.bounds());
        let common: Vec<f64> = a.bounds().iter().copied().filter(|bound| b.bounds().contains(bound)).collect();
        prop_assert_eq!(&sum.bounds()[..], &common[..]);
        let below = |histogram: &FloatHistogram, bound: f64| {
            let buckets = histogram.buckets().filter(|bucket| bucket.upper <= bound);
            buckets.map(|bucket| bucket.count).sum::<f64>()
        };
        for bound in common.into_iter().chain([f64::INFINITY]) {
            prop_assert_eq!(below(&sum, bound), below(&a, bound) + below(&b, bound));
        }
        let mut compensated = HistogramSum::starting_at(&a);
        prop_assert_eq!(compensated.add(&b), Ok(reconciled));
        prop_assert!(compensated.finish().nearly_equals(&sum, 0.0));
        prop_assert!(!sum.detect_reset(&a) && !sum.detect_reset(&b));
    }
}
