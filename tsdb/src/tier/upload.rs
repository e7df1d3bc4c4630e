//! Putting a block on object storage, and making sure that it is there.
//!
//! The files are put under names that hold their checksums, read back and compared; only then the manifest names them.
//! Whatever is cut short leaves objects that nobody names, and is done again from the start: what is there already and
//! is right is not sent again.

use super::ledger::{Ledger, LedgerError};
use super::manifest::{Manifest, StoredBlock, StoredFile};
use super::types::{self, Types};
use super::{ObjectInfo, StoreError, Version, deleted};
use crate::Error;
use crate::block::Block;
use crate::fs::Fs;
use crate::names;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tsdb_core::block::{BlockId, BlockMeta};
use xxhash_rust::xxh3::Xxh3;

/// What is read at once.
const PIECE_BYTES: u64 = 4 << 20;

/// A block that could not be put on object storage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The store or the manifest.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The block on disk.
    #[error(transparent)]
    Local(#[from] Error),
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

/// Puts all files of `block`, which lies in `dir`, what is deleted in it and the `types` of its metrics into the store of
/// `ledger` and returns the entry for the manifest.
pub(crate) fn put_block(
    fs: &dyn Fs,
    dir: &Path,
    block: &Block,
    types: &Types,
    is_held: bool,
    ledger: &Ledger,
) -> Result<StoredBlock, UploadError> {
    let id = block.meta().id;
    let description_path = dir.join(names::META);
    let description = fs.read(&description_path).map_err(|e| Error::io("read", &description_path, e))?;
    let mut files = Vec::new();
    for (path, tail) in block.tails().map_err(Error::from)? {
        let place = path.split('/').fold(dir.to_owned(), |place, word| place.join(word));
        let size = fs.size(&place).map_err(|e| Error::io("inspect", &place, e))?;
        let checksum =
            checksum_of(&mut FileReader::new(fs, &place)).map_err(|e| Error::io("read", &place, e))?;
        let mut file = StoredFile { path, size, checksum, tail: tail.min(size), version: None };
        put_file(fs, &place, &mut file, id, ledger)?;
        files.push(file);
    }
    if let Some(tombstones) = block.tombstone_bytes() {
        files.push(deleted::put(ledger, id, &tombstones)?);
    }
    if !types.is_empty() {
        files.push(types::put(ledger, id, types)?);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(StoredBlock { meta: block.meta().clone(), description, files, is_held })
}

/// Writes the files of `stored`, but for the types of metrics, into the directory `dir`, which is made, and compares their
/// checksums.
pub(crate) fn fetch_block(
    fs: &dyn Fs,
    dir: &Path,
    stored: &StoredBlock,
    ledger: &Ledger,
) -> Result<(), UploadError> {
    let local = |action, path: &Path| {
        let path = path.to_owned();
        move |error| UploadError::Local(Error::io(action, path, error))
    };
    for file in stored.files.iter().filter(|file| file.path != names::TYPES) {
        let place = file.path.split('/').fold(dir.to_owned(), |place, word| place.join(word));
        let parent = place.parent().unwrap_or(dir);
        fs.create_dir_all(parent).map_err(local("create", parent))?;
        let created = fs.create_new(&place).map_err(local("create", &place))?;
        let (mut hasher, mut full) = (Xxh3::new(), None);
        let key = ledger.key(&file.key(stored.meta.id));
        read_object(ledger, &key, file.size, file.version.as_ref(), &mut |piece| {
            hasher.update(piece);
            if full.is_none() {
                full = created.append(piece).err();
            }
            Ok(())
        })?;
        full.map_or(Ok(()), |error| Err(local("write", &place)(error)))?;
        compare(key, file, hasher.digest())?;
    }
    let place = dir.join(names::META);
    let created = fs.create_new(&place).map_err(local("create", &place))?;
    created.append(&stored.description).map_err(local("write", &place))
}

/// Puts `file`, unless it is there, and reads it back.
fn put_file(
    fs: &dyn Fs,
    place: &Path,
    file: &mut StoredFile,
    id: BlockId,
    ledger: &Ledger,
) -> Result<(), UploadError> {
    let key = ledger.key(&file.key(id));
    let (store, retry) = (ledger.store(), ledger.retry());
    let known = match retry.run(|| store.head(&key)) {
        Err(StoreError::NotFound { .. }) => None,
        other => Some(other?),
    };
    if let Some(ObjectInfo { size, version, .. }) = known
        && size == file.size
        && verify(ledger, &key, file, version.as_ref()).is_ok()
    {
        file.version = version;
        return Ok(());
    }
    let put = retry.run(|| store.upload(&key, &mut FileReader::new(fs, place), file.size))?;
    let told = retry.run(|| store.head(&key))?;
    if told.size != file.size {
        let (found, expected) = (format!("{} bytes", told.size), format!("{} bytes", file.size));
        return Err(StoreError::Wrong { key, found, expected }.into());
    }
    let version = told.version.or(Some(put)).filter(|Version(text)| !text.is_empty());
    verify(ledger, &key, file, version.as_ref())?;
    file.version = version;
    Ok(())
}

/// Reads the object `key` and compares it with what the manifest is to say of it.
pub(super) fn verify(
    ledger: &Ledger,
    key: &str,
    file: &StoredFile,
    version: Option<&Version>,
) -> Result<(), StoreError> {
    let mut hasher = Xxh3::new();
    read_object(ledger, key, file.size, version, &mut |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    compare(key.into(), file, hasher.digest())
}

fn compare(key: String, file: &StoredFile, found: u64) -> Result<(), StoreError> {
    if found == file.checksum {
        return Ok(());
    }
    let (found, expected) = (format!("the checksum {found:016x}"), format!("{:016x}", file.checksum));
    Err(StoreError::Wrong { key, found, expected })
}

/// Gives the bytes of `key` to `sink`, piece by piece.
pub(super) fn read_object(
    ledger: &Ledger,
    key: &str,
    size: u64,
    version: Option<&Version>,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut at = 0;
    while at < size {
        let end = size.min(at + PIECE_BYTES);
        let piece = ledger.retry().run(|| {
            let piece = ledger.store().get(key, at..end, version)?;
            if piece.len() as u64 == end - at {
                return Ok(piece);
            }
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} bytes", piece.len()));
            Err(StoreError::unavailable("get all of", key, source))
        })?;
        sink(&piece)?;
        at = end;
    }
    Ok(())
}

/// Names `stored` in the manifest in place of the blocks that they replace and of those in `gone`. One of which
/// another block holds all is not named.
pub(super) fn name_blocks(
    ledger: &Ledger,
    stored: &[StoredBlock],
    gone: &BTreeSet<BlockId>,
) -> Result<(), LedgerError> {
    ledger.commit::<LedgerError>(|manifest| Ok(apply(manifest, stored, gone)))?;
    Ok(())
}

fn apply(manifest: &mut Manifest, stored: &[StoredBlock], gone: &BTreeSet<BlockId>) -> bool {
    let mut is_changed = false;
    for block in stored {
        let known = manifest.blocks.get(&block.meta.id);
        if known.is_none() && manifest.blocks.values().any(|other| holds_all_of(&other.meta, &block.meta)) {
            continue;
        }
        if known.is_none_or(|known| known.files != block.files) {
            manifest.blocks.insert(block.meta.id, block.clone());
            is_changed = true;
        }
        let before = manifest.blocks.len();
        manifest.blocks.retain(|_, other| !holds_all_of(&block.meta, &other.meta));
        is_changed |= manifest.blocks.len() != before;
    }
    for id in gone {
        is_changed |= manifest.blocks.remove(id).is_some();
    }
    is_changed
}

/// Does the block `one` hold all that is left of `other`, so that `other` is not needed beside it?
pub(crate) fn holds_all_of(one: &BlockMeta, other: &BlockMeta) -> bool {
    if one.id == other.id {
        return false;
    }
    let is_whole = || one.is_as_complete_as(other);
    let has_sources = || other.sources.iter().all(|source| one.sources.contains(source));
    one.parents.contains(&other.id)
        || match (one.rollup, other.rollup) {
            // Of the same sources a repair may have rescued a part only.
            (None, None) => one.sources.len() > other.sources.len() && has_sources() && is_whole(),
            (Some(long), Some(short)) => {
                long.resolution_ms == short.resolution_ms
                    && long.covers.intersect(&short.covers) == Some(short.covers)
                    && has_sources()
                    && is_whole()
            }
            _ => false,
        }
}

/// XXH3 of all that `source` gives.
pub(super) fn checksum_of(source: &mut dyn Read) -> io::Result<u64> {
    let mut hasher = Xxh3::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match source.read(&mut piece)? {
            0 => return Ok(hasher.digest()),
            count => hasher.update(piece.get(..count).unwrap_or_default()),
        }
    }
}

/// Reads a file from its start.
pub(super) struct FileReader<'a> {
    fs: &'a dyn Fs,
    path: PathBuf,
    at: u64,
}

impl<'a> FileReader<'a> {
    pub(super) fn new(fs: &'a dyn Fs, path: &Path) -> Self {
        Self { fs, path: path.into(), at: 0 }
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fs.read_at(&self.path, self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}
