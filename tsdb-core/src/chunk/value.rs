//! Values of a chunk: decimals by the difference of their integers, all others by XOR with the value before.
//!
//! Most series are integers or have a few decimal places, which XOR describes badly: the next integer shares few bits
//! of its float. So the chunk is in one of two modes and a code leads from each to the other.

use super::state::{State, TRIALS};
use crate::bits::{BitReader, BitWriter, mask};
use crate::bytes::{unzigzag, zigzag};
use crate::decimal::{MAX_EXPONENT, from_decimal, from_integer, power, to_decimal};

/// Bits of an exponent.
const EXPONENT_BITS: u32 = 4;

/// Bits of the number of leading zeros, and of the number of meaningful bits less one.
const LEADING_BITS: u32 = 5;
const MEANINGFUL_BITS: u32 = 6;

impl State {
    /// Appends a value.
    #[inline]
    pub(super) fn write_value(&mut self, value: f64, out: &mut BitWriter) {
        if value.to_bits() == self.value {
            out.write(0, 1);
        } else if self.decimal {
            self.write_decimal(value, out);
        } else {
            self.write_xor(value, out);
        }
        self.value = value.to_bits();
    }

    /// Reads a value.
    #[inline]
    pub(super) fn read_value(&mut self, bits: &mut BitReader<'_>) -> f64 {
        if bits.take(1) == 1 {
            if self.decimal { self.read_decimal(bits) } else { self.read_xor(bits) }
        }
        f64::from_bits(self.value)
    }

    /// `1 0` and the difference of the integers; `1 1 0` and a larger exponent before that; `1 1 1` into XOR mode.
    #[inline]
    fn write_decimal(&mut self, value: f64, out: &mut BitWriter) {
        if let Some(integer) = to_decimal(value, self.exponent) {
            out.write(0b01, 2);
            let before = self.integer().unwrap_or(0);
            self.value_size.write(zigzag(integer.wrapping_sub(before)).wrapping_sub(1), out);
        } else {
            self.leave_decimal(value, out);
        }
    }

    #[cold]
    fn leave_decimal(&mut self, value: f64, out: &mut BitWriter) {
        let last = f64::from_bits(self.value);
        let fits =
            |exponent: &u8| to_decimal(value, *exponent).is_some() && to_decimal(last, *exponent).is_some();
        match (self.exponent.saturating_add(1)..=MAX_EXPONENT).find(fits) {
            Some(exponent) => {
                out.write(0b011, 3);
                out.write(u64::from(exponent), EXPONENT_BITS);
                self.exponent = exponent;
                self.write_decimal(value, out);
            }
            None => {
                out.write(0b111, 3);
                self.decimal = false;
                self.trials = TRIALS;
                self.write_window(value.to_bits() ^ self.value, out);
            }
        }
    }

    fn read_decimal(&mut self, bits: &mut BitReader<'_>) {
        if bits.take(1) == 1 {
            if bits.take(1) == 1 {
                self.decimal = false;
                self.read_window(bits);
                return;
            }
            self.exponent = u8::try_from(bits.take(EXPONENT_BITS)).unwrap_or(0);
            // The writer's code for the value follows whole.
            bits.consume(2);
        }
        let before = self.integer().unwrap_or(0);
        let integer = before.wrapping_add(unzigzag(self.value_size.read(bits).wrapping_add(1)));
        self.value = match self.exponent {
            0 => from_integer(integer),
            exponent => from_decimal(integer, power(exponent)),
        }
        .to_bits();
    }

    /// The last value as an integer under the exponent; in decimal mode there is always one.
    #[inline]
    fn integer(&self) -> Option<i64> {
        to_decimal(f64::from_bits(self.value), self.exponent)
    }

    /// `1 0` and the bits of the window; `1 1 0` and a new window; `1 1 1` back into decimal mode.
    fn write_xor(&mut self, value: f64, out: &mut BitWriter) {
        if self.trials > 0 {
            self.trials = self.trials.saturating_sub(1);
            let last = f64::from_bits(self.value);
            let fits = |exponent: &u8| {
                to_decimal(value, *exponent).is_some() && to_decimal(last, *exponent).is_some()
            };
            if let Some(exponent) = (0..=MAX_EXPONENT).find(fits) {
                out.write(0b111, 3);
                out.write(u64::from(exponent), EXPONENT_BITS);
                self.exponent = exponent;
                self.decimal = true;
                return self.write_decimal(value, out);
            }
        }
        let xor = value.to_bits() ^ self.value;
        let (leading, trailing) = (u32::from(self.leading), self.trailing());
        let fits = self.meaningful > 0 && xor.leading_zeros() >= leading && xor.trailing_zeros() >= trailing;
        // A window much wider than needed costs more, over time, than a new one.
        if fits && xor.leading_zeros().saturating_sub(leading) < 12 {
            out.write(0b01, 2);
            out.write(xor >> trailing, u32::from(self.meaningful));
        } else {
            out.write(0b011, 3);
            self.write_window(xor, out);
        }
    }

    fn write_window(&mut self, xor: u64, out: &mut BitWriter) {
        let leading = xor.leading_zeros().min(u32::try_from(mask(LEADING_BITS)).unwrap_or(0));
        let meaningful = 64_u32.saturating_sub(leading).saturating_sub(xor.trailing_zeros().min(63)).max(1);
        out.write(
            u64::from(leading) | u64::from(meaningful.saturating_sub(1)) << LEADING_BITS,
            LEADING_BITS.saturating_add(MEANINGFUL_BITS),
        );
        self.leading = u8::try_from(leading).unwrap_or(0);
        self.meaningful = u8::try_from(meaningful).unwrap_or(64);
        out.write(xor >> self.trailing(), meaningful);
    }

    fn read_xor(&mut self, bits: &mut BitReader<'_>) {
        if bits.take(1) == 0 {
            let window = bits.take(u32::from(self.meaningful)).wrapping_shl(self.trailing());
            self.value ^= window;
        } else if bits.take(1) == 0 {
            self.read_window(bits);
        } else {
            self.exponent = u8::try_from(bits.take(EXPONENT_BITS)).unwrap_or(0);
            self.decimal = true;
            bits.consume(1);
            self.read_decimal(bits);
        }
    }

    fn read_window(&mut self, bits: &mut BitReader<'_>) {
        let leading = bits.take(LEADING_BITS);
        let meaningful = bits.take(MEANINGFUL_BITS).wrapping_add(1);
        self.leading = u8::try_from(leading).unwrap_or(0);
        self.meaningful = u8::try_from(meaningful).unwrap_or(64);
        let window = bits.take(u32::from(self.meaningful)).wrapping_shl(self.trailing());
        self.value ^= window;
    }

    #[inline]
    fn trailing(&self) -> u32 {
        64_u32.saturating_sub(u32::from(self.leading)).saturating_sub(u32::from(self.meaningful))
    }
}
