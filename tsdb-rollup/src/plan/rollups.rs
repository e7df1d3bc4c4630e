//! Which windows are made next, of which blocks.
//!
//! Time is divided into spans of [`WINDOWS_PER_SPAN`] windows. A span becomes one block of windows once it is old enough
//! and all of its samples are in blocks:
//!
//! ```text
//! samples    |--|--|--|--|--|--|--|--|--|--|--|  head
//! 5 minutes  |------- day -------|------- day -------|
//! 1 hour     |------------------ twelve days ---------------
//! ```
//!
//! A block of windows names all blocks cut from a head that are in it. If there are others in its span, late samples, it
//! is made anew and replaces the old one; the longer windows above it follow. So is one that lacks samples which could
//! not be read when it was made, if there is a block that has them. That needs all the samples: where some of
//! them are past retention, the windows stay as they are.

use crate::downsample::window_of;
use std::collections::{BTreeMap, BTreeSet};
use tsdb_core::Timestamp;
use tsdb_core::block::{BlockId, BlockMeta, Rollup};

/// Windows that one block covers: a day of five minutes, twelve days of hours.
pub const WINDOWS_PER_SPAN: i64 = 288;

/// Spans of one block that are looked at: more than a century of days.
const MAX_SPANS: usize = 40_000;

/// Windows of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RollupLevel {
    /// Their length, ms.
    pub resolution_ms: i64,
    /// How old samples are when windows are made of them, ms.
    pub after_ms: i64,
    /// How long the windows are kept, ms; `None` for ever.
    pub retention_ms: Option<i64>,
}

impl RollupLevel {
    /// Five minutes, made after six hours, kept for 90 days.
    pub const FIVE_MINUTES: Self =
        Self { resolution_ms: 300_000, after_ms: 6 * 3_600_000, retention_ms: Some(90 * 86_400_000) };
    /// An hour, made after a day, kept for two years.
    pub const HOUR: Self =
        Self { resolution_ms: 3_600_000, after_ms: 86_400_000, retention_ms: Some(730 * 86_400_000) };

    /// Windows of `resolution_ms`, made of samples older than `after_ms`, kept for `retention_ms` or for ever.
    pub const fn new(resolution_ms: i64, after_ms: i64, retention_ms: Option<i64>) -> Self {
        Self { resolution_ms, after_ms, retention_ms }
    }

    /// Length of the range of time that one block covers, ms.
    pub const fn span_ms(&self) -> i64 {
        self.resolution_ms.saturating_mul(WINDOWS_PER_SPAN)
    }
}

/// A block of windows to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RollupStep {
    /// What it is to hold.
    pub rollup: Rollup,
    /// The blocks to read, of samples or of shorter windows.
    pub inputs: Vec<BlockId>,
    /// The blocks cut from a head that these come from.
    pub sources: Vec<BlockId>,
    /// The blocks that it replaces.
    pub replaces: Vec<BlockId>,
}

/// The next block of windows to make of `blocks`, short windows before long ones, old before young.
///
/// All samples up to `settled` are in blocks. `is_vain` tells of a step that was tried and gave nothing.
pub fn next_rollup(
    blocks: &[BlockMeta],
    levels: &[RollupLevel],
    settled: Timestamp,
    now: Timestamp,
    is_vain: impl Fn(&RollupStep) -> bool,
) -> Option<RollupStep> {
    let mut below: Option<RollupLevel> = None;
    for level in levels {
        let inputs: Vec<&BlockMeta> = blocks
            .iter()
            .filter(|block| resolution(block) == below.map(|below| below.resolution_ms))
            .collect();
        let made: Vec<&BlockMeta> =
            blocks.iter().filter(|block| resolution(block) == Some(level.resolution_ms)).collect();
        let due = settled.min(now.saturating_sub(level.after_ms));
        let kept = level.retention_ms.map_or(Timestamp::MIN, |retention| now.saturating_sub(retention));
        let steps = spans(&inputs, *level).into_iter().filter(|(end, _)| *end <= due && *end >= kept);
        let mut steps = steps.filter_map(|(end, inputs)| step(*level, end, &inputs, &made));
        if let Some(step) = steps.find(|step| !is_vain(step)) {
            return Some(step);
        }
        below = Some(*level);
    }
    None
}

