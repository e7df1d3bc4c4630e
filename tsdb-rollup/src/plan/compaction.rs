#![doc = include_str!("../../docs/compaction.md")]

use super::{BlockWidth, deleted, leveled, overlap};
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::{TimeRange, Timestamp};

/// Rewriting this much is cheap enough to be done for any reason, in bytes.
const CHEAP_BYTES: u64 = 64 << 20;
/// Otherwise the smaller blocks must have together at least this part of the bytes of the largest one,
const WORTH_PART: u64 = 8;
/// unless there are more blocks than this.
const MANY_BLOCKS: usize = 8;

/// A block as far as planning needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockInfo {
    /// What it says of itself.
    pub meta: BlockMeta,
    /// Its size on disk.
    pub bytes: u64,
    /// Which part of its samples is deleted, from 0 to 1.
    pub deleted: f64,
    /// It cannot be read as a whole: it stays as it is, and the others are planned around it.
    pub is_damaged: bool,
}

/// What compactions should achieve, and how far they may go.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionPolicy {
    /// The windows of blocks that are cut from the head.
    pub width: BlockWidth,
    /// No range is longer than this, in ms, nor is a block that a compaction makes: a tenth of retention is a good
    /// choice.
    pub max_range_ms: i64,
    /// Blocks whose bytes are more than this together are not merged.
    pub max_bytes: u64,
    /// No more blocks than this are merged at once.
    pub max_inputs: usize,
    /// A block is written anew when at least this part of its samples is deleted.
    pub max_deleted: f64,
}

/// Up to 31 days, 512 GiB and 32 blocks; a twentieth may be deleted.
impl Default for CompactionPolicy {
    fn default() -> Self {
        Self {
            width: BlockWidth::DEFAULT,
            max_range_ms: 31 * 86_400_000,
            max_bytes: 512 << 30,
            max_inputs: 32,
            max_deleted: 0.05,
        }
    }
}

impl CompactionPolicy {
    /// The lengths of ranges that blocks grow to, in ms, ascending: each three times the one before.
    pub(super) fn ranges(&self) -> impl DoubleEndedIterator<Item = i64> + use<> {
        let lengths = std::iter::successors(self.width.ms().checked_mul(3), |length| length.checked_mul(3));
        let lengths: Vec<i64> = lengths.take_while(|length| *length <= self.max_range_ms).collect();
        lengths.into_iter()
    }
}

/// Blocks to be replaced by one that holds what is left of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// The blocks, in the order in which their samples were written.
    pub inputs: Vec<BlockId>,
    /// Why.
    pub reason: Reason,
}

/// Why blocks are compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// They overlap.
    Overlap,
    /// They lie in one of the longer ranges, this one.
    Range(TimeRange),
    /// Much of the block is deleted.
    Deleted,
}

/// What to do next, if anything. `end` is the first instant whose samples are not in blocks yet: ranges that reach it
/// still grow. Blocks that end before `horizon` are about to expire and are left alone.
pub fn next_compaction(
    blocks: &[BlockInfo],
    end: Timestamp,
    horizon: Option<Timestamp>,
    policy: &CompactionPolicy,
) -> Option<Compaction> {
    let timeline = Timeline::new(blocks, end, horizon, policy);
    overlap::next(&timeline).or_else(|| leveled::next(&timeline)).or_else(|| deleted::next(&timeline))
}

/// The blocks that may be compacted, and those around them.
pub(super) struct Timeline<'a> {
    /// All that may be inputs, by the start of their ranges.
    pub(super) blocks: Vec<&'a BlockInfo>,
    /// All blocks of samples.
    all: Vec<&'a BlockInfo>,
    pub(super) end: Timestamp,
    pub(super) policy: &'a CompactionPolicy,
}

impl<'a> Timeline<'a> {
    fn new(
        blocks: &'a [BlockInfo],
        end: Timestamp,
        horizon: Option<Timestamp>,
        policy: &'a CompactionPolicy,
    ) -> Self {
        let mut all: Vec<&BlockInfo> = blocks.iter().filter(|block| block.meta.is_raw()).collect();
        all.sort_by_key(|block| (block.meta.range.start(), written(block)));
        let may_be_input = |block: &&&BlockInfo| {
            let range = block.meta.range;
            !block.is_damaged && range.end() < end && horizon.is_none_or(|horizon| range.end() >= horizon)
        };
        Self { blocks: all.iter().filter(may_be_input).copied().collect(), all, end, policy }
    }

    /// The compaction of `group`, if it has at least two blocks, keeps to all bounds, is worth its cost and leaves
    /// what queries see as it is.
    pub(super) fn merge(&self, mut group: Vec<&BlockInfo>, reason: Reason) -> Option<Compaction> {
        let is_due = group.len() >= 2 && self.fits(&group) && is_worth(&group) && self.keeps_order(&group);
        group.sort_by_key(|block| written(block));
        let inputs = group.iter().map(|block| block.meta.id).collect();
        is_due.then_some(Compaction { inputs, reason })
    }

    /// Is the group within the bounds of size?
    pub(super) fn fits(&self, group: &[&BlockInfo]) -> bool {
        let longest = group.iter().map(|block| length(&block.meta.range)).max().unwrap_or(0);
        let bound = longest.max(u64::try_from(self.policy.max_range_ms).unwrap_or(0));
        let bytes = group.iter().fold(0_u64, |sum, block| sum.saturating_add(block.bytes));
        group.len() <= self.policy.max_inputs
            && bytes <= self.policy.max_bytes
            && union(group).is_some_and(|range| length(&range) <= bound)
    }

    /// Of two samples of a series at one time the one written later, or earlier, is seen. So a block that was written
    /// between those of the group must not lie where they do.
    fn keeps_order(&self, group: &[&BlockInfo]) -> bool {
        let Some(range) = union(group) else { return false };
        let is_member = |block: &BlockInfo| group.iter().any(|member| member.meta.id == block.meta.id);
        let mut others =
            self.all.iter().filter(|block| block.meta.range.overlaps(&range) && !is_member(block));
        others.all(|other| {
            let earlier = group.iter().filter(|member| written(member) < written(other)).count();
            earlier == 0 || earlier == group.len()
        })
    }
}

/// When the samples of a block were written: later ones have a greater key.
pub(super) fn written(block: &BlockInfo) -> (BlockId, BlockId) {
    let meta = &block.meta;
    (meta.sources.iter().copied().max().unwrap_or(meta.id), meta.id)
}

fn is_worth(group: &[&BlockInfo]) -> bool {
    let largest = group.iter().map(|block| block.bytes).max().unwrap_or(0);
    let bytes = group.iter().fold(0_u64, |sum, block| sum.saturating_add(block.bytes));
    bytes <= CHEAP_BYTES
        || (bytes - largest).saturating_mul(WORTH_PART) >= largest
        || group.len() > MANY_BLOCKS
}

fn union(group: &[&BlockInfo]) -> Option<TimeRange> {
    group.iter().map(|block| block.meta.range).reduce(|all, range| all.union(&range))
}

/// Its length in ms.
fn length(range: &TimeRange) -> u64 {
    range.end().abs_diff(range.start())
}
