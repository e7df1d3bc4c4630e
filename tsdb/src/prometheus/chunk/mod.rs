//! Chunks: the samples of one series for a while, in one of six encodings. Source: Prometheus
//! `tsdb/docs/format/chunks.md`.
//!
//! All six are read. Written are [`XOR`](Encoding::Xor) for numbers and the two encodings of histograms without start
//! timestamps, which every version of Prometheus that knows native histograms reads.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod float;
mod histogram;
mod layout;
mod starts;
mod write;
mod xor;
mod xor2;

pub(super) use write::{Cut, Form, encode};

use super::bits::BitReader;
use tsdb_core::Corruption;
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;
use tsdb_core::sample::SampleColumns;

/// How the samples of a chunk are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Encoding {
    /// Numbers.
    Xor = 1,
    /// Histograms whose counts are integers.
    Histogram = 2,
    /// Histograms of floats.
    FloatHistogram = 3,
    /// Numbers with start timestamps.
    Xor2 = 4,
    /// Histograms of integers with start timestamps.
    HistogramStarts = 5,
    /// Histograms of floats with start timestamps.
    FloatHistogramStarts = 6,
}

impl Encoding {
    /// The encoding that the byte `code` stands for.
    pub(super) fn from_code(code: u8) -> Result<Self, CorruptionKind> {
        match code {
            1 => Ok(Self::Xor),
            2 => Ok(Self::Histogram),
            3 => Ok(Self::FloatHistogram),
            4 => Ok(Self::Xor2),
            5 => Ok(Self::HistogramStarts),
            6 => Ok(Self::FloatHistogramStarts),
            other => Err(CorruptionKind::Unknown { field: "encoding of a chunk", value: other.into() }),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Xor => "XOR chunk",
            Self::Histogram => "histogram chunk",
            Self::FloatHistogram => "float histogram chunk",
            Self::Xor2 => "XOR2 chunk",
            Self::HistogramStarts => "histogram chunk with starts",
            Self::FloatHistogramStarts => "float histogram chunk with starts",
        }
    }
}

/// Appends the samples of the chunk `data`, encoded as `encoding` says, to `into`, in which all samples lie before
/// those of the chunk or beside them in any order.
///
/// # Errors
/// The chunk is damaged or its timestamps do not ascend: `into` then holds a part of it.
pub(super) fn decode(encoding: u8, data: &[u8], into: &mut SampleColumns) -> Result<(), Corruption> {
    let encoding = Encoding::from_code(encoding).map_err(|kind| Corruption::new("chunk", 0, kind))?;
    let before = into.len();
    let mut header = Reader::new(encoding.name(), data);
    let count = header.u16("number of samples")?.swap_bytes();
    match encoding {
        Encoding::Xor => {
            xor::decode(BitReader::new(encoding.name(), header.unread()), count, into)?;
        }
        Encoding::Xor2 => {
            let starts = starts::Starts::new(header.u8("start timestamps")?);
            xor2::decode(BitReader::new(encoding.name(), header.unread()), count, starts, into)?;
        }
        Encoding::Histogram | Encoding::FloatHistogram => {
            let flags = header.u8("flags")?;
            let bits = BitReader::new(encoding.name(), header.unread());
            let head = histogram::Head { count, flags, starts: starts::Starts::new(0) };
            histogram::decode(bits, head, encoding == Encoding::FloatHistogram, into)?;
        }
        Encoding::HistogramStarts | Encoding::FloatHistogramStarts => {
            let starts = starts::Starts::new(header.u8("start timestamps")?);
            // The two bits that stand alone elsewhere share a field with the count here.
            let [high, _] = count.to_be_bytes();
            let head = histogram::Head { count: count & 0x3fff, flags: high & 0xc0, starts };
            let bits = BitReader::new(encoding.name(), header.unread());
            histogram::decode(bits, head, encoding == Encoding::FloatHistogramStarts, into)?;
        }
    }
    let added = into.timestamps.get(before..).unwrap_or_default();
    if added.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    let rule = "the timestamps of a chunk ascend";
    Err(Corruption::new(encoding.name(), 0, CorruptionKind::Rule { rule }))
}

#[cfg(test)]
mod tests;
