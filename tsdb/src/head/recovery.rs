//! Memory from the log, while batches come in.
//!
//! A head is opened as soon as it is known where its log ends; what the log holds is read afterwards, at once or in
//! the background. Until all of it is read, nobody knows the number of a series, so batches are not applied: they are
//! written to the log with the labels of their series (see `spool`), as durable as any other, and replay comes to them
//! in its turn. It catches up in rounds, each shorter than the one before; for the last one, of a few milliseconds,
//! batches wait. Then the head is whole, and batches are applied as always.
//!
//! | what happens during replay | |
//! |---|---|
//! | a query | sees what was replayed so far; its warnings say how much is missing |
//! | a crash | the next replay reads all of it again, the batches that came in meanwhile included |
//! | a panic, a file that cannot be read | work that needs a whole head is refused, and the next replay reads all of it again |
//! | cutting, checkpoints, removal of series | wait |
//! | a sample that the log holds already, or another at the same time | the one written first stays |

use super::admission::Admission;
use super::checkpoint::{Checkpoint, log_options};
use super::intake::Intake;
use super::log::Log;
use super::memory::Memory;
use super::replay::Replay;
use super::{Counters, Head, Place, Settings};
use crate::Error;
use crate::changes::ChangeLog;
use crate::names;
use crate::record::{Border, RecordSink, decode};
use crate::wal::{ReplayReport, Segments, Wal};
use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::{SeriesRef, Timestamp};

/// Rounds of replay after which batches wait for the rest, even if it is long.
const MAX_ROUNDS: usize = 16;
/// The rest for which batches wait, in bytes of log: a few milliseconds of replay.
const SHORT_BYTES: u64 = 1 << 20;
/// How long replay waits when the log cannot be written.
const RETRY: Duration = Duration::from_secs(1);

/// How far a head is from being whole.
#[derive(Debug)]
pub(super) struct Wholeness {
    is_whole: AtomicBool,
    /// Replay ended, and the head will not be whole.
    is_given_up: AtomicBool,
    /// Bytes of the log still to be read when this was looked at last.
    left: AtomicU64,
    /// Held shared by those who write batches that name their series, and alone while the rest of the log is read.
    gate: RwLock<()>,
    waiting: Mutex<()>,
    became_whole: Condvar,
}

/// The part of a log that is to be replayed.
pub(crate) struct Recovery {
    checkpoint: Option<Checkpoint>,
    segments: Segments,
}

impl Head {
    /// Opens the log. The head takes batches from now on, and is whole after [`Recovery::run`].
    pub(crate) fn open(place: Place, settings: Settings) -> Result<(Self, Recovery), Error> {
        place.fs.create_dir_all(&place.wal_dir).map_err(|e| Error::io("create", &place.wal_dir, e))?;
        sweep(&place)?;
        let checkpoint = Checkpoint::list(&place)?.pop();
        let from = checkpoint.as_ref().map_or(Timestamp::MIN, |found| found.min_time);
        let mut newest = Newest(Timestamp::MIN);
        let mut look = |_, record: &[u8]| newest.look_at(record);
        let (wal, segments) =
            Wal::open_unread(place.fs.clone(), &place.wal_dir, place.wal_options, &mut look)?;
        let head = Self {
            memory: Memory::new(from, settings.metadata, settings.max_exemplars),
            log: Log::new(wal),
            wholeness: Wholeness::missing(segments.size_bytes()),
            place,
            admission: Admission::new(Arc::clone(&settings.series_limits), Arc::clone(&settings.clock)),
            intake: Intake::new(settings.clock.monotonic_ms(), settings.late_window_ms),
            settings,
            counters: Counters::default(),
            changes: ChangeLog::default(),
            buffers: Mutex::default(),
            closed: AtomicBool::new(false),
            overflow: Mutex::default(),
            shrunk: Mutex::default(),
            estimate: Mutex::default(),
            replayed: Mutex::new(Border { from, ..Border::NOTHING }),
            checkpoint_bytes: AtomicU64::new(0),
        };
        head.memory.see(newest.0);
        Ok((head, Recovery { checkpoint, segments }))
    }

