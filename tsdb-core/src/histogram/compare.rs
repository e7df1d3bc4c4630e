//! When two histograms are the same.

use super::buckets::Buckets;
use super::custom::same_bounds;
use super::{FloatHistogram, is_stale_nan};

impl FloatHistogram {
    /// Do both have the same layout and the same bits in every count? The reset hint is not looked at.
    ///
    /// This is what `==` of PromQL asks.
    pub fn same_data(&self, other: &Self) -> bool {
        let bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
        self.same_layout(other) && self.counts_agree(other, bits)
    }

    /// Do both describe the same observations, up to a relative error of `tolerance` in counts and sums? Empty buckets
    /// and the reset hint are not looked at; schema, zero threshold and custom bounds must be the same.
    ///
    /// This is how test scripts compare: any NaN equals any other, except that a stale marker equals stale markers
    /// only.
    pub fn nearly_equals(&self, other: &Self, tolerance: f64) -> bool {
        let (mut a, mut b) = (self.clone(), other.clone());
        a.compact(0);
        b.compact(0);
        a.same_layout(&b) && a.counts_agree(&b, |a, b| nearly_equal(a, b, tolerance))
    }

    fn counts_agree(&self, other: &Self, agree: impl Fn(f64, f64) -> bool) -> bool {
        let (a, b) = (&self.0, &other.0);
        let all = |a: &Buckets<f64>, b: &Buckets<f64>| {
            a.counts().iter().zip(b.counts()).all(|(a, b)| agree(*a, *b))
        };
        agree(a.count, b.count)
            && agree(a.sum, b.sum)
            && agree(a.zero_count, b.zero_count)
            && all(&a.positive, &b.positive)
            && all(&a.negative, &b.negative)
            && same_bounds(&a.bounds, &b.bounds)
    }
}

/// Bitwise equality, reset hint included: NaN payloads and signed zeros are data.
impl PartialEq for FloatHistogram {
    fn eq(&self, other: &Self) -> bool {
        self.reset_hint() == other.reset_hint() && self.same_data(other)
    }
}

impl Eq for FloatHistogram {}

/// Source: Prometheus, `util/almost`.
fn nearly_equal(a: f64, b: f64, tolerance: f64) -> bool {
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (size, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < tolerance
}
