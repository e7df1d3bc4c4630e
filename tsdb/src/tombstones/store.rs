//! The two copies of a block's tombstones on disk.

use super::{Tombstones, format};
use crate::block::BlockError;
use crate::fs::{Fs, twice, write_file};
use crate::names;
use std::io;
use std::path::{Path, PathBuf};
use tsdb_core::Corruption;
use tsdb_core::block::BlockId;
use tsdb_core::error::CorruptionKind;

/// The tombstones of a block as they are on disk.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) tombstones: Tombstones,
    /// How often tombstones of the block were written.
    pub(crate) generation: u64,
    /// The copies that are damaged.
    pub(crate) damaged: Vec<(PathBuf, Corruption)>,
    /// Are there two good copies of the same generation, or none because nothing is deleted?
    pub(crate) is_safe: bool,
}

impl Kept {
    /// Of a block of which nothing is deleted.
    pub(crate) fn none() -> Self {
        let (tombstones, damaged) = (Tombstones::default(), Vec::new());
        Self { tombstones, generation: 0, damaged, is_safe: true }
    }
}

/// Reads the tombstones of the block `id` in `dir`.
///
/// # Errors
/// There are some, and no copy of them can be read.
pub(crate) fn load(fs: &dyn Fs, dir: &Path, id: BlockId) -> Result<Kept, BlockError> {
    let mut damaged = Vec::new();
    let mut found = Vec::new();
    for path in copies(dir) {
        match read(fs, &path, id) {
            Ok(None) => {}
            Ok(Some(copy)) => found.push(copy),
            Err(damage) => damaged.push((path, damage)),
        }
    }
    let generations: Vec<u64> = found.iter().map(|(_, generation)| *generation).collect();
    match (found.into_iter().max_by_key(|(_, generation)| *generation), damaged.first()) {
        (Some((tombstones, generation)), _) => {
            let is_safe = generations == [generation; 2];
            Ok(Kept { tombstones, generation, damaged, is_safe })
        }
        (None, Some((path, damage))) => Err(BlockError::damaged(path, damage.clone())),
        (None, None) => Ok(Kept::none()),
    }
}

/// Writes both copies of `tombstones`. Durable when it returns.
///
/// # Errors
/// The file system failed. The next [`load`] finds these tombstones or those before.
pub(crate) fn save(
    fs: &dyn Fs,
    dir: &Path,
    id: BlockId,
    generation: u64,
    tombstones: &Tombstones,
) -> Result<(), BlockError> {
    let bytes = format::encode(id, generation, tombstones);
    // ORDER: the second copy holds what was there before until the first is durable.
    copies(dir)
        .iter()
        .try_for_each(|path| write_file(fs, path, &bytes).map_err(BlockError::io("write", path)))
}

fn copies(dir: &Path) -> [PathBuf; 2] {
    [dir.join(names::TOMBSTONES), dir.join(names::TOMBSTONES_COPY)]
}

fn read(fs: &dyn Fs, path: &Path, id: BlockId) -> Result<Option<(Tombstones, u64)>, Corruption> {
    match twice(|| fs.read(path)) {
        Ok(bytes) => format::decode(id, &bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let kind = CorruptionKind::Unreadable { message: error.to_string() };
            Err(Corruption::new("tombstones", 0, kind))
        }
    }
}
