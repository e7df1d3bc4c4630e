//! What of a database does not lie on its disk: blocks that are on object storage only.
//!
//! A snapshot, a backup and a program that opens the directory without object storage lack them, and must say so. The copy of
//! the manifest that a database keeps on its disk tells which they are; of these, those that the database has dropped since
//! are not missed.

use crate::block::Block;
use crate::fs::{Fs, twice};
use crate::tier::upload::holds_all_of;
use crate::tier::{Manifest, dropped};
use crate::{Error, names};
use std::fmt;
use std::io;
use std::path::Path;
use tsdb_core::TimeRange;
use tsdb_core::block::BlockMeta;

/// A block that lies on object storage only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FarAway {
    /// Its name.
    pub block: String,
    /// The times of what it holds.
    pub range: TimeRange,
    /// Its bytes there.
    pub bytes: u64,
}

impl FarAway {
    pub(crate) fn of(meta: &BlockMeta, bytes: u64) -> Self {
        Self { block: Block::dir_name(meta.id), range: meta.range, bytes }
    }
}

impl fmt::Display for FarAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, range, bytes } = self;
        let (start, end) = (range.start(), range.end());
        write!(f, "block {block}, {bytes} bytes, from {start} to {end} ms, lies on object storage only")
    }
}

/// The blocks of the database in `dir` that lie on object storage only, as far as it knows.
///
/// # Errors
/// What it knows of them cannot be read, or is damaged.
pub fn far_away(fs: &dyn Fs, dir: &Path) -> Result<Vec<FarAway>, Error> {
    let found = missing(fs, dir)?;
    Ok(found.iter().map(|(meta, bytes)| FarAway::of(meta, *bytes)).collect())
}

/// Their descriptions, and their bytes there.
pub(crate) fn missing(fs: &dyn Fs, dir: &Path) -> Result<Vec<(BlockMeta, u64)>, Error> {
    let path = dir.join(names::MANIFEST_COPY);
    let bytes = match twice(|| fs.read(&path)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let manifest = Manifest::read(&bytes).map_err(|source| Error::Corrupt { path, source })?;
    let entries = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    let blocks = entries.iter().filter(|entry| Block::parse_dir_name(&entry.name).is_some());
    let here: Vec<BlockMeta> =
        blocks.filter_map(|entry| Block::described(fs, &dir.join(&entry.name))).collect();
    let is_here = |meta: &BlockMeta| here.iter().any(|one| one.id == meta.id || holds_all_of(one, meta));
    // Whoever does not know names rather too many.
    let (dropped, damage) = dropped::read(fs, dir);
    damage.iter().for_each(|what| log::warn!("{what}; blocks that were dropped may count as missing"));
    let is_missing = |meta: &BlockMeta| !dropped.contains(&meta.id) && !is_here(meta);
    let stored = manifest.blocks.values().filter(|stored| is_missing(&stored.meta));
    Ok(stored.map(|stored| (stored.meta.clone(), stored.bytes())).collect())
}
