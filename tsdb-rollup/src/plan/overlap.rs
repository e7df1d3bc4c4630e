//! Blocks that overlap become one: every query would have to merge them.

use super::compaction::{BlockInfo, Compaction, Reason, Timeline};

/// The oldest blocks that overlap and are due.
pub(super) fn next(timeline: &Timeline<'_>) -> Option<Compaction> {
    (0..timeline.blocks.len()).find_map(|first| {
        let chain = chain(timeline, first);
        timeline.merge(chain, Reason::Overlap)
    })
}

/// The block at `first` and those that overlap it, one another or the ones in between, as many as may be merged.
fn chain<'a>(timeline: &Timeline<'a>, first: usize) -> Vec<&'a BlockInfo> {
    let mut chain: Vec<&BlockInfo> = Vec::new();
    for block in timeline.blocks.iter().skip(first) {
        if !chain.is_empty() && !chain.iter().any(|member| member.meta.range.overlaps(&block.meta.range)) {
            break;
        }
        chain.push(block);
        if !timeline.fits(&chain) {
            chain.pop();
            break;
        }
    }
    chain
}
