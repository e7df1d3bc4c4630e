//! Series that stopped, into blocks: without waiting for the cut, because what stopped may be many times what goes on.
//!
//! Series that had no sample for a while move into blocks of their own, one for each window, and leave the head with
//! their labels. One that comes back is a new series, of which readers find the older samples in a block. Each time costs
//! a block, so it is done when it pays.
//!
//! # Steps
//! Each is taken in the first round in which no reader or writer is in the way.
//! 1. An epoch begins. Whoever asks for a series from now on leaves that epoch, or a later one, with it.
//! 2. When nobody is left from before, nobody can add to a series that is idle and was not asked for since. The samples of
//!    these are written as blocks, which are published.
//! 3. When nobody is left who does not know the blocks, those that have still not been asked for are removed, and the log
//!    says so.
//!
//! A crash leaves the series in the log, the head, or both the head and blocks; readers merge the two.

use super::Engine;
use super::late::Written;
use super::work::Work;
use crate::Error;
use crate::head::{Epoch, HeadView};
use std::collections::BTreeSet;
use tsdb_core::{SeriesRef, TimeRange, Timestamp};
use tsdb_index::RoaringBitmap;

/// Series that are looked at in each round. If there are more, not every round looks at all of them.
const SERIES_PER_ROUND: u64 = 200_000;
/// It pays when this part of all series is idle.
const IDLE_SHARE: u64 = 16;
/// Where series are refused for want of room, it pays when this part of all series is idle.
const CROWDED_SHARE: u64 = 256;
/// Blocks that are written at a time. Samples from everywhere in time wait for the cut.
const MAX_BLOCKS: usize = 8;

/// How far it has come.
#[derive(Debug, Default)]
pub(super) enum Retirement {
    /// Nothing is under way.
    #[default]
    Idle,
    /// The epoch has begun.
    Begun { since: Epoch },
    /// The samples of `series` are in blocks that everybody knows who pins `published` or a later epoch.
    Written { since: Epoch, published: Epoch, series: RoaringBitmap },
}

impl Engine {
    /// Goes on with what is under way, and begins if it pays.
    pub(super) fn retire(&self, work: &mut Work) -> Result<(), Error> {
        if matches!(work.retirement, Retirement::Idle) && self.is_retirement_due(work) {
            work.retirement = Retirement::Begun { since: self.head.advance() };
        }
        if let Retirement::Begun { since } = work.retirement
            && self.head.is_unpinned_before(since)
        {
            work.retirement = Retirement::Idle;
            work.retirement = self.write_idle(since)?;
        }
        if let Retirement::Written { since, published, series } = &work.retirement
            && self.head.is_unpinned_before(*published)
        {
            let retired = self.head.retire(series, *since);
            work.retirement = Retirement::Idle;
            let retired = retired?;
            log::debug!("{retired} series that stopped left the head");
        }
        Ok(())
    }

    fn is_retirement_due(&self, work: &Work) -> bool {
        let active = self.head.memory().active();
        let is_time = work.rounds.is_multiple_of(1 + active / SERIES_PER_ROUND);
        let Some(before) = self.idle_before().filter(|_| is_time) else { return false };
        let least = match self.head.admission().take_crowded() {
            false => (self.options.min_idle_series as u64).max(active / IDLE_SHARE),
            true => active / CROWDED_SHARE,
        };
        let idle = self.head.memory().idle(before, Epoch::MAX).len();
        self.head.admission().note_idle(idle);
        idle >= least.max(1)
    }

    /// The time from which on a series that goes on has samples.
    pub(crate) fn idle_before(&self) -> Option<Timestamp> {
        let idle_ms = Some(self.options.idle_series_ms).filter(|idle_ms| *idle_ms > 0)?;
        let newest = self.head.memory().newest()?.min(self.options.clock.now());
        Some(newest.saturating_sub(idle_ms))
    }

    fn write_idle(&self, since: Epoch) -> Result<Retirement, Error> {
        let Some(before) = self.idle_before() else { return Ok(Retirement::Idle) };
        let series = self.head.memory().idle(before, since);
        let windows = self.windows_of(&series)?;
        if windows.is_empty() || windows.len() > MAX_BLOCKS {
            return Ok(Retirement::Idle);
        }
        let (border, mut written) = (self.border(), Written::default());
        let width = self.block_width()?;
        let all = windows.into_iter().try_for_each(|start| {
            let view = HeadView::beyond(border, width.window(start)).in_order_alone();
            self.write_view(&view, Some(&series), &mut written).map(drop)
        });
        all.inspect_err(|_| self.discard(&written))?;
        let mut published = self.published.write();
        let blocks = std::mem::take(&mut published.blocks);
        published.blocks = written.blocks.into_iter().fold(blocks, |blocks, block| blocks.with(block));
        drop(published);
        // ORDER: whoever pins the new epoch sees what has just been published.
        Ok(Retirement::Written { since, published: self.head.advance(), series })
    }

    /// Starts of the windows in which these series have samples that are in no block; a few more than are written at a time,
    /// if there are many.
    fn windows_of(&self, series: &RoaringBitmap) -> Result<BTreeSet<Timestamp>, Error> {
        let (width, from) = (self.block_width()?, self.border().from);
        let mut windows = BTreeSet::new();
        for range in series.iter().filter_map(|series| self.head.memory().range_of(SeriesRef(series))) {
            let mut rest = TimeRange::new(range.start().max(from), range.end());
            while let Some(range) = rest.filter(|_| windows.len() <= MAX_BLOCKS) {
                let window = width.window(range.start());
                windows.insert(window.start());
                let behind = window.end().checked_add(1);
                rest = behind.and_then(|behind| TimeRange::new(behind, range.end()));
            }
        }
        Ok(windows)
    }
}
