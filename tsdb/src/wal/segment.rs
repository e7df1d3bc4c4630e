//! The segment being written.

use super::error::WalError;
use super::format::{self, HEADER_BYTES, SegmentHeader};
use super::queue::Queue;
use crate::fs::Fs;
use crate::names;
use crate::poison::TrustedFile;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open segment and how far it got.
#[derive(Debug)]
pub(super) struct ActiveSegment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<TrustedFile>,
    /// Where the next record goes.
    pub(super) end: u64,
    /// Up to where a sync has succeeded; 0 before the first.
    pub(super) durable_end: u64,
}

/// The segment before the next one, as its header will state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Predecessor {
    pub(super) number: u64,
    pub(super) end: u64,
}

impl ActiveSegment {
    /// Begins the segment behind `previous` with the records of `queues`. If there are any, they are durable when
    /// this returns; the name of the file is in any case.
    pub(super) fn begin(
        fs: &dyn Fs,
        dir: &Path,
        previous: Predecessor,
        queues: [&Queue; 2],
    ) -> Result<Self, WalError> {
        let (number, path, file) = create(fs, dir, previous.number)?;
        let mut bytes = Vec::new();
        SegmentHeader { number, previous: previous.number, previous_end: previous.end }.write(&mut bytes);
        for record in queues.iter().flat_map(|queue| queue.iter()) {
            format::frame(number, 0, record, &mut bytes);
        }
        let rewrites = queues.iter().any(|queue| !queue.is_empty());
        let mut segment = Self { number, path, file, end: bytes.len() as u64, durable_end: 0 };
        match segment.prove(fs, dir, &bytes, rewrites) {
            Ok(()) => Ok(segment),
            Err((action, source)) => {
                // Best effort: a file that stays is skipped, its number with it.
                drop(fs.remove_file(&segment.path));
                Err(WalError::io(action, &segment.path, source))
            }
        }
    }

    fn prove(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        bytes: &[u8],
        sync: bool,
    ) -> Result<(), (&'static str, io::Error)> {
        self.file.append(bytes).map_err(|source| ("write", source))?;
        if sync {
            self.file.sync().map_err(|source| ("sync", source))?;
            self.durable_end = self.end;
        }
        // ORDER: the name is durable before anything in the file is acknowledged.
        fs.sync_dir(dir).map_err(|source| ("sync the directory of", source))
    }

    /// Has no record been written yet?
    pub(super) fn is_empty(&self) -> bool {
        self.end <= HEADER_BYTES as u64
    }

    /// Would a record of `len` bytes more make the segment larger than `limit`? An empty segment takes any record.
    pub(super) fn is_full_for(&self, len: u64, limit: u64) -> bool {
        !self.is_empty() && self.end.saturating_add(len) > limit
    }
}

fn create(fs: &dyn Fs, dir: &Path, previous: u64) -> Result<(u64, PathBuf, Arc<TrustedFile>), WalError> {
    let mut number = previous.saturating_add(1);
    loop {
        let path = dir.join(names::numbered(number));
        match fs.create_new(&path) {
            Ok(file) => return Ok((number, path, Arc::new(TrustedFile::new(file)))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < u64::MAX => number += 1,
            Err(source) => return Err(WalError::io("create", &path, source)),
        }
    }
}
