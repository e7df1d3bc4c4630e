//! What to do next with the head and the blocks: metadata in, steps out.
//!
//! The rules are pure functions with one file each; [`plan`] asks them all. A step is a proposal: carrying it out, and
//! surviving a crash in the middle, is the engine's affair. Planning the same state twice gives the same steps.

mod compaction;
mod deleted;
mod leveled;
mod overlap;
mod ranges;
mod retention;
mod rollups;

pub use compaction::{BlockInfo, Compaction, CompactionPolicy, Reason, next_compaction};
pub use ranges::{BlockWidth, CutPolicy, HeadSpan, next_cut};
pub use retention::{expired, lacks_windows, over_size};
pub use rollups::{RollupLevel, RollupStep, WINDOWS_PER_SPAN, next_rollup};

use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::{TimeRange, Timestamp};

/// A step to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// Write the samples of the head within this range, a whole window, as a block, and forget them in the head.
    /// Then plan again: there may be another window to cut.
    Cut(TimeRange),
    /// Delete this block: all of it is past retention.
    Drop(BlockId),
}

/// What the steps should achieve.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// When windows of the head become blocks.
    pub cut: CutPolicy,
    /// How long samples are kept, in ms; `None` for ever.
    pub retention_ms: Option<i64>,
    /// Which windows are made of samples, short ones first, and how long they are kept.
    pub rollups: Vec<RollupLevel>,
}

/// The steps due at `now` (ms), deletions first: they make room for what is cut.
///
/// `head` is `None` if the head is empty.
pub fn plan(head: Option<HeadSpan>, blocks: &[BlockMeta], policy: &Policy, now: Timestamp) -> Vec<Plan> {
    let dropped = expired(blocks, policy.retention_ms, &policy.rollups, now);
    let cut = head.and_then(|head| next_cut(head, &policy.cut, now));
    dropped.into_iter().map(Plan::Drop).chain(cut.map(Plan::Cut)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::block::BlockStats;

    #[test]
    fn deletions_come_before_cuts() {
        let hour = 3_600_000;
        let blocks = [BlockMeta {
            id: BlockId(1),
            range: TimeRange::new(0, 2 * hour - 1).unwrap(),
            stats: BlockStats::default(),
            level: 1,
            sources: vec![BlockId(1)],
            parents: vec![],
            incomplete: vec![],
            rollup: None,
        }];
        let head = HeadSpan { range: TimeRange::new(10 * hour, 14 * hour).unwrap(), last_append: None };
        let policy = Policy { retention_ms: Some(12 * hour), ..Policy::default() };
        let steps = plan(Some(head), &blocks, &policy, 14 * hour);
        let window = TimeRange::new(10 * hour, 12 * hour - 1).unwrap();
        assert_eq!(steps, [Plan::Drop(BlockId(1)), Plan::Cut(window)]);
        assert_eq!(plan(None, &blocks, &Policy::default(), 14 * hour), []);
    }
}
