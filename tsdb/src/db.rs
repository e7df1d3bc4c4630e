//! The database: one directory, open.

use crate::block::FrameCache;
use crate::compact::Load;
use crate::engine::Engine;
use crate::fs::{Fs, OsFs};
use crate::head::Among;
use crate::maintain::{Rhythm, Task, Tasks, Worker};
use crate::retention::{Retention, RetentionPlan};
use crate::verify::{OnProgress, Verdict};
use crate::{ChangeMark, Changed, Durability, Error, Options, Replay, Snapshot, Stats, names};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{ExemplarQueryable, Querier, Queryable, ReadError, SeriesExemplars};
use tsdb_core::write::{Appendable, Appender};
use tsdb_core::{Labels, Matcher, TimeRange};
use tsdb_index::cardinality::{LabelCost, LabelNames, LabelValues, RankBy, Ranking, Sketch};
use tsdb_index::{Cardinality, SeriesLimits};

/// Some of the series in the head of a database. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct SeriesFilter {
    /// What their labels satisfy.
    pub matchers: Vec<Matcher>,
    /// Those alone that had a sample within [`Options::idle_series_ms`] before the newest one: series that ended stay in the
    /// head for a while.
    pub only_active: bool,
}

/// A time series database in a directory. Clones share it; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

/// Time between two looks at a replay.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

struct Inner {
    // Dropped first: the threads use the engine.
    worker: Mutex<Option<Worker>>,
    replay: Mutex<Option<JoinHandle<()>>>,
    engine: Arc<Engine>,
}