    /// Bytes of the log that are not replayed yet; `None` if the head is whole.
    pub(crate) fn unreplayed_bytes(&self) -> Option<u64> {
        (!self.wholeness.is_whole()).then(|| self.wholeness.left.load(Ordering::Relaxed))
    }

    /// Returns when the head is whole or will never be, or when `is_over` holds after a [`wake`](Self::wake).
    pub(crate) fn wait_until_whole(&self, is_over: impl Fn() -> bool) {
        self.wholeness.wait(is_over);
    }

    /// Replay failed: nobody is to wait for it.
    pub(crate) fn give_up_replay(&self) {
        self.wholeness.is_given_up.store(true, Ordering::SeqCst);
        self.wholeness.wake();
    }

    /// Did replay fail?
    pub(crate) fn is_given_up(&self) -> bool {
        self.wholeness.is_given_up()
    }

    /// The error of whoever needs a head that is whole, when replay failed.
    pub(crate) fn not_replayed(&self) -> Error {
        Error::NotReplayed { path: self.place.wal_dir.clone() }
    }
}

impl Recovery {
    /// Is there nothing to replay? So it is with a new database.
    pub(crate) fn is_empty(&self) -> bool {
        self.checkpoint.is_none() && self.segments.last().is_none()
    }

    /// Replays the log into `head` as long as `goes_on`, and returns what was found wrong as sentences. What replay has
    /// not come to when it is stopped stays in the log.
    ///
    /// # Errors
    /// The checkpoint, or the directory of the log, cannot be used.
    pub(crate) fn run(self, head: &Head, goes_on: &dyn Fn() -> bool) -> Result<Vec<String>, Error> {
        std::thread::scope(|scope| {
            let replay = Replay::new(head, scope);
            self.run_in(Run { head, replay, goes_on, warnings: Vec::new() })
        })
    }

    fn run_in(self, mut run: Run<'_, '_>) -> Result<Vec<String>, Error> {
        let head = run.head;
        let first = self.checkpoint.as_ref().map_or(0, |found| found.first_segment);
        if let Some(checkpoint) = &self.checkpoint {
            run.read_checkpoint(checkpoint)?;
        }
        run.read(&self.segments, |replay, segment, record| {
            // Segments below that exist only if a crash kept them from being removed.
            if segment >= first {
                replay.take(record);
            }
        });
        if (run.goes_on)() {
            run.replay.settle();
            head.memory.index.write().shrink();
            self.checkpoint
                .map_or(Ok(()), |checkpoint| head.finish_checkpoint(checkpoint, run.replay.border()))?;
        }
        run.catch_up(self.segments.last().unwrap_or(0))
    }
}

/// A replay under way.
struct Run<'scope, 'a> {
    head: &'a Head,
    replay: Replay<'scope, 'a>,
    goes_on: &'a dyn Fn() -> bool,
    warnings: Vec<String>,
}

impl<'scope, 'a> Run<'scope, 'a> {
    fn read_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let place = &self.head.place;
        let mut take = |_, record: &[u8]| self.replay.take(record);
        let (log, report) =
            Wal::open(place.fs.clone(), &checkpoint.path(place), log_options(place), &mut take)?;
        self.head.checkpoint_bytes.store(log.stats().bytes, Ordering::Relaxed);
        self.warn_of_damage("checkpoint", &report);
        Ok(())
    }

    fn read(&mut self, segments: &Segments, take: impl Fn(&mut Replay<'scope, 'a>, u64, &[u8])) {
        let size = segments.size_bytes();
        let mut goes_on = |read| {
            self.head.wholeness.left.store(size.saturating_sub(read), Ordering::Relaxed);
            (self.goes_on)()
        };
        let replay = &mut self.replay;
        let report = segments.read(&mut goes_on, &mut |segment, record| take(replay, segment, record));
        self.replay.pause();
        self.warn_of_damage("log", &report);
    }

    /// Reads what came in meanwhile, behind segment `last`, until nothing is left.
    fn catch_up(mut self, mut last: u64) -> Result<Vec<String>, Error> {
        let mut rounds = 0;
        while (self.goes_on)() {
            let is_short = self.head.log.wal().bytes_after(last) <= SHORT_BYTES;
            let gate = (is_short || rounds >= MAX_ROUNDS).then(|| self.head.wholeness.gate.write());
            if let Err(error) = self.head.log.rotate() {
                drop(gate);
                log::error!("replay waits: {error}");
                self.head.wholeness.wait_for(RETRY);
                continue;
            }
            let segments = self.head.log.wal().closed_after(last)?;
            last = segments.last().unwrap_or(last);
            self.read(&segments, |replay, _, record| replay.take_settled(record));
            rounds += 1;
            if gate.is_some() && (self.goes_on)() {
                return Ok(self.finish());
            }
        }
        Ok(self.warnings)
    }

    /// Makes the head whole.
    fn finish(mut self) -> Vec<String> {
        let border = self.replay.border();
        self.warnings.extend(self.replay.finish());
        let head = self.head;
        // ORDER: what is in blocks is forgotten before batches are applied again.
        head.memory.raise_min_time(border.from);
        head.memory.truncate(border.from);
        head.memory.forget_late(&border);
        *head.replayed.lock() = border;
        head.memory.finish_replay(head.log.wal().current_segment());
        head.wholeness.become_whole();
        self.warnings
    }

    fn warn_of_damage(&mut self, what: &str, report: &ReplayReport) {
        self.warnings.extend(report.damage.iter().map(|damage| format!("{what}: {damage}")));
    }
}

