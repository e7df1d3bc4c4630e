//! Finding series: the mutable inverted index of the head, the index file of a block, and the algebra over both.
//!
//! | module | what it holds |
//! |---|---|
//! | [`live`] | [`LiveIndex`]: labels and postings of the series in memory |
//! | [`file`](mod@file) | [`IndexWriter`], [`IndexReader`]: the same for an immutable block, as bytes |
//! | [`cardinality`] | limits on series, and how many there are of what |
//! | [`mod@select`] | [`select()`]: matchers to a set of series, over either of them |
//!
//! Series are dense numbers below 2^32 and sets of them are [`RoaringBitmap`]s. This crate opens no file, starts no
//! thread and reads no clock: bytes come in, bytes go out.
#![warn(missing_docs)]

mod arena;
pub mod cardinality;
pub mod file;
pub mod live;
mod postings;
pub mod select;

pub use cardinality::{Cardinality, Rate, SeriesLimits};
pub use file::{
    ChunkRef, IndexMerger, IndexReader, IndexWriter, InputDamage, Part, SeriesCursor, Source, WriteError,
};
pub use live::{IndexFull, LabelsCursor, LiveIndex, Step, sorted_series};
pub use roaring::RoaringBitmap;
pub use select::{Lookup, select};
