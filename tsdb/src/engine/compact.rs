//! Compactions: what is due is merged beside everything else, and takes the place of its sources in one step.

use super::Engine;
use super::work::Work;
use crate::block::{Block, BlockSpec, Merged};
use crate::blocks::{Blocks, OpenBlock};
use crate::compact::{Failure, Job, Load, execute};
use crate::stats::RunningCompaction;
use crate::tombstones::Tombstones;
use crate::verify::{OnProgress, Progress};
use crate::{DuplicatePolicy, Error};
use std::collections::BTreeSet;
use std::sync::Arc;
use tsdb_core::Timestamp;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_rollup::plan::{BlockInfo, Compaction, CompactionPolicy, Reason, next_compaction};

/// Without a retention, no block becomes longer than this, in ms.
const LONGEST_RANGE_MS: i64 = 31 * 86_400_000;
/// How long the background waits after a failure before it tries again, in ms; twice as long after each further one,
const FIRST_WAIT_MS: i64 = 60_000;
/// up to this.
const LONGEST_WAIT_MS: i64 = 3_600_000;
/// How often a compaction is begun anew because something was deleted meanwhile.
const MAX_TRIES: usize = 4;

/// When the background may compact again.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
    not_before: Option<i64>,
}

/// What became of a compaction.
enum Outcome {
    /// The sources are replaced, or one of them is left out from now on.
    Done,
    /// Something about the sources changed meanwhile.
    Overtaken,
}

impl Engine {
    /// Compacts all that is due, whatever others do meanwhile.
    pub(crate) fn compact(&self) -> Result<(), Error> {
        let _turn = self.begin_compaction()?;
        while let Some(due) = self.due_compaction()? {
            self.carry_out(&due, None)?;
        }
        Ok(())
    }

    /// Makes the windows that are due and compacts what is due, out of consideration for `load`.
    pub(crate) fn compact_in_background(&self, load: &Arc<dyn Load>) -> Result<(), Error> {
        if self.head.unreplayed_bytes().is_some() {
            return Ok(());
        }
        let rolled = self.roll_up_due(Some(load));
        let here = if self.options.compaction { self.compact_here(load) } else { Ok(()) };
        let here = rolled.and(here);
        let is_wanted = self.shipper.as_ref().is_some_and(|shipper| shipper.tier().compaction);
        here.and(if is_wanted { self.compact_far(Some(load)) } else { Ok(()) })
    }

    fn compact_here(&self, load: &Arc<dyn Load>) -> Result<(), Error> {
        let mut patience = self.begin_compaction()?;
        let now = self.options.clock.monotonic_ms();
        if patience.not_before.is_some_and(|not_before| now < not_before) {
            return Ok(());
        }
        while let Some(due) = self.due_compaction()? {
            if let Err(error) = self.carry_out(&due, Some(load)) {
                let wait = FIRST_WAIT_MS << patience.failures.min(10);
                patience.failures += 1;
                patience.not_before = Some(now.saturating_add(wait.min(LONGEST_WAIT_MS)));
                return Err(error);
            }
            *patience = Patience::default();
        }
        Ok(())
    }

    /// Writes each block of samples in which something is deleted anew, without it.
    pub(crate) fn clean_tombstones(&self, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
        let _turn = self.begin_compaction()?;
        let with_tombstones = self
            .infos()
            .into_iter()
            .filter(|info| info.deleted > 0.0 && info.meta.is_raw() && !info.is_damaged);
        let found: Vec<(BlockId, u64)> = with_tombstones.map(|info| (info.meta.id, info.bytes)).collect();
        let total = found.iter().map(|(_, bytes)| bytes).sum();
        let mut done = 0;
        for (id, bytes) in found {
            on_progress(&Progress { now: Block::dir_name(id), done, total });
            self.carry_out(&Compaction { inputs: vec![id], reason: Reason::Deleted }, None)?;
            done += bytes;
            on_progress(&Progress { now: Block::dir_name(id), done, total });
        }
        Ok(())
    }

