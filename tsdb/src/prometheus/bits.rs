//! Bit streams as Prometheus chunks have them: most significant bit first. Source: Prometheus `tsdb/docs/bstream.md`
//! and `tsdb/docs/format/chunks.md`.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;

/// Widths of a number behind 0 to 8 ones: see [`BitReader::varbit_uint`].
const VARBIT_WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];
/// The most bits that one look ahead is sure to hold.
const AHEAD_BITS: u32 = 56;

/// Reads bits; never looks beyond its bytes.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    section: &'static str,
    len: usize,
    rest: &'a [u8],
    /// The next bits, the first one highest. What stands behind the first `valid` repeats what `rest` begins with.
    ahead: u64,
    valid: u32,
}

impl<'a> BitReader<'a> {
    /// A reader of `bytes`, which are called `section` in errors.
    pub(super) fn new(section: &'static str, bytes: &'a [u8]) -> Self {
        Self { section, len: bytes.len(), rest: bytes, ahead: 0, valid: 0 }
    }

    /// Bits that have not been read.
    pub(super) fn remaining_bits(&self) -> usize {
        self.rest.len().saturating_mul(8).saturating_add(self.valid as usize)
    }

    /// Reads `width` bits as a number, at most 64.
    #[inline]
    pub(super) fn bits(&mut self, width: u32) -> Result<u64, Corruption> {
        if width > AHEAD_BITS {
            let low = width.saturating_sub(32);
            let high = self.bits(32)?;
            return Ok(high.wrapping_shl(low) | self.bits(low)?);
        }
        if self.valid < width {
            self.refill();
            if self.valid < width {
                return Err(self.truncated());
            }
        }
        // A shift by 64 is asked for if no bits are: the shift in two steps makes that a 0.
        let value = (self.ahead >> 1).wrapping_shr(63_u32.saturating_sub(width));
        self.skip(width);
        Ok(value)
    }

    /// Reads one bit.
    #[inline]
    pub(super) fn bit(&mut self) -> Result<bool, Corruption> {
        if self.valid == 0 {
            self.refill();
            if self.valid == 0 {
                return Err(self.truncated());
            }
        }
        let bit = self.ahead.leading_zeros() == 0;
        self.skip(1);
        Ok(bit)
    }

    /// Reads ones up to a zero, at most `limit` (of at most 56): how many there are.
    #[inline]
    pub(super) fn ones(&mut self, limit: u32) -> Result<u32, Corruption> {
        if self.valid < limit {
            self.refill();
        }
        let ones = self.ahead.leading_ones().min(limit);
        let width = if ones < limit { ones.saturating_add(1) } else { ones };
        if self.valid < width {
            return Err(self.truncated());
        }
        self.skip(width);
        Ok(ones)
    }

    /// Reads `width` bits as a signed number of the range `-(2^(width-1) - 1)` to `2^(width-1)`, as Prometheus has it.
    #[inline]
    pub(super) fn signed(&mut self, width: u32) -> Result<i64, Corruption> {
        let bits = self.bits(width)?;
        if width == 0 || width >= 64 {
            return Ok(bits.cast_signed());
        }
        let above = bits > 1_u64.wrapping_shl(width.saturating_sub(1));
        let value = if above { bits.wrapping_sub(1_u64.wrapping_shl(width)) } else { bits };
        Ok(value.cast_signed())
    }

    /// Reads a number in the encoding `varbit_uint`: as many ones as its width demands, a zero, its bits.
    pub(super) fn varbit_uint(&mut self) -> Result<u64, Corruption> {
        let width = self.varbit_width()?;
        self.bits(width)
    }

    /// Reads a number in the encoding `varbit_int`.
    pub(super) fn varbit_int(&mut self) -> Result<i64, Corruption> {
        let width = self.varbit_width()?;
        self.signed(width)
    }

    fn varbit_width(&mut self) -> Result<u32, Corruption> {
        let ones = self.ones(8)?;
        Ok(VARBIT_WIDTHS.get(ones as usize).copied().unwrap_or(64))
    }

    /// Reads a varint of whole bytes.
    pub(super) fn uvarint(&mut self) -> Result<u64, Corruption> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.bits(8)?;
            value |= (byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corruption(CorruptionKind::Invalid { field: "varint", value }))
    }

    /// Reads a zigzag varint of whole bytes.
    pub(super) fn varint(&mut self) -> Result<i64, Corruption> {
        self.uvarint().map(tsdb_core::bytes::unzigzag)
    }

    /// Reads the 64 bits of a float.
    pub(super) fn float(&mut self) -> Result<f64, Corruption> {
        self.bits(64).map(f64::from_bits)
    }

    /// Damage of `kind` at what has been read last.
    #[cold]
    pub(super) fn corruption(&self, kind: CorruptionKind) -> Corruption {
        let read = self.len.saturating_sub(self.rest.len()).saturating_sub(self.valid as usize / 8);
        Corruption::new(self.section, read, kind)
    }

    #[cold]
    fn truncated(&self) -> Corruption {
        self.corruption(CorruptionKind::Truncated { field: "a sample" })
    }

    #[inline]
    fn skip(&mut self, width: u32) {
        self.ahead = if width >= 64 { 0 } else { self.ahead.wrapping_shl(width) };
        self.valid = self.valid.saturating_sub(width);
    }

    #[inline]
    fn refill(&mut self) {
        if let Some((word, _)) = self.rest.split_first_chunk::<8>() {
            self.ahead |= u64::from_be_bytes(*word).wrapping_shr(self.valid);
            let taken = 63_u32.saturating_sub(self.valid) / 8;
            self.rest = self.rest.get(taken as usize..).unwrap_or_default();
            self.valid = self.valid.saturating_add(taken.saturating_mul(8));
            return;
        }
        while self.valid <= AHEAD_BITS
            && let Some((byte, rest)) = self.rest.split_first()
        {
            self.ahead |= u64::from(*byte).wrapping_shl(AHEAD_BITS.saturating_sub(self.valid));
            self.valid = self.valid.saturating_add(8);
            self.rest = rest;
        }
    }
}

