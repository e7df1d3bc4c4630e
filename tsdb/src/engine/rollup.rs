//! Samples into windows. What is due is planned by [`tsdb_rollup::plan`]; this carries it out.
//!
//! A block of windows is written beside everything else and is seen when it is whole; the one that it replaces goes
//! when nobody reads it any more. If something is deleted meanwhile in what it is made of, it is made anew. A crash
//! before it has its name leaves nothing, one after that leaves both, and the new one names the old one.

use super::Engine;
use super::work::Work;
use crate::Error;
use crate::block::{Block, BlockSeries, BlockSpec, BlockWriter};
use crate::blocks::{Blocks, OpenBlock};
use crate::compact::Load;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tsdb_core::Labels;
use tsdb_core::block::BlockId;
use tsdb_core::metadata::MetricType;
use tsdb_core::read::{ReadError, SampleColumns};
use tsdb_rollup::aggregate::AggregateColumns;
use tsdb_rollup::downsample::{downsample, form_of};
use tsdb_rollup::merge::{self, SeriesMerger};
use tsdb_rollup::plan::{RollupStep, next_rollup};

/// Series that are looked up at once.
const PAGE_SERIES: u32 = 1024;

/// Blocks that one round makes at most, so that other work gets its turn.
const BLOCKS_PER_ROUND: usize = 4;

/// Steps that gave nothing, because there are no samples in their spans.
pub(super) type Vain = Vec<RollupStep>;

/// Series that are made between two looks whether others want the machine.
const SERIES_PER_PAUSE: usize = 64;

/// What became of a step.
enum Outcome {
    Made,
    /// There is nothing in its span.
    Empty,
    /// Something about its inputs changed meanwhile.
    Overtaken,
}

impl Engine {
    /// Makes the blocks of windows that are due, out of consideration for `load`.
    pub(super) fn roll_up_due(&self, load: Option<&Arc<dyn Load>>) -> Result<(), Error> {
        let Some(retention) = self.retention() else { return Ok(()) };
        let mut vain = self.vain_rollups.lock();
        for _ in 0..BLOCKS_PER_ROUND {
            let blocks = self.published.read().blocks.clone();
            let (now, settled) = (self.options.clock.now(), self.settled());
            let ids: BTreeSet<BlockId> = blocks.everywhere().map(|block| block.meta().id).collect();
            vain.retain(|step: &RollupStep| step.inputs.iter().all(|id| ids.contains(id)));
            let is_vain = |step: &RollupStep| vain.contains(step);
            let metas: Vec<_> = blocks.everywhere().map(|block| block.meta().clone()).collect();
            let step = next_rollup(&metas, &retention.rollups, settled, now, is_vain);
            let Some(step) = step else { break };
            self.rolling.lock().extend(&step.inputs);
            let outcome = self.roll_up(blocks, &step, load);
            self.rolling.lock().clear();
            if let Outcome::Empty = outcome? {
                vain.push(step);
            }
        }
        Ok(())
    }

    /// Up to when all samples are in blocks.
    fn settled(&self) -> i64 {
        match self.head.memory().range() {
            None => i64::MAX,
            Some(held) => held.start().max(self.border().from).saturating_sub(1),
        }
    }

    /// Makes the block of `step`.
    fn roll_up(
        &self,
        blocks: Blocks,
        step: &RollupStep,
        load: Option<&Arc<dyn Load>>,
    ) -> Result<Outcome, Error> {
        let inputs: Vec<&Arc<Block>> =
            blocks.everywhere().filter(|block| step.inputs.contains(&block.meta().id)).collect();
        let level = inputs.iter().map(|block| block.meta().level).max().unwrap_or(0).saturating_add(1);
        let before: Vec<_> = inputs.iter().map(|block| (block.meta().id, block.tombstones())).collect();
        let id = self.name_block();
        let spec = BlockSpec {
            id,
            level,
            sources: step.sources.clone(),
            parents: step.replaces.clone(),
            rollup: Some(step.rollup),
        };
        let mut writer = BlockWriter::create(&*self.place.fs, &self.place.dir, spec)?;
        self.write_windows(&inputs, step, &mut writer, load)?;
        // What it replaces is removed if nobody has it.
        drop(inputs);
        drop(blocks);
        // Meanwhile nothing is deleted, expired or linked.
        let mut work = self.begin_work()?;
        let now = self.published.read().blocks.clone();
        if !before.iter().all(|(id, tombstones)| now.has_unchanged(*id, tombstones)) {
            return Ok(Outcome::Overtaken);
        }
        drop((before, now));
        let Some(_) = writer.finish()? else { return Ok(Outcome::Empty) };
        let made = self.place.open(&self.place.path(id))?;
        self.publish_rollup(&mut work, made, step)?;
        Ok(Outcome::Made)
    }

