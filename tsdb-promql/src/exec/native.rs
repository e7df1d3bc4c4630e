//! Arithmetic of histograms with what is to be noted of it.

use super::context::Context;
use super::points::Histogram;
use crate::annotation::Annotation;
use crate::span::Span;
use std::sync::Arc;
use tsdb_core::histogram::{FloatHistogram, HistogramSum, Reconciled, ResetHint};

/// `histogram` with every count and the sum multiplied.
pub(super) fn scaled(histogram: &FloatHistogram, factor: f64) -> Histogram {
    let mut scaled = histogram.clone();
    scaled.mul(factor);
    scaled.compact(0);
    Arc::new(scaled)
}

/// What combining several histograms brought to light.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Findings {
    reset: bool,
    no_reset: bool,
    bounds: bool,
}

impl Findings {
    fn see(&mut self, histogram: &FloatHistogram) {
        self.reset |= histogram.reset_hint() == ResetHint::Reset;
        self.no_reset |= histogram.reset_hint() == ResetHint::NotReset;
    }

    fn note(&mut self, reconciled: Reconciled) {
        self.bounds |= reconciled.bounds;
    }

    /// Annotates what was found in an aggregation.
    pub(super) fn annotate(self, context: &Context<'_>, span: Span) {
        let operation = "aggregation";
        if self.reset && self.no_reset {
            context.annotate(Annotation::CounterResetCollision { operation }, span);
        }
        if self.bounds {
            context.annotate(Annotation::MismatchedCustomBuckets { operation }, span);
        }
    }
}

/// A sum or mean that could not be computed: the position of the histogram that did not fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Misfit(pub(super) usize);

/// The sum of `all`; `None` of nothing.
pub(super) fn sum<'h>(
    all: impl Iterator<Item = &'h FloatHistogram>,
    findings: &mut Findings,
) -> Result<Option<FloatHistogram>, Misfit> {
    let mut sum: Option<HistogramSum> = None;
    for (position, histogram) in all.enumerate() {
        findings.see(histogram);
        match &mut sum {
            None => sum = Some(HistogramSum::starting_at(histogram)),
            Some(sum) => {
                let reconciled = sum.add(histogram).map_err(|_| Misfit(position))?;
                findings.note(reconciled);
            }
        }
    }
    Ok(sum.map(|sum| sum.finish()))
}

