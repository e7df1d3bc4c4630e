//! The head: the newest samples of every series, in memory and in the log.
//!
//! What it promises: a batch that was acknowledged is found by every later querier and, as far as the chosen
//! durability reaches, after a crash; each sample exactly once. What it does not do: write blocks, choose when to
//! cut them, or merge with them; the engine above does.
//!
//! | part | what it is |
//! |---|---|
//! | `identity`, `pages`, `ids` | from label sets to numbers, from numbers to places, and which numbers are free |
//! | `series`, `sealed` | the chunks of one plain series, which has numbers alone |
//! | `mixed` | the chunks of a series with native histograms, or start timestamps that change all the time |
//! | `held` | the samples of the series of one page |
//! | `catalog` | what is known of metrics |
//! | `exemplars` | the newest exemplars, in a ring |
//! | `memory` | all series with their index; `view` reads it |
//! | `delete` | samples that are deleted |
//! | `append`, `batch`, `log` | one batch; the order of what goes to the write-ahead log |
//! | `checkpoint`, `contents` | all that the head holds, on disk, so that the log before it can go |
//! | `replay`, `lanes`, `indexer` | memory from the log: the records in order, their samples on all cores, their series into the index |
//! | `recovery`, `spool` | when memory is built from the log, and batches that come in meanwhile |
//! | `pins` | what readers and writers may still hold |
//!
//! # A cut, step by step
//! Let `T` be the end of the window that becomes a block.
//! 1. `min_time` is raised to `T`: no sample before it is taken any more. Appends read `min_time` under the lock of
//!    the page they write, so after every page was locked once, nothing before `T` changes.
//! 2. The samples before `T` are written as a block and published together with the new lower bound `T` of what
//!    queriers read from the head, in one step. A querier has either the old pair (no block, the head from the old
//!    bound) or the new one. **From here on a replay skips samples before `T`**, because the block is on disk.
//! 3. When no querier with the old pair is left (see `pins`), chunks before `T` are dropped from memory and series
//!    without samples are removed.
//! 4. A checkpoint holds all series and samples that are left, and says `T`. Then the log before it is removed. A crash
//!    between these steps leaves more log than needed, never less.

mod admission;
mod append;
mod batch;
mod catalog;
mod checkpoint;
mod contents;
mod count;
mod counters;
mod delete;
mod exemplars;
mod held;
mod identity;
mod ids;
mod indexer;
mod intake;
mod lanes;
mod late;
mod late_totals;
mod log;
mod memory;
mod mixed;
mod named;
mod pages;
mod pins;
mod recovery;
mod replay;
mod replay_batch;
mod sealed;
mod series;
mod sketching;
mod spool;
#[cfg(all(test, feature = "testing"))]
mod testing;
mod view;

pub(crate) use admission::Admission;
pub(crate) use catalog::CatalogLimits;
pub(crate) use checkpoint::{CheckpointName, newest_checkpoint};
pub(crate) use count::Among;
pub(crate) use late::Generation;
pub(crate) use memory::Memory;
pub(crate) use pins::{Epoch, Pin};
pub(crate) use recovery::Recovery;
pub(crate) use view::{HeadView, Selected};

use crate::Error;
use crate::changes::ChangeLog;
use crate::record::Border;
use crate::stats::Stats;
use crate::wal::{WalError, WalOptions};
use append::{Buffers, HeadAppender};
use counters::{Counters, add};
use exemplars::Kept;
use intake::Intake;
use log::{Log, Records};
use parking_lot::Mutex;
use recovery::Wholeness;
use spool::SpoolAppender;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tsdb_core::metadata::Metadata;
use tsdb_core::read::SeriesExemplars;
use tsdb_core::time::Clock;
use tsdb_core::write::{Appender, CommitError, Origin, SeriesError};
use tsdb_core::{Exemplar, Labels, Matcher, SeriesRef, TimeRange, Timestamp};
use tsdb_index::{RoaringBitmap, SeriesLimits};