    fn write_windows(
        &self,
        inputs: &[&Arc<Block>],
        step: &RollupStep,
        writer: &mut BlockWriter<'_>,
        load: Option<&Arc<dyn Load>>,
    ) -> Result<(), Error> {
        let types: BTreeMap<String, MetricType> =
            self.head.metadata().into_iter().map(|(name, known)| (name, known.metric_type)).collect();
        let streams = inputs.iter().map(|block| Pages::new(block, step));
        let mut samples = SampleColumns::new();
        for (number, series) in SeriesMerger::new(streams).enumerate() {
            if number % SERIES_PER_PAUSE == 0 && !self.throttle.advance(0, load.map(|load| &**load)) {
                return Err(Error::Closed);
            }
            let series = series.map_err(|error| self.unreadable(error))?;
            let parts = if inputs.iter().all(|block| block.meta().is_raw()) {
                self.read_samples(&series.parts, step, &mut samples);
                let declared = declared(&types, &series.labels);
                let form = form_of(&series.labels, declared, &samples);
                let mut windows = AggregateColumns::default();
                let all = AggregateColumns::of_samples(std::mem::take(&mut samples), form);
                downsample(&all, step.rollup.resolution_ms, &mut windows);
                vec![windows]
            } else {
                self.read_windows(&series.parts, step)
            };
            writer.add_windows(&series.labels, &parts)?;
        }
        Ok(())
    }

    /// Replaces `into` by the samples of a series. What is damaged is left out and named.
    fn read_samples(&self, parts: &[(&Block, BlockSeries)], step: &RollupStep, into: &mut SampleColumns) {
        let keep_first = self.options.duplicates == crate::DuplicatePolicy::KeepFirst;
        let mut part = SampleColumns::new();
        into.clear();
        for (block, series) in parts {
            part.clear();
            match block.read(&series.chunks, &series.deleted, step.rollup.covers, &mut part) {
                Err(error) => self.damage.note_and_tell(&error),
                Ok(()) if keep_first => merge::add_missing(&part, into),
                Ok(()) => merge::add(&part, into),
            }
        }
    }

    /// The windows of a series, made of shorter ones: runs of one form. What is damaged is left out and named.
    fn read_windows(&self, parts: &[(&Block, BlockSeries)], step: &RollupStep) -> Vec<AggregateColumns> {
        let mut parts: Vec<_> = parts.iter().collect();
        parts.sort_by_key(|(_, series)| series.chunks.first().map(|chunk| chunk.range.start()));
        let mut made: Vec<AggregateColumns> = Vec::new();
        for (block, series) in parts {
            let mut short = AggregateColumns::default();
            match block.read_all_windows(&series.chunks, &series.deleted, &mut short) {
                Err(error) => self.damage.note_and_tell(&error),
                Ok(()) => {
                    let mut long = AggregateColumns::default();
                    downsample(&short, step.rollup.resolution_ms, &mut long);
                    match made.last_mut().filter(|last| last.form() == long.form()) {
                        Some(last) => last.extend(&long),
                        None => made.push(long),
                    }
                }
            }
        }
        made
    }

    /// Lets queriers see the new block instead of those that it replaces.
    fn publish_rollup(&self, work: &mut Work, made: OpenBlock, step: &RollupStep) -> Result<(), Error> {
        let mut published = self.published.write();
        let replaced = published.blocks.iter().filter(|block| step.replaces.contains(&block.meta().id));
        work.doom(replaced);
        let rest = step.replaces.iter().fold(published.blocks.clone(), |blocks, id| blocks.without(*id));
        let end = made.block.meta().range.end();
        published.blocks = rest.with(made);
        drop(published);
        // Windows may answer more coarsely than what they replace.
        self.head.changes().note_until(end);
        self.rollups_made.fetch_add(1, Ordering::Relaxed);
        self.remove_doomed(work)
    }

    fn unreadable(&self, error: ReadError) -> Error {
        self.damage.note_and_tell(&error);
        match error {
            ReadError::Corrupt { source, .. } => Error::Corrupt { path: self.place.dir.clone(), source },
            other => Error::io("read", &self.place.dir, std::io::Error::other(other)),
        }
    }
}

/// The type that was declared for the metric of a series, or for the family that it belongs to.
fn declared(types: &BTreeMap<String, MetricType>, labels: &Labels) -> MetricType {
    let name = labels.metric_name();
    let families = ["", "_bucket", "_count", "_sum", "_total"];
    let found = families.into_iter().filter_map(|end| types.get(name.strip_suffix(end)?));
    found.copied().find(|declared| *declared != MetricType::Unknown).unwrap_or_default()
}

/// The series of a block, a page at a time.
struct Pages<'b> {
    block: &'b Block,
    step: &'b RollupStep,
    next: Option<u32>,
    page: std::vec::IntoIter<BlockSeries>,
}

impl<'b> Pages<'b> {
    fn new(block: &'b Block, step: &'b RollupStep) -> Self {
        Self { block, step, next: Some(0), page: Vec::new().into_iter() }
    }
}

impl<'b> Iterator for Pages<'b> {
    type Item = Result<(Labels, (&'b Block, BlockSeries)), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(series) = self.page.next() {
                return Some(Ok((series.labels.clone(), (self.block, series))));
            }
            match self.block.page(self.next.take()?, PAGE_SERIES, self.step.rollup.covers) {
                Ok((page, next)) => (self.page, self.next) = (page.into_iter(), next),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
