//! Work that keeps a database in shape: blocks are cut from the head, the head and the log forget what is in blocks,
//! old blocks expire. What is due is planned by [`tsdb_rollup::plan`]; this carries it out.
//!
//! Every step can be repeated: one that fails, or must wait for a querier, is tried again in the next round.

use super::cut::{new_id, write_block};
use super::horizon::Horizon;
use super::{Engine, Published};
use crate::Error;
use crate::block::Block;
use crate::blocks::OpenBlock;
use crate::head::Epoch;
use parking_lot::MutexGuard;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use tsdb_core::block::BlockId;
use tsdb_core::{TimeRange, Timestamp};
use tsdb_rollup::plan::{BlockWidth, CutPolicy, HeadSpan, Plan, Policy, plan};

/// A segment of the log spans at most this part of a block, so that the log is dropped in time.
const SEGMENTS_PER_BLOCK: i64 = 8;
/// Blocks that one round cuts at most: samples from everywhere must not keep other work waiting for long.
const CUTS_PER_ROUND: usize = 64;
/// Series that never got a sample are looked for once in this many rounds.
const ROUNDS_PER_SWEEP: u64 = 16;

/// What is left over from earlier rounds.
#[derive(Debug, Default)]
pub(super) struct Work {
    rounds: u64,
    /// The head may forget what lies before this time when nothing older than the epoch is pinned.
    truncation: Option<(Timestamp, Epoch)>,
    /// The log may forget what lies before this time.
    checkpoint: Option<Timestamp>,
    horizon: Horizon,
    /// Blocks that were past retention in the last round. A horizon that is wrong once deletes nothing.
    expiring: BTreeSet<BlockId>,
    /// Blocks that no new querier sees, to be removed when the last of the old ones is gone.
    doomed: BTreeMap<BlockId, Weak<Block>>,
}

impl Work {
    /// Is the block one that no new querier sees?
    pub(super) fn is_doomed(&self, id: BlockId) -> bool {
        self.doomed.contains_key(&id)
    }
}

impl Engine {
    /// Drops the log as far as its samples are in blocks, every segment of it if need be.
    pub(crate) fn renew_log(&self) -> Result<(), Error> {
        let _work = self.begin_work()?;
        self.head.renew_log(self.head_from(), self.first_time(false).is_none())
    }

