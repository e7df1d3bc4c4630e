//! Merging blocks that lie on object storage, under the lease.
//!
//! What is due is planned as for blocks on disk, among those that no server holds. The sources are fetched to the disk,
//! every checksum compared, merged there, and the result is uploaded and verified; then one generation of the manifest
//! names it in place of its sources, if the lease is still ours and nothing was deleted in them. Whatever is cut short
//! leaves objects that nobody names. A source that cannot be read is left out from then on and named.

use super::{Engine, types};
use crate::Error;
use crate::block::{Block, BlockSpec, FrameCache};
use crate::blocks::BlockPlace;
use crate::compact::{Failure, Job, Load, execute};
use crate::stats::RunningCompaction;
use crate::tier::upload::{fetch_block, put_block};
use crate::tier::{Epoch, LedgerError, Shipper, StoreError, StoredBlock, UploadError};
use crate::{DuplicatePolicy, names};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tsdb_core::block::BlockId;
use tsdb_rollup::plan::{BlockInfo, Compaction, next_compaction};

/// Memory for unpacked parts of a source while it is opened, in bytes.
const CACHE_BYTES: usize = 1 << 20;

/// What is to be merged.
enum Sources {
    /// These.
    Ready(Vec<StoredBlock>),
    /// One of them is not there any more.
    Gone,
}

impl Engine {
    /// Merges what is due on object storage, out of consideration for `load`; nothing while somebody else has the lease.
    pub(crate) fn compact_far(&self, load: Option<&Arc<dyn Load>>) -> Result<(), Error> {
        let Some(shipper) = &self.shipper else { return Ok(()) };
        let _turn = self.begin_compaction()?;
        self.refresh_far(shipper)?;
        if self.due_far(shipper)?.is_none() {
            return Ok(());
        }
        let (ledger, for_ms) = (shipper.ledger(), shipper.tier().lease_ms);
        let now = self.options.clock.now();
        let Some(epoch) = ledger.lease(shipper.name(), now, for_ms)? else { return Ok(()) };
        let merged = ledger.while_leased(epoch, for_ms, || self.merge_far(shipper, epoch, load));
        let given_back = ledger.give_back(epoch).map_err(Error::from);
        merged.and(given_back)
    }

    fn merge_far(&self, shipper: &Shipper, epoch: Epoch, load: Option<&Arc<dyn Load>>) -> Result<(), Error> {
        loop {
            self.refresh_far(shipper)?;
            let known = shipper.ledger().known();
            if !known.is_some_and(|known| known.manifest.is_leased(epoch)) {
                return Ok(());
            }
            let Some(due) = self.due_far(shipper)? else { return Ok(()) };
            if self.is_stopping() {
                return Err(Error::Closed);
            }
            let scratch = names::temporary(&self.place.dir.join(names::FAR_MERGE));
            let outcome = self.remove_scratch(&scratch);
            let outcome = outcome.and_then(|()| self.try_far(shipper, epoch, &due, &scratch, load));
            outcome.and(self.remove_scratch(&scratch))?;
        }
    }

    /// What is to be merged next on object storage.
    fn due_far(&self, shipper: &Shipper) -> Result<Option<Compaction>, Error> {
        let horizon = self.horizon(&mut *self.begin_work()?);
        let blocks = self.published.read().blocks.clone();
        let info = |block: &Arc<Block>, bytes: u64| {
            let meta = block.meta().clone();
            let deleted = block.tombstones().series_count() as f64 / meta.stats.series.max(1) as f64;
            // What others hold, and what lies on disk, is planned around.
            let is_ours = block.is_far() && !shipper.is_held(meta.id);
            let is_damaged = !is_ours || self.left_out.lock().contains_key(&meta.id);
            BlockInfo { meta, bytes, deleted, is_damaged }
        };
        let near = blocks.iter_open().map(|open| info(&open.block, open.bytes));
        let infos: Vec<BlockInfo> = near.chain(blocks.far().map(|far| info(&far.block, far.bytes))).collect();
        // Ranges that reach the newest block still grow.
        Ok(next_compaction(&infos, blocks.end(), horizon, &self.compaction_policy()?))
    }

