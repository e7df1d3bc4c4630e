//! A block that is being written: a directory with a temporary name, until it is published.

use super::{BlockError, BlockSpec, meta};
use crate::fs::{File, Fs, publish_dir};
use crate::names;
use std::path::{Path, PathBuf};
use tsdb_core::TimeRange;
use tsdb_core::block::{BlockMeta, BlockStats};

/// The directory of an unfinished block. Removed when it is dropped, as far as that can be done; what stays is swept at
/// the next start.
pub(super) struct Draft<'a> {
    fs: &'a dyn Fs,
    /// The name it will get.
    pub(super) dir: PathBuf,
    temporary: PathBuf,
    pub(super) spec: BlockSpec,
    is_published: bool,
}

impl<'a> Draft<'a> {
    /// Begins the block `spec` in the data directory `parent`.
    pub(super) fn create(fs: &'a dyn Fs, parent: &Path, spec: BlockSpec) -> Result<Self, BlockError> {
        let dir = parent.join(meta::dir_name(spec.id));
        let temporary = names::temporary(&dir);
        if fs.exists(&temporary).map_err(BlockError::io("look for", &temporary))? {
            fs.remove_dir_all(&temporary).map_err(BlockError::io("remove", &temporary))?;
        }
        let draft = Self { fs, dir, temporary, spec, is_published: false };
        let chunks_dir = draft.chunks_dir();
        fs.create_dir_all(&chunks_dir).map_err(BlockError::io("create", &chunks_dir))?;
        Ok(draft)
    }

    /// The directory of segments.
    pub(super) fn chunks_dir(&self) -> PathBuf {
        self.temporary.join(names::CHUNKS_DIR)
    }

    /// A new file in it, and its path.
    pub(super) fn create_file(&self, name: &str) -> Result<(Box<dyn File>, PathBuf), BlockError> {
        let path = self.temporary.join(name);
        let file = self.fs.create_new(&path).map_err(BlockError::io("create", &path))?;
        Ok((file, path))
    }

    /// Writes all of a file.
    pub(super) fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), BlockError> {
        let (file, path) = self.create_file(name)?;
        file.append(bytes).map_err(BlockError::io("write", &path))?;
        file.sync().map_err(BlockError::io("sync", &path))
    }

    /// Describes the block and gives it its name. Durable when it returns.
    pub(super) fn publish(mut self, range: TimeRange, stats: BlockStats) -> Result<BlockMeta, BlockError> {
        let BlockSpec { id, level, sources, parents, incomplete, rollup } = self.spec.clone();
        let description = BlockMeta { id, range, stats, level, sources, parents, incomplete, rollup };
        self.write_file(names::META, &meta::render(&description))?;
        publish_dir(self.fs, &self.temporary, &self.dir).map_err(BlockError::io("publish", &self.dir))?;
        self.is_published = true;
        Ok(description)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.is_published {
            // Best effort: what stays is swept at the next start.
            drop(self.fs.remove_dir_all(&self.temporary));
        }
    }
}
