//! The blocks that a manifest names, as a file system that can only be read, and lies far away.
//!
//! Files are read in sectors, which are kept in memory, and on a disk if wanted, up to bounds; what is announced with
//! [`prefetch`](Fs::prefetch) is read in few long ranges at the same time. Checksums are compared by whoever reads.

use super::disk::DiskCache;
use super::fetch::{FetchCounts, Wanted};
use super::ledger::Ledger;
use super::manifest::StoredBlock;
use super::options::{Shared, Tier};
use super::{Retry, StoreError, Version};
use crate::block::Block;
use crate::fs::{DirEntry, File, FileLock, Fs};
use crate::names;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tsdb_core::block::BlockId;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// What is read and kept at once.
const SECTOR_BYTES: u64 = 16 << 10;
/// What lies between two ranges is read as well if it is no longer than this.
const GAP_SECTORS: u64 = 2;
/// A range is no longer than this; several are read at the same time.
const MOST_SECTORS: u64 = 128;
/// What nobody announced is read with so much behind it.
const BEHIND_SECTORS: u64 = 4;
/// The start of a file says what it is, and is read when it is opened.
const HEAD: Range<u64> = 0..1;

/// A file system of far files.
#[derive(Debug)]
pub(crate) struct RemoteFs {
    root: PathBuf,
    files: RwLock<BTreeMap<PathBuf, Arc<RemoteFile>>>,
    shared: Arc<Shared>,
    retry: Retry,
}

#[derive(Debug)]
struct RemoteFile {
    number: u64,
    key: Arc<str>,
    size: u64,
    tail: u64,
    version: Option<Version>,
}

impl RemoteFs {
    /// A file system without files over the store of `ledger`, which is that of `tier`.
    pub(super) fn over(ledger: &Ledger, tier: &Tier) -> Self {
        let root = PathBuf::from(ledger.key("blocks"));
        Self { root, files: RwLock::default(), shared: Arc::clone(&tier.shared), retry: tier.retry }
    }

    /// The directory of the block `id`.
    pub(crate) fn dir(&self, id: BlockId) -> PathBuf {
        self.root.join(Block::dir_name(id))
    }

    /// Shows the files of `block`.
    pub(crate) fn add(&self, ledger: &Ledger, block: &StoredBlock) {
        let dir = self.dir(block.meta.id);
        let mut files = self.files.write();
        for file in &block.files {
            let path = file.path.split('/').fold(dir.clone(), |path, word| path.join(word));
            let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
            let key = ledger.key(&file.key(block.meta.id)).into();
            let file =
                RemoteFile { number, key, size: file.size, tail: file.tail, version: file.version.clone() };
            if let Some(old) = files.insert(path, Arc::new(file)) {
                self.shared.sectors.forget(old.number);
            }
        }
    }

    /// Shows the files of the block `id` no longer.
    pub(crate) fn remove(&self, id: BlockId) {
        let dir = self.dir(id);
        let mut files = self.files.write();
        files.retain(|path, file| {
            let stays = !path.starts_with(&dir);
            if !stays {
                self.shared.sectors.forget(file.number);
            }
            stays
        });
    }

    /// What was fetched.
    pub(super) fn counts(&self) -> &FetchCounts {
        self.shared.fetcher.counts()
    }

    /// Bytes kept in memory.
    pub(crate) fn cached_bytes(&self) -> usize {
        self.shared.sectors.bytes()
    }

    /// Bytes kept on disk.
    pub(crate) fn cached_on_disk_bytes(&self) -> u64 {
        self.shared.disk.get().map_or(0, DiskCache::bytes)
    }

