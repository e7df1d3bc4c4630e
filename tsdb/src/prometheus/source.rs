//! A file of somebody else, read from front to back in large steps.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use crate::fs::{Fs, twice};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;

/// Bytes read at once.
const STEP_BYTES: usize = 1 << 20;

/// An open file and what was read of it last.
#[derive(Debug)]
pub(super) struct SourceFile {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    section: &'static str,
    len: u64,
    /// Where in the file `step` begins.
    start: u64,
    step: Vec<u8>,
}

impl SourceFile {
    /// The file `path`, which exists and is called `section` in errors.
    pub(super) fn open(fs: &Arc<dyn Fs>, path: &Path, section: &'static str) -> io::Result<Self> {
        let len = twice(|| fs.size(path))?;
        Ok(Self { fs: Arc::clone(fs), path: path.to_owned(), section, len, start: 0, step: Vec::new() })
    }

    /// Its length in bytes when it was opened.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The `len` bytes from `offset` on.
    #[inline]
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8], Corruption> {
        if !self.holds(offset, len) {
            self.read(offset, len)?;
        }
        let start = usize::try_from(offset.wrapping_sub(self.start)).unwrap_or(usize::MAX);
        let bytes = self.step.get(start..start.saturating_add(len));
        bytes.ok_or_else(|| Self::truncated(self.section, offset))
    }

    /// The bytes from `offset` on, at most `len`: fewer at the end of the file.
    pub(super) fn upto(&mut self, offset: u64, len: usize) -> Result<&[u8], Corruption> {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.bytes(offset, len.min(rest))
    }

    /// Damage of `kind` at `offset`.
    #[cold]
    pub(super) fn corruption(&self, offset: u64, kind: CorruptionKind) -> Corruption {
        Corruption::new(self.section, usize::try_from(offset).unwrap_or(usize::MAX), kind)
    }

    fn holds(&self, offset: u64, len: usize) -> bool {
        let end = self.start.saturating_add(self.step.len() as u64);
        offset >= self.start && offset.saturating_add(len as u64) <= end
    }

    fn read(&mut self, offset: u64, len: usize) -> Result<(), Corruption> {
        if offset.saturating_add(len as u64) > self.len {
            return Err(Self::truncated(self.section, offset));
        }
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.step.clear();
        self.step.resize(len.max(STEP_BYTES.min(rest)), 0);
        self.start = offset;
        let read = twice(|| self.fs.read_at(&self.path, offset, &mut self.step));
        let count = read.map_err(|error| {
            self.step.clear();
            let kind = CorruptionKind::Unreadable { message: error.to_string() };
            self.corruption(offset, kind)
        })?;
        // Somebody may have shortened the file.
        self.step.truncate(count);
        Ok(())
    }

    #[cold]
    fn truncated(section: &'static str, offset: u64) -> Corruption {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Corruption::new(section, offset, CorruptionKind::Truncated { field: "what should be there" })
    }
}
