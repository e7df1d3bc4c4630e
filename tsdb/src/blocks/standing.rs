//! What blocks of windows are worth beside the samples that they were made of.
//!
//! While all of these are there, windows are only the faster answer. They are *behind* if there is more of the samples
//! than of them: late ones, or what could not be read when the windows were made. Then samples answer, until the windows
//! are made anew. They cannot be made anew of samples that are damaged since: such windows would have less (the verdict
//! "no better"). For the times of these samples the old windows know more, and go on answering although they are behind;
//! what they lack there is told.
//!
//! Which samples are damaged is known from the last attempt to make windows of them, or said by the block itself if a
//! repair could not save all of it, which counts for all times of the block. A restart forgets the former until the
//! attempt is repeated, in its first rounds.

use crate::block::Block;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use tsdb_core::TimeRange;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_rollup::downsample::windows_of;

/// A block of samples of which something could not be read when windows of the times `within` were to be made.
#[derive(Debug, Clone)]
pub(super) struct Damaged {
    /// This one, and not another copy of it.
    block: Weak<Block>,
    within: TimeRange,
}

impl Damaged {
    pub(super) fn new(block: &Arc<Block>, within: TimeRange) -> Self {
        Self { block: Arc::downgrade(block), within }
    }

    pub(super) fn overlaps(&self, range: &TimeRange) -> bool {
        self.within.overlaps(range)
    }

    /// What tells two of them apart.
    pub(super) fn key(&self) -> (*const Block, TimeRange) {
        (self.block.as_ptr(), self.within)
    }

    pub(super) fn is_of(&self, block: &Arc<Block>) -> bool {
        std::ptr::eq(self.block.as_ptr(), Arc::as_ptr(block))
    }
}

/// The standing of all blocks of windows.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Those of which all samples are still there.
    sampled: BTreeMap<BlockId, Worth>,
}

/// What windows are worth whose samples are still there.
#[derive(Debug)]
struct Worth {
    is_behind: bool,
    /// The times for which they know more all the same.
    better: Vec<TimeRange>,
}

impl Standing {
    /// Of the windows among `all` blocks, if what is `damaged` is known of the others.
    pub(super) fn of(all: &[Arc<Block>], damaged: &[Damaged]) -> Self {
        let metas = || all.iter().map(|block| block.meta());
        let raw: BTreeSet<BlockId> =
            metas().filter(|meta| meta.is_raw()).flat_map(|meta| meta.sources.iter().copied()).collect();
        let has_samples = |meta: &&BlockMeta| meta.sources.iter().all(|source| raw.contains(source));
        let worth = |meta: &BlockMeta| {
            let is_behind = !meta.incomplete.is_empty() || metas().any(|raw| is_late(raw, meta));
            (meta.id, Worth { is_behind, better: better(meta, all, damaged) })
        };
        let windows = metas().filter(|meta| !meta.is_raw()).filter(has_samples);
        Self { sampled: windows.map(worth).collect() }
    }

    /// Are all the samples that the windows in the block `id` were made of still there?
    pub(super) fn has_samples_of(&self, id: BlockId) -> bool {
        self.sampled.contains_key(&id)
    }

    /// Do the samples that are still there know more than the windows in the block `id`?
    pub(super) fn is_behind(&self, id: BlockId) -> bool {
        self.sampled.get(&id).is_some_and(|worth| worth.is_behind)
    }

    /// The times for which the windows in the block `id` know more than the samples, though late ones may have come.
    pub(super) fn better(&self, id: BlockId) -> &[TimeRange] {
        self.sampled.get(&id).map_or(&[], |worth| &worth.better)
    }
}

/// Are there samples in the block `raw` that the windows in the block `windows` do not know?
fn is_late(raw: &BlockMeta, windows: &BlockMeta) -> bool {
    let covers = windows.rollup.filter(|_| raw.is_raw()).map(|rollup| rollup.covers);
    covers.is_some_and(|covers| covers.overlaps(&raw.range))
        && raw.sources.iter().any(|source| !windows.sources.contains(source))
}

/// May there be samples in the block `raw` that the windows in the block `windows` lack?
pub(super) fn lacks_some(windows: &BlockMeta, raw: &BlockMeta) -> bool {
    raw.is_raw() && raw.sources.iter().any(|source| !has_whole(windows, *source))
}

/// Is all of `source` that was there in these windows?
fn has_whole(windows: &BlockMeta, source: BlockId) -> bool {
    windows.sources.contains(&source) && !windows.incomplete.contains(&source)
}

/// The times for which `windows` have what the samples have no more, in whole windows.
fn better(windows: &BlockMeta, all: &[Arc<Block>], damaged: &[Damaged]) -> Vec<TimeRange> {
    let Some(rollup) = windows.rollup else { return Vec::new() };
    let knows_some = |sources: &[BlockId]| sources.iter().any(|source| has_whole(windows, *source));
    let mut times = Vec::new();
    for block in all.iter().filter(|block| block.meta().is_raw()) {
        let meta = block.meta();
        if knows_some(&meta.incomplete) {
            times.push(meta.range);
        } else if knows_some(&meta.sources) {
            let met = damaged.iter().filter(|damaged| damaged.is_of(block));
            times.extend(met.filter_map(|damaged| meta.range.intersect(&damaged.within)));
        }
    }
    let in_windows = |time: TimeRange| {
        windows_of(time.intersect(&rollup.covers)?, rollup.resolution_ms).intersect(&rollup.covers)
    };
    times.into_iter().filter_map(in_windows).collect()
}
