//! Has a counter been reset between two histograms?
#![warn(clippy::indexing_slicing)]

use super::buckets::Buckets;
use super::custom::{intersect, same_bounds};
use super::zero::Widened;
use super::{FloatHistogram, Model, ResetHint};
use alloc::borrow::Cow;

impl FloatHistogram {
    /// Has the counter been reset between `previous` and this histogram?
    ///
    /// The hint of this histogram decides if it says so. Of an unknown one, and of gauges, which have no resets and
    /// are treated as counters here: a count (of a bucket, of the zero bucket or in all; not the sum) that went down
    /// or disappeared, a finer schema, a smaller zero threshold or one that cuts through a bucket of `previous` that
    /// holds something are resets, and so is the step from exponential to custom buckets and back. A coarser schema or
    /// a larger zero threshold alone is none: `previous` is compared as it would look in them. Custom buckets are
    /// compared within the bounds that both have.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.reset_hint() {
            ResetHint::Reset => true,
            ResetHint::NotReset => false,
            ResetHint::Unknown | ResetHint::Gauge => self.0.lost_counts(&previous.0),
        }
    }

    /// What a store says about a counter reset before this histogram if it keeps it behind `previous`, which is the
    /// sample before it in the series if that is a histogram.
    ///
    /// What a sender said of gauges and resets stays. All else is found anew: a sender's word that there was no reset
    /// is about the histogram *he* sent before, which the store may not have. Nothing is known if there is no histogram
    /// before, if that is a gauge, or if schema or zero threshold changed; nor if there seems to have been a reset,
    /// because later the counts may be compared with those of another histogram. This is what Prometheus answers that
    /// keeps each such run of histograms in a chunk of its own. Source: Prometheus, `tsdb/chunkenc`.
    pub fn hint_after(&self, previous: Option<&Self>) -> ResetHint {
        let gauge = |histogram: &Self| histogram.reset_hint() == ResetHint::Gauge;
        match (self.reset_hint(), previous) {
            (hint @ (ResetHint::Gauge | ResetHint::Reset), _) => hint,
            (_, None) => ResetHint::Unknown,
            (_, Some(previous)) => {
                let continued = !gauge(previous)
                    && previous.schema() == self.schema()
                    && previous.zero_threshold() == self.zero_threshold()
                    && !self.0.lost_counts(&previous.0);
                if continued { ResetHint::NotReset } else { ResetHint::Unknown }
            }
        }
    }
}

impl Model<f64> {
    fn lost_counts(&self, previous: &Self) -> bool {
        if self.count < previous.count || self.schema.is_custom() != previous.schema.is_custom() {
            return true;
        }
        if self.schema.is_custom() && !same_bounds(&self.bounds, &previous.bounds) {
            return self.lost_custom_counts(previous);
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let zero: Widened<f64> = previous.widened(self.zero_threshold);
        if zero.threshold != self.zero_threshold || self.zero_count < zero.count {
            return true;
        }
        [(&self.positive, &previous.positive), (&self.negative, &previous.negative)]
            .into_iter()
            .any(|(mine, theirs)| self.lost_buckets(mine, &self.in_my_schema(previous, theirs)))
    }

    /// Buckets of `previous` as they would be in the schema of `self`.
    fn in_my_schema<'a>(&self, previous: &Self, buckets: &'a Buckets<f64>) -> Cow<'a, Buckets<f64>> {
        match previous.schema.steps_to(self.schema) {
            None | Some(0) => Cow::Borrowed(buckets),
            Some(steps) => Cow::Owned(buckets.coarser(steps)),
        }
    }

    /// Does a bucket outside of the zero bucket hold less than it did?
    fn lost_buckets(&self, mine: &Buckets<f64>, theirs: &Buckets<f64>) -> bool {
        if mine.runs() == theirs.runs() && self.zero_threshold == 0.0 {
            return mine.counts().iter().zip(theirs.counts()).any(|(mine, theirs)| mine < theirs);
        }
        let inside = |index: i32| self.zero_threshold > 0.0 && self.bound(index) <= self.zero_threshold;
        let mut mine = mine.iter().skip_while(|(index, _)| inside(*index)).peekable();
        let mut theirs = theirs.iter().skip_while(|(index, _)| inside(*index));
        theirs.any(|(index, before)| {
            while mine.next_if(|(at, _)| *at < index).is_some() {}
            match mine.peek() {
                Some((at, now)) if *at == index => *now < before,
                _ => before != 0.0,
            }
        })
    }

    fn lost_custom_counts(&self, previous: &Self) -> bool {
        let common = intersect(&self.bounds, &previous.bounds);
        let (now, before) = (self.counts_in(&common), previous.counts_in(&common));
        now.iter().zip(&before).any(|(now, before)| now < before)
    }
}
