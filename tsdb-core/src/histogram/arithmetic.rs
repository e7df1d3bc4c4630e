//! Sums, differences and multiples of histograms.
#![warn(clippy::indexing_slicing)]

use super::buckets::Buckets;
use super::count::Count;
use super::custom::{intersect, same_bounds};
use super::{FloatHistogram, IncompatibleSchemas, Model, ResetHint};
use core::cmp::Ordering;

/// What had to be reconciled to combine two histograms: the user may want to be warned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "queries warn of conflicting hints and reconciled bounds"]
#[non_exhaustive]
pub struct Reconciled {
    /// One histogram came with a counter reset and the other without. The result knows nothing of resets.
    pub hint_conflict: bool,
    /// The custom bounds differed. The result has the bounds that both had.
    pub bounds: bool,
}

impl core::ops::BitOrAssign for Reconciled {
    fn bitor_assign(&mut self, other: Self) {
        self.hint_conflict |= other.hint_conflict;
        self.bounds |= other.bounds;
    }
}

impl FloatHistogram {
    /// Adds `other`: observations, sum, and bucket by bucket.
    ///
    /// The result has the coarser of two exponential schemas, and a zero bucket that covers both and cuts through no
    /// bucket that holds something. Of different custom bounds, those remain that both have. Buckets that only one
    /// histogram has are in the result, even empty ones: see [`FloatHistogram::compact`].
    ///
    /// The reset hint is the common one; else gauge if one is a gauge; else unknown.
    ///
    /// # Errors
    /// One histogram is exponential, the other custom. Nothing has changed then.
    pub fn add(&mut self, other: &Self) -> Result<Reconciled, IncompatibleSchemas> {
        self.0.merge(&other.0, 1.0)
    }

    /// Subtracts `other`, like [`FloatHistogram::add`] in everything else. The reset hint too is found as in an
    /// addition: the operator `-` sets [`ResetHint::Gauge`] afterwards.
    ///
    /// # Errors
    /// One histogram is exponential, the other custom. Nothing has changed then.
    pub fn sub(&mut self, other: &Self) -> Result<Reconciled, IncompatibleSchemas> {
        self.0.merge(&other.0, -1.0)
    }

    /// Multiplies every count and the sum. A negative factor makes a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.0.mul(factor);
    }

    /// Divides every count and the sum. A negative divisor makes a gauge. Division by zero leaves no buckets: there is
    /// no telling which of them would be infinite.
    pub fn div(&mut self, divisor: f64) {
        self.0.div(divisor);
    }
}

impl<C: Count> Model<C> {
    pub(super) fn mul(&mut self, factor: f64) {
        self.apply(|count| count * factor);
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    pub(super) fn div(&mut self, divisor: f64) {
        if divisor == 0.0 {
            (self.positive, self.negative) = (Buckets::default(), Buckets::default());
        }
        self.apply(|count| count / divisor);
        if divisor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Adds `sign` times `other`.
    pub(super) fn merge(&mut self, other: &Model<f64>, sign: f64) -> Result<Reconciled, IncompatibleSchemas> {
        if self.schema.is_custom() != other.schema.is_custom() {
            return Err(IncompatibleSchemas);
        }
        let hint_conflict = self.merge_hint(other.hint);
        let signed = |count: f64| C::from(count * sign);
        if !self.schema.is_custom() {
            let zero_count = self.reconcile_zero_buckets(other);
            self.zero_count.add(zero_count.map(|count| count * sign));
        }
        self.count.add(signed(other.count));
        self.sum.add(signed(other.sum));
        let mut bounds = false;
        if !self.schema.is_custom() {
            self.merge_exponential(other, sign);
        } else if same_bounds(&self.bounds, &other.bounds) {
            self.positive.add(&other.positive, signed);
        } else {
            bounds = true;
            self.merge_custom(other, signed);
        }
        Ok(Reconciled { hint_conflict, bounds })
    }

    fn merge_exponential(&mut self, other: &Model<f64>, sign: f64) {
        match other.schema.cmp(&self.schema) {
            Ordering::Less => {
                let steps = self.schema.steps_to(other.schema).unwrap_or(0);
                self.positive = self.positive.coarser(steps);
                self.negative = self.negative.coarser(steps);
                self.schema = other.schema;
                self.merge_sides([&other.positive, &other.negative], |count| C::from(count * sign));
            }
            Ordering::Equal => {
                self.merge_sides([&other.positive, &other.negative], |count| C::from(count * sign));
            }
            Ordering::Greater => {
                let steps = other.schema.steps_to(self.schema).unwrap_or(0);
                let (positive, negative) =
                    (other.positive.coarser::<C>(steps), other.negative.coarser::<C>(steps));
                self.merge_sides([&positive, &negative], |count: C| count.map(|part| part * sign));
            }
        }
    }

    /// Adds positive and negative buckets, without those that end within the zero bucket: it has taken them in.
    fn merge_sides<D: Count>(&mut self, sides: [&Buckets<D>; 2], convert: impl Fn(D) -> C) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let outside = |index: i32| schema.bound(index) > threshold;
        for (mine, theirs) in [&mut self.positive, &mut self.negative].into_iter().zip(sides) {
            if theirs.iter().next().is_none_or(|(first, _)| outside(first)) {
                mine.add(theirs, &convert);
            } else {
                let mut rest = theirs.clone();
                rest.retain(|index, _| outside(index));
                mine.add(&rest, &convert);
            }
        }
    }

    /// Adds custom buckets of other bounds.
    fn merge_custom(&mut self, other: &Model<f64>, convert: impl Fn(f64) -> C) {
        let common = intersect(&self.bounds, &other.bounds);
        let mut counts = self.counts_in(&common);
        other.for_each_in(&common, |index, count| {
            if let Some(cell) = counts.get_mut(index) {
                cell.add(convert(count));
            }
        });
        self.positive = Buckets::from_dense(counts);
        self.bounds = common;
    }

    /// The hint of a sum. `true` if the hints contradict each other.
    fn merge_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        let (hint, conflict) = match (self.hint, other) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            _ => (Unknown, true),
        };
        self.hint = hint;
        conflict
    }
}