/// Buffers of finished batches that are kept for later ones.
const KEPT_BUFFERS: usize = 4;
/// A buffer larger than this is not kept.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

/// The index is shrunk after more than this part of all series is new.
const SHRINK_SHARE: u64 = 8;
/// How long an estimate of memory is good enough.
const ESTIMATE_LIFE: Duration = Duration::from_secs(10);

/// When a batch is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// When it is on disk.
    EveryCommit,
    /// When the operating system has it.
    Later,
}

/// What becomes of a sample at a time for which its series has another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    KeepFirst,
    KeepLast,
}

/// What the engine decides for a head.
pub(crate) struct Settings {
    pub(crate) durable: Durable,
    pub(crate) future_skew_ms: Option<i64>,
    /// How far behind the newest sample late ones may lie until [`Head::set_late_window`] says; 0 for none.
    pub(crate) late_window_ms: i64,
    /// Bytes that late samples may take before they should be moved into blocks.
    pub(crate) late_bytes: u64,
    pub(crate) duplicates: Duplicates,
    pub(crate) series_limits: Arc<SeriesLimits>,
    pub(crate) metadata: CatalogLimits,
    pub(crate) max_exemplars: usize,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Where a head keeps its files.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) fs: Arc<dyn crate::fs::Fs>,
    /// The directory of the log.
    pub(crate) wal_dir: PathBuf,
    pub(crate) wal_options: WalOptions,
}

/// The newest samples of every series.
pub(crate) struct Head {
    memory: Memory,
    log: Log,
    wholeness: Wholeness,
    place: Place,
    settings: Settings,
    counters: Counters,
    admission: Admission,
    intake: Intake,
    changes: ChangeLog,
    buffers: Mutex<Vec<Buffers>>,
    closed: AtomicBool,
    /// Why nothing is taken at the moment, if so.
    overflow: Mutex<Option<Overflow>>,
    shrunk: Mutex<Shrunk>,
    /// The latest estimate of memory: a walk through all series.
    estimate: Mutex<Option<(Instant, u64)>>,
    /// What was in blocks when the log was replayed, as far as replay has come.
    replayed: Mutex<Border>,
    /// Bytes of the newest checkpoint.
    checkpoint_bytes: AtomicU64,
}

/// Blocks wait for their upload: how many bytes of them, and how many may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overflow {
    pub(crate) bytes: u64,
    pub(crate) limit: u64,
}

/// How many series had been created when ...
#[derive(Debug, Default)]
struct Shrunk {
    /// ... the index was shrunk.
    created: u64,
    /// ... it was last asked whether it should be.
    created_before: u64,
}

impl Head {
    /// What may answer otherwise than before.
    pub(crate) fn changes(&self) -> &ChangeLog {
        &self.changes
    }

