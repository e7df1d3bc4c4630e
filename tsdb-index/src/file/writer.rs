//! Writing an index file.

use crate::ChunkRef;
use tsdb_core::Labels;

/// A series that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The series does not come after the one before it.
    #[error("series {labels} does not sort after the series before it")]
    Order {
        /// The series.
        labels: Labels,
    },
    /// A format limit is reached.
    #[error("an index holds at most {limit} {what}")]
    Limit {
        /// Of what there is too much.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
}

/// Builds an index file from series in order of their labels.
#[derive(Debug, Default)]
pub struct IndexWriter {}

impl IndexWriter {
    /// A writer without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next series and returns its number: 0, 1, 2, ... in order of labels.
    ///
    /// # Errors
    /// A series out of order, or a limit of the format; the writer is then unchanged.
    pub fn add(&mut self, labels: &Labels, chunks: &[ChunkRef]) -> Result<u32, WriteError> {
        let _ = (labels, chunks);
        Ok(0)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// A limit of the format.
    pub fn finish(self) -> Result<Vec<u8>, WriteError> {
        Ok(Vec::new())
    }
}
