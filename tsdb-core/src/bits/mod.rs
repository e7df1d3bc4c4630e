//! Bit streams: the ground of the packed encodings.
//!
//! The law: **least significant bit first**. The first bit written is bit 0 of byte 0; a field of `n` bits stands
//! with its lowest bit first. So a reader takes eight bytes as a little-endian number, shifts, and masks. The last
//! byte is filled up with zeros.
//!
//! A [`BitWriter`] keeps every bit in its buffer at all times (nothing waits in a register), so what it has written
//! can be read between two writes. A [`BitReader`] never looks beyond its bytes.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod reader;
mod writer;

pub use reader::BitReader;
pub use writer::BitWriter;

/// The most bits that one look ahead shows: eight bytes less the seven bits that may already be read.
pub const PEEK_BITS: u32 = 57;

/// A number whose lowest `width` bits are ones; all of them from 64 on.
#[inline]
pub const fn mask(width: u32) -> u64 {
    match u64::MAX.checked_shr(64_u32.saturating_sub(width)) {
        Some(mask) => mask,
        None => 0,
    }
}

/// The bits that `value` needs: 0 for 0.
#[inline]
pub const fn width(value: u64) -> u32 {
    u64::BITS.saturating_sub(value.leading_zeros())
}

#[cfg(test)]
mod tests;
