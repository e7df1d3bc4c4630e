//! Encodings of one series' samples as a self-contained piece of bytes: what the head appends to.
//!
//! A chunk begins with a tag that names its encoding and its version. There is one so far, [`xor`]. Sealed samples of
//! many series together are smaller and faster to read as [`pack`](crate::pack) columns; a chunk is what can grow by
//! one sample at a time.
#![doc = include_str!("../../docs/chunk-format.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod adaptive;
mod header;
pub mod histogram;
pub mod starts;
mod state;
mod time;
mod value;
pub mod xor;

use crate::Timestamp;
use header::{HEADER_BYTES, Header, begin, first_timestamp, set_count, stored_count};

/// A sample that an open chunk does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The sample is not later than the last one.
    #[error("timestamp {timestamp} does not follow {last}")]
    NotAscending {
        /// The refused timestamp, ms.
        timestamp: Timestamp,
        /// The last timestamp of the chunk, ms.
        last: Timestamp,
    },
    /// The chunk holds as many samples as a chunk can.
    #[error("the chunk already holds {limit} samples")]
    Full {
        /// The largest number of samples in a chunk.
        limit: usize,
    },
}

/// The first byte of a chunk: its encoding and the version of that. All other values are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Encoding {
    /// [`xor`], version 1.
    Xor = 1,
    /// [`histogram`], version 1.
    Histogram = 2,
}

#[cfg(test)]
mod tests;
