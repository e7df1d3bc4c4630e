//! Encodings of one series' samples as a self-contained piece of bytes: what the head appends to.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

pub mod xor;

/// A sample that an open chunk does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The sample is not later than the last one.
    #[error("timestamp {timestamp} does not follow {last}")]
    NotAscending {
        /// The refused timestamp, ms.
        timestamp: crate::Timestamp,
        /// The last timestamp of the chunk, ms.
        last: crate::Timestamp,
    },
    /// The chunk holds as many samples as a chunk can.
    #[error("the chunk already holds {limit} samples")]
    Full {
        /// The largest number of samples in a chunk.
        limit: usize,
    },
}
