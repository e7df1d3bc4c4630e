//! A sum of many histograms without the rounding errors of one addition after the other.

use super::count::{Count, Kahan};
use super::{FloatHistogram, IncompatibleSchemas, Model, Reconciled, ResetHint};

/// A running sum of histograms, each count and sum of which carries what rounding has lost (Neumaier's variant of
/// Kahan's summation).
#[derive(Debug, Clone)]
pub struct HistogramSum(Model<Kahan>);

impl HistogramSum {
    /// A sum that has seen one histogram.
    pub fn starting_at(first: &FloatHistogram) -> Self {
        Self(first.0.map(Kahan::from))
    }

    /// Adds a histogram, by the rules of [`FloatHistogram::add`].
    ///
    /// # Errors
    /// The sum is of exponential buckets and `other` of custom ones, or the other way round. Nothing has changed then.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Reconciled, IncompatibleSchemas> {
        self.0.merge(&other.0, 1.0)
    }

    /// Multiplies the sum, as [`FloatHistogram::mul`].
    pub fn mul(&mut self, factor: f64) {
        self.0.mul(factor);
    }

    /// Divides the sum, as [`FloatHistogram::div`].
    pub fn div(&mut self, divisor: f64) {
        self.0.div(divisor);
    }

    /// Has a count or the sum become infinite? A mean then has to be computed incrementally.
    pub fn has_overflow(&self) -> bool {
        self.0.has_overflow() || self.0.bounds.iter().any(|bound| bound.is_infinite())
    }

    /// Are the buckets custom?
    pub fn is_custom(&self) -> bool {
        self.0.schema.is_custom()
    }

    /// What is known about a counter reset before the sum.
    pub fn reset_hint(&self) -> ResetHint {
        self.0.hint
    }

    /// Bytes of memory, counted as if nothing were shared.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.0.positive.heap_bytes())
            .saturating_add(self.0.negative.heap_bytes())
            .saturating_add(size_of_val::<[f64]>(&self.0.bounds))
    }

    /// The sum with the errors put back, not compacted.
    #[must_use]
    pub fn finish(&self) -> FloatHistogram {
        FloatHistogram(self.0.map(|count| count.value() + count.compensation))
    }
}
