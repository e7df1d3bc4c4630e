//! What answering takes of a block besides its samples: the opened index and the places of its segments.
//!
//! A block on disk keeps them for as long as it is open. One that lies far away reads them when a query comes and lets
//! them go when none has come for a while: thousands of such blocks that nobody asks take next to no memory.

use super::file::IndexFile;
use super::segment::{self, Segments};
use super::{BlockError, FrameCache};
use crate::fs::Fs;
use crate::names;
use parking_lot::Mutex;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tsdb_core::Corruption;
use tsdb_core::block::BlockId;
use tsdb_index::IndexReader;

/// The opened files of a block.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) index: IndexReader<IndexFile>,
    pub(super) segments: Segments,
}

impl Opened {
    /// Opens the files of the block `id` in `dir`. Segments that cannot be used are listed beside.
    pub(super) fn open(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        id: BlockId,
        cache: &Arc<FrameCache>,
    ) -> Result<(Self, Vec<(PathBuf, Corruption)>), BlockError> {
        fs.will_open(dir);
        let index_path = dir.join(names::INDEX);
        let index = IndexFile::open(fs, &index_path, id, Arc::clone(cache))
            .map_err(BlockError::io("open", &index_path))?;
        let index = IndexReader::open(index).map_err(|damage| BlockError::damaged(&index_path, damage))?;
        let (segments, damaged) = segment::open_all(fs, &dir.join(names::CHUNKS_DIR))?;
        Ok((Self { index, segments }, damaged))
    }
}

/// The opened files, kept or read again.
#[derive(Debug)]
pub(super) enum Parts {
    /// Kept.
    Near(Box<Opened>),
    /// Read when they are needed.
    Far(Far),
}

/// Opened files that may be let go.
#[derive(Debug)]
pub(super) struct Far {
    opened: Mutex<Option<Kept>>,
    used: AtomicBool,
    /// How long a file that could not be read is not tried again: each series of a query would try it anew.
    look_again: Duration,
}

#[derive(Debug)]
struct Kept {
    opened: Arc<Opened>,
    /// When to look again for what could not be read.
    again: Option<Instant>,
}

/// Opened files in use.
pub(super) enum InUse<'a> {
    /// Those of a block that keeps them.
    Near(&'a Opened),
    /// Those that are let go some time after the last use.
    Far(Arc<Opened>),
}

impl Deref for InUse<'_> {
    type Target = Opened;

    #[inline]
    fn deref(&self) -> &Opened {
        match self {
            Self::Near(opened) => opened,
            Self::Far(opened) => opened,
        }
    }
}

impl Far {
    pub(super) fn new(look_again: Duration) -> Self {
        Self { opened: Mutex::default(), used: AtomicBool::new(false), look_again }
    }
}

impl Parts {
    /// The files; `open` reads them if they are not here, and says what of them cannot be used.
    pub(super) fn in_use(
        &self,
        open: impl FnOnce() -> Result<(Opened, Vec<(PathBuf, Corruption)>), BlockError>,
    ) -> Result<InUse<'_>, BlockError> {
        let far = match self {
            Self::Near(opened) => return Ok(InUse::Near(opened)),
            Self::Far(far) => far,
        };
        far.used.store(true, Ordering::Relaxed);
        // Whoever comes second waits for the first: what is read is the same.
        let mut opened = far.opened.lock();
        if let Some(kept) = &*opened
            && kept.again.is_none_or(|again| Instant::now() < again)
        {
            return Ok(InUse::Far(Arc::clone(&kept.opened)));
        }
        let (new, damaged) = open()?;
        let new = Arc::new(new);
        let may_pass = damaged.iter().any(|(_, damage)| damage.may_pass());
        let again = may_pass.then(|| Instant::now().checked_add(far.look_again)).flatten();
        *opened = Some(Kept { opened: Arc::clone(&new), again });
        Ok(InUse::Far(new))
    }

    /// Lets the files go if they were not used since the last call.
    pub(super) fn release(&self) {
        if let Self::Far(far) = self
            && !far.used.swap(false, Ordering::Relaxed)
        {
            drop(far.opened.lock().take());
        }
    }
}