    fn file(&self, path: &Path) -> io::Result<Arc<RemoteFile>> {
        self.files.read().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Reads all sectors of `wanted` that are not here. Returns what went wrong, if anything did.
    fn load(&self, wanted: &[(Arc<RemoteFile>, Range<u64>)]) -> Result<(), StoreError> {
        let mut missing: BTreeMap<u64, (Arc<RemoteFile>, BTreeSet<u64>)> = BTreeMap::new();
        for (file, range) in wanted {
            let range = range.start.min(file.size)..range.end.min(file.size);
            let sectors = range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES);
            let (_, of_file) =
                missing.entry(file.number).or_insert_with(|| (Arc::clone(file), BTreeSet::new()));
            let is_here = |sector: &u64| {
                self.shared.sectors.has((file.number, *sector)) || self.take_from_disk(file, *sector)
            };
            of_file.extend(sectors.filter(|sector| !is_here(sector)));
        }
        let mut runs = Vec::new();
        for (file, sectors) in missing.into_values() {
            runs.extend(coalesce(&sectors).into_iter().map(|run| (Arc::clone(&file), run)));
        }
        let ranges: Vec<Wanted> = runs.iter().map(|(file, run)| file.wanted(run)).collect();
        let mut outcome = Ok(());
        for ((file, run), got) in runs.iter().zip(self.shared.fetcher.all(&ranges, self.retry)) {
            match got {
                Ok(bytes) => {
                    for (sector, part) in (run.start..).zip(bytes.chunks(SECTOR_BYTES as usize)) {
                        if let Some(disk) = self.shared.disk.get() {
                            disk.put(file.part(sector), part);
                        }
                        self.shared.sectors.insert((file.number, sector), part.into());
                    }
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Takes a sector from the disk into memory, if it is there.
    fn take_from_disk(&self, file: &RemoteFile, sector: u64) -> bool {
        let found = self.shared.disk.get().and_then(|disk| disk.get(file.part(sector)));
        let Some(part) = found.filter(|part| part.len() as u64 == file.len_of(sector)) else { return false };
        self.shared.sectors.insert((file.number, sector), part.into());
        true
    }

    /// One sector; `ahead` is read with it if it is not here.
    fn sector(&self, file: &Arc<RemoteFile>, sector: u64, ahead: u64) -> io::Result<Arc<[u8]>> {
        if let Some(bytes) = self.shared.sectors.get((file.number, sector)) {
            return Ok(bytes);
        }
        let range = sector * SECTOR_BYTES..ahead.max(sector + BEHIND_SECTORS) * SECTOR_BYTES;
        self.load(&[(Arc::clone(file), range)]).map_err(StoreError::into_io)?;
        match self.shared.sectors.get((file.number, sector)) {
            Some(bytes) => Ok(bytes),
            // The bound on memory is so tight that it is gone again.
            None => {
                let one = file.wanted(&(sector..sector + 1));
                let got = self
                    .shared
                    .fetcher
                    .all(&[one], self.retry)
                    .pop()
                    .transpose()
                    .map_err(StoreError::into_io)?;
                Ok(got.unwrap_or_default().into())
            }
        }
    }
}

impl RemoteFile {
    /// What a sector is called on the disk: by the object, whose name holds the checksum of its bytes.
    fn part(&self, sector: u64) -> u128 {
        xxh3_128_with_seed(self.key.as_bytes(), sector)
    }

    fn len_of(&self, sector: u64) -> u64 {
        self.size.saturating_sub(sector.saturating_mul(SECTOR_BYTES)).min(SECTOR_BYTES)
    }

    fn wanted(&self, sectors: &Range<u64>) -> Wanted {
        let range = sectors.start * SECTOR_BYTES..(sectors.end * SECTOR_BYTES).min(self.size);
        Wanted { key: Arc::clone(&self.key), range, version: self.version.clone() }
    }
}

/// Runs of sectors that are read together.
fn coalesce(sectors: &BTreeSet<u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for sector in sectors {
        match runs.last_mut() {
            Some(run) if *sector <= run.end + GAP_SECTORS && *sector - run.start < MOST_SECTORS => {
                run.end = sector + 1;
            }
            _ => runs.push(*sector..sector + 1),
        }
    }
    runs
}

impl Fs for RemoteFs {
    fn is_far(&self) -> bool {
        true
    }

    fn will_open(&self, dir: &Path) {
        let files = self.files.read();
        let chunks = dir.join(names::CHUNKS_DIR);
        // What else belongs to the block is in other hands.
        let is_opened = |path: &Path| path.starts_with(&chunks) || path == dir.join(names::INDEX);
        let of_dir = files.iter().filter(|(path, _)| is_opened(path));
        let wanted: Vec<_> = of_dir
            .flat_map(|(_, file)| [(Arc::clone(file), HEAD), (Arc::clone(file), file.tail..file.size)])
            .collect();
        drop(files);
        // What is missing is told when it is read.
        drop(self.load(&wanted));
    }

    fn prefetch(&self, wanted: &[(PathBuf, Range<u64>)]) -> bool {
        let known = |(path, range): &(PathBuf, Range<u64>)| Some((self.file(path).ok()?, range.clone()));
        let wanted: Vec<_> = wanted.iter().filter_map(known).collect();
        let is_here = |(file, range): &(Arc<RemoteFile>, Range<u64>)| {
            self.shared.sectors.has((file.number, range.start / SECTOR_BYTES))
        };
        self.load(&wanted).is_ok() && wanted.iter().all(is_here)
    }

    fn distrust(&self, path: &Path) {
        if let Ok(file) = self.file(path) {
            if let Some(disk) = self.shared.disk.get() {
                (0..file.size.div_ceil(SECTOR_BYTES)).for_each(|sector| disk.forget(file.part(sector)));
            }
            self.shared.sectors.forget(file.number);
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let size = self.size(path)?;
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?];
        let count = self.read_at(path, 0, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.file(path)?;
        let end = offset.saturating_add(buffer.len() as u64).min(file.size);
        let mut at = offset.min(end);
        let mut filled = 0;
        while at < end {
            let sector = at / SECTOR_BYTES;
            let bytes = self.sector(&file, sector, end.div_ceil(SECTOR_BYTES))?;
            let within = usize::try_from(at - sector * SECTOR_BYTES).unwrap_or(usize::MAX);
            let part = bytes.get(within..).unwrap_or_default();
            let rest = buffer.get_mut(filled..).unwrap_or_default();
            let count = part.len().min(rest.len());
            let (Some(to), Some(from)) = (rest.get_mut(..count), part.get(..count)) else { break };
            if count == 0 {
                break;
            }
            to.copy_from_slice(from);
            filled += count;
            at += count as u64;
        }
        Ok(filled)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(self.file(path)?.size)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.files.read().keys().any(|known| known.starts_with(path)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let files = self.files.read();
        let below = files.keys().filter_map(|path| path.strip_prefix(dir).ok());
        let mut entries: BTreeSet<DirEntry> = BTreeSet::new();
        for path in below {
            let mut words = path.components().map(|word| word.as_os_str().to_string_lossy().into_owned());
            if let Some(name) = words.next() {
                entries.insert(DirEntry { name, is_dir: words.next().is_some() });
            }
        }
        if entries.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(entries.into_iter().collect())
        }
    }

    fn create_new(&self, _path: &Path) -> io::Result<Box<dyn File>> {
        Err(read_only())
    }

    fn open_append(&self, _path: &Path) -> io::Result<Box<dyn File>> {
        Err(read_only())
    }

    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn remove_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn lock(&self, _path: &Path, _note: &str) -> io::Result<Box<dyn FileLock>> {
        Err(read_only())
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "blocks on object storage do not change")
}

#[cfg(test)]
mod cold;
#[cfg(test)]
mod tests;
