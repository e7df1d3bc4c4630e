//! Samples into windows. What is due is planned by [`tsdb_rollup::plan`]; this carries it out.
//!
//! A block of windows is written beside everything else and is seen when it is whole; the one that it replaces goes
//! when nobody reads it any more. If something is deleted meanwhile in what it is made of, it is made anew. A crash
//! before it has its name leaves nothing, one after that leaves both, and the new one names the old one.
//!
//! What cannot be read because a disk or object storage does not answer has the block wait, for a day. What is damaged is
//! left out, series by series, and the block names the sources of which it lacks samples. It never replaces one that has
//! them, nor one that lacks samples of the same sources and holds more. Then the old windows stay as they are, all of
//! them: for the times of what is damaged they go on answering (see [`Blocks::with_damage`]), for all others the samples
//! do. Old windows and new ones are deliberately not mixed by series in one block: it could not say what it lacks.

use super::Engine;
use super::work::Work;
use crate::Error;
use crate::block::{Block, BlockSeries, BlockSpec, BlockWriter};
use crate::blocks::{Blocks, OpenBlock};
use crate::compact::Load;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tsdb_core::Labels;
use tsdb_core::block::BlockId;
use tsdb_core::read::{ReadError, SampleColumns};
use tsdb_rollup::aggregate::AggregateColumns;
use tsdb_rollup::downsample::{downsample, form_of};
use tsdb_rollup::merge::{self, SeriesMerger};
use tsdb_rollup::plan::{RollupStep, next_rollup};

/// Series that are looked up at once.
const PAGE_SERIES: u32 = 1024;
/// Reads of the index in vain, which may take long each, before the rest of such a page counts as lost.
const READS_IN_VAIN: u32 = 256;

/// Blocks that one round makes at most, so that other work gets its turn.
const BLOCKS_PER_ROUND: usize = 4;

/// What cannot be read is tried again after this, ms.
const RETRY_MS: i64 = 5 * 60_000;
/// So long what cannot be read counts as being away and not as lost, ms. Windows that lack it are not improved more often.
const PATIENCE_MS: i64 = 86_400_000;

/// Steps that were tried in vain.
pub(super) type Vain = Vec<Tried>;

/// A step that gave nothing, and when it is tried again. Times are monotonic, ms.
#[derive(Debug)]
pub(super) struct Tried {
    step: RollupStep,
    first: i64,
    /// `None` is never, while its inputs are what they are.
    again: Option<i64>,
}

/// Series that are made between two looks whether others want the machine.
const SERIES_PER_PAUSE: usize = 64;

/// What became of a step.
enum Outcome {
    Made,
    /// There is nothing in its span.
    Empty,
    /// Something about its inputs changed meanwhile.
    Overtaken,
    /// The windows that are there lack less.
    NoBetter,
}

