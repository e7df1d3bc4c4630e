//! Late samples into blocks: windows that have been cut get further blocks, which overlap the earlier ones.

use super::Engine;
use super::cut::write_block;
use super::work::Work;
use crate::Error;
use crate::blocks::OpenBlock;
use crate::head::{Generation, HeadView};
use crate::record::Border;
use std::sync::atomic::Ordering;
use tsdb_core::{TimeRange, Timestamp};
use tsdb_index::RoaringBitmap;

/// Blocks that were written and that nobody sees yet.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) blocks: Vec<OpenBlock>,
}

impl Engine {
    /// Ends the generation of late samples that grows; `None` if there are no late samples.
    pub(super) fn end_late_generation(&self, work: &mut Work) -> Option<Generation> {
        self.head.memory().late_range()?;
        work.late_since = Some(self.options.clock.monotonic_ms());
        Some(self.head.end_generation())
    }

    /// Moves late samples into blocks if they take much memory, or if no cut has taken them along for long.
    pub(super) fn flush_late_if_due(&self, work: &mut Work) -> Result<(), Error> {
        if self.head.memory().late_range().is_none() {
            work.late_since = None;
            return Ok(());
        }
        let now = self.options.clock.monotonic_ms();
        let since = *work.late_since.get_or_insert(now);
        if self.head.is_late_full() || now.saturating_sub(since) >= self.options.block_range_ms {
            return self.flush_late(work);
        }
        Ok(())
    }

    /// Moves all late samples into blocks.
    pub(super) fn flush_late(&self, work: &mut Work) -> Result<(), Error> {
        let Some(generation) = self.end_late_generation(work) else { return Ok(()) };
        let border = self.border();
        let mut written = Written::default();
        let all = self.write_late(border, generation, Timestamp::MAX, &mut written);
        all.inspect_err(|_| self.discard(&written))?;
        let border = Border { flushed: generation, ..border };
        self.publish(work, written, border);
        Ok(self.head.log_border(border)?)
    }

    /// Writes the late samples before `end`, up to `generation`, as a block for each window.
    pub(super) fn write_late(
        &self,
        border: Border,
        generation: Generation,
        end: Timestamp,
        written: &mut Written,
    ) -> Result<(), Error> {
        // The very last instant belongs to the window before it.
        let last = if end == Timestamp::MAX { end } else { end.saturating_sub(1) };
        let Some(before) = TimeRange::new(Timestamp::MIN, last) else { return Ok(()) };
        let width = self.block_width()?;
        let view = HeadView::beyond(border, before).late_upto(generation);
        for start in self.head.memory().late_places(&view, |timestamp| width.window(timestamp).start()) {
            let Some(window) = width.window(start).intersect(&before) else { continue };
            let view = HeadView::beyond(border, window).late_upto(generation);
            let is_written = self.write_view(&view, None, written)?;
            self.late_blocks.fetch_add(u64::from(is_written), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes the samples in `view`, those of the series in `only` if given, as a block. Says whether there are any.
    pub(super) fn write_view(
        &self,
        view: &HeadView,
        only: Option<&RoaringBitmap>,
        written: &mut Written,
    ) -> Result<bool, Error> {
        let id = self.name_block();
        let block = write_block(&self.head, &self.place, view, only, id)?;
        let is_written = block.is_some();
        written.blocks.extend(block);
        Ok(is_written)
    }

    /// Takes blocks away that are not needed: the head still has their samples.
    pub(super) fn discard(&self, written: &Written) {
        for open in &written.blocks {
            if let Err(error) = self.place.remove(open.block.meta().id) {
                log::warn!("a block that is not needed stays: {error}");
            }
        }
    }
}