    /// Moves the samples of the head up to now into blocks.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let mut work = self.begin_work()?;
        self.drop_expired(&mut work)?;
        let Some(range) = self.head.memory().range() else { return self.clean_up(&mut work) };
        // What is ahead of the clock stays: nothing before it would be taken any more. So does the very last instant,
        // which has no time after it from which the head could go on.
        let end = range.end().min(self.options.clock.now()).min(Timestamp::MAX - 1);
        let width = self.block_width()?;
        let mut exact = false;
        while let Some(first) = self.first_time(exact).filter(|first| *first <= end) {
            exact = !self.cut(&mut work, width.window(first).end().min(end))?;
            MutexGuard::unlock_fair(work);
            work = self.begin_work()?;
        }
        self.clean_up(&mut work)
    }

    /// Does what is due; nothing is before the log is replayed. Everything is tried; the first failure is returned.
    pub(crate) fn maintain(&self) -> Result<(), Error> {
        if self.head.unreplayed_bytes().is_some() {
            return Ok(());
        }
        let mut work = self.begin_work()?;
        work.rounds = work.rounds.wrapping_add(1);
        let rotated = self.head.rotate_if_longer(self.options.block_range_ms / SEGMENTS_PER_BLOCK);
        let dropped = self.drop_expired(&mut work);
        MutexGuard::unlock_fair(work);
        let cut = self.cut_due();
        let mut work = self.begin_work()?;
        let expired = self.expire(&mut work);
        let spare = self.head.has_spare_segments(self.head_from());
        if let Ok(true) = spare {
            work.checkpoint.get_or_insert(self.head_from());
        }
        if work.rounds.is_multiple_of(ROUNDS_PER_SWEEP) {
            self.head.remove_empty();
        }
        rotated.and(dropped).and(cut).and(expired).and(spare.map(drop)).and(self.clean_up(&mut work))
    }

    /// Waits for the work of others. Between two steps others get their turn, so that closing waits for one at most.
    pub(super) fn begin_work(&self) -> Result<MutexGuard<'_, Work>, Error> {
        self.wait_for_replay();
        let work = self.work.lock();
        if self.is_stopping() { Err(Error::Closed) } else { Ok(work) }
    }

    fn cut_due(&self) -> Result<(), Error> {
        let mut exact = false;
        let mut cuts = 0;
        while cuts < CUTS_PER_ROUND {
            let mut work = self.begin_work()?;
            let Some(last) = self.next_end(exact)? else { break };
            let is_cut = self.cut(&mut work, last)?;
            MutexGuard::unlock_fair(work);
            exact = !is_cut;
            cuts += usize::from(is_cut);
        }
        Ok(())
    }

    /// Up to where a block is due.
    fn next_end(&self, exact: bool) -> Result<Option<Timestamp>, Error> {
        let Some(held) = self.head.memory().range() else { return Ok(None) };
        if self.next_cut(held)?.is_none() {
            return Ok(None);
        }
        let range = self.first_time(exact).and_then(|first| TimeRange::new(first, held.end()));
        let window = range.map_or(Ok(None), |range| self.next_cut(range))?;
        // A head that was idle may go on within the window: only what is in the block is closed.
        Ok(window.map(|window| window.end().min(held.end())))
    }

    /// Forgets the windows of the head that are wholly past retention. Each would cost a block to be deleted at once.
    fn drop_expired(&self, work: &mut Work) -> Result<(), Error> {
        let Some(horizon) = self.horizon(work) else { return Ok(()) };
        self.head.set_horizon(horizon);
        let from = self.block_width()?.window(horizon).start();
        let has_older = self.head.memory().range().is_some_and(|held| held.start() < from);
        if has_older && self.head_from() < from {
            self.head.memory().raise_min_time(from);
            self.publish(work, None, from);
        }
        Ok(())
    }

    /// The time before which samples are past retention; `None` if there is no such time.
    fn horizon(&self, work: &mut Work) -> Option<Timestamp> {
        let retention_ms = self.options.retention_ms?;
        work.horizon.next(&*self.options.clock, self.head.memory().newest()?, retention_ms)
    }

    /// The oldest time in the head. Finding it takes a walk through all series, finding it exactly some decoding too:
    /// that is worth it only in a gap.
    fn first_time(&self, exact: bool) -> Option<Timestamp> {
        self.head.memory().first_time(self.head_from(), exact)
    }

    fn next_cut(&self, range: TimeRange) -> Result<Option<TimeRange>, Error> {
        let now = self.options.clock.now();
        let span = HeadSpan { range, last_append: Some(now.saturating_sub(self.head.idle_ms())) };
        let steps = plan(Some(span), &[], &self.policy()?, now);
        Ok(steps.into_iter().find_map(|step| match step {
            Plan::Cut(window) => Some(window),
            _ => None,
        }))
    }

    /// Makes a block of the head's samples up to and including `last`. Says whether there were any.
    fn cut(&self, work: &mut Work, last: Timestamp) -> Result<bool, Error> {
        let from = self.head_from();
        let end = last.saturating_add(1);
        // ORDER: nothing before `end` is taken any more; then the samples are collected.
        self.head.memory().raise_min_time(end);
        let Some(range) = TimeRange::new(from, last) else { return Ok(false) };
        let newest = self.published.read().blocks.newest_id();
        let block = write_block(&self.head, &self.place, range, new_id(newest, self.options.clock.now()))?;
        let is_cut = block.is_some();
        self.publish(work, block, end);
        Ok(is_cut)
    }

    /// Lets queriers see `block` instead of the samples of the head before `head_from`.
    fn publish(&self, work: &mut Work, block: Option<OpenBlock>, head_from: Timestamp) {
        let mut published = self.published.write();
        let blocks = match block {
            Some(block) => {
                self.blocks_cut.fetch_add(1, Ordering::Relaxed);
                published.blocks.with(block)
            }
            None => published.blocks.clone(),
        };
        *published = Published { blocks, head_from };
        drop(published);
        // ORDER: whoever pins the new epoch sees what has just been published.
        work.truncation = Some((head_from, self.head.advance()));
        work.checkpoint = Some(head_from);
    }

    /// Lets the head and the log forget what is in blocks, as far as no querier needs it.
    fn clean_up(&self, work: &mut Work) -> Result<(), Error> {
        if let Some((min_time, epoch)) = work.truncation
            && self.head.is_unpinned_before(epoch)
        {
            self.head.truncate(min_time);
            work.truncation = None;
        }
        if let Some(min_time) = work.checkpoint {
            self.head.checkpoint(min_time)?;
            work.checkpoint = None;
        }
        self.head.free_numbers();
        self.head.shrink();
        Ok(())
    }

    fn expire(&self, work: &mut Work) -> Result<(), Error> {
        let policy = self.policy()?;
        if let (Some(horizon), Some(retention_ms)) = (self.horizon(work), policy.retention_ms) {
            let blocks = self.published.read().blocks.metas();
            let steps = plan(None, &blocks, &policy, horizon.saturating_add(retention_ms));
            let due = steps.into_iter().filter_map(|step| match step {
                Plan::Drop(id) => Some(id),
                _ => None,
            });
            let before = std::mem::replace(&mut work.expiring, due.collect());
            let twice: BTreeSet<BlockId> = work.expiring.intersection(&before).copied().collect();
            let mut published = self.published.write();
            let expired = published.blocks.iter().filter(|block| twice.contains(&block.meta().id));
            work.doomed.extend(expired.map(|block| (block.meta().id, Arc::downgrade(block))));
            published.blocks = twice.iter().fold(published.blocks.clone(), |blocks, id| blocks.without(*id));
        }
        self.remove_doomed(work)
    }

    /// Removes the blocks that nobody reads any more.
    pub(super) fn remove_doomed(&self, work: &mut Work) -> Result<(), Error> {
        let mut outcome = Ok(());
        // Files are not kept open: as long as somebody reads the block, it must stay under its name.
        work.doomed.retain(|id, block| {
            if block.strong_count() > 0 {
                return true;
            }
            let removed = self.place.remove(*id);
            let failed = removed.is_err();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(removed);
            failed
        });
        outcome
    }

    fn head_from(&self) -> Timestamp {
        self.published.read().head_from
    }

    fn policy(&self) -> Result<Policy, Error> {
        let width = self.block_width()?;
        let cut = CutPolicy { width, slack_ms: width.ms() / 2, idle_ms: Some(width.ms()) };
        Ok(Policy { cut, retention_ms: self.options.retention_ms })
    }

    fn block_width(&self) -> Result<BlockWidth, Error> {
        self.options.block_width()
    }
}
