//! Which blocks are past retention.

use tsdb_core::Timestamp;
use tsdb_core::block::{BlockId, BlockMeta};

/// The blocks of which every instant is more than `retention_ms` before `now` (ms), oldest first.
///
/// A block that reaches into the retained time is kept whole.
pub fn expired(blocks: &[BlockMeta], retention_ms: i64, now: Timestamp) -> Vec<BlockId> {
    let horizon = now.saturating_sub(retention_ms.max(0));
    let mut past: Vec<&BlockMeta> = blocks.iter().filter(|block| block.range.end() < horizon).collect();
    past.sort_unstable_by_key(|block| (block.range.end(), block.id));
    past.into_iter().map(|block| block.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::TimeRange;
    use tsdb_core::block::BlockStats;

    fn block(id: u128, start: i64, end: i64) -> BlockMeta {
        BlockMeta {
            id: BlockId(id),
            range: TimeRange::new(start, end).unwrap(),
            stats: BlockStats::default(),
            level: 1,
            sources: vec![BlockId(id)],
            parents: vec![],
            rollup: None,
        }
    }

    #[test]
    fn only_blocks_wholly_before_the_horizon_expire() {
        let blocks = [block(3, 200, 299), block(2, 100, 199), block(1, 0, 99)];
        assert_eq!(expired(&blocks, 100, 299), [BlockId(1)]);
        assert_eq!(expired(&blocks, 100, 300), [BlockId(1), BlockId(2)]);
        assert_eq!(expired(&blocks, 1000, 300), []);
    }

    #[test]
    fn the_ends_of_time_are_no_trap() {
        let blocks = [block(1, i64::MIN, i64::MIN), block(2, i64::MAX, i64::MAX)];
        assert_eq!(expired(&blocks, i64::MAX, i64::MIN), []);
        assert_eq!(expired(&blocks, i64::MIN, i64::MAX), [BlockId(1)]);
        assert_eq!(expired(&blocks, 0, i64::MAX), [BlockId(1)]);
    }
}