    /// Waits for the compaction of others.
    pub(super) fn begin_compaction(&self) -> Result<parking_lot::MutexGuard<'_, Patience>, Error> {
        self.wait_for_replay();
        let turn = self.compaction.lock();
        self.check_work().map(|()| turn)
    }

    /// What is to be compacted next.
    fn due_compaction(&self) -> Result<Option<Compaction>, Error> {
        let horizon = self.horizon(&mut *self.begin_work()?);
        // Blocks may lie where the log has never been: they were imported.
        let in_head = self.head.memory().range().map(|range| range.start());
        let end = self.border().from.max(in_head.unwrap_or(Timestamp::MAX).min(self.options.clock.now()));
        Ok(next_compaction(&self.infos(), end, horizon, &self.compaction_policy()?))
    }

    fn infos(&self) -> Vec<BlockInfo> {
        let blocks = self.published.read().blocks.clone();
        blocks.iter_open().map(|open| self.info(open)).collect()
    }

    fn info(&self, open: &OpenBlock) -> BlockInfo {
        let meta = open.block.meta().clone();
        let deleted = open.block.tombstones().series_count() as f64 / meta.stats.series.max(1) as f64;
        let is_damaged = !open.block.warnings().is_empty() || self.left_out.lock().contains_key(&meta.id);
        // What is about to be merged on object storage is not merged here.
        let is_damaged = is_damaged || self.is_leaving(meta.id);
        BlockInfo { meta, bytes: open.bytes, deleted, is_damaged }
    }

    /// May the block on disk be one that others merge on object storage?
    fn is_leaving(&self, id: BlockId) -> bool {
        self.shipper.as_ref().is_some_and(|shipper| shipper.leaving().lock().contains(&id))
    }

    pub(super) fn compaction_policy(&self) -> Result<CompactionPolicy, Error> {
        let retention_ms = self.retention().map_or(self.options.retention_ms, |in_force| in_force.samples_ms);
        let tenth = retention_ms.map(|retention| retention / 10);
        let longest = self.options.max_block_range_ms.or(tenth).unwrap_or(LONGEST_RANGE_MS);
        Ok(CompactionPolicy {
            width: self.block_width()?,
            max_range_ms: longest,
            max_bytes: self.options.max_block_bytes,
            ..CompactionPolicy::default()
        })
    }

    /// Carries out `due`, again if it is overtaken by a delete.
    fn carry_out(&self, due: &Compaction, load: Option<&Arc<dyn Load>>) -> Result<(), Error> {
        for _ in 0..MAX_TRIES {
            if let Outcome::Done = self.try_compaction(due, load)? {
                return Ok(());
            }
        }
        Err(Error::Overtaken { blocks: due.inputs.len() })
    }

    fn try_compaction(&self, due: &Compaction, load: Option<&Arc<dyn Load>>) -> Result<Outcome, Error> {
        let Some(job) = self.job(due)? else { return Ok(Outcome::Done) };
        let samples = job.inputs.iter().map(|(meta, _)| meta.stats.samples).sum();
        let inputs = job.inputs.len() as u64;
        self.compactions
            .begin(RunningCompaction { blocks: inputs, samples, bytes_written: 0 }, load.cloned());
        let outcome = match execute(&self.place, &job, &self.throttle, &self.compactions) {
            Ok(merged) => self.swap(&job, merged),
            Err(Failure::Stopped) => Err(Error::Closed),
            Err(Failure::Output(error)) => Err(error),
            Err(Failure::Input(id, error)) => {
                self.leave_out(id, &error.to_string());
                self.compactions.end(None);
                return Ok(Outcome::Done);
            }
        };
        self.compactions.end(matches!(outcome, Ok(Outcome::Done)).then_some(inputs));
        log::info!(
            "{}: {inputs} blocks of {samples} samples {}",
            self.place.dir.display(),
            match &outcome {
                Ok(Outcome::Done) => "became one",
                Ok(Outcome::Overtaken) => "changed while they were compacted",
                Err(_) => "could not be compacted",
            }
        );
        outcome
    }

    /// What carrying out `due` takes; `None` if one of its blocks is no longer there.
    fn job(&self, due: &Compaction) -> Result<Option<Job>, Error> {
        let work = self.begin_work()?;
        let blocks = self.published.read().blocks.clone();
        let find = |id: &BlockId| blocks.iter().find(|block| block.meta().id == *id);
        let Some(found) = due.inputs.iter().map(find).collect::<Option<Vec<_>>>() else { return Ok(None) };
        if due.inputs.iter().any(|id| self.is_leaving(*id)) {
            return Ok(None);
        }
        let metas = || found.iter().map(|block| block.meta());
        // What an input has replaced may still be on disk or named: then it is replaced by the result too.
        let named = self.shipper.as_ref().and_then(|shipper| shipper.ledger().known());
        let is_named =
            |id: &BlockId| named.as_ref().is_some_and(|named| named.manifest.blocks.contains_key(id));
        let is_there = |id: &&BlockId| work.is_doomed(**id) || is_named(id);
        let still_there = metas().flat_map(|meta| &meta.parents).filter(is_there);
        let parents: BTreeSet<BlockId> = due.inputs.iter().chain(still_there).copied().collect();
        let spec = BlockSpec::merging(self.name_block(), metas(), parents);
        let inputs = found.iter().map(|block| (block.meta().clone(), block.tombstones())).collect();
        let keep_first = self.options.duplicates == DuplicatePolicy::KeepFirst;
        Ok(Some(Job { spec, inputs, keep_first }))
    }

    /// Publishes what was merged in place of its sources, unless something was deleted in them meanwhile or they are
    /// gone.
    fn swap(&self, job: &Job, merged: Option<Merged<'_>>) -> Result<Outcome, Error> {
        // Meanwhile nothing is deleted, expired or linked.
        let mut work = self.begin_work()?;
        let blocks = self.published.read().blocks.clone();
        let is_as_before = |(meta, tombstones): &(BlockMeta, Arc<Tombstones>)| {
            blocks.has_unchanged(meta.id, tombstones) && !self.is_leaving(meta.id)
        };
        if !job.inputs.iter().all(is_as_before) {
            return Ok(Outcome::Overtaken);
        }
        if let (None, Some(shipper)) = (&merged, &self.shipper) {
            // ORDER: nothing takes the place of these, so a restart must not find them on object storage.
            let gone = job.inputs.iter().map(|(meta, _)| meta.id).collect();
            shipper.drop_for_good(&*self.place.fs, &gone)?;
        }
        // ORDER: the new block is durable under its name before anyone is told, and before its sources go.
        let opened = merged.map(|merged| self.publish_merged(merged, &mut work, job.spec.id)).transpose()?;
        let mut published = self.published.write();
        let mut now: Blocks = published.blocks.clone();
        for (meta, _) in &job.inputs {
            work.doom(now.iter().find(|block| block.meta().id == meta.id));
            now = now.without(meta.id);
        }
        published.blocks = opened.into_iter().fold(now, |blocks, open| blocks.with(open));
        drop((published, blocks));
        if let Err(error) = self.remove_doomed(&mut work) {
            log::warn!("blocks that were replaced stay for now: {error}");
        }
        Ok(Outcome::Done)
    }

    fn publish_merged(&self, merged: Merged<'_>, work: &mut Work, id: BlockId) -> Result<OpenBlock, Error> {
        let published = merged.publish().map_err(Error::from);
        let opened = published.and_then(|_| self.place.open(&self.place.path(id)));
        opened.inspect_err(|_| {
            // The last step may have failed after the block got its name. It must not be found there, since from now
            // on something may be deleted in its sources.
            if self.place.remove(id).is_err() {
                work.doom_unopened(id);
            }
        })
    }
}
