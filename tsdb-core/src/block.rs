//! What a block says of itself: values only, no files.

use crate::TimeRange;

/// Name of a block: a ULID, unique and sortable by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u128);

/// How many there are of what in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockStats {
    /// Series with at least one sample.
    pub series: u64,
    /// Samples of all series.
    pub samples: u64,
    /// At most so many of these are native histograms; exactly, unless the description of the block had to be made anew.
    pub histograms: u64,
    /// Chunks of all series.
    pub chunks: u64,
}

/// The part of a block's description that planning needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMeta {
    /// Which block.
    pub id: BlockId,
    /// The instants its samples may have, both ends included, ms.
    pub range: TimeRange,
    /// Counts.
    pub stats: BlockStats,
    /// 1 for a block cut from the head; one more than the highest of its sources after each compaction.
    pub level: u32,
    /// The blocks cut from a head that its samples come from, itself at level 1.
    pub sources: alloc::vec::Vec<BlockId>,
    /// The blocks that it replaces: it holds all of their samples that are not deleted. Whoever finds one of them beside
    /// it removes it. Empty at level 1.
    pub parents: alloc::vec::Vec<BlockId>,
    /// Those of the `sources` of which it lacks samples, because they could not be read when it was made.
    pub incomplete: alloc::vec::Vec<BlockId>,
    /// What the block holds instead of samples; `None` for a block of samples.
    pub rollup: Option<Rollup>,
}

/// Samples summed up by windows of one length, aligned to the epoch: each begins behind a multiple of the resolution
/// and ends with the next one, which belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollup {
    /// Length of the windows, ms.
    pub resolution_ms: i64,
    /// All windows that the block answers for, also those without a sample: from the first instant of the first window
    /// to the last of the last one.
    pub covers: TimeRange,
}

impl BlockMeta {
    /// Does the block hold samples as they were written?
    pub const fn is_raw(&self) -> bool {
        self.rollup.is_none()
    }

    /// Does it lack samples of nothing that `other` has whole?
    pub fn is_as_complete_as(&self, other: &Self) -> bool {
        self.incomplete
            .iter()
            .all(|source| !other.sources.contains(source) || other.incomplete.contains(source))
    }
}
