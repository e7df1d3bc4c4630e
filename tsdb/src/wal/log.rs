//! The log being written: appends, group commit, rotation, and what happens when the disk says no.
//!
//! One lock guards the state; it is released only while a leader syncs. INVARIANT: while `syncing` is set, nobody
//! else syncs, closes or replaces the active segment; others may append to it.
//!
//! A segment whose sync failed (or whose end is unknown) is retired: its header-to-be successor states where its
//! durable bytes end, and the records beyond are written again there and synced before anything is acknowledged.

use super::error::WalError;
use super::format::{self, MAX_RECORD_BYTES};
use super::queue::Queue;
use super::replay::{self, Replayed};
use super::report::ReplayReport;
use super::segment::{ActiveSegment, Predecessor};
use super::{Position, WalOptions, WalStats};
use crate::fs::{Fs, create_dirs, is_out_of_space};
use crate::names;
use crate::poison::TrustedFile;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Framed records are handed to the file in pieces of about this size, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// An open log. Any number of threads may use it at once.
#[derive(Debug)]
pub struct Wal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: WalOptions,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` until the first append, after a rotation, and after a failure.
    active: Option<ActiveSegment>,
    previous: Predecessor,
    /// The last segment of an earlier run: it was replayed, so it must be durable before anything that builds on it.
    inherited: Option<Inherited>,
    /// Sizes of the segments that are no longer written.
    closed: BTreeMap<u64, u64>,
    /// Records that the running sync covers.
    in_flight: Queue,
    /// Records behind these.
    waiting: Queue,
    appended: Position,
    durable: Position,
    syncing: bool,
    failures: u64,
    retired: u64,
    last_failure: Option<Failure>,
    frames: Vec<u8>,
}

#[derive(Debug)]
struct Inherited {
    number: u64,
    path: PathBuf,
    file: Option<TrustedFile>,
}

/// A failed sync, as told to everyone who waited for it.
#[derive(Debug, Clone)]
struct Failure {
    action: &'static str,
    path: PathBuf,
    kind: io::ErrorKind,
    message: String,
}

type Locked<'a> = MutexGuard<'a, State>;

impl Wal {
    /// Opens the log in `dir` (created if it does not exist) and hands every record found to `on_record`, with the
    /// number of its segment, in the order of writing. Existing segments are never written again: the first append
    /// begins a new one.
    ///
    /// # Errors
    /// The directory cannot be used, or a segment has a version from the future.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        on_record: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(Self, ReplayReport), WalError> {
        create_dirs(&*fs, dir).map_err(|source| WalError::io("create", dir, source))?;
        let Replayed { report, last, sizes } = replay::replay(&*fs, dir, on_record)?;
        let inherited =
            last.map(|(number, _)| Inherited { number, path: dir.join(names::numbered(number)), file: None });
        let (number, end) = last.unwrap_or((0, 0));
        let state = State {
            active: None,
            previous: Predecessor { number, end },
            inherited,
            closed: sizes,
            in_flight: Queue::default(),
            waiting: Queue::default(),
            appended: Position(0),
            durable: Position(0),
            syncing: false,
            failures: 0,
            retired: 0,
            last_failure: None,
            frames: Vec::new(),
        };
        let wal =
            Self { fs, dir: dir.to_owned(), options, state: Mutex::new(state), changed: Condvar::new() };
        Ok((wal, report))
    }

    /// Appends `records`, as one write unless they are many, and returns the position behind the last of them. They reach the operating
    /// system before this returns, so they survive the death of the process; they survive a power cut after
    /// [`sync_to`](Self::sync_to).
    ///
    /// # Errors
    /// None of `records` will be replayed, unless the machine stops before a later operation succeeds. A full disk
    /// ([`WalError::is_temporary`]) passes: later appends succeed once there is space.
    pub fn append(&self, records: &[&[u8]]) -> Result<Position, WalError> {
        if let Some(record) = records.iter().find(|record| record.len() > MAX_RECORD_BYTES) {
            return Err(WalError::RecordTooLarge { len: record.len(), limit: MAX_RECORD_BYTES });
        }
        if records.is_empty() {
            return Ok(self.state.lock().appended);
        }
        let bound = records.iter().map(|record| format::framed_bound(record.len())).sum();
        let mut state = self.state.lock();
        let mut retried = false;
        loop {
            self.make_ready(&mut state, bound)?;
            match state.write(records) {
                Ok(()) => break,
                Err(error) if is_out_of_space(&error.source) || retried || !self.keeps_unsynced() => {
                    return Err(error.into_wal_error());
                }
                Err(error) => {
                    ::log::warn!("{}; trying a new segment", error.into_wal_error());
                    retried = true;
                }
            }
        }
        if self.keeps_unsynced() {
            records.iter().for_each(|record| state.waiting.push(record));
        }
        state.appended.0 = state.appended.0.saturating_add(records.len() as u64);
        Ok(state.appended)
    }

    /// Returns when every record before `position` is durable. Threads that wait at the same time share one sync.
    ///
    /// # Errors
    /// The records are not durable yet. They stay queued and become durable before anything later does, unless
    /// [`WalOptions::max_unsynced_bytes`] is 0.
    pub fn sync_to(&self, position: Position) -> Result<(), WalError> {
        let mut state = self.state.lock();
        let failures = state.failures;
        loop {
            if state.durable >= position.min(state.appended) {
                return Ok(());
            }
            if state.failures != failures {
                return Err(state.failure());
            }
            if state.syncing {
                self.changed.wait(&mut state);
            } else {
                self.lead_sync(&mut state)?;
            }
        }
    }

    /// [`sync_to`](Self::sync_to) the end of the log.
    ///
    /// # Errors
    /// As [`sync_to`](Self::sync_to).
    pub fn sync(&self) -> Result<(), WalError> {
        let end = self.state.lock().appended;
        self.sync_to(end)
    }

    /// Syncs and closes the current segment; returns the number of the next one. All records appended before are in
    /// segments below that number, all later ones are not.
    ///
    /// # Errors
    /// As [`sync_to`](Self::sync_to); the segment is not closed.
    pub fn rotate(&self) -> Result<u64, WalError> {
        let mut state = self.state.lock();
        self.wait_for_leader(&mut state);
        self.close_active(&mut state)?;
        Ok(state.next_number())
    }

    /// Removes every segment with a number below `number`, except one that is being written. The numbering goes on
    /// even if no segment is left.
    ///
    /// # Errors
    /// Some of them may still be there; calling again goes on.
    pub fn drop_segments_below(&self, number: u64) -> Result<(), WalError> {
        let doomed: Vec<u64> = {
            let mut state = self.state.lock();
            self.wait_for_leader(&mut state);
            if state.active.is_none() && state.closed.last_key_value().is_some_and(|(last, _)| *last < number)
            {
                // ORDER: the next segment carries the numbering on before the last one goes.
                self.begin_segment(&mut state)?;
            }
            state.closed.range(..number).map(|(doomed, _)| *doomed).collect()
        };
        for doomed in doomed {
            let path = self.dir.join(names::numbered(doomed));
            match self.fs.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(WalError::io("remove", &path, error));
                }
                _ => {}
            }
            // ORDER: lowest first, each for good before the next, so that no crash leaves a hole.
            self.fs.sync_dir(&self.dir).map_err(|source| WalError::io("sync", &self.dir, source))?;
            self.state.lock().forget(doomed);
        }
        Ok(())
    }

    /// Number of the segment that takes the next record, unless that record makes it begin another.
    pub fn current_segment(&self) -> u64 {
        self.state.lock().next_number()
    }

    /// Bytes of all segments on disk.
    pub fn size_bytes(&self) -> u64 {
        self.stats().bytes
    }

    /// Numbers that describe the log now.
    pub fn stats(&self) -> WalStats {
        let state = self.state.lock();
        let active = state.active.as_ref();
        WalStats {
            segments: state.closed.len() as u64 + u64::from(active.is_some()),
            bytes: state.closed.values().sum::<u64>() + active.map_or(0, |segment| segment.end),
            unsynced_bytes: (state.in_flight.byte_len() + state.waiting.byte_len()) as u64,
            failed_syncs: state.failures,
            retired_segments: state.retired,
        }
    }

    fn keeps_unsynced(&self) -> bool {
        self.options.max_unsynced_bytes > 0
    }

    fn wait_for_leader(&self, state: &mut Locked<'_>) {
        while state.syncing {
            self.changed.wait(state);
        }
    }

    /// Sees to it that there is a trusted active segment with room for `bound` bytes.
    fn make_ready(&self, state: &mut Locked<'_>, bound: u64) -> Result<(), WalError> {
        loop {
            let crowded = self.keeps_unsynced()
                && state.in_flight.byte_len() + state.waiting.byte_len() >= self.options.max_unsynced_bytes;
            let full = match &state.active {
                Some(segment) if !segment.file.is_condemned() => {
                    segment.is_full_for(bound, self.options.segment_bytes)
                }
                _ => {
                    self.wait_for_leader(state);
                    self.replace_condemned(state)?;
                    continue;
                }
            };
            if !crowded && !full {
                return Ok(());
            }
            if state.syncing {
                self.changed.wait(state);
            } else if full {
                self.close_active(state)?;
            } else {
                self.sync_locked(state)?;
            }
        }
    }

    /// Syncs the active segment as the leader of all who wait, with the lock released meanwhile.
    fn lead_sync(&self, state: &mut Locked<'_>) -> Result<(), WalError> {
        let Some((file, end)) = state.begin_sync() else {
            return self.replace_condemned(state);
        };
        let covered = state.appended;
        state.syncing = true;
        let outcome = MutexGuard::unlocked(state, || file.sync());
        state.syncing = false;
        let settled = self.settle_sync(state, outcome, covered, end);
        self.changed.notify_all();
        settled
    }

    /// Syncs the active segment without letting go of the lock. Nobody else may be syncing.
    fn sync_locked(&self, state: &mut Locked<'_>) -> Result<(), WalError> {
        let Some((file, end)) = state.begin_sync() else {
            return self.replace_condemned(state);
        };
        let covered = state.appended;
        let outcome = file.sync();
        let settled = self.settle_sync(state, outcome, covered, end);
        self.changed.notify_all();
        settled
    }

    fn settle_sync(
        &self,
        state: &mut Locked<'_>,
        outcome: io::Result<()>,
        covered: Position,
        end: u64,
    ) -> Result<(), WalError> {
        match outcome {
            Ok(()) => {
                state.durable = covered;
                state.in_flight.clear();
                if let Some(segment) = &mut state.active {
                    segment.durable_end = end;
                }
                Ok(())
            }
            Err(source) if self.keeps_unsynced() => {
                let path = state.active_path();
                ::log::warn!(
                    "log segment {} does not sync ({source}); its unsynced records are written again",
                    path.display()
                );
                self.replace_condemned(state)
            }
            Err(source) => {
                let path = state.active_path();
                // Nothing was kept that could be written again: all that is left is to say so, once.
                state.durable = state.appended;
                self.replace_condemned(state)?;
                Err(state.note_failure(WalError::io("sync", &path, source)))
            }
        }
    }

    /// Puts a fresh segment in the place of a condemned or missing one, with all unsynced records in it.
    fn replace_condemned(&self, state: &mut Locked<'_>) -> Result<(), WalError> {
        if state.active.as_ref().is_some_and(|segment| !segment.file.is_condemned()) {
            return Ok(());
        }
        state.retire(self.keeps_unsynced());
        self.begin_segment(state)
    }

    fn begin_segment(&self, state: &mut Locked<'_>) -> Result<(), WalError> {
        let begun = state.prove_inherited(&*self.fs).and_then(|()| {
            ActiveSegment::begin(&*self.fs, &self.dir, state.previous, [&state.in_flight, &state.waiting])
        });
        let outcome = match begun {
            Ok(segment) => {
                state.active = Some(segment);
                if self.keeps_unsynced() {
                    state.durable = state.appended;
                    state.in_flight.clear();
                    state.waiting.clear();
                }
                Ok(())
            }
            Err(error) => Err(state.note_failure(error)),
        };
        self.changed.notify_all();
        outcome
    }

    /// Syncs the active segment and lets go of it. Nobody else may be syncing.
    fn close_active(&self, state: &mut Locked<'_>) -> Result<(), WalError> {
        if state.durable < state.appended || state.active.as_ref().is_some_and(|s| s.file.is_condemned()) {
            self.sync_locked(state)?;
        }
        // A segment without records stays: nothing of it, not even its header, need be durable.
        if let Some(segment) = state.active.take_if(|segment| !segment.is_empty()) {
            state.previous = Predecessor { number: segment.number, end: segment.end };
            state.closed.insert(segment.number, segment.end);
        }
        Ok(())
    }
}

/// A write that failed.
struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl WriteError {
    fn into_wal_error(self) -> WalError {
        WalError::io("write", &self.path, self.source)
    }
}

impl State {
    /// Writes `records` to the active segment, all or none.
    fn write(&mut self, records: &[&[u8]]) -> Result<(), WriteError> {
        let Some(segment) = &mut self.active else { return Ok(()) };
        match write_frames(segment, records, &mut self.frames) {
            Ok(end) => {
                segment.end = end;
                Ok(())
            }
            Err(source) => {
                if is_out_of_space(&source) {
                    // A failure condemns the file: the records behind the garbage would be lost to readers.
                    drop(segment.file.truncate(segment.end));
                } else {
                    segment.file.condemn();
                }
                Err(WriteError { path: segment.path.clone(), source })
            }
        }
    }

    /// What a sync now has to cover; `None` if there is no segment that could be synced.
    fn begin_sync(&mut self) -> Option<(Arc<TrustedFile>, u64)> {
        let segment = self.active.as_ref().filter(|segment| !segment.file.is_condemned())?;
        std::mem::swap(&mut self.in_flight, &mut self.waiting);
        Some((Arc::clone(&segment.file), segment.end))
    }

    /// Lets go of the active segment, which is condemned.
    fn retire(&mut self, rewrites: bool) {
        if let Some(segment) = self.active.take() {
            let end = if rewrites { segment.durable_end } else { segment.end };
            self.previous = Predecessor { number: segment.number, end };
            self.closed.insert(segment.number, segment.end);
            self.retired = self.retired.saturating_add(1);
        }
    }

    fn active_path(&self) -> PathBuf {
        self.active.as_ref().map_or_else(PathBuf::new, |segment| segment.path.clone())
    }

    fn prove_inherited(&mut self, fs: &dyn Fs) -> Result<(), WalError> {
        let Some(inherited) = &mut self.inherited else { return Ok(()) };
        let file = match &mut inherited.file {
            Some(file) => file,
            None => {
                let opened = fs.open_append(&inherited.path);
                let opened = opened.map_err(|source| WalError::io("open", &inherited.path, source))?;
                inherited.file.insert(TrustedFile::new(opened))
            }
        };
        file.sync().map_err(|source| WalError::io("sync", &inherited.path, source))?;
        self.inherited = None;
        Ok(())
    }

    fn forget(&mut self, number: u64) {
        self.closed.remove(&number);
        if self.inherited.as_ref().is_some_and(|inherited| inherited.number == number) {
            self.inherited = None;
        }
    }

    fn next_number(&self) -> u64 {
        self.active.as_ref().map_or(self.previous.number.saturating_add(1), |segment| segment.number)
    }

    fn note_failure(&mut self, error: WalError) -> WalError {
        self.failures = self.failures.saturating_add(1);
        if let WalError::Io { action, path, source } = &error {
            let (kind, message) = (source.kind(), source.to_string());
            self.last_failure = Some(Failure { action, path: path.clone(), kind, message });
        }
        error
    }

    fn failure(&self) -> WalError {
        match self.last_failure.clone() {
            Some(Failure { action, path, kind, message }) => {
                WalError::Io { action, path, source: io::Error::new(kind, message) }
            }
            None => WalError::io("sync", Path::new(""), io::ErrorKind::Other.into()),
        }
    }
}

/// Writes `records` behind the end of `segment`, in one piece unless they are many; returns where they end.
fn write_frames(segment: &ActiveSegment, records: &[&[u8]], frames: &mut Vec<u8>) -> io::Result<u64> {
    let mut end = segment.end;
    let mut rest = records.iter().peekable();
    while let Some(record) = rest.next() {
        format::frame(segment.number, end, record, frames);
        if rest.peek().is_none() || frames.len() >= PIECE_BYTES {
            let written = segment.file.append(frames);
            end = end.saturating_add(frames.len() as u64);
            frames.clear();
            frames.shrink_to(PIECE_BYTES);
            written?;
        }
    }
    Ok(end)
}
