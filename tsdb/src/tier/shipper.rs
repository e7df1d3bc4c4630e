//! The blocks of one database on object storage: what is there, what waits, what is shown to queries.

use super::dropped::Dropped;
use super::ledger::{Ledger, LedgerError, Loaded};
use super::manifest::{Manifest, StoredBlock, StoredFile};
use super::options::{Tier, TierRole};
use super::remote::RemoteFs;
use super::types::Types;
use super::upload::{self, UploadError};
use super::{Epoch, deleted, owner};
use crate::block::{Block, FrameCache};
use crate::fs::{Fs, write_file};
use crate::head::Overflow;
use crate::tombstones::Tombstones;
use crate::{Error, TierStats, names};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tsdb_core::block::BlockId;
use tsdb_core::time::Clock;

/// How often orphans are looked for, ms.
const SWEEP_EVERY_MS: i64 = 3_600_000;
/// The longest wait after failures in a row, as a power of two times the interval.
const MAX_WAIT_SHIFT: u32 = 5;

/// Uploads the blocks of a database and shows those that are on object storage.
pub(crate) struct Shipper {
    tier: Tier,
    ledger: Ledger,
    remote: Arc<RemoteFs>,
    cache: Arc<FrameCache>,
    clock: Arc<dyn Clock>,
    name: String,
    /// The manifest as it was read last, for a start without the store.
    copy: PathBuf,
    pace: Mutex<Pace>,
    /// Far blocks that no new querier sees, to be forgotten when the last of the old ones is gone.
    doomed: Mutex<Vec<(BlockId, Weak<Block>)>>,
    /// Checksums of the tombstones that far blocks have.
    deleted: Mutex<BTreeMap<BlockId, u64>>,
    /// Blocks on disk that the manifest may hold no longer: what is deleted in them must be known there, too.
    leaving: Mutex<BTreeSet<BlockId>>,
    dropped: Mutex<Dropped>,
    /// Was what the manifest names shown once since the start?
    has_shown: AtomicBool,
    backlog_blocks: AtomicU64,
    backlog_bytes: AtomicU64,
    uploaded_bytes: AtomicU64,
    failures: AtomicU64,
}

/// When what is to be done next.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    failures: u32,
    not_before: Option<i64>,
    next_sweep: Option<i64>,
    copied: u64,
    /// Blocks that were on the disk at some time; those that no longer are were dropped or replaced.
    pub(crate) seen: BTreeSet<BlockId>,
    /// Far blocks that were past retention in the last round.
    pub(crate) expiring: BTreeSet<BlockId>,
}

/// What is to be said of a block that is held.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) id: BlockId,
    /// What is deleted in it now; `None` if that is what the manifest says.
    pub(crate) tombstones: Option<Vec<u8>>,
    /// The checksum of the tombstones that the manifest names.
    pub(crate) known: Option<u64>,
    /// It is held no longer.
    pub(crate) leaves: bool,
}

impl Shipper {
    /// The blocks of the database in `dir`. Says also what is wrong.
    pub(crate) fn open(
        tier: &Tier,
        fs: &dyn Fs,
        dir: &Path,
        cache: Arc<FrameCache>,
        clock: &Arc<dyn Clock>,
    ) -> (Self, Arc<Manifest>, Vec<String>) {
        let ledger =
            Ledger::new(Arc::clone(tier.store()), &tier.prefix, Arc::clone(clock)).with_retry(tier.retry);
        let remote = Arc::new(RemoteFs::over(&ledger, tier));
        let copy = dir.join(names::MANIFEST_COPY);
        let (dropped, warning) = Dropped::open(fs, dir);
        let mut warnings = Vec::from_iter(warning);
        let number = (tier.role == TierRole::Owner).then(|| owner::number(fs, dir));
        let ledger = match number.transpose() {
            Ok(None) => ledger,
            Ok(Some(number)) => ledger.owned_by(number, tier.take_over),
            Err(error) => {
                warnings.push(format!("object storage will not know this database: {error}"));
                ledger.owned_by(0, false)
            }
        };
        let known = fs.read(&copy).ok().and_then(|bytes| Manifest::read(&bytes).ok());
        known.iter().for_each(|known| ledger.remember(known.clone()));
        let manifest = match ledger.load() {
            Ok(loaded) => {
                warnings.extend(damage(&loaded));
                Arc::clone(&loaded.manifest)
            }
            Err(error) => {
                let what = match known {
                    Some(_) => "blocks may be missing that were uploaded since",
                    None => "the blocks there are missing",
                };
                warnings.push(format!("the manifest on object storage cannot be read, {what}: {error}"));
                Arc::new(known.unwrap_or_default())
            }
        };
        let shipper = Self {
            tier: tier.clone(),
            ledger,
            remote,
            cache,
            clock: Arc::clone(clock),
            name: format!("{}-{:016x}", std::process::id(), RandomState::new().hash_one(0)),
            copy,
            pace: Mutex::new(Pace { seen: dropped.blocks().clone(), ..Pace::default() }),
            doomed: Mutex::default(),
            deleted: Mutex::default(),
            leaving: Mutex::default(),
            dropped: Mutex::new(dropped),
            has_shown: AtomicBool::new(false),
            backlog_blocks: AtomicU64::new(0),
            backlog_bytes: AtomicU64::new(0),
            uploaded_bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        };
        (shipper, manifest, warnings)
    }