/// Appends bits to a buffer.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, fewer than 8, the last one lowest.
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// A writer that begins with `bytes`.
    pub(super) fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, pending: 0, count: 0 }
    }

    /// Writes the lowest `width` bits of `value`, at most 64.
    pub(super) fn bits(&mut self, value: u64, width: u32) {
        if width > AHEAD_BITS {
            let low = width.saturating_sub(32);
            self.bits(value.wrapping_shr(low), 32);
            return self.bits(value, low);
        }
        let mask = 1_u64.wrapping_shl(width).wrapping_sub(1);
        self.pending = self.pending.wrapping_shl(width) | (value & mask);
        self.count = self.count.saturating_add(width);
        while self.count >= 8 {
            self.count = self.count.saturating_sub(8);
            let [.., byte] = self.pending.wrapping_shr(self.count).to_be_bytes();
            self.bytes.push(byte);
        }
    }

    /// Writes a number in the encoding `varbit_uint`.
    pub(super) fn varbit_uint(&mut self, value: u64) {
        let width = u64::BITS.saturating_sub(value.leading_zeros());
        self.varbit(value, |room| width <= room);
    }

    /// Writes a number in the encoding `varbit_int`.
    pub(super) fn varbit_int(&mut self, value: i64) {
        self.varbit(value.cast_unsigned(), |room| fits(value, room));
    }

    fn varbit(&mut self, value: u64, fits: impl Fn(u32) -> bool) {
        if value == 0 {
            return self.bits(0, 1);
        }
        for (ones, room) in (0_u32..).zip(VARBIT_WIDTHS).skip(1).take(7) {
            if fits(room) {
                // Ones and the zero behind them.
                self.bits(u64::MAX.wrapping_shl(1), ones.saturating_add(1));
                return self.bits(value, room);
            }
        }
        self.bits(0xff, 8);
        self.bits(value, 64);
    }

    /// Writes a varint of whole bytes.
    pub(super) fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bits(value | 0x80, 8);
            value >>= 7;
        }
        self.bits(value, 8);
    }

    /// Writes a zigzag varint of whole bytes.
    pub(super) fn varint(&mut self, value: i64) {
        self.uvarint(tsdb_core::bytes::zigzag(value));
    }

    /// Bytes so far, counting one that is not full.
    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_add(usize::from(self.count > 0))
    }

    /// What has been written, the last byte filled up with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bits(0, 8_u32.saturating_sub(self.count));
        }
        self.bytes
    }
}

/// Is `value` in the range of [`BitReader::signed`] of `width` bits (below 64)?
pub(super) fn fits(value: i64, width: u32) -> bool {
    let half = 1_i64.wrapping_shl(width.saturating_sub(1));
    value <= half && value > half.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_bit_is_the_highest() {
        let mut reader = BitReader::new("bits", &[0b1010_0001, 0xff]);
        assert_eq!((reader.bit(), reader.bits(3), reader.bits(4)), (Ok(true), Ok(0b010), Ok(1)));
        assert_eq!((reader.ones(4), reader.ones(8)), (Ok(4), Err(reader.truncated())));
        assert_eq!(reader.remaining_bits(), 4);
        assert_eq!(reader.bits(4), Ok(15));
        assert!(reader.bit().is_err() && reader.bits(1).is_err());
        assert_eq!(reader.bits(0), Ok(0));
    }

    #[test]
    fn signed_numbers_have_one_more_above_than_below() {
        for (value, width) in [(4, 3), (-3, 3), (256, 9), (-255, 9), (36028797018963968, 56)] {
            assert!(fits(value, width) && !fits(-value.abs() - 1, width));
            let mut writer = BitWriter::default();
            writer.bits(value.cast_unsigned(), width);
            let bytes = writer.finish();
            assert_eq!(BitReader::new("bits", &bytes).signed(width), Ok(value));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            fields in proptest::collection::vec((any::<u64>(), 0_u32..=64, 0_u32..64), 0..200)
        ) {
            let mut writer = BitWriter::default();
            for &(value, width, shift) in &fields {
                let small = (value >> shift).cast_signed();
                writer.bits(value, width);
                writer.varbit_int(small);
                writer.varbit_uint(value >> shift);
                writer.varint(small);
                writer.uvarint(value);
            }
            let len = writer.len();
            let bytes = writer.finish();
            prop_assert_eq!(len, bytes.len());
            let mut reader = BitReader::new("bits", &bytes);
            for &(value, width, shift) in &fields {
                let small = (value >> shift).cast_signed();
                prop_assert_eq!(reader.bits(width).unwrap(), value & tsdb_core::bits::mask(width));
                prop_assert_eq!(reader.varbit_int().unwrap(), small);
                prop_assert_eq!(reader.varbit_uint().unwrap(), value >> shift);
                prop_assert_eq!(reader.varint().unwrap(), small);
                prop_assert_eq!(reader.uvarint().unwrap(), value);
            }
            prop_assert!(reader.remaining_bits() < 8);
        }
    }
}
