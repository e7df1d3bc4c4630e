//! What holds a database together: its directory, its head, its blocks, and the steps between them.

mod compact;
mod cut;
mod delete;
mod far;
mod horizon;
mod keeping;
mod late;
mod retire;
mod rollup;
mod ship;
mod snapshot;
mod types;
mod work;

use crate::block::FrameCache;
use crate::blocks::{BlockPlace, Blocks, SetAside};
use crate::compact::{Load, Progress, Throttle};
use crate::elsewhere::{self, FarAway};
use crate::fs::{DirLock, Fs, LockError, create_dirs};
use crate::head::{CatalogLimits, Duplicates, Durable, Head, Place, Recovery, Settings};
use crate::query::{DamageLog, DbQuerier};
use crate::record::Border;
use crate::tier::{Shipper, Tier};
use crate::wal::WalOptions;
use crate::{DuplicatePolicy, Durability, Error, Options, Stats, names, version};
pub(crate) use cut::new_id;
pub(crate) use horizon::Kept;
use parking_lot::{Mutex, RwLock};
pub use snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tsdb_core::block::BlockId;
use tsdb_core::read::{Querier, ReadError, SeriesExemplars};
use tsdb_core::{Matcher, TimeRange, Timestamp};
use work::Work;

/// An open database.
pub(crate) struct Engine {
    place: BlockPlace,
    options: Options,
    keeping: keeping::Keeping,
    head: Arc<Head>,
    published: RwLock<Published>,
    /// Held by whoever cuts, expires or cleans up.
    work: Mutex<Work>,
    /// Held by whoever compacts.
    compaction: Mutex<compact::Patience>,
    throttle: Throttle,
    compactions: Progress,
    /// Blocks that no compaction can read, and why.
    left_out: Mutex<BTreeMap<BlockId, String>>,
    /// The name that was given last, whether or not its block is there yet: several write blocks at once.
    last_name: Mutex<Option<BlockId>>,
    queries: AtomicU64,
    blocks_cut: AtomicU64,
    late_blocks: AtomicU64,
    rollups_made: AtomicU64,
    /// Held by whoever makes windows.
    vain_rollups: Mutex<rollup::Vain>,
    /// Blocks of which windows are being made.
    rolling: Mutex<BTreeSet<BlockId>>,
    damage: Arc<DamageLog>,
    /// Work that fails at the moment, by name.
    trouble: Mutex<BTreeMap<&'static str, String>>,
    open_warnings: Mutex<Vec<String>>,
    lock: Mutex<Option<DirLock>>,
    closed: AtomicBool,
    /// Held by whoever deletes in blocks on object storage.
    far_deletes: Mutex<()>,
    /// Blocks on object storage.
    shipper: Option<Shipper>,
    /// No more work is begun.
    stopping: AtomicBool,
}

/// What queriers see. Changed as a whole, so that no sample is seen twice or not at all.
#[derive(Debug, Clone)]
struct Published {
    blocks: Blocks,
    /// What of the head is in blocks.
    border: Border,
}