    pub(crate) fn tier(&self) -> &Tier {
        &self.tier
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Under what name the lease is taken: no other process and database has it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Held by whoever works on object storage.
    pub(crate) fn pace(&self) -> &Mutex<Pace> {
        &self.pace
    }

    /// `stored`, to be read from object storage.
    ///
    /// # Errors
    /// What is deleted in it cannot be read.
    pub(crate) fn far(&self, stored: &StoredBlock) -> Result<Arc<Block>, LedgerError> {
        let tombstones = deleted::read(&self.ledger, stored)?;
        self.remote.add(&self.ledger, stored);
        let fs = Arc::clone(&self.remote) as Arc<dyn Fs>;
        let dir = self.remote.dir(stored.meta.id);
        let look_again = self.ledger.retry().most;
        let block = Arc::new(Block::far(&fs, &dir, stored.meta.clone(), Arc::clone(&self.cache), look_again));
        if let (Some((tombstones, generation)), Some(file)) = (tombstones, stored.tombstones()) {
            self.set_deleted(&block, tombstones, generation, file.checksum);
        }
        Ok(block)
    }

    /// Has the far block `block` know what is deleted in it, as `stored` says.
    pub(crate) fn renew(&self, block: &Block, stored: &StoredBlock) -> Result<(), LedgerError> {
        let checksum = stored.tombstones().map(|file| file.checksum);
        if checksum == self.known_deleted(stored.meta.id) {
            return Ok(());
        }
        if let (Some((tombstones, generation)), Some(checksum)) =
            (deleted::read(&self.ledger, stored)?, checksum)
        {
            self.set_deleted(block, tombstones, generation, checksum);
        }
        Ok(())
    }

    /// The checksum of the tombstones that the far block `id` has.
    pub(crate) fn known_deleted(&self, id: BlockId) -> Option<u64> {
        self.deleted.lock().get(&id).copied()
    }

    /// Says what is deleted in the far block `block`, which the manifest knows under `checksum`.
    pub(crate) fn set_deleted(&self, block: &Block, tombstones: Tombstones, generation: u64, checksum: u64) {
        block.set_deleted(tombstones, generation);
        self.deleted.lock().insert(block.meta().id, checksum);
    }

    /// Forgets the blocks `gone`, which no new querier sees, as soon as nobody reads them.
    pub(crate) fn forget(&self, gone: Vec<Arc<Block>>) {
        let mut doomed = self.doomed.lock();
        doomed.extend(gone.iter().map(|block| (block.meta().id, Arc::downgrade(block))));
        drop(gone);
        doomed.retain(|(id, block)| {
            let is_read = block.strong_count() > 0;
            if !is_read {
                self.remote.remove(*id);
                self.cache.forget(*id);
                self.deleted.lock().remove(id);
            }
            is_read
        });
    }

    /// Does the manifest name the block `id` now?
    pub(crate) fn is_named(&self, id: BlockId) -> Result<bool, LedgerError> {
        Ok(self.ledger.load()?.manifest.blocks.contains_key(&id))
    }

    /// Did the manifest say that the server that uploaded the block `id` keeps it?
    pub(crate) fn is_held(&self, id: BlockId) -> bool {
        let known = self.ledger.known();
        known.and_then(|known| known.manifest.blocks.get(&id).map(|stored| stored.is_held)).unwrap_or(false)
    }

    /// Blocks on disk that the manifest may hold no longer.
    pub(crate) fn leaving(&self) -> &Mutex<BTreeSet<BlockId>> {
        &self.leaving
    }

    /// Was what the manifest names shown once since the start?
    pub(crate) fn has_shown(&self) -> bool {
        self.has_shown.load(Ordering::Acquire)
    }

    /// What the manifest names is shown.
    pub(crate) fn set_shown(&self) {
        self.has_shown.store(true, Ordering::Release);
    }

    /// Blocks that were dropped and may still be named.
    pub(crate) fn dropped(&self) -> BTreeSet<BlockId> {
        self.dropped.lock().blocks().clone()
    }

    /// Remembers that `blocks` were dropped, for good when it returns.
    pub(crate) fn drop_for_good(&self, fs: &dyn Fs, blocks: &BTreeSet<BlockId>) -> Result<(), Error> {
        self.dropped.lock().add(fs, blocks)
    }

    /// Makes one generation of `changes`. A block of which something else is said meanwhile stays as it is.
    pub(crate) fn change(&self, changes: &[Change]) -> Result<(), LedgerError> {
        let put = |change: &Change| {
            let bytes = change.tombstones.as_ref();
            bytes.map(|bytes| deleted::put(&self.ledger, change.id, bytes)).transpose()
        };
        let files: Vec<Option<StoredFile>> = changes.iter().map(put).collect::<Result<_, _>>()?;
        self.ledger.commit::<LedgerError>(|manifest| {
            let mut is_changed = false;
            for (change, file) in changes.iter().zip(&files) {
                let Some(stored) = manifest.blocks.get_mut(&change.id).filter(|stored| stored.is_held) else {
                    continue;
                };
                if stored.tombstones().map(|file| file.checksum) != change.known {
                    continue;
                }
                file.iter().for_each(|file| stored.set_tombstones(file.clone()));
                stored.is_held = !change.leaves;
                is_changed = true;
            }
            Ok(is_changed)
        })?;
        Ok(())
    }

    /// Has the manifest say that `bytes` is what is deleted in the block `id`, of which it says `known`; of a block that
    /// is `leaving` it may say anything else that is deleted. `None` if the block is not there like this any more.
    pub(crate) fn delete(
        &self,
        id: BlockId,
        bytes: &[u8],
        known: Option<u64>,
        is_leaving: bool,
    ) -> Result<Option<u64>, LedgerError> {
        let file = deleted::put(&self.ledger, id, bytes)?;
        let mut is_done = false;
        self.ledger.commit::<LedgerError>(|manifest| {
            let stored = manifest.blocks.get_mut(&id);
            let is_as_known = |stored: &&mut StoredBlock| {
                let checksum = stored.tombstones().map(|file| file.checksum);
                is_leaving || checksum == known || checksum == Some(file.checksum)
            };
            let Some(stored) = stored.filter(is_as_known) else {
                is_done = false;
                return Ok(false);
            };
            is_done = true;
            let is_new = stored.tombstones() != Some(&file);
            stored.set_tombstones(file.clone());
            Ok(is_new)
        })?;
        Ok(is_done.then_some(file.checksum))
    }

    /// Names `merged` in place of `sources`, as they were when they were merged, if the lease is still `epoch`. Says
    /// whether it did.
    pub(crate) fn replace(
        &self,
        epoch: Epoch,
        sources: &[StoredBlock],
        merged: Option<&StoredBlock>,
    ) -> Result<bool, LedgerError> {
        let mut is_done = false;
        self.ledger.commit::<LedgerError>(|manifest| {
            if merged.is_some_and(|merged| manifest.blocks.contains_key(&merged.meta.id)) {
                // A put that was told to have failed took effect.
                is_done = true;
                return Ok(false);
            }
            let unchanged = |source: &StoredBlock| {
                !source.is_held && manifest.blocks.get(&source.meta.id) == Some(source)
            };
            is_done = manifest.is_leased(epoch) && sources.iter().all(unchanged);
            if is_done {
                sources.iter().for_each(|source| drop(manifest.blocks.remove(&source.meta.id)));
                manifest.blocks.extend(merged.map(|merged| (merged.meta.id, merged.clone())));
            }
            Ok(is_done)
        })?;
        Ok(is_done)
    }

    /// Notes what waits.
    pub(crate) fn set_backlog(&self, blocks: u64, bytes: u64) {
        self.backlog_blocks.store(blocks, Ordering::Relaxed);
        self.backlog_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Why no more samples are to be taken, if so.
    pub(crate) fn overflow(&self) -> Option<Overflow> {
        let (bytes, limit) = (self.backlog_bytes.load(Ordering::Relaxed), self.tier.max_backlog_bytes?);
        (bytes > limit).then_some(Overflow { bytes, limit })
    }

    /// Uploads `block`, which lies in `dir`, with the `types` of its metrics, and names it.
    pub(crate) fn ship(
        &self,
        fs: &dyn Fs,
        dir: &Path,
        block: &Block,
        types: &Types,
    ) -> Result<(), UploadError> {
        let is_held = self.tier.role == TierRole::Owner;
        let stored = upload::put_block(fs, dir, block, types, is_held, &self.ledger)?;
        self.uploaded_bytes.fetch_add(stored.bytes(), Ordering::Relaxed);
        upload::name_blocks(&self.ledger, &[stored], &BTreeSet::new())?;
        Ok(())
    }

    /// Names the blocks in `gone` no longer.
    pub(crate) fn unname(&self, fs: &dyn Fs, gone: &BTreeSet<BlockId>) -> Result<(), UploadError> {
        if !gone.is_empty() {
            upload::name_blocks(&self.ledger, &[], gone)?;
            self.dropped.lock().remove(fs, gone)?;
        }
        Ok(())
    }

    /// Keeps a copy of the manifest on disk, and sweeps what nobody names if it is time.
    pub(crate) fn tidy(&self, fs: &dyn Fs, pace: &mut Pace, loaded: &Loaded) -> Result<(), UploadError> {
        if pace.copied != loaded.manifest.generation {
            let bytes = loaded.manifest.to_bytes();
            write_file(fs, &self.copy, &bytes).map_err(|error| Error::io("write", &self.copy, error))?;
            pace.copied = loaded.manifest.generation;
        }
        let now = self.clock.monotonic_ms();
        if *pace.next_sweep.get_or_insert(now.saturating_add(SWEEP_EVERY_MS)) <= now {
            pace.next_sweep = None;
            let before = self.clock.now().saturating_sub(self.tier.sweep_delay_ms);
            let swept = self.ledger.sweep(before)?;
            if swept > 0 {
                log::info!("{swept} objects that nobody names were removed from object storage");
            }
        }
        Ok(())
    }

    /// Is it too early after a failure?
    pub(crate) fn must_wait(&self, pace: &Pace) -> bool {
        pace.not_before.is_some_and(|not_before| self.clock.monotonic_ms() < not_before)
    }

    /// Remembers how a round went.
    pub(crate) fn note(&self, pace: &mut Pace, outcome: &Result<(), Error>) {
        match outcome {
            Err(Error::Closed) => {}
            Ok(()) => (pace.failures, pace.not_before) = (0, None),
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let interval = i64::try_from(self.tier.interval.as_millis()).unwrap_or(i64::MAX);
                let wait =
                    interval.saturating_mul(1 << pace.failures.min(MAX_WAIT_SHIFT)).saturating_sub(interval);
                pace.failures = pace.failures.saturating_add(1);
                pace.not_before = Some(self.clock.monotonic_ms().saturating_add(wait));
            }
        }
    }

    pub(crate) fn stats(&self, far: &BTreeMap<BlockId, u64>) -> TierStats {
        let counts = self.remote.counts();
        TierStats {
            blocks: far.len() as u64,
            bytes: far.values().sum(),
            backlog_blocks: self.backlog_blocks.load(Ordering::Relaxed),
            backlog_bytes: self.backlog_bytes.load(Ordering::Relaxed),
            uploaded_bytes: self.uploaded_bytes.load(Ordering::Relaxed),
            failed_rounds: self.failures.load(Ordering::Relaxed),
            requests: counts.requests.load(Ordering::Relaxed),
            failed_requests: counts.failures.load(Ordering::Relaxed),
            hedged_requests: counts.hedged.load(Ordering::Relaxed),
            fetched_bytes: counts.bytes.load(Ordering::Relaxed),
            cached_bytes: self.remote.cached_bytes() as u64,
            cached_on_disk_bytes: self.remote.cached_on_disk_bytes(),
        }
    }
}

/// What is told of a damaged manifest.
fn damage(loaded: &Loaded) -> Option<String> {
    let (generation, damage) = loaded.damaged.as_ref()?;
    Some(format!(
        "generation {generation} of the manifest on object storage is damaged, the one before is used: {damage}"
    ))
}

impl From<UploadError> for Error {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Local(error) => error,
            UploadError::Ledger(source) => Self::ObjectStorage { source: Box::new(source) },
        }
    }
}

impl From<LedgerError> for Error {
    fn from(source: LedgerError) -> Self {
        Self::ObjectStorage { source: Box::new(source) }
    }
}