/// Why no windows were made.
pub(super) enum Failure {
    /// Something cannot be read, which may pass.
    Unread(Error),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// What became of the inputs of a step.
struct Missing {
    /// Does what cannot be read count as lost?
    is_patient: bool,
    /// The inputs of which something is missing.
    blocks: BTreeSet<BlockId>,
    /// Entries of the windows that were made of the rest.
    entries: u64,
}

impl Engine {
    /// Makes the blocks of windows that are due, out of consideration for `load`. What cannot be read is left for later,
    /// and the first such failure returned at the end.
    pub(super) fn roll_up_due(&self, load: Option<&Arc<dyn Load>>) -> Result<(), Error> {
        let Some(retention) = self.retention() else { return Ok(()) };
        let mut vain = self.vain_rollups.lock();
        let mut unread = Ok(());
        for _ in 0..BLOCKS_PER_ROUND {
            let blocks = self.published.read().blocks.clone();
            let (now, settled) = (self.options.clock.now(), self.settled());
            let moment = self.options.clock.monotonic_ms();
            let ids: BTreeSet<BlockId> = blocks.everywhere().map(|block| block.meta().id).collect();
            vain.retain(|tried: &Tried| tried.step.inputs.iter().all(|id| ids.contains(id)));
            let is_vain = |step: &RollupStep| {
                let tried = vain.iter().find(|tried| tried.step == *step);
                tried.is_some_and(|tried| tried.again.is_none_or(|again| moment < again))
            };
            let metas: Vec<_> = blocks.everywhere().map(|block| block.meta().clone()).collect();
            let step = next_rollup(&metas, &retention.rollups, settled, now, is_vain);
            let Some(step) = step else { break };
            let first = vain.iter().find(|tried| tried.step == step).map_or(moment, |tried| tried.first);
            self.rolling.lock().extend(&step.inputs);
            let is_patient = moment.saturating_sub(first) >= PATIENCE_MS;
            let outcome = self.roll_up(blocks, &step, is_patient, load);
            self.rolling.lock().clear();
            let again = match outcome {
                Ok(Outcome::Made | Outcome::Overtaken) => continue,
                Ok(Outcome::Empty) => None,
                Ok(Outcome::NoBetter) => Some(moment.saturating_add(PATIENCE_MS)),
                Err(Failure::Unread(error)) => {
                    unread = unread.and(Err(error));
                    Some(moment.saturating_add(RETRY_MS))
                }
                Err(Failure::Other(error)) => return Err(error),
            };
            vain.retain(|tried| tried.step != step);
            vain.push(Tried { step, first, again });
        }
        unread
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
        is_patient: bool,
        load: Option<&Arc<dyn Load>>,
    ) -> Result<Outcome, Failure> {
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
            incomplete: Vec::new(),
            rollup: Some(step.rollup),
        };
        let mut writer = BlockWriter::create(&*self.place.fs, &self.place.dir, spec)?;
        let mut missing = Missing { is_patient, blocks: BTreeSet::new(), entries: 0 };
        self.write_windows(&inputs, step, &mut missing, &mut writer, load)?;
        self.note_damaged(&inputs, &missing, step)?;
        let incomplete = incomplete(&inputs, &missing);
        if !is_better(&blocks, step, &incomplete, missing.entries) {
            return Ok(Outcome::NoBetter);
        }
        writer.set_incomplete(incomplete);
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
        missing: &mut Missing,
        writer: &mut BlockWriter<'_>,
        load: Option<&Arc<dyn Load>>,
    ) -> Result<(), Failure> {
        let types = self.types_of(inputs, missing.is_patient)?;
        let damage = RefCell::new(Vec::new());
        let streams = inputs.iter().map(|block| Pages::new(block, step, missing.is_patient, &damage));
        let mut samples = SampleColumns::new();
        for (number, series) in SeriesMerger::new(streams).enumerate() {
            if number % SERIES_PER_PAUSE == 0 && !self.throttle.advance(0, load.map(|load| &**load)) {
                return Err(Error::Closed.into());
            }
            let Ok(series) = series;
            self.note_missing(&damage, missing)?;
            let parts = if inputs.iter().all(|block| block.meta().is_raw()) {
                self.read_samples(&series.parts, step, &damage, &mut samples);
                let declared = types.of(series.labels.metric_name());
                let form = form_of(&series.labels, declared, &samples);
                let mut windows = AggregateColumns::default();
                let all = AggregateColumns::of_samples(std::mem::take(&mut samples), form);
                downsample(&all, step.rollup.resolution_ms, &mut windows);
                vec![windows]
            } else {
                read_windows(&series.parts, step, &damage)
            };
            self.note_missing(&damage, missing)?;
            missing.entries += parts.iter().map(|part| part.len() as u64).sum::<u64>();
            writer.add_windows(&series.labels, &parts)?;
        }
        self.note_missing(&damage, missing)
    }

