//! The series that a selection found in one block of windows.
//!
//! What a series of a form does not answer exactly is read from the samples that its windows were made of, as long as
//! they are there; else from the windows, and the set notes that this is an approximation. So is what cannot be read of
//! the windows: while there are samples, damage to windows costs time and nothing else.

use super::DamageLog;
use crate::block::{Block, BlockSeries, WindowColumns};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb_core::read::{Projection, ReadError, SampleColumns, SeriesSet};
use tsdb_core::{Labels, MatchOp, Matcher, TimeRange};
use tsdb_rollup::aggregate::Form;
use tsdb_rollup::merge;
use tsdb_rollup::resolution::Answer;

/// Series of a block of windows.
pub(super) struct WindowSet {
    pub(super) block: Arc<Block>,
    pub(super) resolution_ms: i64,
    pub(super) range: TimeRange,
    pub(super) series: Vec<BlockSeries>,
    /// What is read of them.
    pub(super) answer: Answer,
    /// Do the ranges of the query lie across the windows?
    pub(super) is_across: bool,
    /// The samples that the windows were made of, if all of them are there.
    pub(super) samples: Option<Arc<Samples>>,
    /// Was anything read that is not exact?
    pub(super) approximates: AtomicBool,
}

/// Blocks with samples, in the order in which they were written.
pub(super) struct Samples {
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) keep_first: bool,
    /// What the whole database knows of damage.
    pub(super) damage: Arc<DamageLog>,
    /// Damage that cost samples of this selection.
    pub(super) met: DamageLog,
}

impl Samples {
    /// Replaces `into` by the samples of the series `labels` within `range`. What cannot be read is left out and noted.
    fn read(&self, labels: &Labels, range: TimeRange, into: &mut SampleColumns) {
        into.clear();
        let equal = |(name, value): (&str, &str)| Matcher::new(MatchOp::Equal, name, value).ok();
        let matchers: Vec<Matcher> = labels.iter().filter_map(equal).collect();
        let (mut part, mut damage) = (SampleColumns::new(), Vec::new());
        for block in self.blocks.iter().filter(|block| block.meta().range.overlaps(&range)) {
            let found =
                block.select(&matchers, range, &Projection::All, &mut damage).unwrap_or_else(|error| {
                    damage.push(error);
                    Vec::new()
                });
            for series in found.iter().filter(|series| series.labels == *labels) {
                part.clear();
                damage.extend(block.read(&series.chunks, &series.deleted, range, &mut part).err());
                if self.keep_first { merge::add_missing(&part, into) } else { merge::add(&part, into) }
            }
        }
        for error in &damage {
            self.met.note(error);
            self.damage.note_and_tell(error);
        }
    }
}

impl WindowSet {
    /// Is what was read of a series what its samples would give?
    fn is_exact(&self, series: &BlockSeries, read: &WindowColumns) -> bool {
        let fits = |was_read: bool, form| !was_read || self.answer.is_exact_for(form);
        !self.is_across
            && series.deleted.is_empty()
            && fits(read.corners, Form::Corners)
            && fits(read.spread, Form::Spread)
    }
}

impl SeriesSet for WindowSet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series.get(index).map(|series| series.labels.clone()).unwrap_or_default()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        self.read_weighted(index, into, &mut Vec::new())
    }

    fn read_weighted(
        &self,
        index: usize,
        into: &mut SampleColumns,
        weights: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        into.clear();
        weights.clear();
        let Some(series) = self.series.get(index) else { return Ok(()) };
        let mut read = WindowColumns::default();
        std::mem::swap(&mut read.samples, into);
        std::mem::swap(&mut read.weights, weights);
        let (block, column) = (&self.block, self.answer.column);
        let whole = block.read_windows(&series.chunks, &series.deleted, self.range, column, &mut read);
        if let Err(damage) = whole {
            let Some(samples) = &self.samples else { return Err(damage) };
            samples.damage.note_and_tell(&damage);
            samples.read(&series.labels, self.range, into);
            return Ok(());
        }
        let is_exact = self.is_exact(series, &read);
        if let Some(samples) = self.samples.as_ref().filter(|_| !is_exact) {
            samples.read(&series.labels, self.range, into);
            return Ok(());
        }
        if !is_exact {
            self.approximates.store(true, Ordering::Relaxed);
            // What is not a window of the function's own is taken for a sample.
            if !self.answer.counts_windows() {
                read.weights.iter_mut().for_each(|weight| *weight = (*weight).min(1));
            }
        }
        std::mem::swap(&mut read.samples, into);
        std::mem::swap(&mut read.weights, weights);
        Ok(())
    }

    fn resolution_ms(&self) -> Option<i64> {
        Some(self.resolution_ms)
    }

    fn estimated_samples(&self) -> u64 {
        let chunks = self.series.iter().flat_map(|series| &series.chunks);
        chunks.map(|chunk| u64::from(chunk.samples)).sum()
    }

    fn warnings(&self) -> Vec<String> {
        self.samples.as_ref().map(|samples| samples.met.sentences()).unwrap_or_default()
    }

    fn notes(&self) -> Vec<String> {
        if !self.approximates.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let text = period(self.resolution_ms);
        vec![format!(
            "the result is an approximation from windows of {text}: older samples are past retention"
        )]
    }
}

/// A length of time as people say it.
pub(super) fn period(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let fitting = units.into_iter().find(|(unit, _)| ms % unit == 0);
    fitting.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}
