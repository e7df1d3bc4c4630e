//! Reads bit fields through a window of eight bytes.

use super::{PEEK_BITS, mask};
use crate::error::{Corruption, CorruptionKind};

/// A cursor over a stream of bits.
///
/// [`read`](Self::read) is checked field by field. Hot loops use [`peek`](Self::peek) and
/// [`consume`](Self::consume), which show zeros behind the end, and ask [`check`](Self::check) once for many fields.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    section: &'static str,
    bytes: &'a [u8],
    /// Bits consumed.
    at: usize,
}

impl<'a> BitReader<'a> {
    /// A cursor at the first bit of `bytes`. `section` names the structure in errors.
    pub const fn new(section: &'static str, bytes: &'a [u8]) -> Self {
        Self { section, bytes, at: 0 }
    }

    /// At least the next [`PEEK_BITS`] bits, the first one lowest; zeros behind the end.
    #[inline]
    pub fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.at >> 3..).unwrap_or_default();
        let window = match rest.first_chunk::<8>() {
            Some(window) => u64::from_le_bytes(*window),
            None => short_window(rest),
        };
        window >> (self.at & 7)
    }

    /// Moves on by `count` bits, even behind the end.
    #[inline]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a slice is shorter than usize::MAX / 8 before this wraps"
    )]
    pub fn consume(&mut self, count: u32) {
        self.at += count as usize;
    }

    /// Reads a field of `count` bits, at most 64.
    ///
    /// # Errors
    /// The input ends inside the field.
    #[inline]
    pub fn read(&mut self, count: u32, field: &'static str) -> Result<u64, Corruption> {
        debug_assert!(count <= 64, "a field has at most 64 bits");
        if self.remaining() < count as usize {
            return Err(self.truncated(field));
        }
        Ok(self.take(count))
    }

    /// Takes a field of `count` bits, at most 64, with zeros behind the end.
    #[inline]
    pub fn take(&mut self, count: u32) -> u64 {
        let low_count = count.min(PEEK_BITS);
        let low = self.peek() & mask(low_count);
        self.consume(low_count);
        let high_count = count.saturating_sub(PEEK_BITS);
        if high_count == 0 {
            return low;
        }
        let high = self.peek() & mask(high_count);
        self.consume(high_count);
        low | high << PEEK_BITS
    }

    /// Bits that remain; 0 behind the end.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.bytes.len().saturating_mul(8).saturating_sub(self.at)
    }

    /// Bits consumed.
    #[inline]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Was nothing consumed behind the end?
    ///
    /// # Errors
    /// The input ended inside `field`.
    #[inline]
    pub fn check(&self, field: &'static str) -> Result<(), Corruption> {
        if self.at > self.bytes.len().saturating_mul(8) { Err(self.truncated(field)) } else { Ok(()) }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// More was consumed than there is, a whole byte is left over, or the filling of the last byte is not zero.
    pub fn finish(self, field: &'static str) -> Result<(), Corruption> {
        self.check(field)?;
        match self.remaining() {
            0..8 if self.peek() & mask(7) == 0 => Ok(()),
            0..8 => Err(self.corruption(CorruptionKind::Invalid { field: "padding", value: self.peek() })),
            bits => Err(self.corruption(CorruptionKind::TrailingBytes { count: bits >> 3 })),
        }
    }

    /// Damage of `kind` at the byte of the cursor.
    #[cold]
    pub fn corruption(&self, kind: CorruptionKind) -> Corruption {
        Corruption::new(self.section, (self.at >> 3).min(self.bytes.len()), kind)
    }

    #[cold]
    fn truncated(&self, field: &'static str) -> Corruption {
        self.corruption(CorruptionKind::Truncated { field })
    }
}

/// The last, incomplete window: what is there, zeros above.
#[cold]
fn short_window(rest: &[u8]) -> u64 {
    let mut window = [0; 8];
    for (to, from) in window.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_le_bytes(window)
}
