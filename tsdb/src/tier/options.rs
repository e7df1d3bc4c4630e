//! Settings of object storage.

use super::disk::DiskCache;
use super::fetch::Fetcher;
use super::sectors::Sectors;
use super::{ObjectStore, Retry};
use crate::fs::Fs;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a database has to do with the blocks below its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TierRole {
    /// They are its own: it uploads them. There is one such database for each prefix; another one is refused.
    #[default]
    Owner,
    /// It merges those that the owner let go, and makes windows of them. Any number may try: one at a time has the
    /// lease.
    Compactor,
}

/// Where blocks are put besides the disk, and how. Clones share the store, the threads that read from it and the memory
/// for what was read.
#[derive(Clone)]
#[non_exhaustive]
pub struct Tier {
    /// What the keys of all objects begin with; a `/` follows. Each tenant has a part of its own below it. Default: none.
    pub prefix: String,
    /// Blocks whose samples are older than this are removed from the disk when they are on object storage, ms.
    /// Default: 1 d.
    pub keep_local_ms: i64,
    /// When so many bytes of blocks wait for their upload no more samples are taken. `None` is no limit but the disk.
    /// Default: none.
    pub max_backlog_bytes: Option<u64>,
    /// Objects that nobody names are removed after this, ms. It must be longer than any upload takes. Default: 1 d.
    pub sweep_delay_ms: i64,
    /// How often the background looks for blocks to upload. Default: 30 s.
    pub interval: Duration,
    /// How failed calls are repeated. Clones may have others.
    pub retry: Retry,
    /// Default: the owner of the blocks.
    pub role: TierRole,
    /// Does this database take over the blocks of another one, which runs no more? Without that it is refused where the
    /// manifest names another one. To be set for one start, after the disk of the other one was lost. Default: no.
    pub take_over: bool,
    /// Are blocks on object storage merged in the background? Default: yes.
    pub compaction: bool,
    /// How long a lease on merging them lasts unless it is renewed, ms: so long they stay as they are when whoever has
    /// it dies. Default: 5 min.
    pub lease_ms: i64,
    pub(super) shared: Arc<Shared>,
}

/// What all databases on one store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) fetcher: Fetcher,
    pub(super) sectors: Sectors,
    /// What memory has no room for.
    pub(super) disk: OnceLock<DiskCache>,
    /// Files get numbers.
    pub(super) numbers: AtomicU64,
}

impl Tier {
    /// The store `store` with default settings. At most `cache_bytes` of what was read from it stay in memory.
    ///
    /// # Errors
    /// The threads that read from it cannot be started.
    pub fn new(store: Arc<dyn ObjectStore>, cache_bytes: usize) -> io::Result<Self> {
        let fetcher = Fetcher::start(&store)?;
        let sectors = Sectors::new(cache_bytes);
        let shared =
            Arc::new(Shared { store, fetcher, sectors, disk: OnceLock::new(), numbers: AtomicU64::new(0) });
        Ok(Self {
            prefix: String::new(),
            keep_local_ms: 86_400_000,
            max_backlog_bytes: None,
            sweep_delay_ms: 86_400_000,
            interval: Duration::from_secs(30),
            retry: Retry::default(),
            role: TierRole::Owner,
            take_over: false,
            compaction: true,
            lease_ms: 300_000,
            shared,
        })
    }

    /// Keeps at most `bytes` of what was read from the store in the directory `dir` as well, which is made if need be.
    /// Clones share it, and it survives restarts.
    ///
    /// # Errors
    /// The directory cannot be used, or another process uses it.
    pub fn with_disk_cache(self, fs: Arc<dyn Fs>, dir: &Path, bytes: u64) -> io::Result<Self> {
        let cache = DiskCache::open(fs, dir, bytes)?;
        // The first one stays.
        drop(self.shared.disk.set(cache));
        Ok(self)
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.shared.store
    }

    /// The same below `part` of the prefix.
    pub(crate) fn below(&self, part: &str) -> Self {
        let prefix = if self.prefix.is_empty() { part.into() } else { format!("{}/{part}", self.prefix) };
        Self { prefix, ..self.clone() }
    }
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, keep_local_ms, max_backlog_bytes, sweep_delay_ms, interval, retry, .. } = self;
        f.debug_struct("Tier")
            .field("store", &self.shared.store)
            .field("prefix", prefix)
            .field("keep_local_ms", keep_local_ms)
            .field("max_backlog_bytes", max_backlog_bytes)
            .field("sweep_delay_ms", sweep_delay_ms)
            .field("interval", interval)
            .field("retry", retry)
            .field("role", &self.role)
            .field("take_over", &self.take_over)
            .field("compaction", &self.compaction)
            .field("lease_ms", &self.lease_ms)
            .finish()
    }
}
