//! What all chunks begin with: encoding, number of samples, and time and value (or sum) of the first sample.

use super::Encoding;
use crate::bits::BitWriter;
use crate::bytes::Reader;
use crate::error::CorruptionKind;
use crate::{Corruption, Timestamp};

const COUNT_AT: usize = 1;
const COUNT_BYTES: usize = 2;
/// Tag, number of samples, first timestamp, first value.
pub(super) const HEADER_BYTES: usize = COUNT_AT + COUNT_BYTES + 8 + 8;

/// Writes the header of a chunk with one sample.
pub(super) fn begin(encoding: Encoding, timestamp: Timestamp, value: f64, out: &mut BitWriter) {
    out.write(u64::from(encoding as u8) | 1 << 8, 24);
    out.write(timestamp.cast_unsigned(), 64);
    out.write(value.to_bits(), 64);
}

/// Sets the number of samples of a chunk that was begun.
#[inline]
pub(super) fn set_count(count: u16, chunk: &mut [u8]) {
    if let Some(place) = chunk.get_mut(COUNT_AT..).and_then(<[u8]>::first_chunk_mut) {
        *place = count.to_le_bytes();
    }
}

/// The number of samples; 0 if no chunk was begun.
#[inline]
pub(super) fn stored_count(chunk: &[u8]) -> u16 {
    let count = chunk.get(COUNT_AT..).and_then(<[u8]>::first_chunk);
    count.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

/// The first timestamp, if a chunk was begun.
pub(super) fn first_timestamp(chunk: &[u8]) -> Option<Timestamp> {
    let first = chunk.get(COUNT_AT.saturating_add(COUNT_BYTES)..)?;
    first.first_chunk().map(|bytes| Timestamp::from_le_bytes(*bytes))
}

/// The header of a chunk, and what follows it.
pub(super) struct Header<'a> {
    pub(super) count: usize,
    pub(super) timestamp: Timestamp,
    pub(super) value: f64,
    pub(super) stream: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the header of a chunk of `encoding`.
    pub(super) fn read(
        section: &'static str,
        encoding: Encoding,
        bytes: &'a [u8],
    ) -> Result<Self, Corruption> {
        let mut reader = Reader::new(section, bytes);
        let tag = reader.u8("encoding")?;
        if tag != encoding as u8 {
            let kind = CorruptionKind::Unknown { field: "encoding", value: u64::from(tag) };
            return Err(Corruption::new(section, 0, kind));
        }
        let count = reader.u16("number of samples")?;
        let (timestamp, value) = (reader.i64("first timestamp")?, reader.f64("first value")?);
        let stream = reader.unread();
        // Every sample but the first takes at least two bits.
        let possible = stream.len().saturating_mul(4).saturating_add(1);
        match usize::from(count) {
            count if (1..=possible).contains(&count) => Ok(Self { count, timestamp, value, stream }),
            count => Err(reader.invalid("number of samples", count as u64)),
        }
    }
}
