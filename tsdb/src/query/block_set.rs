//! The series that a selection found in one block.

use crate::block::{Block, BlockSeries};
use std::sync::{Arc, Once};
use tsdb_core::read::{ReadError, SampleColumns, SeriesSet};
use tsdb_core::{Labels, TimeRange};

/// Series of a block; their samples are read when asked for.
pub(super) struct BlockSet {
    block: Arc<Block>,
    range: TimeRange,
    series: Vec<BlockSeries>,
    /// If the block is far away: where each run of series ends that is asked for together, and whether it was.
    steps: Vec<(usize, Once)>,
}

impl BlockSet {
    /// The samples of `series` within `range`, for which `ahead_bytes` of memory may be taken if the block is far away.
    pub(super) fn new(
        block: Arc<Block>,
        range: TimeRange,
        series: Vec<BlockSeries>,
        ahead_bytes: usize,
    ) -> Self {
        let steps = if block.is_far() { block.steps(&series, ahead_bytes) } else { Vec::new() };
        let steps: Vec<_> = steps.into_iter().map(|end| (end, Once::new())).collect();
        if let Some((_, asked)) = steps.first() {
            // Whoever selected the series asked for the first of their samples.
            asked.call_once(|| {});
        }
        Self { block, range, series, steps }
    }

    /// Has the samples of the series at `index` brought near together with those of its neighbours.
    fn read_ahead(&self, index: usize) {
        let step = self.steps.partition_point(|(end, _)| *end <= index);
        let Some((end, asked)) = self.steps.get(step) else { return };
        let start =
            step.checked_sub(1).and_then(|before| self.steps.get(before)).map_or(0, |before| before.0);
        asked.call_once(|| self.block.read_ahead_samples(self.series.get(start..*end).unwrap_or_default()));
    }
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
        self.read_ahead(index);
        let Some(series) = self.series.get(index) else { return Ok(()) };
        self.block.read(&series.chunks, &series.deleted, self.range, into)
    }

    fn estimated_samples(&self) -> u64 {
        let chunks = self.series.iter().flat_map(|series| &series.chunks);
        chunks.map(|chunk| u64::from(chunk.samples)).sum()
    }
}
