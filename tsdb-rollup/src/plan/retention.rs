//! Which blocks are past retention.

use super::RollupLevel;
use std::collections::BTreeSet;
use tsdb_core::Timestamp;
use tsdb_core::block::{BlockId, BlockMeta};

/// The blocks of which every instant is past retention at `now` (ms), oldest first.
///
/// Samples are kept for `retention_ms`, windows as long as the level of their length says, or if there is none the next
/// longer one, or if that is missing too as long as samples. A block that reaches into the retained time is kept whole.
/// Samples of which windows are still to be made wait for that, if that is due within their retention at all; but not for
/// ever.
pub fn expired(
    blocks: &[BlockMeta],
    retention_ms: Option<i64>,
    levels: &[RollupLevel],
    now: Timestamp,
) -> Vec<BlockId> {
    let retention = |block: &BlockMeta| match block.rollup {
        None => retention_ms,
        Some(rollup) => levels
            .iter()
            .find(|level| level.resolution_ms >= rollup.resolution_ms)
            .map_or(retention_ms, |level| level.retention_ms),
    };
    let is_past = |block: &&BlockMeta| {
        let horizon = retention(block).map(|retention_ms| now.saturating_sub(retention_ms.max(0)));
        horizon.is_some_and(|horizon| block.range.end() < horizon)
            && !awaits_windows(block, blocks, retention_ms, levels.first(), now)
    };
    let mut past: Vec<&BlockMeta> = blocks.iter().filter(is_past).collect();
    past.sort_unstable_by_key(|block| (block.range.end(), block.id));
    past.into_iter().map(|block| block.id).collect()
}

/// The blocks to drop besides `dropped` so that all others have at most `most` bytes: the oldest, and of the same age
/// samples before windows. Each block stands with its bytes.
pub fn over_size(blocks: &[(BlockMeta, u64)], dropped: &BTreeSet<BlockId>, most: u64) -> BTreeSet<BlockId> {
    let mut kept: Vec<_> = blocks.iter().filter(|(meta, _)| !dropped.contains(&meta.id)).collect();
    // Windows stay as long as samples that they could be made of again.
    let end = |meta: &BlockMeta| meta.rollup.map_or(meta.range, |rollup| rollup.covers).end();
    kept.sort_by_key(|(meta, _)| (end(meta), meta.rollup.is_some(), meta.id));
    let mut bytes = kept.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
    let is_over = |(_, one): &&&(BlockMeta, u64)| {
        let over = bytes > most;
        bytes = bytes.saturating_sub(*one);
        over
    };
    kept.iter().take_while(is_over).map(|(meta, _)| meta.id).collect()
}

/// Are windows still to be made of the samples in `block`, and worth waiting for?
fn awaits_windows(
    block: &BlockMeta,
    blocks: &[BlockMeta],
    retention_ms: Option<i64>,
    level: Option<&RollupLevel>,
    now: Timestamp,
) -> bool {
    let (Some(level), Some(retention_ms)) = (level, retention_ms) else { return false };
    let patience = now.saturating_sub(retention_ms).saturating_sub(delay_ms(level).saturating_mul(2));
    block.range.end() >= patience && lacks_windows(block, blocks, Some(retention_ms), Some(level))
}

/// Does the block hold samples of which windows of `level` are made before they are past retention, and were not, or not
/// of all of them?
pub fn lacks_windows(
    block: &BlockMeta,
    blocks: &[BlockMeta],
    retention_ms: Option<i64>,
    level: Option<&RollupLevel>,
) -> bool {
    let (Some(level), true) = (level, block.is_raw()) else { return false };
    if retention_ms.is_some_and(|retention_ms| delay_ms(level) > retention_ms) {
        return false;
    }
    // Windows that go before the samples do replace none of them.
    if level.retention_ms.is_some_and(|windows| retention_ms.is_none_or(|samples| windows <= samples)) {
        return false;
    }
    let has_all = |made: &&BlockMeta| block.sources.iter().all(|source| made.sources.contains(source));
    let covers: Vec<_> = blocks
        .iter()
        .filter(has_all)
        .filter_map(|made| made.rollup.filter(|rollup| rollup.resolution_ms == level.resolution_ms))
        .collect();
    let is_covered = |at: Timestamp| covers.iter().any(|rollup| rollup.covers.contains(at));
    !is_covered(block.range.start()) || !is_covered(block.range.end())
}

