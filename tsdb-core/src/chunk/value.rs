//! Values of a chunk: decimals by the difference of their integers, all others by XOR with the value before.
//!
//! Most series are integers or have a few decimal places, which XOR describes badly: the next integer shares few bits
//! of its float. So the chunk is in one of two modes and a code leads from each to the other.

use super::state::{State, TRIALS};
use crate::bits::{BitReader, BitWriter, mask};
use crate::bytes::{unzigzag, zigzag};
use crate::decimal::{MAX_EXPONENT, from_decimal, from_integer, nearest, power, to_decimal};

/// Codes of a changed value, first bit lowest. In decimal mode: the difference of the integers; the same after a new
/// exponent; into XOR mode. In XOR mode: bits of the last window; a new window; into decimal mode.
const DIFFERENCE: u64 = 0b01;
const NEW: u64 = 0b011;
const SWITCH: u64 = 0b111;

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
    #[inline(always)]
    pub(super) fn read_value(&mut self, bits: &mut BitReader<'_>) -> f64 {
        if bits.peek() & 1 == 0 {
            bits.consume(1);
        } else if self.decimal {
            self.read_decimal(bits);
        } else {
            self.read_xor(bits);
        }
        f64::from_bits(self.value)
    }

    /// `1 0` and the difference of the integers; `1 1 0` and a larger exponent before that; `1 1 1` into XOR mode.
    #[inline]
    fn write_decimal(&mut self, value: f64, out: &mut BitWriter) {
        if let Some(integer) = to_decimal(value, self.exponent) {
            let change = zigzag(integer.wrapping_sub(self.integer()));
            self.value_size.write(DIFFERENCE, 2, change.wrapping_sub(1), out);
        } else {
            self.leave_decimal(value, out);
        }
    }

    #[cold]
    fn leave_decimal(&mut self, value: f64, out: &mut BitWriter) {
        match self.common_exponent(self.exponent.saturating_add(1), value) {
            Some(exponent) => {
                out.write(NEW, 3);
                out.write(u64::from(exponent), EXPONENT_BITS);
                self.exponent = exponent;
                self.write_decimal(value, out);
            }
            None => {
                out.write(SWITCH, 3);
                self.decimal = false;
                self.trials = TRIALS;
                self.write_window(value.to_bits() ^ self.value, out);
            }
        }
    }

    #[inline(always)]
    fn read_decimal(&mut self, bits: &mut BitReader<'_>) {
        if bits.peek() & mask(2) != DIFFERENCE && self.leaves_decimal(bits) {
            return;
        }
        let change = self.value_size.read(2, bits).wrapping_add(1);
        let integer = self.integer().wrapping_add(unzigzag(change));
        let value = match self.exponent {
            0 => from_integer(integer),
            exponent => from_decimal(integer, power(exponent)),
        };
        self.value = value.to_bits();
    }

    /// Reads a new exponent, or the value after which the chunk is in XOR mode. Says whether it is.
    #[cold]
    fn leaves_decimal(&mut self, bits: &mut BitReader<'_>) -> bool {
        let is_switch = bits.peek() & mask(3) == SWITCH;
        bits.consume(3);
        if is_switch {
            self.decimal = false;
            self.read_window(bits);
        } else {
            self.exponent = u8::try_from(bits.take(EXPONENT_BITS)).unwrap_or(0);
        }
        is_switch
    }

    /// The last value as an integer under the exponent, at which it is a decimal.
    #[inline]
    fn integer(&self) -> i64 {
        nearest(f64::from_bits(self.value), self.exponent)
    }

    /// The least exponent from `lowest` on at which the last value and the next are decimals.
    fn common_exponent(&self, lowest: u8, next: f64) -> Option<u8> {
        let last = f64::from_bits(self.value);
        let fits = |exponent: &u8| [last, next].iter().all(|value| to_decimal(*value, *exponent).is_some());
        (lowest..=MAX_EXPONENT).find(fits)
    }

    /// `1 0` and the bits of the window; `1 1 0` and a new window; `1 1 1` back into decimal mode.
    fn write_xor(&mut self, value: f64, out: &mut BitWriter) {
        if self.trials > 0 {
            self.trials = self.trials.saturating_sub(1);
            if let Some(exponent) = self.common_exponent(0, value) {
                out.write(SWITCH, 3);
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
            out.write(DIFFERENCE, 2);
            out.write(xor >> trailing, u32::from(self.meaningful));
        } else {
            out.write(NEW, 3);
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
        match bits.peek() & mask(3) {
            SWITCH => {
                bits.consume(3);
                self.exponent = u8::try_from(bits.take(EXPONENT_BITS)).unwrap_or(0);
                self.decimal = true;
                self.read_decimal(bits);
            }
            NEW => {
                bits.consume(3);
                self.read_window(bits);
            }
            _ => {
                bits.consume(2);
                self.value ^= bits.take(u32::from(self.meaningful)).wrapping_shl(self.trailing());
            }
        }
    }

    fn read_window(&mut self, bits: &mut BitReader<'_>) {
        let leading = bits.take(LEADING_BITS);
        let meaningful = bits.take(MEANINGFUL_BITS).wrapping_add(1);
        self.leading = u8::try_from(leading).unwrap_or(0);
        self.meaningful = u8::try_from(meaningful).unwrap_or(64);
        self.value ^= bits.take(u32::from(self.meaningful)).wrapping_shl(self.trailing());
    }

    #[inline]
    fn trailing(&self) -> u32 {
        64_u32.saturating_sub(u32::from(self.leading)).saturating_sub(u32::from(self.meaningful))
    }
}