impl Db {
    /// Opens the database in `dir`, creating it if there is none.
    ///
    /// # Errors
    /// The directory is locked, of an unknown version or not writable, or an option makes no sense. Damaged blocks
    /// and log records are no error: the rest is served and [`Stats::warnings`] names them.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Self::open_on(Arc::new(OsFs), dir, options)
    }

    /// [`open`](Self::open) on another file system than the operating system's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(fs: Arc<dyn Fs>, dir: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let cache = FrameCache::new(options.block_cache_bytes);
        Self::open_sharing(fs, dir.as_ref(), options, cache)
    }

    /// [`open_on`](Self::open_on) of a database without a background, told from time to time how many bytes of the log are
    /// still to be replayed.
    pub(crate) fn open_watched(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        on_left: &mut dyn FnMut(u64),
    ) -> Result<Self, Error> {
        let cache = FrameCache::new(options.block_cache_bytes);
        let (engine, recovery) = Engine::open(fs, dir, options, cache)?;
        let engine = Arc::new(engine);
        let mut look = || on_left(engine.head().unreplayed_bytes().unwrap_or(0));
        look();
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| tell.send(engine.replay(recovery)));
            loop {
                match told.recv_timeout(BETWEEN_LOOKS) {
                    Ok(outcome) => break outcome,
                    Err(RecvTimeoutError::Timeout) => look(),
                    // It is gone without an answer.
                    Err(RecvTimeoutError::Disconnected) => break Err(Error::Closed),
                }
            }
        })?;
        look();
        let inner = Inner { worker: Mutex::new(None), replay: Mutex::new(None), engine };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// [`open_on`](Self::open_on) with a cache that is a part of one for several databases.
    pub(crate) fn open_sharing(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        cache: FrameCache,
    ) -> Result<Self, Error> {
        let rhythm = rhythm(&options);
        let in_background = options.replay == Replay::Background;
        let (engine, recovery) = Engine::open(fs, dir, options, cache)?;
        // A new database is whole at once: whoever writes first is told of limits, and finds what was written.
        let in_background = in_background && !recovery.is_empty();
        let engine = Arc::new(engine);
        let replay = if in_background {
            let thread = std::thread::Builder::new().name("tsdb-replay".into());
            let replayed = Arc::clone(&engine);
            let spawned = thread.spawn(move || replayed.replay_in_background(recovery));
            Some(spawned.map_err(|e| Error::io("start the replay thread for", dir, e))?)
        } else {
            engine.replay(recovery)?;
            None
        };
        let background = || Arc::new(Background(Arc::clone(&engine)));
        let worker = rhythm.map(|rhythm| Worker::start(rhythm, background())).transpose();
        let worker = worker.map_err(|e| Error::io("start the background thread for", dir, e))?;
        let inner = Inner { worker: Mutex::new(worker), replay: Mutex::new(replay), engine };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Moves the samples of the head up to now into blocks; those ahead of the clock stay. Samples older than the newest
    /// one moved are refused afterwards.
    ///
    /// # Errors
    /// The blocks cannot be written; the head then still holds the samples.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.engine.flush()
    }

    /// Returns when the log of the run before is replayed or the database is closed, or when replay failed, which
    /// [`Stats::warnings`] say; [`Stats::unreplayed_bytes`] is `None` if it is replayed. With [`Replay::BeforeOpen`] it always
    /// is.
    pub fn wait_for_replay(&self) {
        self.inner.engine.wait_for_replay();
    }

    /// Makes everything acknowledged so far durable, whatever the chosen durability.
    ///
    /// # Errors
    /// The log cannot be synced.
    pub fn sync(&self) -> Result<(), Error> {
        self.inner.engine.sync()
    }

    /// Does the work of the background thread once: cuts blocks that are due, deletes expired ones.
    ///
    /// # Errors
    /// What could not be done; the rest is done.
    pub fn maintain(&self) -> Result<(), Error> {
        self.inner.engine.maintain()
    }

    /// Compacts blocks until there is nothing more to do: those that overlap become one, those that lie in a longer range
    /// become one, those of which much is deleted are written anew. Takes the time it takes, at full speed; queries and
    /// writes go on. The background does the same with consideration, unless [`Options::compaction`] says otherwise.
    ///
    /// # Errors
    /// A block cannot be written; what was there before stays. A block that cannot be read is no error: it is left as
    /// it is and [`Stats::warnings`] names it.
    pub fn compact(&self) -> Result<(), Error> {
        self.inner.engine.compact()
    }

    /// Removes what is deleted from the disk at once, by writing the blocks that hold it anew. Without this it goes when
    /// they are compacted.
    ///
    /// # Errors
    /// As [`compact`](Self::compact).
    pub fn clean_tombstones(&self) -> Result<(), Error> {
        self.clean_tombstones_watched(&mut |_| {})
    }

    /// [`clean_tombstones`](Self::clean_tombstones), told how far it is, block by block.
    ///
    /// # Errors
    /// As there.
    pub fn clean_tombstones_watched(&self, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
        self.inner.engine.clean_tombstones(on_progress)
    }

    /// Uploads the blocks that are not on object storage yet, removes old ones from the disk, and has queries read what
    /// others uploaded. The background does the same; without [`Options::tier`] this does nothing.
    ///
    /// # Errors
    /// Object storage or the disk failed. What was done stays, the rest is done the next time.
    pub fn ship(&self) -> Result<(), Error> {
        self.inner.engine.ship_now()
    }

    /// Merges the blocks on object storage that no server holds, as [`compact`](Self::compact) merges those on disk; and
    /// nothing while another process has the lease on that. What was merged is on object storage when it returns. The
    /// background does the same, unless [`Tier::compaction`](crate::tier::Tier::compaction) says otherwise.
    ///
    /// # Errors
    /// Object storage or the disk failed; what was there before stays. A block that cannot be read is no error: it is
    /// left as it is and [`Stats::warnings`] names it.
    pub fn compact_far(&self) -> Result<(), Error> {
        self.inner.engine.compact_far(None)
    }

    /// What retention would delete now, if anything. Deletes nothing.
    ///
    /// # Errors
    /// The database is closed.
    pub fn retention_plan(&self) -> Result<RetentionPlan, Error> {
        self.inner.engine.retention_plan(None)
    }

    /// What `retention` would delete now if it were in force. Deletes nothing.
    ///
    /// # Errors
    /// The database is closed.
    pub fn retention_plan_of(&self, retention: &Retention) -> Result<RetentionPlan, Error> {
        self.inner.engine.retention_plan(Some(retention))
    }

    /// Puts another retention in force, and other windows; the background acts on it in its next rounds. Cheap if it is in
    /// force already.
    ///
    /// # Errors
    /// It makes no sense; then what was in force stays.
    pub fn set_retention(&self, retention: &Arc<Retention>) -> Result<(), Error> {
        self.inner.engine.set_retention(retention)
    }

    /// From the next batch on, samples may come so far behind the newest one, in ms, as [`Options::out_of_order_window_ms`]
    /// says; 0 or less takes none.
    pub fn set_out_of_order_window(&self, window_ms: i64) {
        self.inner.engine.head().set_late_window(window_ms);
    }

    /// Reads every byte of every file on disk that is needed, and decodes everything: as [`verify`](crate::verify::verify)
    /// does with a directory that nobody has open. Nothing is changed, and reads and writes go on meanwhile. What lies on
    /// object storage only is not read.
    ///
    /// # Errors
    /// The file system failed, or the database is closed. Damage is no error but a finding.
    pub fn verify(&self, on_progress: &mut OnProgress<'_>) -> Result<Verdict, Error> {
        self.inner.engine.verify(on_progress)
    }

    /// Makes a snapshot: the directory `dir`, which must not exist and must be on the same file system, opens as a
    /// database with what was acknowledged before this call, and of each writer with all batches up to one. Its files
    /// are hard links, so it takes no space until this database drops what it holds. Writes go on meanwhile. Blocks that lie
    /// on object storage only are not in it, and are returned.
    ///
    /// # Errors
    /// It exists, or the file system failed; then there is no such directory.
    pub fn snapshot(&self, dir: impl AsRef<Path>) -> Result<Snapshot, Error> {
        self.inner.engine.snapshot(dir.as_ref(), true)
    }

    /// [`snapshot`](Self::snapshot) of the blocks alone, without what is in memory and the log.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub fn snapshot_of_blocks(&self, dir: impl AsRef<Path>) -> Result<Snapshot, Error> {
        self.inner.engine.snapshot(dir.as_ref(), false)
    }

    /// What of the time in `range` cannot be read as samples, as sentences: blocks that cannot be opened or lie on object
    /// storage that is not used, and times of which only windows (rollups) are left.
    pub fn left_out(&self, range: TimeRange) -> Vec<String> {
        self.inner.engine.left_out(range)
    }

    /// Deletes the samples and exemplars within `range` of the series that satisfy all `matchers`; of all series if
    /// there are none. Samples that come later are taken as if those deleted had never been there. Queries that are
    /// under way may see them, later ones do not. What is in blocks stays on disk until
    /// the block is compacted.
    ///
    /// Waits for the replay of the log. Durable when it returns, whatever the chosen durability.
    ///
    /// # Errors
    /// The log or a file of a block cannot be written, or a block is damaged so that nobody knows what is in it; then
    /// the samples are deleted elsewhere, and the delete should be repeated.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), Error> {
        self.inner.engine.delete(matchers, range)
    }

    /// The directory of the database.
    pub fn dir(&self) -> &Path {
        self.inner.engine.dir()
    }

    /// Where snapshots of the database may lie without being in anyone's way.
    pub fn snapshots_dir(&self) -> PathBuf {
        self.dir().join(names::SNAPSHOTS_DIR)
    }

    /// Drops the log, with all damage in it, for a checkpoint of what is in memory and in no block.
    pub(crate) fn renew_log(&self) -> Result<(), Error> {
        self.inner.engine.renew_log()
    }

    /// Stops background work, syncs the log and releases the directory. Later writes fail with
    /// [`Error::Closed`]; queriers already open stay readable.
    ///
    /// # Errors
    /// The log cannot be synced.
    pub fn close(&self) -> Result<(), Error> {
        self.inner.stop();
        self.inner.engine.close()
    }

    /// The present moment in the history of the database: what is read from now on holds until
    /// [`changed_since`](Self::changed_since) says otherwise.
    pub fn change_mark(&self) -> ChangeMark {
        self.inner.engine.head().changes().mark()
    }

    /// Which times may answer otherwise than at `mark`. Everything that was acknowledged since is among them, and what
    /// retention and object storage took away or brought; what merely moved is not.
    pub fn changed_since(&self, mark: ChangeMark) -> Changed {
        self.inner.engine.head().changes().since(mark)
    }

    /// Numbers about the database.
    pub fn stats(&self) -> Stats {
        self.inner.engine.stats()
    }

    /// The limits on series that are in force.
    pub fn series_limits(&self) -> Arc<SeriesLimits> {
        self.inner.engine.head().admission().limits()
    }

    /// Puts other limits on series in force, for batches that begin from now on. Series that are there stay.
    pub fn set_series_limits(&self, limits: &Arc<SeriesLimits>) {
        self.inner.engine.head().admission().set_limits(limits);
    }

    /// How many series the head holds, and which metrics, labels and label pairs have the most; at most `top` of each. The
    /// counts are kept up, so this takes milliseconds with millions of series.
    pub fn cardinality(&self, top: usize) -> Cardinality {
        self.inner.engine.head().cardinality(top)
    }

    /// How many values the labels of `series` have, with at most `top` names.
    pub fn label_name_counts(&self, series: &SeriesFilter, top: usize) -> LabelNames {
        self.inner.engine.head().label_name_counts(&self.among(series), top)
    }

    /// How many values each label in `names` has among `series`, and how many series these have, with at most `top` values
    /// each.
    pub fn label_value_counts(
        &self,
        series: &SeriesFilter,
        names: &[String],
        top: usize,
    ) -> Vec<LabelValues> {
        let among = self.among(series);
        names.iter().map(|name| self.inner.engine.head().label_value_counts(name, &among, top)).collect()
    }

    /// The metrics, labels and label pairs of the head that weigh most, at most `top` of each. New are the series that were
    /// made within `window_ms`, an hour at most, and not before the database was opened.
    pub fn ranking(&self, by: RankBy, window_ms: i64, top: usize) -> Ranking {
        self.inner.engine.head().ranking(by, window_ms, top)
    }

    /// What each label in `names` costs among `series`: how many series there would be without it. Looks at all of them.
    pub fn label_costs(&self, series: &SeriesFilter, names: &[String]) -> Vec<LabelCost> {
        self.inner.engine.head().label_costs(&self.among(series), names)
    }

    /// How many series of the head `series` means, and the labels of at most `most` of them.
    pub fn head_series(&self, series: &SeriesFilter, most: usize) -> (u64, Vec<Labels>) {
        let (head, among) = (self.inner.engine.head(), self.among(series));
        (head.series_count(&among), head.some_labels(&among, most))
    }

    /// A sketch of the distinct series that are in the head, or were since the sketch was begun. The first call begins it, and
    /// so does one that wants it `anew`, which looks at all series; it is kept up from then on by the new series alone. Logs
    /// that are still to be replayed add nothing to it.
    ///
    /// Its elements are the labels in their wire form, so sketches of several databases merge.
    pub fn series_sketch(&self, anew: bool) -> Sketch {
        self.inner.engine.head().sketch(anew)
    }

    /// The hashes of the series of the head that came since this was last asked, or of all if they are wanted `anew`: of
    /// elements as those of the [sketch](Self::series_sketch). `None` if there are more than `most` series, or if it is not
    /// known which came, so that they must be wanted anew. Some may come twice.
    pub fn series_hashes(&self, anew: bool, most: usize) -> Option<Vec<u64>> {
        self.inner.engine.head().series_hashes(anew, most)
    }

    fn among(&self, series: &SeriesFilter) -> Among {
        let engine = &self.inner.engine;
        let active_since =
            Some(engine).filter(|_| series.only_active).and_then(|engine| engine.idle_before());
        engine.head().among(&series.matchers, active_since)
    }

    /// What is known of each metric, sorted by name.
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        self.inner.engine.head().metadata()
    }
}

