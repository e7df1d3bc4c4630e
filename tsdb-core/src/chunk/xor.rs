//! The open chunk: a stream that takes a sample in some ten nanoseconds and a few bytes.

use super::state::State;
use super::{Encoding, HEADER_BYTES, Header, PushError, set_count};
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
///
/// Adding a sample reads and writes only the last bytes of the stream: among a million open chunks each line of memory
/// that is touched is one that no cache holds. So the number of samples is kept here, and put into the header of the
/// stream when that is handed out.
#[derive(Debug, Clone)]
pub struct XorChunk {
    bytes: Vec<u8>,
    state: State,
    count: u16,
    /// Bits used of the last byte, as a writer has it.
    used: u8,
}

impl Default for XorChunk {
    fn default() -> Self {
        Self::new()
    }
}

impl XorChunk {
    /// A chunk without samples; allocates nothing yet.
    pub fn new() -> Self {
        Self { bytes: Vec::new(), state: State::new(0, 0.0), count: 0, used: 0 }
    }

    /// The chunk that [`to_bytes`](Self::to_bytes) gave, to be added to: all samples are read, none is written anew.
    ///
    /// # Errors
    /// The bytes are no chunk.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Corruption> {
        if bytes.is_empty() {
            return Ok(Self::new());
        }
        let header = Header::read(SECTION, Encoding::Xor, bytes)?;
        let mut bits = BitReader::new(SECTION, header.stream);
        let mut state = State::new(header.timestamp, header.value);
        for _ in 1..header.count {
            let before = state.time;
            state.read_time(&mut bits);
            state.read_value(&mut bits);
            if state.time <= before {
                return Err(not_ascending(&bits));
            }
        }
        // The header has whole bytes.
        let used = bits.position() & 7;
        bits.finish("samples")?;
        // Neither number is larger than its type: one was read as such, the other is below 8.
        let (count, used) = (u16::try_from(header.count).unwrap_or(0), u8::try_from(used).unwrap_or(0));
        Ok(Self { bytes: bytes.to_vec(), state, count, used })
    }

    /// Adds a sample behind the others.
    ///
    /// # Errors
    /// The timestamp is not later than the last, or the chunk is full; the chunk is unchanged.
    #[inline]
    pub fn push(&mut self, timestamp: Timestamp, value: f64) -> Result<(), PushError> {
        let Some(more) = self.count.checked_add(1) else {
            return Err(PushError::Full { limit: MAX_SAMPLES });
        };
        if self.count > 0 && timestamp <= self.state.time {
            return Err(PushError::NotAscending { timestamp, last: self.state.time });
        }
        let mut bits = BitWriter::resume(core::mem::take(&mut self.bytes), self.used);
        if self.count == 0 {
            self.begin(timestamp, value, &mut bits);
        } else {
            self.state.write_time(timestamp, &mut bits);
            self.state.write_value(value, &mut bits);
        }
        (self.bytes, self.used) = bits.into_parts();
        self.count = more;
        Ok(())
    }

    #[cold]
    fn begin(&mut self, timestamp: Timestamp, value: f64, bits: &mut BitWriter) {
        super::begin(Encoding::Xor, timestamp, value, bits);
        self.state = State::new(timestamp, value);
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Are there no samples?
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Timestamp of the first sample, ms.
    pub fn first_timestamp(&self) -> Option<Timestamp> {
        super::first_timestamp(&self.bytes)
    }

    /// Timestamp of the last sample, ms.
    pub fn last_timestamp(&self) -> Option<Timestamp> {
        (!self.is_empty()).then_some(self.state.time)
    }

    /// Value of the last sample.
    pub fn last_value(&self) -> Option<f64> {
        (!self.is_empty()).then(|| f64::from_bits(self.state.value))
    }

    /// The chunk as [`decode`](fn@decode) reads it, at any time. Empty if there are no samples.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        set_count(self.count, &mut bytes);
        bytes
    }

    /// Length of [`to_bytes`](Self::to_bytes).
    pub const fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the samples to `into`.
    ///
    /// # Errors
    /// None, but for those that the decoder cannot rule out.
    pub fn decode(&self, into: &mut SampleColumns) -> Result<(), Corruption> {
        if self.is_empty() {
            return Ok(());
        }
        let stored = Header::read(SECTION, Encoding::Xor, &self.bytes)?;
        decode_samples(&Header { count: self.len(), ..stored }, TimeRange::ALL, into)
    }

    /// Has the memory fetched to which the next sample goes: for whoever adds samples to many chunks, and asks for that of
    /// some chunks ahead instead of waiting for that of each.
    #[inline]
    pub fn prefetch(&self) {
        crate::prefetch::end_of(&self.bytes);
    }

    /// The chunk's bytes without spare capacity.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        set_count(self.count, &mut bytes);
        bytes.shrink_to_fit();
        bytes
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
                return Err(not_ascending(&bits));
            }
        }
    }
    bits.finish("samples")
}

#[cold]
fn not_ascending(bits: &BitReader<'_>) -> Corruption {
    bits.corruption(CorruptionKind::Rule { rule: "timestamps do not ascend" })
}
