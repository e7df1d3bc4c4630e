//! Bytes in and out: the cursor every decoder reads through, its mirror for writers, and the checksum of all formats.
//!
//! The laws that every format of the family shares and that no specification repeats:
//!
//! - fixed-width numbers are **little-endian**; an `f64` is the `u64` of its bit pattern;
//! - a *varint* is an unsigned LEB128 number of at most ten bytes in its shortest form; a *zigzag* is a varint of
//!   `(n << 1) ^ (n >> 63)`;
//! - text and blobs are a varint length and that many bytes; text is UTF-8;
//! - a checksum is the low 32 bits of XXH3-64 with seed 0.
//!
//! A [`Reader`] never panics and never believes a length: it looks at nothing beyond its bytes and allocates
//! nothing. Whether a value makes sense is for the caller to judge; [`Reader::invalid`] names the place for him.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::{Writer, varint_len};

/// The longest encoding of a varint, in bytes.
pub const MAX_VARINT_BYTES: usize = 10;

/// The checksum of all formats: the low 32 bits of XXH3-64 with seed 0.
///
/// Source: xxHash specification, XXH3 (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>).
#[expect(clippy::cast_possible_truncation, reason = "the low half is the checksum")]
pub fn checksum(bytes: &[u8]) -> u32 {
    xxhash_rust::xxh3::xxh3_64(bytes) as u32
}

/// A hash for tables in memory: XXH3-64 with `seed`. Files store [`checksum`]s, never this.
pub fn hash64(bytes: &[u8], seed: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
}

/// Maps small numbers of either sign to small unsigned ones: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

#[cfg(test)]
mod tests;