    /// A new batch.
    pub(crate) fn appender(&self) -> Box<dyn Appender + '_> {
        if self.wholeness.is_whole() {
            Box::new(HeadAppender::new(self))
        } else {
            Box::new(SpoolAppender::new(self))
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Keeps what is visible now readable until the pin is dropped.
    pub(crate) fn pin(&self) -> Pin {
        self.memory.pins.pin()
    }

    /// Begins a new epoch: queriers of older epochs may not know what was published just now.
    pub(crate) fn advance(&self) -> Epoch {
        self.memory.pins.advance()
    }

    /// Is no pin left from before `epoch`?
    pub(crate) fn is_unpinned_before(&self, epoch: Epoch) -> bool {
        self.memory.pins.oldest() >= epoch
    }

    /// Drops what lies on the other side of `border`, and series without samples.
    pub(crate) fn truncate(&self, border: &Border) {
        self.memory.truncate(border.from);
        self.memory.forget_late(border);
        self.remove_empty();
    }

    /// What was in blocks when the log was replayed.
    pub(crate) fn replayed(&self) -> Border {
        *self.replayed.lock()
    }

    /// Ends a generation of late samples and returns it: all of its samples are in memory.
    pub(crate) fn end_generation(&self) -> Generation {
        let held = self.log.hold();
        let ended = self.memory.late.end_generation();
        drop(held);
        ended
    }

    /// Logs that what lies on the other side of `border` is in blocks, so that a replay need not take it. Should the record
    /// be lost, a replay takes more than it needs, and readers merge the two.
    pub(crate) fn log_border(&self, border: Border) -> Result<(), WalError> {
        self.log.add_border(border)
    }

    /// Do late samples take more memory than they should?
    pub(crate) fn is_late_full(&self) -> bool {
        self.memory.late_bytes() > self.settings.late_bytes
    }

    /// The most bytes that late samples may take, if they take as many. Twice what they should: moving them into blocks
    /// takes a while.
    fn late_limit_reached(&self) -> Option<u64> {
        let allowed = self.settings.late_bytes.saturating_mul(2);
        (self.memory.late_bytes() >= allowed).then_some(allowed)
    }

    /// Drops series without samples: those whose samples are in blocks, and those that never had any.
    pub(crate) fn remove_empty(&self) {
        let clean = self.log.wal().current_segment().saturating_add(1);
        self.note_removed(self.memory.remove_empty(clean));
    }

    /// Removes those of `series`, which were idle in epoch `since`, that nobody has asked for since: their samples are in
    /// blocks. Returns how many.
    pub(crate) fn retire(&self, series: &RoaringBitmap, since: Epoch) -> Result<usize, WalError> {
        let clean = self.log.wal().current_segment().saturating_add(1);
        let gone = self.memory.retire(series, since, clean);
        self.note_removed(gone.len() as u64);
        // Should the record be lost, a replay finds them again, and readers merge them with the blocks.
        self.log.add_retired(&gone)?;
        Ok(gone.len())
    }

    fn note_removed(&self, series: u64) {
        add(&self.counters.series_removed, series);
        self.admission.note_removed(series);
    }

    /// Who may register a series.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Gives back memory that the index took while many series came in, once no more come.
    pub(crate) fn shrink(&self) {
        let created = self.counters.series_created.load(Ordering::Relaxed);
        let mut shrunk = self.shrunk.lock();
        let is_calm = std::mem::replace(&mut shrunk.created_before, created) == created;
        if is_calm && created.saturating_sub(shrunk.created) > self.memory.active() / SHRINK_SHARE {
            shrunk.created = created;
            self.memory.shrink_index();
        }
    }

    /// Lets numbers be used again that nobody can mean any more.
    pub(crate) fn free_numbers(&self) {
        let oldest = self.memory.pins.oldest();
        self.memory.ids.lock().wake(oldest);
    }

    /// Samples accepted since the head was opened.
    pub(crate) fn appended(&self) -> u64 {
        self.counters.appended()
    }

    /// Makes everything appended so far durable.
    pub(crate) fn sync(&self) -> Result<(), WalError> {
        self.log.sync()
    }

    /// Refuses all later batches.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.log.barrier();
    }

    /// Lets whoever waits for replay look again whether to wait.
    pub(crate) fn wake(&self) {
        self.wholeness.wake();
    }

    /// All that is known of metrics, in order of name.
    pub(crate) fn metadata(&self) -> Vec<(String, Metadata)> {
        self.memory.metadata.read().to_vec()
    }

