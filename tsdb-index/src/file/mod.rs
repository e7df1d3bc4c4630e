//! The index file of a block.

mod reader;
mod writer;

pub use reader::{IndexReader, SeriesCursor};
pub use writer::{IndexWriter, WriteError};

use tsdb_core::TimeRange;

/// Where the samples of a series are, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    /// The frame that holds the chunk, as the writer of frames numbers them (an offset, for instance).
    pub frame: u64,
    /// Which chunk of the frame.
    pub slot: u32,
    /// Times of the first and the last sample.
    pub range: TimeRange,
    /// Number of samples.
    pub samples: u32,
}
