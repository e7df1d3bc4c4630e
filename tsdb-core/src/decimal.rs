//! Decimals: most of what is measured is an integer or has a few decimal places, and an `f64` that was parsed from
//! such a text is the integer of its digits divided by a power of ten, correctly rounded.
//!
//! So `integer / 10^exponent` gives back the very bits, and codecs store the integer. What does not come back bit for
//! bit (negative zero, NaN, numbers of more than fifteen digits) is no decimal here.

/// The largest power of ten that is tried.
pub(crate) const MAX_EXPONENT: u8 = 15;

/// 1.5 * 2^52: a float this large has no fraction bits, and its low bits count in ones. Adding it rounds to even.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// Integers below this stand for decimals: within it, [`MAGIC`] converts exactly and in one instruction.
const LIMIT: f64 = (1_u64 << 51) as f64;

const POWERS: [f64; MAX_EXPONENT as usize + 1] =
    [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Ten to the power of `exponent`; 1 beyond [`MAX_EXPONENT`].
#[inline]
pub(crate) fn power(exponent: u8) -> f64 {
    POWERS.get(usize::from(exponent)).copied().unwrap_or(1.0)
}

/// The integer that divided by the power of ten gives back the bits of `value`.
#[inline]
pub(crate) fn to_decimal(value: f64, exponent: u8) -> Option<i64> {
    let power = power(exponent);
    let scaled = if exponent == 0 { value } else { value * power };
    let rounded = (scaled + MAGIC) - MAGIC;
    let back = if exponent == 0 { rounded } else { rounded / power };
    // A NaN is below nothing and so no decimal.
    (back.to_bits() == value.to_bits() && scaled.abs() < LIMIT).then(|| to_integer(rounded))
}

/// The integer nearest to `value` times the power of ten: the integer of a value that is known to be a decimal.
#[inline]
pub(crate) fn nearest(value: f64, exponent: u8) -> i64 {
    to_integer(value * power(exponent))
}

/// The value of a decimal of at most 51 bits; some number for larger ones, which no writer produces.
#[inline]
pub(crate) fn from_decimal(integer: i64, power: f64) -> f64 {
    from_integer(integer) / power
}

/// The float of an integer of at most 51 bits.
#[inline]
pub(crate) fn from_integer(integer: i64) -> f64 {
    f64::from_bits(integer.cast_unsigned().wrapping_add(MAGIC.to_bits())) - MAGIC
}

/// The least exponent at which `value` is a decimal.
pub(crate) fn exponent_of(value: f64) -> Option<u8> {
    (0..=MAX_EXPONENT).find(|exponent| to_decimal(value, *exponent).is_some())
}

/// The integer nearest to a float below [`LIMIT`].
#[inline]
fn to_integer(value: f64) -> i64 {
    (value + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn what_is_no_decimal_is_refused() {
        for value in [f64::NAN, f64::INFINITY, -0.0, 1.0 / 3.0, 1e300, 5e-324, (1_u64 << 51) as f64] {
            assert_eq!(exponent_of(value), None, "{value}");
        }
    }

    #[test]
    fn the_least_exponent_is_found() {
        for (value, exponent) in
            [(0.0, 0), (-17.0, 0), (0.5, 1), (12.34, 2), (0.000_123_456, 9), (-1e-15, 15)]
        {
            assert_eq!(exponent_of(value), Some(exponent), "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_parsed_decimal_has_the_integer_of_its_digits(integer in -(1_i64 << 50)..1 << 50, exponent in 0_u8..=15) {
            let value: f64 = format!("{integer}e-{exponent}").parse().unwrap();
            if integer != 0 {
                prop_assert_eq!(to_decimal(value, exponent), Some(integer));
            }
            prop_assert_eq!(from_decimal(integer, power(exponent)).to_bits(), value.to_bits());
        }

        #[test]
        fn a_decimal_gives_back_its_bits(bits: u64, exponent in 0_u8..=15) {
            let value = f64::from_bits(bits);
            if let Some(integer) = to_decimal(value, exponent) {
                prop_assert_eq!(from_decimal(integer, power(exponent)).to_bits(), bits);
            }
        }
    }
}