impl Engine {
    /// Opens `dir`. The head is whole after [`replay`](Self::replay).
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        cache: FrameCache,
    ) -> Result<(Self, Recovery), Error> {
        options.check()?;
        create_dirs(&*fs, dir).map_err(|e| Error::io("create", dir, e))?;
        let lock = DirLock::acquire(&*fs, dir).map_err(lock_error)?;
        let is_new = version::is_missing(&*fs, dir)?;
        version::check(&*fs, dir)?;
        let kept = Kept::read(&*fs, dir);
        snapshot::sweep_unfinished(&*fs, dir)?;
        let place = BlockPlace { fs: Arc::clone(&fs), dir: dir.to_owned(), cache: Arc::new(cache) };
        let (mut blocks, mut open_warnings) = Blocks::open(&place)?;
        let shipper = options.tier.as_ref().map(|tier| {
            let (shipper, everywhere, damage) = open_far(tier, &place, &options, &blocks);
            blocks = everywhere;
            open_warnings.extend(damage);
            shipper
        });
        if shipper.is_none() {
            let (unread, warnings) = unread_far(&place);
            blocks = blocks.with_far(Vec::new(), unread);
            open_warnings.extend(warnings);
        }
        // After the loss of a disk there is nothing here, and all of it on object storage; or nobody knows.
        let is_new = is_new && blocks.everywhere().next().is_none() && open_warnings.is_empty();
        let keeping = keeping::Keeping::new(&options, kept.as_ref(), is_new);
        let horizon = horizon::Horizon::after(kept, is_new);
        let head_place = Place { fs, wal_dir: dir.join(names::WAL_DIR), wal_options: WalOptions::default() };
        let (head, recovery) = Head::open(head_place, head_settings(&options))?;
        let border = head.replayed();
        let throttle = Throttle::new(options.compaction_bytes_per_second);
        let engine = Self {
            place,
            keeping,
            options,
            head: Arc::new(head),
            published: RwLock::new(Published { blocks, border }),
            work: Mutex::new(Work::after(horizon)),
            compaction: Mutex::default(),
            throttle,
            compactions: Progress::default(),
            left_out: Mutex::default(),
            last_name: Mutex::default(),
            queries: AtomicU64::new(0),
            blocks_cut: AtomicU64::new(0),
            late_blocks: AtomicU64::new(0),
            rollups_made: AtomicU64::new(0),
            vain_rollups: Mutex::default(),
            rolling: Mutex::default(),
            damage: Arc::new(DamageLog::after(open_warnings.clone())),
            trouble: Mutex::default(),
            open_warnings: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            closed: AtomicBool::new(false),
            far_deletes: Mutex::default(),
            shipper,
            stopping: AtomicBool::new(false),
        };
        engine.warn(open_warnings);
        Ok((engine, recovery))
    }

    /// Replays the log into the head, unless work is stopped meanwhile. A panic in any of its threads is a failure like
    /// others.
    pub(crate) fn replay(&self, recovery: Recovery) -> Result<(), Error> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.replay_log(recovery)));
        outcome.unwrap_or_else(|_| Err(self.head.not_replayed()))
    }

    /// [`replay`](Self::replay) while others use the database. When it fails the head will not be whole, and work that needs
    /// it to be is refused.
    pub(crate) fn replay_in_background(&self, recovery: Recovery) {
        let outcome = self.replay(recovery);
        let has_failed = outcome.is_err();
        // ORDER: whoever waited for it finds out why it failed.
        self.note("replay of the log", outcome);
        if has_failed {
            self.head.give_up_replay();
        }
    }

    fn replay_log(&self, recovery: Recovery) -> Result<(), Error> {
        // ORDER: whoever works next finds the border that replay found.
        let _work = self.work.lock();
        let found = recovery.run(&self.head, &|| !self.is_stopping())?;
        self.published.write().border = self.head.replayed();
        self.head.changes().note_from(Timestamp::MIN);
        self.warn(found);
        Ok(())
    }

    fn warn(&self, found: Vec<String>) {
        found.iter().for_each(|warning| log::warn!("{}: {warning}", self.place.dir.display()));
        self.open_warnings.lock().extend(found);
    }

    /// A name for a new block, greater than all that were given before.
    fn name_block(&self) -> BlockId {
        let mut last = self.last_name.lock();
        let newest = self.published.read().blocks.newest_id();
        let id = new_id(newest.max(*last), self.options.clock.now());
        *last = Some(id);
        id
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.place.dir
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        self.check_open()?;
        self.queries.fetch_add(1, Ordering::Relaxed);
        // ORDER: pin first; what is published afterwards is then kept for this querier.
        let pin = Arc::new(self.head.pin());
        let Published { blocks, border } = self.published.read().clone();
        let (head, damage) = (Arc::clone(&self.head), Arc::clone(&self.damage));
        let keep_first = self.options.duplicates == DuplicatePolicy::KeepFirst;
        let (met, unreplayed_bytes) = (DamageLog::default(), head.unreplayed_bytes());
        let querier =
            DbQuerier { head, pin, blocks, border, range, keep_first, damage, met, unreplayed_bytes };
        Ok(Box::new(querier))
    }

    pub(crate) fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        self.check_open()?;
        Ok(self.head.exemplars(selectors, range))
    }

    pub(crate) fn left_out(&self, range: TimeRange) -> Vec<String> {
        let blocks = self.published.read().blocks.clone();
        let windows = |times: TimeRange| {
            let (start, end) = (times.start(), times.end());
            format!(
                "from {start} to {end} ms there are windows (rollups), and not all of their samples any more"
            )
        };
        let unknown = match self.shipper {
            Some(_) => None,
            None => elsewhere::missing(&*self.place.fs, &self.place.dir).err(),
        };
        let known = blocks.missing(range).chain(blocks.without_samples(range).into_iter().map(windows));
        known.chain(unknown.iter().map(unknown_far)).collect()
    }

    fn check_open(&self) -> Result<(), ReadError> {
        match self.closed.load(Ordering::SeqCst) {
            true => Err(ReadError::Storage { origin: "database".into(), source: Box::new(Error::Closed) }),
            false => Ok(()),
        }
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        Ok(self.head.sync()?)
    }

    /// Lets work that is under way end with the block that it writes, and begins no more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.throttle.stop();
        self.head.wake();
    }

    /// May work begin that changes what is on disk?
    fn check_work(&self) -> Result<(), Error> {
        match (self.is_stopping(), self.head.is_given_up()) {
            (true, _) => Err(Error::Closed),
            (false, true) => Err(self.head.not_replayed()),
            (false, false) => Ok(()),
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Returns when the log is replayed or cannot be, or work is stopped.
    pub(crate) fn wait_for_replay(&self) {
        self.head.wait_until_whole(|| self.is_stopping());
    }

    pub(crate) fn close(&self) -> Result<(), Error> {
        self.stop();
        // Work that is under way ends first; what comes later finds the database closed.
        let _compaction = self.compaction.lock();
        let mut work = self.work.lock();
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        // What cannot be removed now is found past retention again.
        drop(self.remove_doomed(&mut work));
        self.keep_time(&mut work, true);
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
            // Somebody closed the database meanwhile.
            Err(Error::Closed) => {}
            Err(error) => {
                log::error!("{work}: {error}");
                trouble.insert(work, format!("{work} fails: {error}"));
            }
        }
    }

    /// Remembers that `work` panicked, until it succeeds.
    pub(crate) fn note_panic(&self, work: &'static str) {
        log::error!("{work} panicked");
        self.trouble.lock().insert(work, format!("{work} fails: it panicked; see the log"));
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats { warnings: self.open_warnings.lock().clone(), ..Stats::default() };
        self.head.report(&mut stats);
        stats.warnings.extend(self.damage.sentences());
        stats.warnings.extend(self.trouble.lock().values().cloned());
        stats.warnings.extend(self.left_out.lock().values().cloned());
        stats.compactions = self.compactions.stats();
        stats.late_blocks = self.late_blocks.load(Ordering::Relaxed);
        stats.blocks_cut = self.blocks_cut.load(Ordering::Relaxed);
        stats.rollups_made = self.rollups_made.load(Ordering::Relaxed);
        stats.range = stats.head_range;
        let blocks = self.published.read().blocks.clone();
        stats.block_bytes = blocks.bytes();
        let far = || blocks.far().map(|far| (far.block.meta().id, far.bytes)).collect();
        stats.tier = self.shipper.as_ref().map(|shipper| shipper.stats(&far()));
        for block in blocks.iter() {
            let meta = block.meta();
            stats.blocks += 1;
            stats.block_samples += meta.stats.samples;
        }
        for block in blocks.everywhere() {
            let range = block.meta().range;
            stats.range = Some(stats.range.map_or(range, |all| all.union(&range)));
        }
        stats
    }
}

