//! The zero bucket, and how two of different width become one.
#![warn(clippy::indexing_slicing)]

use super::Model;
use super::buckets::Buckets;
use super::count::Count;

/// What a zero bucket would be if it were wider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widened<D> {
    pub(super) count: D,
    /// At least the threshold asked for; more if that cut through a bucket that holds something.
    pub(super) threshold: f64,
}

impl<C: Count> Model<C> {
    /// What the zero bucket would be at `threshold`, which is not below the present one: it takes in the buckets it
    /// covers, and grows to the end of a bucket that holds something where `threshold` cuts through one.
    pub(super) fn widened<D: Count + From<C>>(&self, threshold: f64) -> Widened<D> {
        let mut threshold = threshold;
        let mut count = D::from(self.zero_count);
        if threshold <= self.zero_threshold {
            return Widened { count, threshold };
        }
        loop {
            let end = self.end_of_cut(&self.negative, self.end_of_cut(&self.positive, threshold));
            if end == threshold {
                break;
            }
            threshold = end;
        }
        for buckets in [&self.positive, &self.negative] {
            for (_, taken_in) in self.covered(buckets, threshold) {
                count.add(D::from(taken_in));
            }
        }
        Widened { count, threshold }
    }

    /// The far end of the bucket that `threshold` cuts through, if that holds something; else `threshold`.
    fn end_of_cut(&self, buckets: &Buckets<C>, threshold: f64) -> f64 {
        match self.covered(buckets, threshold).last() {
            Some((index, count)) if count.value() != 0.0 => self.bound(index).max(threshold),
            _ => threshold,
        }
    }

    /// The buckets that begin below `threshold`.
    fn covered(&self, buckets: &Buckets<C>, threshold: f64) -> impl Iterator<Item = (i32, C)> {
        buckets.iter().take_while(move |(index, _)| self.bound(index - 1) < threshold)
    }

    /// Widens the zero bucket of the histogram itself.
    pub(super) fn widen(&mut self, threshold: f64) {
        let widened: Widened<C> = self.widened(threshold);
        self.zero_count = widened.count;
        self.zero_threshold = widened.threshold;
        let schema = self.schema;
        let outside =
            |index: i32, count: C| !count.is_empty() && schema.bound(index - 1) >= widened.threshold;
        self.positive.retain(outside);
        self.negative.retain(outside);
    }

    /// Gives the histogram a zero bucket that is wide enough for `other` too and cuts through no bucket of either that
    /// holds something. Returns what `other` has in it.
    pub(super) fn reconcile_zero_buckets(&mut self, other: &Model<f64>) -> C {
        let mut theirs = Widened { count: C::from(other.zero_count), threshold: other.zero_threshold };
        while theirs.threshold != self.zero_threshold {
            if self.zero_threshold > theirs.threshold {
                theirs = other.widened(self.zero_threshold);
            }
            if theirs.threshold > self.zero_threshold {
                self.widen(theirs.threshold);
            }
        }
        theirs.count
    }
}
