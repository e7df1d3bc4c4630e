//! The series of matchers in many blocks.
//!
//! Blocks that lie far away are asked at the same time: each of them takes steps that depend on each other, and waits
//! through most of each.

use crate::block::{Block, BlockSeries, STEP_BYTES};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{Builder, scope};
use tsdb_core::read::{Projection, ReadError};
use tsdb_core::{Matcher, TimeRange};

/// Far blocks that are asked at the same time.
const AT_ONCE: usize = 16;
/// Memory for what is read ahead in all of them, bytes, as long as the least for each is not more.
const AHEAD_BYTES: usize = 4 * STEP_BYTES;
const LEAST_AHEAD_BYTES: usize = 1 << 20;

/// What is selected.
#[derive(Clone, Copy)]
pub(super) struct Selection<'q> {
    pub(super) matchers: &'q [Matcher],
    pub(super) range: TimeRange,
    pub(super) projection: &'q Projection,
}

/// What one block has of it.
pub(super) struct Selected {
    pub(super) block: Arc<Block>,
    pub(super) series: Vec<BlockSeries>,
    /// What could not be read.
    pub(super) damage: Vec<ReadError>,
    /// Memory for what is read ahead of its samples, bytes.
    pub(super) ahead_bytes: usize,
}

impl Selection<'_> {
    /// What each of `blocks` has, in their order.
    pub(super) fn of(&self, blocks: &[&Arc<Block>]) -> Vec<Selected> {
        let far = blocks.iter().filter(|block| block.is_far()).count();
        let ahead_bytes = (AHEAD_BYTES / far.max(1)).clamp(LEAST_AHEAD_BYTES, STEP_BYTES);
        if far < 2 {
            return blocks.iter().map(|block| self.of_one(block, ahead_bytes)).collect();
        }
        let mut selected = Vec::with_capacity(blocks.len());
        for blocks in blocks.chunks(AT_ONCE) {
            scope(|scope| {
                let begin = |block: &&Arc<Block>| {
                    let block = Arc::clone(block);
                    let run = move || self.of_one(&block, ahead_bytes);
                    Builder::new().name("tsdb-select".into()).spawn_scoped(scope, run).ok()
                };
                let begun: Vec<_> =
                    blocks.iter().map(|block| block.is_far().then(|| begin(block)).flatten()).collect();
                for (block, thread) in blocks.iter().zip(begun) {
                    selected.push(match thread {
                        Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                        None => self.of_one(block, ahead_bytes),
                    });
                }
            });
        }
        selected
    }

    fn of_one(&self, block: &Arc<Block>, ahead_bytes: usize) -> Selected {
        let mut damage = Vec::new();
        let Self { matchers, range, projection } = *self;
        let series = block.select_ahead(matchers, range, projection, &mut damage, ahead_bytes);
        let series = series.unwrap_or_else(|error| {
            damage.push(error);
            Vec::new()
        });
        Selected { block: Arc::clone(block), series, damage, ahead_bytes }
    }
}
