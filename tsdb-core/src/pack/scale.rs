//! Makes integers of values and values of integers, bit for bit.
//!
//! What a column of values is like is found by trying: decimals are most of what is measured; sums of full-precision
//! numbers are multiples of a small power of two; the rest is taken by its place in the order of all `f64`. A
//! transformation counts only where it gives back the very bits; what it does not is an exception.

use crate::decimal::{exponent_of, from_decimal, from_integer, power, to_decimal};
use alloc::vec::Vec;

/// How values become integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// The integer divided by this power of ten, at most [`MAX_EXPONENT`](crate::decimal::MAX_EXPONENT).
    Decimal(u8),
    /// The integer times two to the minus this, at most [`MAX_SHIFT`].
    Binary(u16),
    /// The place in the order of all bit patterns.
    Ordinal,
}

/// The largest binary scale: its power of two and the inverse are normal numbers.
pub(super) const MAX_SHIFT: u16 = 1000;

/// Bits that integers of the binary scale may have: with more, the order of bit patterns is the shorter description.
const BINARY_BITS: i32 = 56;

/// Values that are looked at to guess the exponent.
const PROBES: usize = 32;

/// Values as integers, with the exceptions.
#[derive(Debug, Default)]
pub(super) struct Scaled {
    /// One integer per value; at an exception, the integer before it.
    pub(super) integers: Vec<i64>,
    /// Index and bits of the values that the scale does not give back.
    pub(super) exceptions: Vec<(usize, u64)>,
}

impl Scaled {
    /// Finds the scale of `values` and fills the columns.
    pub(super) fn fill(&mut self, values: &[f64]) -> Scale {
        if let Some(exponent) = guess_exponent(values)
            && let Some(scale) = self.fill_decimal(values, exponent)
        {
            return scale;
        }
        if let Some(shift) = guess_shift(values) {
            self.fill_by(values, |value| to_binary(value, shift));
            if !too_many(self.exceptions.len(), values.len()) {
                return Scale::Binary(shift);
            }
        }
        // A few NaNs would be far jumps; where there are many, they are values like all others.
        let nans = values.iter().filter(|value| value.is_nan()).count();
        let keep_nans = too_many(nans, values.len());
        self.fill_by(values, |value| (keep_nans || !value.is_nan()).then(|| to_ordinal(value.to_bits())));
        Scale::Ordinal
    }

    /// Raises the exponent while values ask for it; gives up when the exceptions are too many.
    fn fill_decimal(&mut self, values: &[f64], mut exponent: u8) -> Option<Scale> {
        loop {
            self.fill_by(values, |value| to_decimal(value, exponent));
            let higher = |(index, _): &(usize, u64)| values.get(*index).and_then(|value| exponent_of(*value));
            match self.exceptions.iter().take(PROBES).filter_map(higher).max() {
                Some(higher) if higher > exponent => exponent = higher,
                _ => break,
            }
        }
        (!too_many(self.exceptions.len(), values.len())).then_some(Scale::Decimal(exponent))
    }

    fn fill_by(&mut self, values: &[f64], integer: impl Fn(f64) -> Option<i64>) {
        self.integers.clear();
        self.exceptions.clear();
        // Leading exceptions take the first integer there is, so that they cost no jump.
        let mut before = values.iter().find_map(|value| integer(*value)).unwrap_or(0);
        for (index, value) in values.iter().enumerate() {
            match integer(*value) {
                Some(found) => before = found,
                None => self.exceptions.push((index, value.to_bits())),
            }
            self.integers.push(before);
        }
    }
}

/// An exception costs about ten bytes, more than any column does without them.
fn too_many(exceptions: usize, values: usize) -> bool {
    exceptions > values.div_ceil(8)
}

/// The exponent that most of a few values need; `None` if they do not look decimal.
fn guess_exponent(values: &[f64]) -> Option<u8> {
    let stride = values.len().div_ceil(PROBES).max(1);
    let probes = values.iter().step_by(stride);
    let most = probes.len();
    let (mut highest, mut decimal, mut others) = (0, 0_usize, 0_usize);
    for value in probes.filter(|value| !value.is_nan()) {
        // Values of a series mostly need the same exponent.
        let exponent =
            if to_decimal(*value, highest).is_some() { Some(highest) } else { exponent_of(*value) };
        match exponent {
            Some(exponent) => {
                decimal = decimal.saturating_add(1);
                highest = exponent.max(highest);
            }
            None => others = others.saturating_add(1),
        }
        if others.saturating_mul(4) > most {
            return None;
        }
    }
    (decimal >= others.saturating_mul(3)).then_some(highest)
}

/// The least binary scale at which all finite values are integers that fit; `None` if there is none.
fn guess_shift(values: &[f64]) -> Option<u16> {
    let (mut shift, mut largest) = (0_i32, i32::MIN);
    for value in values.iter().filter(|value| value.is_finite() && **value != 0.0) {
        let bits = value.to_bits();
        // Biased exponent; zero is a subnormal number, too small for any scale.
        let exponent = i32::try_from((bits >> 52) & 0x7ff).ok().filter(|exponent| *exponent > 0)?;
        let mantissa = bits & 0x000f_ffff_ffff_ffff | 1 << 52;
        let zeros = mantissa.trailing_zeros().cast_signed();
        shift = shift.max(1075_i32.saturating_sub(exponent).saturating_sub(zeros));
        largest = largest.max(exponent.saturating_sub(1022));
    }
    let fits = largest.saturating_add(shift) <= BINARY_BITS;
    u16::try_from(shift).ok().filter(|shift| fits && *shift <= MAX_SHIFT)
}

fn to_binary(value: f64, shift: u16) -> Option<i64> {
    let scaled = value * power_of_two(shift.cast_signed());
    #[expect(clippy::cast_possible_truncation, reason = "checked by the way back")]
    let integer = scaled as i64;
    (from_binary(integer, power_of_two(shift.cast_signed().saturating_neg())).to_bits() == value.to_bits())
        .then_some(integer)
}

#[inline]
fn from_binary(integer: i64, unit: f64) -> f64 {
    integer as f64 * unit
}

/// Two to a power within the normal range.
fn power_of_two(exponent: i16) -> f64 {
    let biased = u64::try_from(i32::from(exponent).saturating_add(1023)).unwrap_or(0);
    f64::from_bits(biased << 52)
}

/// Bit patterns in the order of the numbers they stand for, as signed integers. Its own inverse.
#[inline]
fn to_ordinal(bits: u64) -> i64 {
    let signed = bits.cast_signed();
    signed ^ ((signed >> 63).cast_unsigned() >> 1).cast_signed()
}

impl Scale {
    /// Appends the values of `integers` to `into`.
    #[inline]
    pub(super) fn restore(self, integers: &[i64], into: &mut Vec<f64>) {
        match self {
            Self::Decimal(0) => into.extend(integers.iter().map(|integer| from_integer(*integer))),
            Self::Decimal(exponent) => {
                let power = power(exponent);
                into.extend(integers.iter().map(|integer| from_decimal(*integer, power)));
            }
            Self::Binary(shift) => {
                let unit = power_of_two(shift.cast_signed().saturating_neg());
                into.extend(integers.iter().map(|integer| from_binary(*integer, unit)));
            }
            Self::Ordinal => {
                let value =
                    |integer: &i64| f64::from_bits(to_ordinal(integer.cast_unsigned()).cast_unsigned());
                into.extend(integers.iter().map(value));
            }
        }
    }
}
