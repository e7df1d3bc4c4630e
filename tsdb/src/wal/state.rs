//! What an open log knows, and the steps that need no waiting.

use super::Position;
use super::error::WalError;
use super::format;
use super::queue::Queue;
use super::replay::Readable;
use super::segment::{ActiveSegment, Predecessor};
use crate::fs::{Fs, is_out_of_space, write_file};
use crate::names;
use crate::poison::TrustedFile;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Framed records are handed to the file in pieces of about this size, in bytes.
const PIECE_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct State {
    /// `None` until the first append, after a rotation, and after a failure.
    pub(super) active: Option<ActiveSegment>,
    pub(super) previous: Predecessor,
    /// The last segment of an earlier run: it was replayed, so it must be durable before anything that builds on it.
    inherited: Option<Inherited>,
    /// Sizes of the segments that are no longer written.
    pub(super) closed: BTreeMap<u64, u64>,
    /// Records that the running sync covers.
    pub(super) in_flight: Queue,
    /// Records behind these.
    pub(super) waiting: Queue,
    pub(super) appended: Position,
    pub(super) durable: Position,
    pub(super) syncing: bool,
    pub(super) failures: u64,
    pub(super) retired: u64,
    last_failure: Option<Failure>,
    frames: Vec<u8>,
}

#[derive(Debug)]
struct Inherited {
    /// What memory has of it.
    replayed: Readable,
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

/// A write that failed.
pub(super) struct WriteError {
    path: PathBuf,
    pub(super) source: io::Error,
}

impl WriteError {
    pub(super) fn into_wal_error(self) -> WalError {
        WalError::io("write", &self.path, self.source)
    }
}

impl State {
    /// Behind the segments in `dir`, whose sizes are `sizes`; `last` is what the last one holds.
    pub(super) fn new(dir: &Path, last: Option<Readable>, sizes: BTreeMap<u64, u64>) -> Self {
        let inherited = last.map(|replayed| Inherited {
            replayed,
            path: dir.join(names::numbered(replayed.end.number)),
            file: None,
        });
        Self {
            active: None,
            previous: last.map_or(Predecessor { number: 0, end: 0 }, |last| last.end),
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
        }
    }

    /// Writes `records` to the active segment, all or none.
    pub(super) fn write(&mut self, records: &[&[u8]]) -> Result<(), WriteError> {
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
    pub(super) fn begin_sync(&mut self) -> Option<(Arc<TrustedFile>, u64)> {
        let segment = self.active.as_ref().filter(|segment| !segment.file.is_condemned())?;
        std::mem::swap(&mut self.in_flight, &mut self.waiting);
        Some((Arc::clone(&segment.file), segment.end))
    }

    /// Lets go of the active segment, which is condemned.
    pub(super) fn retire(&mut self, rewrites: bool) {
        if let Some(segment) = self.active.take() {
            let end = if rewrites { segment.durable_end } else { segment.end };
            self.previous = Predecessor { number: segment.number, end };
            self.closed.insert(segment.number, segment.end);
            self.retired = self.retired.saturating_add(1);
        }
    }

    pub(super) fn active_path(&self) -> PathBuf {
        self.active.as_ref().map_or_else(PathBuf::new, |segment| segment.path.clone())
    }

    /// Sees to it that what an earlier run wrote is durable. Nothing is appended before it is.
    pub(super) fn prove_inherited(&mut self, fs: &dyn Fs) -> Result<(), WalError> {
        let Some(inherited) = &mut self.inherited else { return Ok(()) };
        let file = match &mut inherited.file {
            Some(file) => file,
            None => {
                let opened = fs.open_append(&inherited.path);
                let opened = opened.map_err(|source| WalError::io("open", &inherited.path, source))?;
                inherited.file.insert(TrustedFile::new(opened))
            }
        };
        if let Err(error) = file.sync() {
            ::log::warn!(
                "log segment {} does not sync ({error}); it is written anew",
                inherited.path.display()
            );
            rewrite(fs, &inherited.path, inherited.replayed)?;
        }
        self.inherited = None;
        Ok(())
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.closed.remove(&number);
        if self.inherited.as_ref().is_some_and(|inherited| inherited.replayed.end.number == number) {
            self.inherited = None;
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.active.as_ref().map_or(self.previous.number.saturating_add(1), |segment| segment.number)
    }

    pub(super) fn note_failure(&mut self, error: WalError) -> WalError {
        self.failures = self.failures.saturating_add(1);
        if let WalError::Io { action, path, source } = &error {
            let (kind, message) = (source.kind(), source.to_string());
            self.last_failure = Some(Failure { action, path: path.clone(), kind, message });
        }
        error
    }

    pub(super) fn failure(&self) -> WalError {
        match self.last_failure.clone() {
            Some(Failure { action, path, kind, message }) => {
                WalError::Io { action, path, source: io::Error::new(kind, message) }
            }
            None => WalError::io("sync", Path::new(""), io::ErrorKind::Other.into()),
        }
    }
}

/// Puts a fresh file in the place of the segment `path`, of which `replayed` is in memory. Its sync failed, and what a later
/// one says proves nothing: what did not reach the disk may be gone from the middle too. Durable when it returns.
fn rewrite(fs: &dyn Fs, path: &Path, replayed: Readable) -> Result<(), WalError> {
    let bytes = fs.read(path).map_err(|source| WalError::io("read", path, source))?;
    let found = Readable::of(replayed.end.number, &bytes);
    if found != replayed {
        let lost = format!(
            "{} records up to byte {}, and {} up to byte {} when it was replayed",
            found.records, found.end.end, replayed.records, replayed.end.end
        );
        return Err(WalError::io("read", path, io::Error::new(io::ErrorKind::InvalidData, lost)));
    }
    write_file(fs, path, &bytes).map_err(|source| WalError::io("write", path, source))
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

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::fs::{Fault, SimFs};
    use crate::wal::{Wal, WalOptions};

    #[test]
    fn a_log_that_lost_records_from_its_middle_when_a_sync_failed_is_not_called_durable() {
        let (fs, dir) = (Arc::new(SimFs::new()), Path::new("/wal"));
        let open = || Wal::open(fs.clone(), dir, WalOptions::default(), &mut |_, _| {}).unwrap().0;
        let long = vec![7; 40 << 10];
        open().append(&[&long, b"lost", &long]).unwrap();
        let wal = open();
        let segment = dir.join(names::numbered(1));
        let place = fs.read(&segment).unwrap().windows(4).position(|bytes| bytes == b"lost").unwrap();
        fs.flip(&segment, place, 0xff).unwrap();
        fs.inject(fs.op_count(), Fault::Io);
        let error = wal.sync().unwrap_err().to_string();
        assert!(error.contains("2 records") && error.contains("3 up to"), "{error}");
        fs.flip(&segment, place, 0xff).unwrap();
        wal.sync().unwrap();
    }
}
