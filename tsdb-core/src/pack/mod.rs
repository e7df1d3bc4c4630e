//! Sealed columns: the samples of many neighbouring series in one frame, as a block stores them.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod frame;
mod writer;

pub use frame::Frame;
pub use writer::FrameWriter;

/// The largest number of samples one series has in a frame; a longer series is cut.
pub const MAX_SAMPLES: usize = 1 << 17;

/// The largest number of series in a frame.
pub const MAX_SERIES: usize = 1 << 16;

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
    /// The frame has as many series as a frame can, or as many bytes.
    #[error("the frame is full at {series} series and {raw_bytes} bytes")]
    Full {
        /// Series in the frame.
        series: usize,
        /// Bytes in the frame.
        raw_bytes: usize,
    },
}
