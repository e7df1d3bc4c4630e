//! Work that keeps a database in shape: blocks are cut from the head, the head and the log forget what is in blocks,
//! old blocks expire. What is due is planned by [`tsdb_rollup::plan`]; this carries it out.
//!
//! Every step can be repeated: one that fails, or must wait for a querier, is tried again in the next round.

use super::horizon::Horizon;
use super::late::Written;
use super::retire::Retirement;
use super::{Engine, Published};
use crate::Error;
use crate::block::Block;
use crate::head::{Epoch, HeadView};
use crate::record::Border;
use crate::retention::{Retention, RetentionPlan};
use parking_lot::MutexGuard;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use tsdb_core::block::BlockId;
use tsdb_core::{TimeRange, Timestamp};
use tsdb_rollup::plan::{BlockWidth, CutPolicy, HeadSpan, Plan, Policy, plan};

/// Blocks that one round cuts at most: samples from everywhere must not keep other work waiting for long.
const CUTS_PER_ROUND: usize = 64;
/// Series that never got a sample are looked for once in this many rounds.
const ROUNDS_PER_SWEEP: u64 = 16;

/// What is left over from earlier rounds.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) rounds: u64,
    /// Series that stopped, on their way into blocks.
    pub(super) retirement: Retirement,
    /// The head may forget what lies on the other side of this border when nothing older than the epoch is pinned.
    truncation: Option<(Border, Epoch)>,
    /// The log may forget what lies on the other side of this border.
    checkpoint: Option<Border>,
    /// Since when there are late samples that no cut took, in monotonic time.
    pub(super) late_since: Option<i64>,
    horizon: Horizon,
    /// Blocks that were past retention in the last round. A horizon that is wrong once deletes nothing.
    expiring: BTreeSet<BlockId>,
    /// Blocks that no new querier sees, to be removed when the last of the old ones is gone.
    doomed: BTreeMap<BlockId, Weak<Block>>,
}

impl Work {
    /// Nothing is left over but what `horizon` knows of the clock.
    pub(super) fn after(horizon: Horizon) -> Self {
        Self { horizon, ..Self::default() }
    }

    /// These blocks are to be removed when nobody reads them any more.
    pub(super) fn doom<'b>(&mut self, blocks: impl IntoIterator<Item = &'b Arc<Block>>) {
        let blocks = blocks.into_iter();
        self.doomed.extend(blocks.map(|block| (block.meta().id, Arc::downgrade(block))));
    }

    /// The block `id`, which nobody reads, is to be removed.
    pub(super) fn doom_unopened(&mut self, id: BlockId) {
        self.doomed.insert(id, Weak::new());
    }

    /// Is the block one that no new querier sees?
    pub(super) fn is_doomed(&self, id: BlockId) -> bool {
        self.doomed.contains_key(&id)
    }
}

impl Engine {
    /// Begins a new log, with a checkpoint of what is in memory and in no block.
    pub(crate) fn renew_log(&self) -> Result<(), Error> {
        let _work = self.begin_work()?;
        self.head.checkpoint(self.border())
    }

