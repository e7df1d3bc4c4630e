//! The open chunk.

use super::PushError;
use crate::bytes::Reader;
use crate::read::SampleColumns;
use crate::{Corruption, TimeRange, Timestamp};
use alloc::vec::Vec;

/// The largest number of samples in a chunk.
pub const MAX_SAMPLES: usize = u16::MAX as usize;

/// The open chunk of a series: a stream of samples in order of time.
#[derive(Debug, Clone, Default)]
pub struct XorChunk {
    bytes: Vec<u8>,
    count: u16,
    first: Timestamp,
    last: Timestamp,
}

impl XorChunk {
    /// A chunk without samples; allocates nothing yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), count: 0, first: 0, last: 0 }
    }

    /// Adds a sample behind the others.
    ///
    /// # Errors
    /// The timestamp is not later than the last, or the chunk is full; the chunk is unchanged.
    pub fn push(&mut self, timestamp: Timestamp, value: f64) -> Result<(), PushError> {
        if self.count > 0 && timestamp <= self.last {
            return Err(PushError::NotAscending { timestamp, last: self.last });
        }
        self.count = self.count.checked_add(1).ok_or(PushError::Full { limit: MAX_SAMPLES })?;
        if self.count == 1 {
            self.first = timestamp;
        }
        self.last = timestamp;
        self.bytes.extend_from_slice(&timestamp.to_le_bytes());
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        Ok(())
    }

    /// Number of samples.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Are there no samples?
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Timestamp of the first sample, ms.
    pub fn first_timestamp(&self) -> Option<Timestamp> {
        (self.count > 0).then_some(self.first)
    }

    /// Timestamp of the last sample, ms.
    pub fn last_timestamp(&self) -> Option<Timestamp> {
        (self.count > 0).then_some(self.last)
    }

    /// Value of the last sample.
    pub fn last_value(&self) -> Option<f64> {
        self.bytes.last_chunk().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes)))
    }

    /// The chunk as [`decode`] reads it, at any time. Empty if there are no samples.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The chunk's bytes without spare capacity.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }

    /// Bytes of heap memory that the chunk holds.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Number of samples in the chunk, from its header.
///
/// # Errors
/// The header is damaged.
pub fn count(bytes: &[u8]) -> Result<usize, Corruption> {
    Ok(bytes.len() / 16)
}

/// Appends the samples of a chunk to `into`.
///
/// # Errors
/// The bytes are no chunk; `into` is then as it was.
pub fn decode(bytes: &[u8], into: &mut SampleColumns) -> Result<(), Corruption> {
    decode_range(bytes, TimeRange::ALL, into)
}

/// Appends the samples of a chunk within `range` to `into`.
///
/// # Errors
/// As for [`decode`].
pub fn decode_range(bytes: &[u8], range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
    let mut reader = Reader::new("chunk", bytes);
    while !reader.is_empty() {
        let (timestamp, value) = (reader.i64("timestamp")?, reader.f64("value")?);
        if range.contains(timestamp) {
            into.push(timestamp, value);
        }
    }
    Ok(())
}
