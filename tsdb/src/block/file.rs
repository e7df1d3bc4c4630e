//! Files of a block, read at positions when something of them is needed.
//!
//! Nothing is mapped: a sector that cannot be read is an error of the one who asked for it, not a signal that ends
//! the process, and so is a file that somebody shortened. Nothing is kept open either, so that the number of blocks
//! is not limited by what the operating system allows a process to map or to open; what is read is a
//! whole frame to unpack, or a page. What is read often is in the [`FrameCache`].
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::FrameCache;
use crate::fs::{Fs, twice};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::Corruption;
use tsdb_core::block::BlockId;
use tsdb_core::error::CorruptionKind;
use tsdb_index::Source;
use tsdb_index::file::{Check, Page};

/// An immutable file.
#[derive(Debug)]
pub(super) struct ReadFile {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    len: usize,
}

impl ReadFile {
    /// The file `path`, which exists.
    pub(super) fn open(fs: &Arc<dyn Fs>, path: &Path) -> io::Result<Self> {
        let len = usize::try_from(fs.size(path)?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        Ok(Self { fs: Arc::clone(fs), path: path.into(), len })
    }

    /// Its length in bytes when it was opened.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Does each read take long?
    pub(super) fn is_far(&self) -> bool {
        self.fs.is_far()
    }

    /// Its bytes are not what they should be. Says whether reading them again may give others.
    pub(super) fn distrust(&self) -> bool {
        self.fs.distrust(&self.path);
        self.is_far()
    }

    /// Fills `buffer` with the bytes from `offset` on. Damage is that of `section`; its offset counts from the start
    /// of the file.
    pub(super) fn fill(
        &self,
        section: &'static str,
        offset: usize,
        buffer: &mut [u8],
    ) -> Result<(), Corruption> {
        let kind = match twice(|| self.fs.read_at(&self.path, offset as u64, buffer)) {
            Ok(count) if count == buffer.len() => return Ok(()),
            Ok(_) => CorruptionKind::Truncated { field: "what it once held" },
            Err(error) => CorruptionKind::Unreadable { message: error.to_string() },
        };
        Err(Corruption::new(section, offset, kind))
    }

    /// The bytes at `range`.
    pub(super) fn read(&self, section: &'static str, range: Range<usize>) -> Result<Vec<u8>, Corruption> {
        if range.end > self.len {
            let kind = CorruptionKind::Truncated { field: section };
            return Err(Corruption::new(section, range.start, kind));
        }
        let mut bytes = vec![0; range.len()];
        self.fill(section, range.start, &mut bytes)?;
        Ok(bytes)
    }
}

/// The index of a block. Its pages share the cache with the frames of all blocks.
#[derive(Debug)]
pub(super) struct IndexFile {
    file: ReadFile,
    block: BlockId,
    cache: Arc<FrameCache>,
}

const SECTION: &str = "index file";

impl IndexFile {
    /// The index in the file `path` of `block`.
    pub(super) fn open(
        fs: &Arc<dyn Fs>,
        path: &Path,
        block: BlockId,
        cache: Arc<FrameCache>,
    ) -> io::Result<Self> {
        Ok(Self { file: ReadFile::open(fs, path)?, block, cache })
    }
}

impl Source for IndexFile {
    fn len(&self) -> usize {
        self.file.len()
    }

    fn is_far(&self) -> bool {
        self.file.is_far()
    }

    fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Corruption> {
        self.file.read(SECTION, range)
    }

    fn page(&self, number: usize, range: Range<usize>, check: &Check<'_>) -> Result<Page<'_>, Corruption> {
        let read = || {
            let page = self.file.read(SECTION, range.clone())?;
            check(&page)?;
            Ok(page)
        };
        let load = || read().or_else(|damage| if self.file.distrust() { read() } else { Err(damage) });
        self.cache.page(self.block, number, load).map(Page::Shared)
    }
}
