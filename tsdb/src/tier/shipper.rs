//! The blocks of one database on object storage: what is there, what waits, what is shown to queries.

use super::ledger::{Ledger, LedgerError, Loaded};
use super::manifest::{Manifest, StoredBlock};
use super::options::Tier;
use super::remote::RemoteFs;
use super::upload::{self, UploadError};
use crate::block::{Block, FrameCache};
use crate::fs::{Fs, write_file};
use crate::head::Overflow;
use crate::{Error, TierStats, names};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// The manifest as it was read last, for a start without the store.
    copy: PathBuf,
    pace: Mutex<Pace>,
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
    /// Far blocks that no new querier sees, to be forgotten when the last of the old ones is gone.
    doomed: Vec<(BlockId, Weak<Block>)>,
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
        let mut warnings = Vec::new();
        let manifest = match ledger.load() {
            Ok(loaded) => {
                warnings.extend(damage(&loaded));
                Arc::clone(&loaded.manifest)
            }
            Err(error) => {
                let known = fs.read(&copy).ok().and_then(|bytes| Manifest::read(&bytes).ok());
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
            copy,
            pace: Mutex::default(),
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

    /// Held by whoever works on object storage.
    pub(crate) fn pace(&self) -> &Mutex<Pace> {
        &self.pace
    }

    /// `stored`, to be read from object storage.
    pub(crate) fn far(&self, stored: &StoredBlock) -> Arc<Block> {
        self.remote.add(&self.ledger, stored);
        let fs = Arc::clone(&self.remote) as Arc<dyn Fs>;
        let dir = self.remote.dir(stored.meta.id);
        Arc::new(Block::far(&fs, &dir, stored.meta.clone(), Arc::clone(&self.cache)))
    }

    /// Forgets the blocks `gone`, which no new querier sees, as soon as nobody reads them.
    pub(crate) fn forget(&self, pace: &mut Pace, gone: Vec<Arc<Block>>) {
        pace.doomed.extend(gone.iter().map(|block| (block.meta().id, Arc::downgrade(block))));
        drop(gone);
        pace.doomed.retain(|(id, block)| {
            let is_read = block.strong_count() > 0;
            if !is_read {
                self.remote.remove(*id);
                self.cache.forget(*id);
            }
            is_read
        });
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

    /// Uploads `block`, which lies in `dir`, and names it.
    pub(crate) fn ship(&self, fs: &dyn Fs, dir: &Path, block: &Block) -> Result<(), UploadError> {
        let stored = upload::put_block(fs, dir, block, &self.ledger)?;
        self.uploaded_bytes.fetch_add(stored.bytes(), Ordering::Relaxed);
        upload::name_blocks(&self.ledger, &[stored], &BTreeSet::new())?;
        Ok(())
    }

    /// Names the blocks in `gone` no longer.
    pub(crate) fn unname(&self, gone: &BTreeSet<BlockId>) -> Result<(), LedgerError> {
        if gone.is_empty() { Ok(()) } else { upload::name_blocks(&self.ledger, &[], gone) }
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