fn resolution(block: &BlockMeta) -> Option<i64> {
    block.rollup.map(|rollup| rollup.resolution_ms)
}

/// The blocks that have something in each span, by the end of the span.
fn spans<'b>(inputs: &[&'b BlockMeta], level: RollupLevel) -> BTreeMap<Timestamp, Vec<&'b BlockMeta>> {
    let mut spans: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for block in inputs {
        let range = block.rollup.map_or(block.range, |rollup| rollup.covers);
        let mut at = range.start();
        for _ in 0..MAX_SPANS {
            let end = window_of(at, level.span_ms()).end();
            spans.entry(end).or_default().push(*block);
            if end >= range.end() {
                break;
            }
            at = end.saturating_add(1);
        }
    }
    spans
}

/// What is to be done for the span that ends at `end`, if anything is.
fn step(
    level: RollupLevel,
    end: Timestamp,
    inputs: &[&BlockMeta],
    made: &[&BlockMeta],
) -> Option<RollupStep> {
    let covers = window_of(end, level.span_ms());
    let sources: BTreeSet<BlockId> = inputs.iter().flat_map(|block| block.sources.iter().copied()).collect();
    let overlaps = |block: &&&BlockMeta| block.rollup.is_some_and(|rollup| rollup.covers.overlaps(&covers));
    let before: Vec<&&BlockMeta> = made.iter().filter(overlaps).collect();
    let has_all = |block: &&&BlockMeta| {
        let covered = block.rollup.is_some_and(|rollup| covers.intersect(&rollup.covers) == Some(covers));
        covered
            && sources.iter().all(|source| block.sources.contains(source))
            && !block.incomplete.iter().any(|source| is_whole(inputs, *source))
    };
    let loses_some = |block: &&&BlockMeta| block.sources.iter().any(|source| !sources.contains(source));
    if before.iter().any(has_all) || before.iter().any(loses_some) {
        return None;
    }
    Some(RollupStep {
        rollup: Rollup { resolution_ms: level.resolution_ms, covers },
        inputs: inputs.iter().map(|block| block.id).collect(),
        sources: sources.into_iter().collect(),
        replaces: before.iter().map(|block| block.id).collect(),
    })
}

