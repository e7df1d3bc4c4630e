//! The series that a selection found in one block.

use crate::block::{Block, BlockSeries};
use std::sync::Arc;
use tsdb_core::read::{ReadError, SampleColumns, SeriesSet};
use tsdb_core::{Labels, TimeRange};

/// Series of a block; their samples are read when asked for.
pub(super) struct BlockSet {
    pub(super) block: Arc<Block>,
    pub(super) range: TimeRange,
    pub(super) series: Vec<BlockSeries>,
}

impl SeriesSet for BlockSet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series.get(index).map(|series| series.labels.clone()).unwrap_or_default()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        let Some(series) = self.series.get(index) else { return Ok(()) };
        self.block.read(&series.chunks, &series.deleted, self.range, into)
    }

    fn estimated_samples(&self) -> u64 {
        let chunks = self.series.iter().flat_map(|series| &series.chunks);
        chunks.map(|chunk| u64::from(chunk.samples)).sum()
    }
}
