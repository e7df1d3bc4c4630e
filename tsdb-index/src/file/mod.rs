#![doc = include_str!("../../docs/index-format.md")]

mod check;
mod cursor;
mod dictionary;
mod guide;
mod layout;
mod lookup;
mod merge;
mod merge_values;
mod pages;
mod places;
mod postings;
mod reader;
mod renumber;
mod series;
mod source;
mod spans;
mod writer;

pub use cursor::SeriesCursor;
pub use merge::{IndexMerger, InputDamage, Part};
pub use reader::IndexReader;
pub use source::{Check, Page, Source};
pub use writer::{IndexWriter, WriteError};

use tsdb_core::TimeRange;

/// Where some samples of a series are, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    /// The frame that holds the chunk, by whatever number the writer of frames gives it: an offset, for instance.
    pub frame: u64,
    /// Which chunk of the frame.
    pub slot: u32,
    /// Times of the first and the last sample.
    pub range: TimeRange,
    /// Number of samples.
    pub samples: u32,
    /// Which column of timestamps they have, by whatever number the writer of samples gives it.
    pub times: u32,
}
