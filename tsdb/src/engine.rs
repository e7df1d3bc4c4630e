//! What holds a database together: its directory, its head, its blocks, and the steps between them.

use crate::fs::{DirLock, Fs, LockError};
use crate::head::{Durable, Epoch, Head, Place, Settings};
use crate::query::DbQuerier;
use crate::wal::WalOptions;
use crate::{Durability, Error, Options, Stats, names, version};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb_core::read::{Querier, ReadError};
use tsdb_core::{TimeRange, Timestamp};

/// An open database.
pub(crate) struct Engine {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: Options,
    head: Arc<Head>,
    published: RwLock<Published>,
    /// Held by whoever cuts, expires or cleans up.
    work: Mutex<Work>,
    /// Work that fails at the moment, by name.
    trouble: Mutex<BTreeMap<&'static str, String>>,
    open_warnings: Vec<String>,
    lock: Mutex<Option<DirLock>>,
    closed: AtomicBool,
}

/// What queriers see. Changed as a whole, so that no sample is seen twice or not at all.
#[derive(Debug, Clone)]
struct Published {
    /// Samples of the head before this are in blocks.
    head_from: Timestamp,
}

#[derive(Debug, Default)]
struct Work {
    /// The head may forget what lies before this time when nothing older than the epoch is pinned.
    truncation: Option<(Timestamp, Epoch)>,
}

impl Engine {
    /// Opens `dir`.
    pub(crate) fn open(fs: Arc<dyn Fs>, dir: &Path, options: Options) -> Result<Self, Error> {
        options.check()?;
        fs.create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        let lock = DirLock::acquire(&*fs, dir).map_err(lock_error)?;
        version::check(&*fs, dir)?;
        let place = Place {
            fs: Arc::clone(&fs),
            wal_dir: dir.join(names::WAL_DIR),
            wal_options: WalOptions::default(),
        };
        let (head, open_warnings) = Head::open(place, head_settings(&options), Timestamp::MIN)?;
        let head_from = head.memory().min_time();
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            options,
            head: Arc::new(head),
            published: RwLock::new(Published { head_from }),
            work: Mutex::default(),
            trouble: Mutex::default(),
            open_warnings,
            lock: Mutex::new(Some(lock)),
            closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(ReadError::Storage { origin: "database".into(), source: Box::new(Error::Closed) });
        }
        // ORDER: pin first; what is published afterwards is then kept for this querier.
        let pin = Arc::new(self.head.pin());
        let published = self.published.read().clone();
        Ok(Box::new(DbQuerier { head: Arc::clone(&self.head), pin, head_from: published.head_from, range }))
    }

    pub(crate) fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn maintain(&self) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        Ok(self.head.sync()?)
    }

    pub(crate) fn close(&self) -> Result<(), Error> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.head.close();
        let synced = self.head.sync();
        drop(self.lock.lock().take());
        Ok(synced?)
    }

    /// Remembers what fails, until it succeeds.
    pub(crate) fn note(&self, work: &'static str, outcome: Result<(), Error>) {
        let mut trouble = self.trouble.lock();
        match outcome {
            Ok(()) => drop(trouble.remove(work)),
            Err(error) => {
                log::error!("{work}: {error}");
                trouble.insert(work, format!("{work} fails: {error}"));
            }
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats { warnings: self.open_warnings.clone(), ..Stats::default() };
        self.head.report(&mut stats);
        stats.warnings.extend(self.trouble.lock().values().cloned());
        stats.range = stats.head_range;
        stats
    }
}

fn head_settings(options: &Options) -> Settings {
    Settings {
        durable: match options.durability {
            Durability::EveryCommit => Durable::EveryCommit,
            Durability::Interval(_) | Durability::Lazy => Durable::Later,
        },
        future_skew_ms: options.future_skew_ms,
        max_active_series: options.max_active_series.unwrap_or(u64::MAX),
        clock: Arc::clone(&options.clock),
    }
}

pub(crate) fn lock_error(error: LockError) -> Error {
    match error {
        LockError::Held { dir, .. } => Error::Locked { path: dir },
        LockError::Io { dir, source } => Error::io("lock", dir, source),
    }
}