    /// Notes the `damage` that was met, unless it may pass: then it is an error.
    fn note_missing(&self, damage: &RefCell<Damage>, missing: &mut Missing) -> Result<(), Failure> {
        for (id, error) in damage.take() {
            self.damage.note_and_tell(&error);
            if !missing.is_patient && error.may_pass() {
                return Err(Failure::Unread(self.unreadable(error)));
            }
            missing.blocks.insert(id);
        }
        Ok(())
    }

    /// Has queries know which of the samples in `inputs` are damaged: old windows of them may have more.
    fn note_damaged(
        &self,
        inputs: &[&Arc<Block>],
        missing: &Missing,
        step: &RollupStep,
    ) -> Result<(), Failure> {
        if !inputs.iter().all(|block| block.meta().is_raw()) {
            return Ok(());
        }
        // Meanwhile nobody else changes the list.
        let _work = self.begin_work()?;
        let covers = step.rollup.covers;
        let known = self.published.read().blocks.with_damage(inputs, &missing.blocks, covers);
        let Some(blocks) = known else { return Ok(()) };
        self.published.write().blocks = blocks;
        self.head.changes().note_until(covers.end());
        Ok(())
    }

    /// Replaces `into` by the samples of a series. What cannot be read is left out and added to `damage`.
    fn read_samples(
        &self,
        parts: &[(&Block, BlockSeries)],
        step: &RollupStep,
        damage: &RefCell<Damage>,
        into: &mut SampleColumns,
    ) {
        let keep_first = self.options.duplicates == crate::DuplicatePolicy::KeepFirst;
        let mut part = SampleColumns::new();
        into.clear();
        for (block, series) in parts {
            part.clear();
            if let Err(error) = block.read(&series.chunks, &series.deleted, step.rollup.covers, &mut part) {
                damage.borrow_mut().push((block.meta().id, error));
                for chunk in series.chunks.chunks(1) {
                    // That something cannot be read is known.
                    drop(block.read(chunk, &series.deleted, step.rollup.covers, &mut part));
                }
                part.renew_reset_hints();
            }
            if keep_first { merge::add_missing(&part, into) } else { merge::add(&part, into) }
        }
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
        match error {
            ReadError::Corrupt { source, .. } => Error::Corrupt { path: self.place.dir.clone(), source },
            other => Error::io("read", &self.place.dir, std::io::Error::other(other)),
        }
    }
}

