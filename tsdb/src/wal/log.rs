//! The log being written: appends, group commit, rotation, and what happens when the disk says no.
//!
//! One lock guards the state; it is released only while a leader syncs. INVARIANT: while `syncing` is set, nobody
//! else syncs, closes or replaces the active segment; others may append to it.
//!
//! A segment whose sync failed (or whose end is unknown) is retired: its header-to-be successor states where its
//! durable bytes end, and the records beyond are written again there and synced before anything is acknowledged.

use super::error::WalError;
use super::format::{self, MAX_RECORD_BYTES};
use super::replay::{Readable, Segments};
use super::report::ReplayReport;
use super::segment::{ActiveSegment, Predecessor};
use super::state::State;
use super::{Position, WalOptions, WalStats};
use crate::fs::{Fs, create_dirs, is_out_of_space};
use crate::names;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open log. Any number of threads may use it at once.
#[derive(Debug)]
pub struct Wal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: WalOptions,
    state: Mutex<State>,
    changed: Condvar,
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
        let found = Segments::find(Arc::clone(&fs), dir)?;
        let (report, last) = found.read_to_end(&mut |_| true, on_record);
        Ok((Self::behind(fs, dir, options, last, &found), report))
    }

    /// Opens the log in `dir` (created if it does not exist) without reading more of it than the last segment, so that
    /// it can be written at once. The records of that segment are handed to `on_record`: the newest there are. The
    /// segments found, the last one included, are handed back to be read at leisure.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_unread(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        on_record: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(Self, Segments), WalError> {
        create_dirs(&*fs, dir).map_err(|source| WalError::io("create", dir, source))?;
        let found = Segments::find(Arc::clone(&fs), dir)?;
        Ok((Self::behind(fs, dir, options, found.read_last(on_record), &found), found))
    }

    fn behind(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        last: Option<Readable>,
        found: &Segments,
    ) -> Self {
        let state = State::new(dir, last, found.sizes());
        Self { fs, dir: dir.to_owned(), options, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The segments behind number `after` that are not written any more. [`rotate`](Self::rotate) sees to it that all
    /// records appended before it are in one.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn closed_after(&self, after: u64) -> Result<Segments, WalError> {
        let last = self.state.lock().previous;
        Segments::between(Arc::clone(&self.fs), &self.dir, after, last)
    }

    /// Appends `records`, as one write unless they are many, and returns the position behind the last of them. They
    /// reach the operating system before this returns, so they survive the death of the process; they survive a power
    /// cut after [`sync_to`](Self::sync_to).
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

    /// Returns when every record before `position`, and every record that was replayed, is durable. Threads that wait
    /// at the same time share one sync.
    ///
    /// # Errors
    /// The records are not durable yet. They stay queued and become durable before anything later does, unless
    /// [`WalOptions::max_unsynced_bytes`] is 0.
    pub fn sync_to(&self, position: Position) -> Result<(), WalError> {
        let mut state = self.state.lock();
        // What an earlier run wrote was replayed, and may be acknowledged again, so it counts as before `position`.
        if let Err(error) = state.prove_inherited(&*self.fs) {
            return Err(state.note_failure(error));
        }
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
        if state.durable < state.appended {
            // Appends go on during this sync. The one that closes the segment holds them up, and has little left to do.
            self.lead_sync(&mut state)?;
            self.wait_for_leader(&mut state);
        }
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

    /// Bytes of the segments behind number `after`.
    pub fn bytes_after(&self, after: u64) -> u64 {
        let state = self.state.lock();
        let closed: u64 = state.closed.range(after.saturating_add(1)..).map(|(_, bytes)| *bytes).sum();
        closed + state.active.as_ref().map_or(0, |segment| segment.end)
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