/// How old samples may become before windows are made of them, ms.
const fn delay_ms(level: &RollupLevel) -> i64 {
    level.span_ms().saturating_add(level.after_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::TimeRange;
    use tsdb_core::block::{BlockStats, Rollup};

    fn block(id: u128, start: i64, end: i64) -> BlockMeta {
        BlockMeta {
            id: BlockId(id),
            range: TimeRange::new(start, end).unwrap(),
            stats: BlockStats::default(),
            level: 1,
            sources: vec![BlockId(id)],
            parents: vec![],
            incomplete: vec![],
            rollup: None,
        }
    }

    #[test]
    fn only_blocks_wholly_before_the_horizon_expire() {
        let blocks = [block(3, 200, 299), block(2, 100, 199), block(1, 0, 99)];
        assert_eq!(expired(&blocks, Some(100), &[], 299), [BlockId(1)]);
        assert_eq!(expired(&blocks, Some(100), &[], 300), [BlockId(1), BlockId(2)]);
        assert_eq!(expired(&blocks, Some(1000), &[], 300), []);
    }

    #[test]
    fn the_ends_of_time_are_no_trap() {
        let blocks = [block(1, i64::MIN, i64::MIN), block(2, i64::MAX, i64::MAX)];
        assert_eq!(expired(&blocks, Some(i64::MAX), &[], i64::MIN), []);
        assert_eq!(expired(&blocks, Some(i64::MIN), &[], i64::MAX), [BlockId(1)]);
        assert_eq!(expired(&blocks, Some(0), &[], i64::MAX), [BlockId(1)]);
    }

    #[test]
    fn windows_have_a_retention_of_their_own() {
        let rolled = |id, resolution_ms| BlockMeta {
            rollup: Some(Rollup { resolution_ms, covers: TimeRange::new(0, 99).unwrap() }),
            ..block(id, 0, 99)
        };
        let blocks = [block(1, 0, 99), rolled(2, 10), rolled(3, 20), rolled(4, 5), rolled(5, 40)];
        let levels = [RollupLevel::new(10, 0, Some(1000)), RollupLevel::new(20, 0, None)];
        assert_eq!(expired(&blocks, Some(100), &levels, 500), [BlockId(1), BlockId(5)]);
        assert_eq!(expired(&blocks, Some(100), &levels, 5000), [1, 2, 4, 5].map(BlockId));
        assert_eq!(expired(&blocks, None, &levels, 5000), [BlockId(2), BlockId(4)]);
    }

    #[test]
    fn samples_wait_for_their_windows_but_not_for_ever() {
        let levels = [RollupLevel::new(10, 0, None)];
        let span = levels[0].span_ms();
        let raw = [block(1, 5, span - 5)];
        let expired_at = |blocks: &[BlockMeta], now| expired(blocks, Some(span), &levels, now);
        assert_eq!(expired_at(&raw, 2 * span), []);
        assert_eq!(expired_at(&raw, 4 * span), [BlockId(1)]);
        assert!(lacks_windows(&raw[0], &raw, Some(span), levels.first()), "and that is known");
        let rollup = Rollup { resolution_ms: 10, covers: TimeRange::new(1, span).unwrap() };
        let made = BlockMeta { rollup: Some(rollup), sources: vec![BlockId(1)], ..block(2, 5, span - 5) };
        let both = [raw[0].clone(), made];
        assert_eq!(expired_at(&both, 2 * span), [BlockId(1)]);
        assert!(!lacks_windows(&both[0], &both, Some(span), levels.first()));
        assert_eq!(expired(&raw, Some(span - 1), &levels, 2 * span), [BlockId(1)]);
        assert!(!lacks_windows(&raw[0], &raw, Some(span - 1), levels.first()), "none are ever due");
    }

    #[test]
    fn beyond_a_size_the_oldest_go_first() {
        let blocks = [(block(1, 0, 99), 10), (block(3, 200, 299), 10), (block(2, 100, 199), 10)];
        let over = |dropped: &[u128], most| {
            let dropped = dropped.iter().copied().map(BlockId).collect();
            over_size(&blocks, &dropped, most).into_iter().map(|id| id.0).collect::<Vec<_>>()
        };
        assert_eq!(over(&[], 30), [0_u128; 0]);
        assert_eq!(over(&[], 29), [1]);
        assert_eq!(over(&[1], 19), [2]);
        assert_eq!(over(&[], 0), [1, 2, 3]);
    }
}
