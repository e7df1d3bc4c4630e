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
