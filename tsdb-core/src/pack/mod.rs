//! Sealed columns: the samples of many neighbouring series in one frame, as a block stores them.
#![doc = include_str!("../../docs/pack-format.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod columns;
mod frame;
mod histograms;
mod integers;
mod planes;
mod residuals;
mod scale;
mod times;
mod values;

pub use frame::{Frame, FrameWriter};
pub use times::{Times, TimesWriter};
pub use values::{Values, ValuesWriter};

use crate::Corruption;
use crate::bytes::Reader;
use crate::error::CorruptionKind;
use crate::histogram::max_layout_bytes;
use crate::sample::SampleSlices;

/// The largest number of samples one series has in a frame; a longer series is cut.
pub const MAX_SAMPLES: usize = 1 << 17;

/// The largest number of series in a frame.
pub const MAX_SERIES: usize = 1 << 16;

/// The largest number of bucket counts that one series has in a frame, counted as if every histogram had all buckets of
/// all; a longer series is cut: see [`fitting`].
pub const MAX_CELLS: usize = 1 << 20;

/// The number of samples, from the first on, that a frame takes as one series: all, unless they are more than
/// [`MAX_SAMPLES`] or histograms of very many buckets or layouts. 0 if the first sample alone is too large.
pub fn fitting(samples: SampleSlices<'_>) -> usize {
    histograms::fitting(samples)
}

/// The length at which [`FrameWriter::is_full`] says so: long enough for a compressor to know the neighbours, short
/// enough to be unpacked for one series.
pub const RAW_TARGET_BYTES: usize = 128 << 10;

/// An upper bound for the length of a frame of `series` series that have `samples` samples in all, however hostile:
/// 11 bytes a value, 9 a timestamp, 160 a series, 128 once.
pub const fn max_frame_bytes(series: usize, samples: usize) -> usize {
    128_usize.saturating_add(series.saturating_mul(160)).saturating_add(samples.saturating_mul(20))
}

/// What [`max_frame_bytes`] grows by if the series also have start timestamps, or histograms: `samples` of them, each of
/// at most `buckets` buckets and `bounds` custom bounds, with at most `cells` counts as [`MAX_CELLS`] has it.
pub const fn max_more_bytes(
    series: usize,
    samples: usize,
    cells: usize,
    buckets: usize,
    bounds: usize,
) -> usize {
    let starts = crate::chunk::starts::max_bytes(samples);
    // Sum, zero count and count, a run of numbers, of a layout and of hints.
    let sample = max_layout_bytes(buckets, bounds).saturating_add(3 * 11 + 3 + 6 + 4);
    starts
        .saturating_add(series.saturating_mul(1024))
        .saturating_add(cells.saturating_mul(11))
        .saturating_add(samples.saturating_mul(sample))
}

/// The name of the structure in errors.
const SECTION: &str = "pack";

/// The first byte of packed columns: what they are, and the version of their format. All other values are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    /// Values and their times.
    Frame = 1,
    /// Times alone.
    Times = 2,
    /// Values alone.
    Values = 3,
}

impl Tag {
    /// Reads the first byte.
    fn expect(self, reader: &mut Reader<'_>) -> Result<(), Corruption> {
        let mut ahead = reader.clone();
        match ahead.u8("tag")? {
            tag if tag == self as u8 => {
                *reader = ahead;
                Ok(())
            }
            tag => Err(reader.corruption(CorruptionKind::Unknown { field: "tag", value: u64::from(tag) })),
        }
    }
}

/// Columns that a frame does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The two columns differ in length.
    #[error("{timestamps} timestamps stand beside {values} values")]
    UnequalColumns {
        /// Number of timestamps.
        timestamps: usize,
        /// Number of values.
        values: usize,
    },
    /// A timestamp is not later than the one before it.
    #[error("timestamp number {index} does not follow the one before it")]
    NotAscending {
        /// Index of the offending timestamp.
        index: usize,
    },
    /// The series has no samples or too many.
    #[error("a series of a frame has 1 to {limit} samples, not {count}")]
    SampleCount {
        /// Samples offered.
        count: usize,
        /// The largest number of samples a series may have.
        limit: usize,
    },
    /// The histograms of a series have too many buckets.
    #[error("the histograms of a series of a frame have at most {limit} counts, not {cells}")]
    TooManyBuckets {
        /// Counts, as [`MAX_CELLS`] has it.
        cells: usize,
        /// The largest number.
        limit: usize,
    },
    /// The frame has as many series as a frame can, or as many bytes.
    #[error("the frame is full at {series} series and {raw_bytes} bytes")]
    Full {
        /// Series in the frame.
        series: usize,
        /// Bytes in the frame.
        raw_bytes: usize,
    },
}

#[cfg(test)]
mod tests;