impl Queryable for Db {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        self.inner.engine.querier(range)
    }
}

impl ExemplarQueryable for Db {
    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        self.inner.engine.exemplars(selectors, range)
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        self.inner.engine.head().appender()
    }
}

impl Inner {
    /// Ends background work. A thread in the middle of it finishes the block that it writes.
    fn stop(&self) {
        self.engine.stop();
        drop(self.worker.lock().take());
        if let Some(replay) = self.replay.lock().take() {
            // A panic in it was told when it happened.
            drop(replay.join());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
        if let Err(error) = self.engine.close() {
            log::error!("closing the database: {error}");
        }
    }
}

struct Background(Arc<Engine>);

impl Tasks for Background {
    fn run(&self, task: Task) {
        let outcome = match task {
            Task::Sync => self.0.sync(),
            Task::Maintain => self.0.maintain_in_background(),
            Task::Compact => self.0.compact_in_background(&(Arc::clone(&self.0) as Arc<dyn Load>)),
            Task::Ship => self.0.ship(),
        };
        self.0.note(task.name(), outcome);
    }

    fn panicked(&self, task: Task) {
        self.0.note_panic(task.name());
    }
}

fn rhythm(options: &Options) -> Option<Rhythm> {
    let sync = match options.durability {
        Durability::Interval(every) => Some(every),
        Durability::EveryCommit | Durability::Lazy => None,
    };
    let ship = options.tier.as_ref().map(|tier| tier.interval);
    options.background.then_some(Rhythm {
        sync,
        maintain: options.maintenance_interval,
        ship,
        compact: Some(options.maintenance_interval),
    })
}