impl Wholeness {
    /// Of a head whose log has `left` bytes to be read.
    fn missing(left: u64) -> Self {
        Self {
            is_whole: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            left: AtomicU64::new(left),
            gate: RwLock::new(()),
            waiting: Mutex::new(()),
            became_whole: Condvar::new(),
        }
    }

    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::SeqCst)
    }

    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::SeqCst)
    }

    /// Lets a batch be written that names its series, while it is held; `None` if the head is whole.
    pub(super) fn enter(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let entered = self.gate.read();
        (!self.is_whole()).then_some(entered)
    }

    fn become_whole(&self) {
        self.is_whole.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Wakes whoever waits, to look again.
    pub(super) fn wake(&self) {
        drop(self.waiting.lock());
        self.became_whole.notify_all();
    }

    fn wait_for(&self, time: Duration) {
        self.became_whole.wait_for(&mut self.waiting.lock(), time);
    }

    fn wait(&self, is_over: impl Fn() -> bool) {
        let mut waiting = self.waiting.lock();
        while !self.is_whole() && !self.is_given_up() && !is_over() {
            self.became_whole.wait(&mut waiting);
        }
    }
}

/// The newest time of a sample: how far back late ones may lie depends on it, while replay has not come so far.
struct Newest(Timestamp);

impl Newest {
    fn look_at(&mut self, record: &[u8]) {
        // Replay says what is damaged.
        drop(decode(record, self));
    }
}

impl RecordSink for Newest {
    fn sample(&mut self, _series: SeriesRef, timestamp: Timestamp, _value: f64) {
        self.0 = self.0.max(timestamp);
    }

    fn samples(&mut self, series: SeriesRef, timestamp: Timestamp, _values: &[[u8; 8]]) {
        self.sample(series, timestamp, 0.0);
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, _start: Timestamp, value: f64) {
        self.sample(series, timestamp, value);
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        _start: Timestamp,
        histogram: FloatHistogram,
    ) {
        self.sample(series, timestamp, histogram.sum());
    }

    fn newest(&mut self, newest: Timestamp) {
        self.0 = self.0.max(newest);
    }

    fn named_batch(&mut self, records: &[&[u8]]) {
        records.iter().for_each(|record| self.look_at(record));
    }
}

/// Removes what was never finished: checkpoints, and segments that were being written anew.
fn sweep(place: &Place) -> Result<(), Error> {
    let entries = place.fs.list(&place.wal_dir).map_err(|e| Error::io("list", &place.wal_dir, e))?;
    for entry in entries.iter().filter(|entry| names::is_temporary(&entry.name)) {
        let path = place.wal_dir.join(&entry.name);
        let removed = if entry.is_dir { place.fs.remove_dir_all(&path) } else { place.fs.remove_file(&path) };
        removed.map_err(|e| Error::io("remove", path, e))?;
    }
    Ok(())
}
