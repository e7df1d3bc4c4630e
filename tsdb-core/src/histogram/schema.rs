//! How buckets are bounded: the resolution of exponential buckets, or a list of custom bounds.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use super::real::scale;
use core::fmt;

/// Indexes of buckets lie between this and its negative. Far beyond what a float can need (2^18.1), and small enough
/// that a gap between two buckets fits a [`Span`](super::Span).
pub(super) const MAX_INDEX: i32 = 1 << 30;

/// How the buckets of a histogram are bounded.
///
/// An exponential schema `n` cuts each power of two into 2^n buckets: bucket `i` ends at 2^(i * 2^-n), so that 1 is a
/// bound in every schema, and every bound of a coarser schema is one of all finer ones. With custom buckets, bucket
/// `i` ends at the `i`th of the listed bounds, and the last at +Inf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schema(i8);

impl Schema {
    /// Custom buckets.
    pub const CUSTOM: Self = Self(-53);
    /// The coarsest exponential schema: bounds grow by the factor 2^16.
    pub const COARSEST: Self = Self(-4);
    /// The finest exponential schema: 256 buckets for each power of two.
    pub const FINEST: Self = Self(8);

    /// The schema with this number, if it is one: -4 to 8, or -53.
    pub const fn new(number: i32) -> Option<Self> {
        match number {
            -53 => Some(Self::CUSTOM),
            #[expect(clippy::cast_possible_truncation, reason = "-4 to 8")]
            -4..=8 => Some(Self(number as i8)),
            _ => None,
        }
    }

    /// The number of the schema.
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Are the bounds listed rather than computed?
    pub const fn is_custom(self) -> bool {
        self.0 == Self::CUSTOM.0
    }

    /// The next coarser exponential schema.
    pub const fn coarser(self) -> Option<Self> {
        if self.0 > Self::COARSEST.0 { Some(Self(self.0 - 1)) } else { None }
    }

    /// How often `self` halves its resolution to become `target`. `None` if it cannot.
    pub(super) const fn steps_to(self, target: Self) -> Option<u32> {
        if target.is_custom() || self.is_custom() || target.0 > self.0 {
            return None;
        }
        Some(self.0.abs_diff(target.0) as u32)
    }

    /// The upper bound of the exponential bucket `index`, 0 and +Inf beyond what a float can hold.
    ///
    /// The bucket that holds the largest finite numbers ends at [`f64::MAX`], not at the +Inf its formula gives: the
    /// bucket after it counts the infinite observations. Source: Prometheus, `model/histogram`.
    pub(super) fn bound(self, index: i32) -> f64 {
        let index = i64::from(index);
        if self.0 <= 0 {
            let exponent = index << self.0.unsigned_abs();
            return if exponent == 1024 { f64::MAX } else { scale(1.0, exponent) };
        }
        let within = index & ((1 << self.0) - 1);
        let exponent = (index >> self.0) + 1;
        if within == 0 && exponent == 1025 {
            return f64::MAX;
        }
        let finest = usize::try_from(within << (8 - self.0)).unwrap_or(0);
        scale(FRACTIONS.get(finest).copied().unwrap_or(0.5), exponent)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The index of the bucket that takes in bucket `index` when the resolution is halved `steps` times.
pub(super) fn coarser_index(index: i32, steps: u32) -> i32 {
    // No overflow: see MAX_INDEX.
    ((index - 1) >> steps.min(31)) + 1
}

/// The bounds of schema 8 in [0.5, 1). Those of schema n are every 2^(8-n)th.
static FRACTIONS: [f64; 256] = fractions();

/// Every schema keeps the bounds of the one before and puts one between any two, by its growth factor.
///
/// This is how the bounds of Prometheus and its clients came to be; they are not the nearest floats to the true
/// values, so they cannot be computed in a better way and still agree. Source: Prometheus client library for Go,
/// `prometheus/histogram.go`.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks the bounds")]
const fn fractions() -> [f64; 256] {
    /// 2^(2^-n) for n = 1 to 8. The first is a unit in the last place below the square root of 2, as in the source.
    const FACTORS: [f64; 8] = [
        f64::from_bits(core::f64::consts::SQRT_2.to_bits() - 1),
        1.189_207_115_002_721,
        1.090_507_732_665_257_7,
        1.044_273_782_427_413_8,
        1.021_897_148_654_116_6,
        1.010_889_286_051_700_5,
        1.005_429_901_112_802_7,
        1.002_711_275_050_202_5,
    ];
    let mut bounds = [0.5; 256];
    let mut schema = 0;
    let mut distance = 256;
    while schema < FACTORS.len() {
        let mut at = 0;
        while at < bounds.len() {
            bounds[at + distance / 2] = bounds[at] * FACTORS[schema];
            at += distance;
        }
        distance /= 2;
        schema += 1;
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn schema(number: i32) -> Schema {
        Schema::new(number).unwrap()
    }

    #[test]
    fn schemas_are_minus_4_to_8_and_minus_53() {
        let valid: Vec<i32> = (-60..60).filter(|n| Schema::new(*n).is_some()).collect();
        assert_eq!(valid[0], -53);
        assert_eq!(valid[1..], (-4..=8).collect::<Vec<_>>()[..]);
        assert!(
            Schema::new(i32::MIN).is_none()
                && Schema::new(i32::MAX).is_none()
                && Schema::new(256 - 53).is_none()
        );
    }

    #[test]
    fn bounds_are_powers_of_the_growth_factor() {
        for (number, index, bound) in [
            (0, 0, 1.0),
            (0, 1, 2.0),
            (0, -3, 0.125),
            (-1, 2, 16.0),
            (-2, -1, 0.0625),
            (-4, 1, 65536.0),
            (1, 1, f64::from_bits(core::f64::consts::SQRT_2.to_bits() - 1)),
            (2, 5, 2.378_414_230_005_442),
            (2, -1, 0.840_896_415_253_714_4),
            (3, 3, 1.296_839_554_651_009_6),
            (8, 255, 2.0 * 0.997_296_056_085_469_8),
            (8, -1, 0.997_296_056_085_469_8),
        ] {
            assert_eq!(schema(number).bound(index), bound, "schema {number}, index {index}");
        }
    }

    #[test]
    fn the_last_finite_bucket_ends_at_the_largest_float() {
        for number in 0..=8 {
            let last = 1024 << number;
            assert_eq!(schema(number).bound(last), f64::MAX);
            assert_eq!(schema(number).bound(last + 1), f64::INFINITY);
            assert!(schema(number).bound(last - 1) < f64::MAX);
        }
        for number in -4..0_i32 {
            let last = 1024 >> -number;
            assert_eq!(schema(number).bound(last), f64::MAX);
            assert_eq!(schema(number).bound(last + 1), f64::INFINITY);
        }
        for number in -4..=8 {
            assert_eq!(schema(number).bound(MAX_INDEX), f64::INFINITY);
            assert_eq!(schema(number).bound(-MAX_INDEX), 0.0);
        }
    }

    #[test]
    fn bounds_grow_and_coarser_bounds_are_finer_ones() {
        for number in -3..=8 {
            let (fine, coarse) = (schema(number), schema(number - 1));
            let finite = 1000 >> (-number).max(0) >> 1;
            for index in -finite..finite {
                assert!(fine.bound(index) < fine.bound(index + 1));
                assert_eq!(fine.bound(2 * index), coarse.bound(index));
                let merged = coarser_index(index, 1);
                assert!(
                    coarse.bound(merged - 1) <= fine.bound(index - 1)
                        && fine.bound(index) <= coarse.bound(merged)
                );
            }
        }
    }
}
