//! Appends bit fields to a buffer that is complete after every write.

use super::mask;
use alloc::vec::Vec;

/// Bytes that one write may touch: eight at once, one more for what does not fit.
const ROOM: usize = 9;
/// Bytes of the first allocation: what the header of a chunk and a sample take.
const LEAST_CAPACITY: usize = 32;

/// Appends fields of 0 to 64 bits to a buffer of bytes.
#[derive(Debug, Clone, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits used of the last byte, 1 to 7; 0 if it is full or nothing was written.
    used: u8,
}

impl BitWriter {
    /// A writer with an empty buffer; allocates nothing yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), used: 0 }
    }

    /// A writer that begins behind the whole bytes that `bytes` holds already.
    pub const fn over(bytes: Vec<u8>) -> Self {
        Self { bytes, used: 0 }
    }

    /// The writer that [`into_parts`](Self::into_parts) took apart.
    #[inline]
    pub const fn resume(bytes: Vec<u8>, used: u8) -> Self {
        Self { bytes, used }
    }

    /// The buffer, and the bits used of its last byte.
    #[inline]
    pub fn into_parts(self) -> (Vec<u8>, u8) {
        (self.bytes, self.used)
    }

    /// Appends the lowest `count` bits of `value`, at most 64.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the upper bits follow in the next byte")]
    pub fn write(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 64, "a field has at most 64 bits");
        let value = value & mask(count);
        let used = u32::from(self.used);
        if self.bytes.capacity().wrapping_sub(self.bytes.len()) < ROOM {
            self.grow();
        }
        let kept = if used == 0 { 0 } else { self.bytes.pop().map_or(0, u64::from) };
        let total = used.wrapping_add(count);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&(kept | value.wrapping_shl(used)).to_le_bytes());
        if total > 64 {
            self.bytes.push(value.wrapping_shr(64_u32.wrapping_sub(used)) as u8);
        }
        self.bytes.truncate(start.wrapping_add(total.div_ceil(8) as usize));
        self.used = (total & 7) as u8;
    }

    /// Grows by an eighth to a quarter: there may be a million of these buffers. The steps are the size classes of
    /// common allocators.
    #[cold]
    fn grow(&mut self) {
        let wanted = self.bytes.len().saturating_add(ROOM);
        let step = (wanted.next_power_of_two() / 8).max(16);
        let capacity = wanted.checked_next_multiple_of(step).unwrap_or(wanted).max(LEAST_CAPACITY);
        self.bytes.reserve_exact(capacity.saturating_sub(self.bytes.len()));
    }

    /// Bytes written, the last one perhaps in part.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Has nothing been written?
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has been written; unused bits of the last byte are zero.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole bytes written before the bit fields, to be patched in place.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Bytes that the buffer holds before it grows.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What has been written, as the buffer itself.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
