//! Numbers whose size changes slowly: a Rice code whose parameter follows them.
//!
//! A number `n` under the parameter `k` is `n >> k` ones, a zero, and the lowest `k` bits of `n`. With [`ESCAPE`] ones
//! there is no zero: six bits tell the width less one, and the number follows. After each number the parameter moves
//! a quarter of the way towards the width of the number. Source: R. F. Rice, "Some practical universal noiseless
//! coding techniques" (JPL 79-22, 1979); the adaptation is our own.

use crate::bits::{BitReader, BitWriter, mask, width};

/// Ones that announce a number out of proportion.
const ESCAPE: u32 = 12;

/// Bits of an escape's width.
const WIDTH_BITS: u32 = 6;

/// The parameter, in eighths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Adaptive(u8);

impl Adaptive {
    /// A parameter that expects numbers of `bits` bits.
    pub(super) const fn new(bits: u8) -> Self {
        Self(bits.saturating_mul(8))
    }

    /// Appends the lowest `prefix_bits` (at most three) of `prefix`, then `number`.
    #[inline]
    pub(super) fn write(&mut self, prefix: u64, prefix_bits: u32, number: u64, out: &mut BitWriter) {
        let parameter = self.parameter();
        let ones = u32::try_from(number >> parameter).unwrap_or(ESCAPE);
        if ones < ESCAPE {
            let low = number & mask(parameter);
            let code = mask(ones) | low << ones << 1;
            // At most 3 + 11 + 1 + 48 bits.
            let bits = prefix_bits.wrapping_add(ones).wrapping_add(1).wrapping_add(parameter);
            out.write(prefix | code << prefix_bits, bits);
        } else {
            let bits = width(number);
            let code = mask(ESCAPE) | u64::from(bits.saturating_sub(1)) << ESCAPE;
            let code_bits = prefix_bits.wrapping_add(ESCAPE).wrapping_add(WIDTH_BITS);
            out.write(prefix | code << prefix_bits, code_bits);
            out.write(number, bits);
        }
        self.follow(number);
    }

    /// Skips a prefix of at most three bits and reads a number; zeros behind the end of the input.
    #[inline(always)]
    pub(super) fn read(&mut self, prefix_bits: u32, bits: &mut BitReader<'_>) -> u64 {
        let parameter = self.parameter();
        let window = bits.peek() >> prefix_bits;
        let ones = window.trailing_ones();
        let number = if ones < ESCAPE {
            bits.consume(prefix_bits.wrapping_add(ones).wrapping_add(1));
            u64::from(ones) << parameter | bits.take(parameter)
        } else {
            let width_less_one = u32::try_from((window >> ESCAPE) & mask(WIDTH_BITS)).unwrap_or(0);
            bits.consume(prefix_bits.wrapping_add(ESCAPE).wrapping_add(WIDTH_BITS));
            bits.take(width_less_one.wrapping_add(1))
        };
        self.follow(number);
        number
    }

    #[inline]
    fn parameter(self) -> u32 {
        // One less than the usual width: the highest bit is told by the ones.
        u32::from(self.0 >> 3).saturating_sub(1).min(48)
    }

    #[inline]
    fn follow(&mut self, number: u64) {
        let (now, then) = (width(number).saturating_mul(8), u32::from(self.0));
        let moved = if now >= then {
            then.saturating_add(now.saturating_sub(then).div_ceil(4))
        } else {
            then.saturating_sub(then.saturating_sub(now) / 4)
        };
        self.0 = u8::try_from(moved).unwrap_or(u8::MAX);
    }
}