/// The mean of `all`; `None` of nothing. The sum divided, or a running mean once the sum leaves the range of floats.
pub(super) fn mean<'h>(
    mut all: impl Iterator<Item = &'h FloatHistogram>,
    findings: &mut Findings,
) -> Result<Option<FloatHistogram>, Misfit> {
    let Some(first) = all.next() else { return Ok(None) };
    findings.see(first);
    let mut sum = HistogramSum::starting_at(first);
    let (mut count, mut running) = (1.0, false);
    for (position, histogram) in (1..).zip(all) {
        findings.see(histogram);
        count += 1.0;
        let misfit = |_| Misfit(position);
        if !running {
            let mut longer = sum.clone();
            findings.note(longer.add(histogram).map_err(misfit)?);
            if !longer.has_overflow() {
                sum = longer;
                continue;
            }
            running = true;
            sum.div(count - 1.0);
        }
        sum.mul((count - 1.0) / count);
        let mut part = histogram.clone();
        part.div(count);
        findings.note(sum.add(&part).map_err(misfit)?);
    }
    if !running {
        sum.div(count);
    }
    Ok(Some(sum.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tsdb_core::histogram::{FloatParts, Schema, Span as Buckets};

    /// An exponential histogram with these buckets, one behind the other, and a sum of ten times its count.
    fn histogram(schema: i32, counts: &[u8], reset_hint: ResetHint) -> FloatHistogram {
        let positive_counts: Vec<_> = counts.iter().map(|count| f64::from(*count)).collect();
        let count: f64 = positive_counts.iter().sum();
        let positive_spans = vec![Buckets { offset: 0, length: u32::try_from(counts.len()).unwrap() }];
        let parts = FloatParts {
            schema,
            reset_hint,
            count,
            sum: count * 10.0,
            positive_spans,
            ..FloatParts::default()
        };
        FloatHistogram::new(FloatParts { positive_counts, ..parts }).unwrap()
    }

    fn custom(bounds: &[f64]) -> FloatHistogram {
        let parts = FloatParts { schema: -53, bounds: bounds.into(), ..FloatParts::default() };
        FloatHistogram::new(parts).unwrap()
    }

    /// What the buckets hold, by their index.
    fn by_index(histogram: &FloatHistogram) -> BTreeMap<i64, f64> {
        let mut index = 0;
        let mut found = BTreeMap::new();
        let mut counts = histogram.positive_counts().iter();
        for span in histogram.positive_spans() {
            index += i64::from(span.offset);
            for count in counts.by_ref().take(span.length as usize) {
                found.insert(index, *count);
                index += 1;
            }
        }
        found.retain(|_, count| *count != 0.0);
        found
    }

    #[test]
    fn of_nothing_there_is_neither_sum_nor_mean() {
        let mut findings = Findings::default();
        assert!(sum(std::iter::empty(), &mut findings).unwrap().is_none());
        assert!(mean(std::iter::empty(), &mut findings).unwrap().is_none());
    }

    #[test]
    fn the_first_histogram_that_does_not_fit_is_named() {
        let all =
            [histogram(0, &[1], ResetHint::Unknown), histogram(0, &[1], ResetHint::Unknown), custom(&[1.0])];
        let mut findings = Findings::default();
        assert!(matches!(sum(all.iter(), &mut findings), Err(Misfit(2))));
        assert!(matches!(mean(all.iter(), &mut findings), Err(Misfit(2))));
    }

    #[test]
    fn resets_and_continuations_together_and_other_bounds_are_findings() {
        let one = |hint| histogram(0, &[1], hint);
        let found = |all: &[FloatHistogram]| {
            let mut findings = Findings::default();
            sum(all.iter(), &mut findings).unwrap();
            (findings.reset && findings.no_reset, findings.bounds)
        };
        assert_eq!(found(&[one(ResetHint::Reset), one(ResetHint::NotReset)]), (true, false));
        assert_eq!(found(&[one(ResetHint::Reset), one(ResetHint::Unknown)]), (false, false));
        assert_eq!(found(&[custom(&[1.0, 2.0]), custom(&[1.0, 2.0])]), (false, false));
        assert_eq!(found(&[custom(&[1.0, 2.0]), custom(&[1.0, 3.0])]), (false, true));
    }

    #[test]
    fn a_mean_of_sums_beyond_all_floats_is_finite() {
        let mut large = histogram(0, &[1], ResetHint::Unknown);
        large.mul(1e307);
        let mean = mean([&large, &large, &large].into_iter(), &mut Findings::default()).unwrap().unwrap();
        assert!((mean.count() / 1e307 - 1.0).abs() < 1e-9 && !mean.has_overflow(), "{mean}");
    }

    proptest! {
        #[test]
        fn sums_and_means_are_those_of_every_bucket(
            all in prop::collection::vec((0_i32..3, prop::collection::vec(any::<u8>(), 1..9)), 1..8),
        ) {
            let coarsest = all.iter().map(|(schema, _)| *schema).min().and_then(Schema::new).unwrap();
            let all: Vec<_> =
                all.iter().map(|(schema, counts)| histogram(*schema, counts, ResetHint::Unknown)).collect();
            let mut model: BTreeMap<i64, f64> = BTreeMap::new();
            for one in &all {
                let coarse = one.copy_to_schema(coarsest).unwrap();
                by_index(&coarse).into_iter().for_each(|(index, count)| *model.entry(index).or_default() += count);
            }
            let count: f64 = all.iter().map(FloatHistogram::count).sum();
            let total = sum(all.iter(), &mut Findings::default()).unwrap().unwrap();
            prop_assert_eq!(by_index(&total), model);
            prop_assert_eq!((total.count(), total.sum()), (count, count * 10.0));
            let mut mean = mean(all.iter(), &mut Findings::default()).unwrap().unwrap();
            mean.mul(all.len() as f64);
            prop_assert!(mean.nearly_equals(&total, 1e-12), "{mean} {total}");
        }
    }
}