    /// The exemplars within `range` of the series that satisfy all matchers of at least one of `selectors`.
    pub(crate) fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        self.memory.exemplars.read().select(selectors, range)
    }

    /// Fills in the numbers of the head.
    pub(crate) fn report(&self, stats: &mut Stats) {
        self.counters.report(stats);
        self.admission.report(stats);
        stats.active_series = self.memory.active();
        stats.metadata_metrics = self.memory.metadata.read().len() as u64;
        stats.exemplars = self.memory.exemplars.read().len() as u64;
        stats.head_range = self.memory.range();
        stats.late_bytes = self.memory.late_bytes();
        stats.head_bytes = self.memory_bytes();
        stats.wal_bytes = self.log.wal().stats().bytes;
        stats.unreplayed_bytes = self.unreplayed_bytes();
    }

    fn memory_bytes(&self) -> u64 {
        let mut estimate = self.estimate.lock();
        match *estimate {
            Some((at, bytes)) if at.elapsed() < ESTIMATE_LIFE => bytes,
            _ => {
                let bytes = self.memory.memory_bytes();
                *estimate = Some((Instant::now(), bytes));
                bytes
            }
        }
    }

    /// Takes nothing while `overflow` is told.
    pub(crate) fn set_overflow(&self, overflow: Option<Overflow>) {
        *self.overflow.lock() = overflow;
    }

    /// Refuses whoever writes, if nothing is taken at the moment.
    fn check_overflow(&self) -> Result<(), CommitError> {
        match *self.overflow.lock() {
            None => Ok(()),
            Some(Overflow { bytes, limit }) => {
                Err(CommitError { source: Box::new(Error::BacklogFull { bytes, limit }), temporary: true })
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn register(
        &self,
        labels: &Labels,
        hash: identity::SeriesHash,
        epoch: Epoch,
        origin: Origin,
    ) -> Result<SeriesRef, SeriesError> {
        let announce = |series| {
            self.log.add_series(series, labels);
            add(&self.counters.series_created, 1);
        };
        let gate = Some((&self.admission, origin));
        let registered = self.memory.register(labels, hash, epoch, gate, announce);
        registered.inspect_err(|error| self.admission.note_refused(error))
    }

    /// Registers a series that replay found and that has no number yet.
    fn register_replayed(&self, labels: &Labels, hash: identity::SeriesHash) -> Option<SeriesRef> {
        let announce = |series| self.log.add_series(series, labels);
        let epoch = self.pin().epoch();
        let registered = self.memory.register(labels, hash, epoch, None, announce);
        registered.inspect_err(|error| ::log::error!("replay: {error}")).ok()
    }

    fn announce_metadata(&self, news: &mut Vec<(String, Metadata)>) {
        if news.is_empty() {
            return;
        }
        let mut known = self.memory.metadata.write();
        for (metric, metadata) in news.drain(..) {
            if known.has(&metric, &metadata) {
                continue;
            }
            if known.insert(&metric, metadata.clone()) {
                self.log.add_metadata(&metric, &metadata);
            } else {
                add(&self.counters.metadata_refused, 1);
            }
        }
    }

    /// Stores exemplars up to `newest_allowed` and leaves those that are new in `records`.
    fn store_exemplars(
        &self,
        batch: &mut Vec<(SeriesRef, Exemplar)>,
        newest_allowed: Timestamp,
        records: &mut Records,
    ) {
        if batch.is_empty() {
            return;
        }
        let mut ring = self.memory.exemplars.write();
        for (series, exemplar) in batch.drain(..) {
            let labels = || self.memory.labels(series);
            let kept = match exemplar.timestamp > newest_allowed {
                true => Kept::Refused,
                false => ring.push(series, labels, exemplar.clone()),
            };
            match kept {
                Kept::Stored => {
                    records.push_exemplar(ring.next_number() - 1, series, &exemplar);
                    add(&self.counters.exemplars_stored, 1);
                }
                Kept::Repeated => {}
                Kept::Refused => add(&self.counters.exemplars_refused, 1),
            }
        }
    }

    fn keep(&self, buffers: Buffers) {
        let mut kept = self.buffers.lock();
        if kept.len() < KEPT_BUFFERS && buffers.memory_bytes() <= KEPT_BUFFER_BYTES {
            kept.push(buffers);
        }
    }
}
