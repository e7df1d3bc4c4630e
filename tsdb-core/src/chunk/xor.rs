//! The open chunk: a stream that takes a sample in some ten nanoseconds and a few bytes.

use super::state::State;
use super::{Encoding, HEADER_BYTES, Header, PushError, set_count, stored_count};
use crate::bits::{BitReader, BitWriter};
use crate::error::CorruptionKind;
use crate::sample::SampleColumns;
use crate::{Corruption, TimeRange, Timestamp};
use alloc::vec::Vec;

/// The largest number of samples in a chunk.
pub const MAX_SAMPLES: usize = u16::MAX as usize;

/// The name of the structure in errors.
const SECTION: &str = "xor chunk";

/// The longest code of a sample: 83 bits for a timestamp and 91 for a value.
const MAX_SAMPLE_BITS: usize = 83 + 91;

/// An upper bound for the length of a chunk of `samples` samples, however hostile.
pub const fn max_chunk_bytes(samples: usize) -> usize {
    HEADER_BYTES.saturating_add(samples.saturating_mul(MAX_SAMPLE_BITS).div_ceil(8))
}

/// The open chunk of a series: a stream of samples in order of time.
#[derive(Debug, Clone)]
pub struct XorChunk {
    bits: BitWriter,
    state: State,
}

impl Default for XorChunk {
    fn default() -> Self {
        Self::new()
    }
}

impl XorChunk {
    /// A chunk without samples; allocates nothing yet.
    pub fn new() -> Self {
        Self { bits: BitWriter::new(), state: State::new(0, 0.0) }
    }

    /// Adds a sample behind the others.
    ///
    /// # Errors
    /// The timestamp is not later than the last, or the chunk is full; the chunk is unchanged.
    #[inline]
    pub fn push(&mut self, timestamp: Timestamp, value: f64) -> Result<(), PushError> {
        let count = stored_count(self.as_bytes());
        let Some(more) = count.checked_add(1) else { return Err(PushError::Full { limit: MAX_SAMPLES }) };
        if count == 0 {
            self.begin(timestamp, value);
            return Ok(());
        }
        if timestamp <= self.state.time {
            return Err(PushError::NotAscending { timestamp, last: self.state.time });
        }
        self.state.write_time(timestamp, &mut self.bits);
        self.state.write_value(value, &mut self.bits);
        set_count(more, &mut self.bits);
        Ok(())
    }

    #[cold]
    fn begin(&mut self, timestamp: Timestamp, value: f64) {
        super::begin(Encoding::Xor, timestamp, value, &mut self.bits);
        self.state = State::new(timestamp, value);
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        usize::from(stored_count(self.as_bytes()))
    }

    /// Are there no samples?
    pub const fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Timestamp of the first sample, ms.
    pub fn first_timestamp(&self) -> Option<Timestamp> {
        super::first_timestamp(self.as_bytes())
    }

    /// Timestamp of the last sample, ms.
    pub fn last_timestamp(&self) -> Option<Timestamp> {
        (!self.is_empty()).then_some(self.state.time)
    }

    /// Value of the last sample.
    pub fn last_value(&self) -> Option<f64> {
        (!self.is_empty()).then(|| f64::from_bits(self.state.value))
    }

    /// The chunk as [`decode`] reads it, at any time. Empty if there are no samples.
    pub fn as_bytes(&self) -> &[u8] {
        self.bits.as_bytes()
    }

    /// The chunk's bytes without spare capacity.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.bits.into_bytes();
        bytes.shrink_to_fit();
        bytes
    }

    /// Bytes of heap memory that the chunk holds.
    pub fn heap_bytes(&self) -> usize {
        self.bits.capacity()
    }
}

/// Number of samples in the chunk, from its header.
///
/// # Errors
/// The header is damaged.
pub fn count(bytes: &[u8]) -> Result<usize, Corruption> {
    match bytes {
        [] => Ok(0),
        _ => Header::read(SECTION, Encoding::Xor, bytes).map(|header| header.count),
    }
}

/// Appends the samples of a chunk to `into`. Bytes of length zero are a chunk without samples.
///
/// # Errors
/// The bytes are no chunk; `into` is then as it was.
pub fn decode(bytes: &[u8], into: &mut SampleColumns) -> Result<(), Corruption> {
    decode_range(bytes, TimeRange::ALL, into)
}

/// Appends the samples of a chunk within `range` to `into`.
///
/// # Errors
/// As for [`decode`]. What lies behind the range is not looked at.
pub fn decode_range(bytes: &[u8], range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
    if bytes.is_empty() {
        return Ok(());
    }
    let before = into.len();
    let result = decode_samples(&Header::read(SECTION, Encoding::Xor, bytes)?, range, into);
    result.inspect_err(|_| into.truncate(before))
}

fn decode_samples(header: &Header<'_>, range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
    let mut bits = BitReader::new(SECTION, header.stream);
    let mut state = State::new(header.timestamp, header.value);
    into.timestamps.reserve(header.count);
    into.values.reserve(header.count);
    let mut sample = (header.timestamp, header.value);
    for left in (0..header.count).rev() {
        if sample.0 > range.end() {
            return bits.check("samples");
        }
        if sample.0 >= range.start() {
            into.push(sample.0, sample.1);
        }
        if left > 0 {
            let before = sample.0;
            sample = (state.read_time(&mut bits), state.read_value(&mut bits));
            if sample.0 <= before {
                return Err(bits.corruption(CorruptionKind::Rule { rule: "timestamps do not ascend" }));
            }
        }
    }
    bits.finish("samples")
}
