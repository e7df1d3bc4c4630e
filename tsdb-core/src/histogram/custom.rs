//! Custom buckets whose bounds differ: both are brought to the bounds they share.
#![warn(clippy::indexing_slicing)]

use super::Model;
use super::count::Count;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Are the bounds the same?
pub(super) fn same_bounds(a: &Arc<[f64]>, b: &Arc<[f64]>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// The bounds that both have.
pub(super) fn intersect(mut a: &[f64], mut b: &[f64]) -> Arc<[f64]> {
    let mut common = Vec::with_capacity(a.len().min(b.len()));
    while let ([first_a, rest_a @ ..], [first_b, rest_b @ ..]) = (a, b) {
        // No bound is NaN.
        if first_a == first_b {
            common.push(*first_a);
            (a, b) = (rest_a, rest_b);
        } else if first_a < first_b {
            a = rest_a;
        } else {
            b = rest_b;
        }
    }
    common.into()
}

impl<C: Count> Model<C> {
    /// Gives each custom bucket with the index it has among `bounds`, which are some of its own.
    pub(super) fn for_each_in(&self, bounds: &[f64], mut give: impl FnMut(usize, C)) {
        let mut target = 0;
        for (index, count) in self.positive.iter() {
            let upper = self.bound(index);
            while bounds.get(target).is_some_and(|bound| *bound < upper) {
                target += 1;
            }
            give(target, count);
        }
    }

    /// What the histogram holds between the given bounds, which are some of its own.
    pub(super) fn counts_in(&self, bounds: &[f64]) -> Vec<C> {
        let mut counts = alloc::vec![C::from(0.0); bounds.len() + 1];
        self.for_each_in(bounds, |index, count| {
            if let Some(cell) = counts.get_mut(index) {
                cell.add(count);
            }
        });
        counts
    }
}