    /// Carries out `due` in the directory `scratch`, as far as nobody else changes its sources.
    fn try_far(
        &self,
        shipper: &Shipper,
        epoch: Epoch,
        due: &Compaction,
        scratch: &Path,
        load: Option<&Arc<dyn Load>>,
    ) -> Result<(), Error> {
        let place = self.scratch(scratch)?;
        let Sources::Ready(sources) = self.fetch_sources(shipper, due, &place)? else { return Ok(()) };
        let Some(job) = self.far_job(&sources, &place)? else { return Ok(()) };
        let types = types::recorded(shipper, &sources)?;
        let samples = job.inputs.iter().map(|(meta, _)| meta.stats.samples).sum();
        let blocks = job.inputs.len() as u64;
        self.compactions.begin(RunningCompaction { blocks, samples, bytes_written: 0 }, load.cloned());
        let outcome = match execute(&place, &job, &self.throttle, &self.compactions) {
            Err(Failure::Stopped) => Err(Error::Closed),
            Err(Failure::Output(error)) => Err(error),
            Err(Failure::Input(id, error)) => {
                self.leave_out(id, &error.to_string());
                Ok(false)
            }
            Ok(merged) => merged
                .map_or(Ok(None), |merged| {
                    merged.publish().map_err(Error::from)?;
                    let dir = place.path(job.spec.id);
                    let block = Block::open(&place.fs, &dir, Arc::clone(&place.cache))?;
                    put_block(&*place.fs, &dir, &block, &types, false, shipper.ledger())
                        .map(Some)
                        .map_err(Error::from)
                })
                .and_then(|merged| Ok(shipper.replace(epoch, &sources, merged.as_ref())?)),
        };
        self.compactions.end(outcome.as_ref().is_ok_and(|is_named| *is_named).then_some(blocks));
        if let Ok(true) = outcome {
            log::info!("{}: {blocks} blocks on object storage became one", self.place.dir.display());
        }
        outcome.map(drop)
    }

    fn scratch(&self, scratch: &Path) -> Result<BlockPlace, Error> {
        let fs = Arc::clone(&self.place.fs);
        fs.create_dir_all(scratch).map_err(|error| Error::io("create", scratch, error))?;
        Ok(BlockPlace { fs, dir: scratch.into(), cache: Arc::new(FrameCache::new(CACHE_BYTES)) })
    }

    fn remove_scratch(&self, scratch: &Path) -> Result<(), Error> {
        let fs = &*self.place.fs;
        if fs.exists(scratch).map_err(|error| Error::io("inspect", scratch, error))? {
            fs.remove_dir_all(scratch).map_err(|error| Error::io("remove", scratch, error))?;
        }
        Ok(())
    }

    /// Fetches the blocks that are to be merged.
    fn fetch_sources(
        &self,
        shipper: &Shipper,
        due: &Compaction,
        place: &BlockPlace,
    ) -> Result<Sources, Error> {
        let Some(known) = shipper.ledger().known() else { return Ok(Sources::Gone) };
        let mut sources = Vec::with_capacity(due.inputs.len());
        for id in &due.inputs {
            if self.is_stopping() {
                return Err(Error::Closed);
            }
            let Some(stored) = known.manifest.blocks.get(id) else { return Ok(Sources::Gone) };
            match fetch_block(&*place.fs, &place.path(*id), stored, shipper.ledger()) {
                Ok(()) => sources.push(stored.clone()),
                Err(UploadError::Ledger(LedgerError::Store(error))) if is_lasting(&error) => {
                    self.leave_out(*id, &error.to_string());
                    return Ok(Sources::Gone);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Sources::Ready(sources))
    }

    /// What merging `sources`, which lie in `place`, takes; `None` if one of them cannot be opened.
    fn far_job(&self, sources: &[StoredBlock], place: &BlockPlace) -> Result<Option<Job>, Error> {
        let mut inputs = Vec::with_capacity(sources.len());
        for stored in sources {
            match Block::open(&place.fs, &place.path(stored.meta.id), Arc::clone(&place.cache)) {
                Ok(block) if block.warnings().is_empty() => {
                    inputs.push((stored.meta.clone(), block.tombstones()));
                }
                Ok(block) => {
                    self.leave_out(stored.meta.id, &block.warnings().join("; "));
                    return Ok(None);
                }
                Err(error) => {
                    self.leave_out(stored.meta.id, &error.to_string());
                    return Ok(None);
                }
            }
        }
        let metas = || sources.iter().map(|stored| &stored.meta);
        // A disk that was away may still have what an input has replaced.
        let before = metas().flat_map(|meta| meta.parents.iter().copied());
        let parents: BTreeSet<BlockId> = metas().map(|meta| meta.id).chain(before).collect();
        let spec = BlockSpec::merging(self.name_block(), metas(), parents);
        let keep_first = self.options.duplicates == DuplicatePolicy::KeepFirst;
        Ok(Some(Job { spec, inputs, keep_first }))
    }

    /// The block `id` takes part in no compaction from now on.
    pub(super) fn leave_out(&self, id: BlockId, why: &str) {
        let sentence = format!("block {} is left out of compactions: {why}", Block::dir_name(id));
        log::error!("{}: {sentence}", self.place.dir.display());
        self.left_out.lock().insert(id, sentence);
    }
}

/// Is it the object that is wrong, and not the store?
fn is_lasting(error: &StoreError) -> bool {
    matches!(error, StoreError::Wrong { .. } | StoreError::NotFound { .. } | StoreError::Conflict { .. })
}
