//! Work that keeps a database in shape: blocks are cut from the head, the head and the log forget what is in blocks,
//! old blocks expire. What is due is planned by [`tsdb_rollup::plan`]; this carries it out.
//!
//! Every step can be repeated: one that fails, or must wait for a querier, is tried again in the next round.

use super::cut::{new_id, write_block};
use super::{Engine, Published};
use crate::Error;
use crate::head::Epoch;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use tsdb_core::block::BlockId;
use tsdb_core::{TimeRange, Timestamp};
use tsdb_rollup::plan::{BlockWidth, CutPolicy, HeadSpan, Plan, Policy, plan};

/// A segment of the log spans at most this part of a block, so that the log is dropped in time.
const SEGMENTS_PER_BLOCK: i64 = 8;

/// What is left over from earlier rounds.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The head may forget what lies before this time when nothing older than the epoch is pinned.
    truncation: Option<(Timestamp, Epoch)>,
    /// The log may forget what lies before this time.
    checkpoint: Option<Timestamp>,
    /// Blocks that were past retention in the last round. A clock that jumps once deletes nothing.
    expiring: BTreeSet<BlockId>,
}

impl Engine {
    /// Moves all samples of the head into blocks.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let mut work = self.work.lock();
        self.check_open()?;
        let Some(range) = self.head.memory().range() else { return Ok(()) };
        // The very last instant has no time after it from which the head could go on, so it stays in the head.
        let end = range.end().min(Timestamp::MAX - 1);
        let width = self.block_width()?;
        let mut exact = false;
        while let Some(first) = self.first_time(exact).filter(|first| *first <= end) {
            exact = !self.cut(&mut work, width.window(first).end().min(end))?;
        }
        self.clean_up(&mut work)
    }

    /// Does what is due. Everything is tried; the first failure is returned.
    pub(crate) fn maintain(&self) -> Result<(), Error> {
        let mut work = self.work.lock();
        self.check_open()?;
        let rotated = self.head.rotate_if_longer(self.options.block_range_ms / SEGMENTS_PER_BLOCK);
        let cut = self.cut_due(&mut work);
        let expired = self.expire(&mut work);
        rotated.and(cut).and(expired).and(self.clean_up(&mut work))
    }

    fn cut_due(&self, work: &mut Work) -> Result<(), Error> {
        let Some(range) = self.head.memory().range() else { return Ok(()) };
        if self.next_cut(range)?.is_none() {
            return Ok(());
        }
        let mut exact = false;
        while let Some(range) = self.first_time(exact).and_then(|first| TimeRange::new(first, range.end())) {
            let Some(window) = self.next_cut(range)? else { break };
            exact = !self.cut(work, window.end())?;
        }
        Ok(())
    }

    /// The oldest time in the head. Finding it takes a walk through all series, finding it exactly some decoding too:
    /// that is worth it only in a gap.
    fn first_time(&self, exact: bool) -> Option<Timestamp> {
        self.head.memory().first_time(self.head_from(), exact)
    }

    fn next_cut(&self, range: TimeRange) -> Result<Option<TimeRange>, Error> {
        let span = HeadSpan { range, last_append: Some(self.head.last_append()) };
        let steps = plan(Some(span), &[], &self.policy()?, self.options.clock.now());
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
        let mut published = self.published.write();
        let blocks = match block {
            Some(block) => {
                self.blocks_cut.fetch_add(1, Ordering::Relaxed);
                published.blocks.with(block)
            }
            None => published.blocks.clone(),
        };
        *published = Published { blocks, head_from: end };
        drop(published);
        // ORDER: whoever pins the new epoch sees what has just been published.
        work.truncation = Some((end, self.head.advance()));
        work.checkpoint = Some(end);
        Ok(is_cut)
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
        let blocks = self.published.read().blocks.metas();
        let steps = plan(None, &blocks, &self.policy()?, self.options.clock.now());
        let due: BTreeSet<BlockId> = steps
            .into_iter()
            .filter_map(|step| match step {
                Plan::Drop(id) => Some(id),
                _ => None,
            })
            .collect();
        let twice: Vec<BlockId> = due.intersection(&work.expiring).copied().collect();
        work.expiring = due;
        for id in twice {
            let mut published = self.published.write();
            published.blocks = published.blocks.without(id);
            drop(published);
            self.place.remove(id)?;
            work.expiring.remove(&id);
        }
        Ok(())
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

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }
}
