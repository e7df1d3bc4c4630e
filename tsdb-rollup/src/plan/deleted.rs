//! Blocks of which much is deleted are written anew, to make room.

use super::compaction::{Compaction, Reason, Timeline};

/// The oldest block with too many deleted samples.
pub(super) fn next(timeline: &Timeline<'_>) -> Option<Compaction> {
    let bound = timeline.policy.max_deleted;
    let mut due = timeline.blocks.iter().filter(|block| block.deleted > 0.0 && block.deleted >= bound);
    due.next().map(|block| Compaction { inputs: vec![block.meta.id], reason: Reason::Deleted })
}