/// The windows of a series, made of shorter ones: runs of one form. What cannot be read is left out and added to
/// `damage`.
fn read_windows(
    parts: &[(&Block, BlockSeries)],
    step: &RollupStep,
    damage: &RefCell<Damage>,
) -> Vec<AggregateColumns> {
    let mut parts: Vec<_> = parts.iter().collect();
    parts.sort_by_key(|(_, series)| series.chunks.first().map(|chunk| chunk.range.start()));
    let mut made: Vec<AggregateColumns> = Vec::new();
    for (block, series) in parts {
        let mut short = AggregateColumns::default();
        match block.read_all_windows(&series.chunks, &series.deleted, &mut short) {
            Err(error) => damage.borrow_mut().push((block.meta().id, error)),
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

/// Those of the sources of `inputs` of which not everything is there.
fn incomplete(inputs: &[&Arc<Block>], missing: &Missing) -> BTreeSet<BlockId> {
    let of = |block: &&Arc<Block>| {
        let meta = block.meta();
        if missing.blocks.contains(&meta.id) { meta.sources.clone() } else { meta.incomplete.clone() }
    };
    inputs.iter().flat_map(of).collect()
}

/// Do windows that lack samples of the sources `incomplete` have more than those that they replace, and all of what these
/// have? Which samples of a source are missing nobody knows: where some are in both, the one with more `entries` counts.
fn is_better(blocks: &Blocks, step: &RollupStep, incomplete: &BTreeSet<BlockId>, entries: u64) -> bool {
    let replaced: Vec<&Arc<Block>> =
        blocks.everywhere().filter(|block| step.replaces.contains(&block.meta().id)).collect();
    let loses = |block: &&Arc<Block>| {
        let meta = block.meta();
        let was_whole = |source: &BlockId| meta.sources.contains(source) && !meta.incomplete.contains(source);
        let is_alike = meta.rollup == Some(step.rollup) && block.tombstones().is_empty();
        let had_more = is_alike && entries < meta.stats.samples;
        incomplete.iter().any(was_whole)
            || had_more && incomplete.iter().any(|source| meta.incomplete.contains(source))
    };
    let gains = |block: &&Arc<Block>| {
        let meta = block.meta();
        meta.incomplete.iter().any(|source| !incomplete.contains(source))
            || step.sources.iter().any(|source| !meta.sources.contains(source))
            || meta.rollup != Some(step.rollup)
    };
    replaced.is_empty() || (!replaced.iter().any(loses) && replaced.iter().any(gains))
}

/// What could not be read, and of which blocks.
type Damage = Vec<(BlockId, ReadError)>;

/// The series of a block, a page at a time. Those that cannot be read are left out.
struct Pages<'b> {
    block: &'b Block,
    step: &'b RollupStep,
    /// Does what cannot be read count as lost?
    is_patient: bool,
    damage: &'b RefCell<Damage>,
    next: Option<u32>,
    page: std::vec::IntoIter<BlockSeries>,
}

impl<'b> Pages<'b> {
    fn new(block: &'b Block, step: &'b RollupStep, is_patient: bool, damage: &'b RefCell<Damage>) -> Self {
        Self { block, step, is_patient, damage, next: Some(0), page: Vec::new().into_iter() }
    }

    /// The page from number `first` on, and the number behind it.
    fn load(&self, first: u32) -> (Vec<BlockSeries>, Option<u32>) {
        let covers = self.step.rollup.covers;
        let damaged = match self.block.page(first, PAGE_SERIES, covers) {
            Ok(page) => return page,
            Err(error) => error,
        };
        let may_pass = damaged.may_pass();
        self.damage.borrow_mut().push((self.block.meta().id, damaged));
        // Whoever is not patient gives up.
        let found = match (may_pass, self.is_patient) {
            (true, false) => Vec::new(),
            (true, true) => self.load_whole(first, READS_IN_VAIN),
            (false, _) => self.load_whole(first, u32::MAX),
        };
        let behind = self.block.page(first.saturating_add(PAGE_SERIES), 0, covers).ok();
        (found, behind.and_then(|(_, next)| next))
    }

    /// Those series of the page from number `first` on that can be read: ever smaller parts of it are tried, the large ones
    /// first, until `tries` were in vain.
    fn load_whole(&self, first: u32, mut tries: u32) -> Vec<BlockSeries> {
        let halves = |first: u32, count: u32| {
            let half = count / 2;
            [(first, half), (first.saturating_add(half), count.saturating_sub(half))]
        };
        let mut parts = VecDeque::from(halves(first, PAGE_SERIES));
        let mut found = BTreeMap::new();
        while let Some((first, count)) = parts.pop_front().filter(|_| tries > 0) {
            match self.block.page(first, count, self.step.rollup.covers) {
                Ok((series, _)) => drop(found.insert(first, series)),
                Err(_) => {
                    tries = tries.saturating_sub(1);
                    parts.extend(halves(first, count).into_iter().filter(|_| count > 1));
                }
            }
        }
        found.into_values().flatten().collect()
    }
}

impl<'b> Iterator for Pages<'b> {
    type Item = Result<(Labels, (&'b Block, BlockSeries)), Infallible>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(series) = self.page.next() {
                return Some(Ok((series.labels.clone(), (self.block, series))));
            }
            let first = self.next.take()?;
            let (page, next) = self.load(first);
            (self.page, self.next) = (page.into_iter(), next);
        }
    }
}