/// Is there all of `source` in `inputs`, as far as they know?
fn is_whole(inputs: &[&BlockMeta], source: BlockId) -> bool {
    let mut holders = inputs.iter().filter(|block| block.sources.contains(&source)).peekable();
    holders.peek().is_some() && holders.all(|block| !block.incomplete.contains(&source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::TimeRange;
    use tsdb_core::block::BlockStats;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    const LEVELS: [RollupLevel; 2] = [RollupLevel::FIVE_MINUTES, RollupLevel::HOUR];

    fn raw(id: u128, start: i64, end: i64, sources: &[u128]) -> BlockMeta {
        BlockMeta {
            id: BlockId(id),
            range: TimeRange::new(start, end).unwrap(),
            stats: BlockStats::default(),
            level: 1,
            sources: sources.iter().map(|source| BlockId(*source)).collect(),
            parents: Vec::new(),
            incomplete: Vec::new(),
            rollup: None,
        }
    }

    fn next(blocks: &[BlockMeta], now: i64) -> Option<RollupStep> {
        next_rollup(blocks, &LEVELS, now, now, |_| false)
    }

    /// The block that carries `step` out.
    fn done(step: &RollupStep, id: u128) -> BlockMeta {
        let sources: Vec<u128> = step.sources.iter().map(|source| source.0).collect();
        let covers = step.rollup.covers;
        BlockMeta { rollup: Some(step.rollup), ..raw(id, covers.start(), covers.end(), &sources) }
    }

    #[test]
    fn a_day_becomes_windows_when_it_is_six_hours_past() {
        let blocks = [raw(1, 5, 12 * HOUR, &[1]), raw(2, 12 * HOUR + 1, 30 * HOUR, &[2])];
        assert_eq!(next(&blocks, 30 * HOUR - 1), None);
        let step = next(&blocks, 30 * HOUR).unwrap();
        assert_eq!(step.rollup.covers, TimeRange::new(1, DAY).unwrap());
        assert_eq!((step.inputs, step.replaces), (vec![BlockId(1), BlockId(2)], vec![]));
        assert_eq!(next_rollup(&blocks, &LEVELS, DAY - 1, 40 * HOUR, |_| false), None);
    }

    #[test]
    fn nothing_is_done_twice_and_late_samples_have_it_done_anew() {
        let mut blocks = vec![raw(1, 5, DAY, &[1])];
        blocks.push(done(&next(&blocks, 2 * DAY).unwrap(), 7));
        assert_eq!(next(&blocks, 2 * DAY), None);
        blocks.push(raw(8, 3 * HOUR, 4 * HOUR, &[8]));
        let again = next(&blocks, 2 * DAY).unwrap();
        assert_eq!((&again.replaces, &again.sources), (&vec![BlockId(7)], &vec![BlockId(1), BlockId(8)]));
        // Compaction makes no difference.
        let blocks = [raw(9, 5, DAY, &[1, 8]), done(&again, 10)];
        assert_eq!(next(&blocks, 2 * DAY), None);
    }

    #[test]
    fn windows_that_lack_samples_are_made_anew_from_a_block_that_has_them() {
        let whole = raw(1, 5, DAY, &[1, 2]);
        let step = next(std::slice::from_ref(&whole), 2 * DAY).unwrap();
        let made = BlockMeta { incomplete: vec![BlockId(2)], ..done(&step, 7) };
        let damaged = BlockMeta { incomplete: vec![BlockId(2)], ..whole.clone() };
        assert_eq!(next(&[damaged, made.clone()], 2 * DAY), None);
        assert_eq!(next(&[whole, made], 2 * DAY).unwrap().replaces, [BlockId(7)]);
    }

    #[test]
    fn windows_stay_where_samples_they_were_made_of_are_gone() {
        let first = next(&[raw(1, 5, HOUR, &[1]), raw(2, HOUR + 1, DAY, &[2])], 2 * DAY).unwrap();
        let blocks = [raw(2, HOUR + 1, DAY, &[2]), raw(3, 2 * HOUR, 3 * HOUR, &[3]), done(&first, 7)];
        assert_eq!(next(&blocks, 2 * DAY), None);
    }

    #[test]
    fn long_windows_are_made_of_short_ones() {
        let mut blocks = vec![raw(1, 5, 12 * DAY, &[1, 2])];
        let mut id = 10;
        while let Some(step) = next(&blocks, 13 * DAY).filter(|step| step.rollup.resolution_ms < HOUR) {
            blocks.push(done(&step, id));
            id += 1;
        }
        assert_eq!(blocks.len(), 13);
        let step = next(&blocks, 13 * DAY).unwrap();
        assert_eq!(step.rollup.covers, TimeRange::new(1, 12 * DAY).unwrap());
        assert_eq!((step.inputs.len(), step.sources), (12, vec![BlockId(1), BlockId(2)]));
    }

    #[test]
    fn what_is_past_retention_and_what_gave_nothing_is_left_alone() {
        let blocks = [raw(1, 5, DAY, &[1])];
        assert_eq!(next(&blocks, 100 * DAY), None);
        assert_eq!(next_rollup(&blocks, &LEVELS, 2 * DAY, 2 * DAY, |_| true), None);
    }

    #[test]
    fn the_ends_of_time_are_no_trap() {
        let blocks = [raw(1, i64::MIN, i64::MAX, &[1])];
        drop(next(&blocks, i64::MAX));
        drop(next(&blocks, i64::MIN));
    }
}
