//! The mirror of the reader: what it writes, [`Reader`](super::Reader) reads back field by field.

use super::zigzag;
use alloc::vec::Vec;

/// Appends fields to a buffer.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

/// Methods for fixed-width little-endian numbers.
macro_rules! fixed_width {
    ($($name:ident: $type:ty, $doc:literal;)*) => {$(
        #[doc = concat!("Writes ", $doc, ".")]
        #[inline]
        pub fn $name(&mut self, value: $type) {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    )*};
}

impl Writer {
    /// A writer with an empty buffer.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// A writer whose buffer holds `capacity` bytes before it grows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// A writer that appends to `bytes`; [`into_bytes`](Self::into_bytes) gives them back.
    pub const fn over(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    fixed_width! {
        u8: u8, "one byte";
        u16: u16, "an unsigned number in two bytes";
        u32: u32, "an unsigned number in four bytes";
        u64: u64, "an unsigned number in eight bytes";
        i64: i64, "a signed number in eight bytes";
    }

    /// Writes the bit pattern of `value` in eight bytes.
    #[inline]
    pub fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    /// Writes `value` as a varint.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Writes `value` as a zigzag varint.
    #[inline]
    pub fn zigzag(&mut self, value: i64) {
        self.varint(zigzag(value));
    }

    /// Writes `bytes` as they are.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes the length of `bytes` as a varint, then `bytes`.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.bytes(bytes);
    }

    /// Writes the length of `text` as a varint, then `text`.
    pub fn str(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    /// Overwrites four bytes at `at`, where a placeholder was written before. Without effect beyond the end.
    pub fn patch_u32(&mut self, at: usize, value: u32) {
        if let Some(place) = self.bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = value.to_le_bytes();
        }
    }

    /// Number of bytes written.
    #[inline]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Has nothing been written?
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has been written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what has been written and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// What has been written, as the buffer itself.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Length of `value` as a varint, in bytes.
#[inline]
pub const fn varint_len(value: u64) -> usize {
    u64::BITS.saturating_sub((value | 1).leading_zeros()).div_ceil(7) as usize
}