    /// Moves the samples of the head up to now into blocks.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let mut work = self.begin_work()?;
        self.drop_expired(&mut work)?;
        let Some(range) = self.head.memory().range() else {
            self.flush_late(&mut work)?;
            return self.clean_up(&mut work);
        };
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
        self.flush_late(&mut work)?;
        self.clean_up(&mut work)
    }

    /// Does what is due, and makes the windows that are; nothing is before the log is replayed. Everything is tried; the
    /// first failure is returned.
    pub(crate) fn maintain(&self) -> Result<(), Error> {
        if self.head.unreplayed_bytes().is_some() {
            return Ok(());
        }
        let maintained = self.maintain_in_background();
        maintained.and(self.roll_up_due(None))
    }

    /// As [`maintain`](Self::maintain), without windows, which take long.
    pub(crate) fn maintain_in_background(&self) -> Result<(), Error> {
        if self.head.unreplayed_bytes().is_some() {
            return Ok(());
        }
        let mut work = self.begin_work()?;
        work.rounds = work.rounds.wrapping_add(1);
        self.keep_time(&mut work, false);
        let dropped = self.drop_expired(&mut work);
        MutexGuard::unlock_fair(work);
        let cut = self.cut_due();
        let mut work = self.begin_work()?;
        let flushed = self.flush_late_if_due(&mut work);
        let retired = self.retire(&mut work);
        let expired = self.expire(&mut work, cut.is_ok());
        if self.head.is_log_longer(self.options.checkpoint_log_bytes) {
            work.checkpoint.get_or_insert(self.border());
        }
        if work.rounds.is_multiple_of(ROUNDS_PER_SWEEP) {
            self.head.remove_empty();
        }
        let cleaned = self.clean_up(&mut work);
        drop(work);
        let outcome = dropped.and(cut).and(flushed).and(retired).and(expired);
        outcome.and(cleaned)
    }

    /// Waits for the work of others. Between two steps others get their turn, so that closing waits for one at most.
    pub(super) fn begin_work(&self) -> Result<MutexGuard<'_, Work>, Error> {
        self.wait_for_replay();
        let work = self.work.lock();
        self.check_work().map(|()| work)
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

    /// Forgets the windows of the head that are wholly past retention. Each would cost a block to be deleted at once; it is
    /// made all the same of what is past it for long if the retention is new, so that its guard sees it.
    fn drop_expired(&self, work: &mut Work) -> Result<(), Error> {
        let Some(horizon) = self.horizon(work) else { return Ok(()) };
        self.head.set_horizon(horizon);
        let from = self.block_width()?.window(horizon).start();
        let Some(held) = self.head.memory().range() else { return Ok(()) };
        let Some(retention) = self.retention() else { return Ok(()) };
        let is_overdue = held.start() < horizon.saturating_sub(retention.samples_ms.unwrap_or_default());
        if is_overdue && !self.keeping.is_acted_on(&retention) {
            return Ok(());
        }
        if held.start() < from && self.border().from < from {
            self.head.memory().raise_min_time(from);
            self.publish(work, Written::default(), Border { from, ..self.border() });
        }
        Ok(())
    }

    /// Keeps for the next start the time, if it is believed, and the retention that was acted on.
    pub(super) fn keep_time(&self, work: &mut Work, is_end: bool) {
        let place = &self.place;
        let acted_on = self.keeping.acted_on().unwrap_or_default();
        work.horizon.keep(&*place.fs, &place.dir, &*self.options.clock, acted_on, is_end);
    }

    /// The time before which samples are past retention; `None` if there is no such time.
    pub(super) fn horizon(&self, work: &mut Work) -> Option<Timestamp> {
        Some(self.believed_now(work)?.saturating_sub(self.retention()?.samples_ms?))
    }

    /// What time it is at least, as far as retention is concerned; `None` if nothing is known.
    pub(super) fn believed_now(&self, work: &mut Work) -> Option<Timestamp> {
        // A block that somebody put there may be newer than everything that came in.
        let in_blocks = self.published.read().blocks.end().checked_sub(1);
        let newest = self.head.memory().newest().max(in_blocks)?;
        work.horizon.next(&*self.options.clock, newest)
    }

    /// The oldest time in the head. Finding it takes a walk through all series, finding it exactly some decoding too:
    /// that is worth it only in a gap.
    fn first_time(&self, exact: bool) -> Option<Timestamp> {
        self.head.memory().first_time(self.border().from, exact)
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

    /// Makes a block of the head's samples up to and including `last`, and blocks of late samples from before. Says
    /// whether there were any.
    fn cut(&self, work: &mut Work, last: Timestamp) -> Result<bool, Error> {
        let border = self.border();
        let end = last.saturating_add(1);
        // ORDER: nothing before `end` is taken in order any more; then the samples are collected.
        self.head.memory().raise_min_time(end);
        let Some(range) = TimeRange::new(border.from, last) else { return Ok(false) };
        let late = self.end_late_generation(work);
        let view = HeadView::beyond(border, range).with_late_upto(late.unwrap_or(0));
        let mut written = Written::default();
        let is_written = late
            .map_or(Ok(()), |generation| self.write_late(border, generation, border.from, &mut written))
            .and_then(|()| self.write_view(&view, None, &mut written));
        let is_cut = is_written.inspect_err(|_| self.discard(&written))?;
        self.blocks_cut.fetch_add(u64::from(is_cut), Ordering::Relaxed);
        let border = Border { from: end, cut: late.unwrap_or(border.cut), ..border };
        self.publish(work, written, border);
        self.head.log_border(border)?;
        Ok(is_cut)
    }

    /// Lets queriers see what was `written` instead of the samples of the head on the other side of `border`.
    pub(super) fn publish(&self, work: &mut Work, written: Written, border: Border) {
        let mut published = self.published.write();
        let blocks =
            written.blocks.into_iter().fold(published.blocks.clone(), |blocks, block| blocks.with(block));
        *published = Published { blocks, border };
        drop(published);
        // ORDER: whoever pins the new epoch sees what has just been published.
        work.truncation = Some((border, self.head.advance()));
        work.checkpoint = Some(border);
    }

    /// Lets the head and the log forget what is in blocks, as far as no querier needs it.
    fn clean_up(&self, work: &mut Work) -> Result<(), Error> {
        if let Some((border, epoch)) = work.truncation
            && self.head.is_unpinned_before(epoch)
        {
            self.head.truncate(&border);
            work.truncation = None;
        }
        if let Some(border) = work.checkpoint {
            self.head.checkpoint(border)?;
            work.checkpoint = None;
        }
        self.head.free_numbers();
        self.head.shrink();
        Ok(())
    }

    /// Deletes what is past retention, if the plan `is_whole`: what the head has of it is in blocks, where the guard sees it.
    fn expire(&self, work: &mut Work, is_whole: bool) -> Result<(), Error> {
        let mut outcome = Ok(());
        if let Some((now, retention)) = self.believed_now(work).zip(self.retention()) {
            let plan = self.plan_of(&retention, now);
            outcome = plan.check();
            if outcome.is_ok() && is_whole {
                self.keeping.act_on(&retention);
            }
            // Of what windows are being made goes when they are made.
            let rolling = self.rolling.lock().clone();
            let due = plan.steps.iter().map(|step| step.id);
            let due = due.filter(|id| outcome.is_ok() && !rolling.contains(id)).collect();
            let before = std::mem::replace(&mut work.expiring, due);
            let twice: BTreeSet<BlockId> = work.expiring.intersection(&before).copied().collect();
            self.tell_of_lost_windows(&plan, &twice);
            let mut published = self.published.write();
            let expired = || published.blocks.iter().filter(|block| twice.contains(&block.meta().id));
            let newest = expired().map(|block| block.meta().range.end()).max();
            work.doom(expired());
            published.blocks = twice.iter().fold(published.blocks.clone(), |blocks, id| blocks.without(*id));
            drop(published);
            newest.into_iter().for_each(|newest| self.head.changes().note_until(newest));
        }
        outcome.and(self.remove_doomed(work))
    }

    /// Tells which of the blocks that are `going` now go without windows: these could not be made.
    fn tell_of_lost_windows(&self, plan: &RetentionPlan, going: &BTreeSet<BlockId>) {
        for step in plan.steps.iter().filter(|step| step.lacks_windows && going.contains(&step.id)) {
            let (dir, block, range) = (self.place.dir.display(), &step.block, step.range);
            let (start, end) = (range.start(), range.end());
            log::warn!(
                "{dir}: block {block}, from {start} to {end} ms, goes, and not all of it became windows"
            );
        }
    }

    /// What `retention`, or the one in force, would delete now.
    pub(crate) fn retention_plan(&self, retention: Option<&Retention>) -> Result<RetentionPlan, Error> {
        let mut work = self.begin_work()?;
        let now = self.believed_now(&mut work);
        let in_force = self.retention();
        let plan = retention.or(in_force.as_deref()).zip(now);
        Ok(plan.map(|(retention, now)| self.plan_of(retention, now)).unwrap_or_default())
    }

    /// What retention would delete at `now`, on disk and on object storage.
    pub(super) fn retention_at(&self, now: Timestamp) -> RetentionPlan {
        self.retention().map(|retention| self.plan_of(&retention, now)).unwrap_or_default()
    }

    fn plan_of(&self, retention: &Retention, now: Timestamp) -> RetentionPlan {
        let blocks = self.published.read().blocks.clone();
        let here = blocks.iter_open().map(|open| (open.block.meta().clone(), open.bytes));
        let far = blocks.far().map(|far| (far.block.meta().clone(), far.bytes));
        let sizes: Vec<_> = here.chain(far).collect();
        RetentionPlan::of(&sizes, retention, now, self.keeping.is_acted_on(retention))
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

    pub(super) fn border(&self) -> Border {
        self.published.read().border
    }

    fn policy(&self) -> Result<Policy, Error> {
        let width = self.block_width()?;
        let cut = CutPolicy { width, slack_ms: width.ms() / 2, idle_ms: Some(width.ms()) };
        Ok(Policy { cut, ..Policy::default() })
    }

    pub(super) fn block_width(&self) -> Result<BlockWidth, Error> {
        self.options.block_width()
    }
}