impl Load for Engine {
    fn done(&self) -> u64 {
        self.head.appended().wrapping_add(self.queries.load(Ordering::Relaxed))
    }
}

/// What lies on object storage and not on disk, and what is wrong there.
fn open_far(
    tier: &Tier,
    place: &BlockPlace,
    options: &Options,
    blocks: &Blocks,
) -> (Shipper, Blocks, Vec<String>) {
    let cache = Arc::clone(&place.cache);
    let (shipper, manifest, warnings) = Shipper::open(tier, &*place.fs, &place.dir, cache, &options.clock);
    let (far, missing) = Engine::far_blocks(&shipper, &manifest, blocks);
    (shipper, blocks.with_far(far, missing), warnings)
}

/// What lies on object storage, which is not used: answers over it say so.
fn unread_far(place: &BlockPlace) -> (Vec<SetAside>, Vec<String>) {
    match elsewhere::missing(&*place.fs, &place.dir) {
        Err(error) => (Vec::new(), vec![unknown_far(&error)]),
        Ok(missing) => {
            let aside = missing.iter().map(|(meta, bytes)| {
                SetAside::far(meta, format!("{}, which is not used here", FarAway::of(meta, *bytes)))
            });
            let aside: Vec<SetAside> = aside.collect();
            let told = SetAside::summary(aside.iter());
            (aside, told.into_iter().collect())
        }
    }
}

fn unknown_far(error: &Error) -> String {
    format!("blocks on object storage, which is not used here, may be missing: {error}")
}

fn head_settings(options: &Options) -> Settings {
    Settings {
        durable: match options.durability {
            Durability::EveryCommit => Durable::EveryCommit,
            Durability::Interval(_) | Durability::Lazy => Durable::Later,
        },
        future_skew_ms: options.future_skew_ms,
        late_window_ms: options.out_of_order_window_ms,
        late_bytes: options.max_late_bytes as u64,
        duplicates: match options.duplicates {
            DuplicatePolicy::KeepFirst => Duplicates::KeepFirst,
            DuplicatePolicy::KeepLast => Duplicates::KeepLast,
        },
        metadata: CatalogLimits { metrics: options.max_metadata_metrics, bytes: options.max_metadata_bytes },
        max_exemplars: options.max_exemplars,
        series_limits: Arc::clone(&options.series_limits),
        clock: Arc::clone(&options.clock),
    }
}

pub(crate) fn lock_error(error: LockError) -> Error {
    match error {
        LockError::Held { dir, .. } => Error::Locked { path: dir },
        LockError::Io { dir, source } => Error::io("lock", dir, source),
    }
}
