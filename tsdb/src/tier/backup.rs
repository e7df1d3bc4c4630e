#![doc = include_str!("../../docs/backup-format.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::upload::FileReader;
use super::{Condition, ObjectStore, Retry, StoreError};
use crate::engine::lock_error;
use crate::fs::{DirLock, Fs, publish_dir};
use crate::verify::{OnProgress, Progress};
use crate::{Error, names};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::CorruptionKind;
use xxhash_rust::xxh3::Xxh3;

const SECTION: &str = "backup";
const MAGIC: [u8; 8] = *b"tsdbbak\n";
const VERSION: u32 = 1;
/// What is read at once.
const PIECE_BYTES: u64 = 4 << 20;

/// Backups below a prefix of an object store.
#[derive(Debug)]
pub struct Backups {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    retry: Retry,
}

/// What a backup or its restoration took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Files of the directory.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose bytes were sent; the others were there already.
    pub sent_files: u64,
    /// Their bytes.
    pub sent_bytes: u64,
}

/// A backup that could not be made, read or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store failed, or has other bytes than it should.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory failed.
    #[error(transparent)]
    Local(#[from] Error),
    /// No backup can be called that.
    #[error(
        "a backup cannot be called {name:?}: letters, digits and . _ - make a name that begins with no dot"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The list of a backup is damaged, or of another version.
    #[error("backup {name}: {source}")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: Corruption,
    },
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Saved {
    path: String,
    size: u64,
    checksum: u128,
}

impl Backups {
    /// The backups below `prefix` of `store`.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self { store, prefix: prefix.into(), retry: Retry::default() }
    }

    /// Sets how failed calls are repeated.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Names of the backups, in order.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn list(&self) -> Result<Vec<String>, StoreError> {
        let prefix = self.key("backups");
        let listed = self.retry.run(|| self.store.list(&prefix))?;
        let mut names: Vec<String> =
            listed.iter().filter_map(|object| object.key.rsplit('/').next().map(String::from)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Backs up the data directory `dir`, which nobody has open: one at rest, or a snapshot. What lies in it besides a
    /// database (snapshots, quarantine, unfinished files) is left out. `progress` is told
    /// before each file.
    ///
    /// # Errors
    /// There is a backup of this name, somebody has the directory open, or it or the store failed. What was sent stays,
    /// and need not be sent again.
    pub fn back_up(
        &self,
        fs: &dyn Fs,
        dir: &Path,
        name: &str,
        progress: &mut OnProgress<'_>,
    ) -> Result<BackupReport, BackupError> {
        if !is_word(name) {
            return Err(BackupError::Name { name: name.into() });
        }
        let _lock = DirLock::acquire(fs, dir).map_err(lock_error)?;
        let mut paths = Vec::new();
        collect(fs, dir, "", &mut paths)?;
        paths.sort_unstable();
        let size = |path: &String| {
            let place = join(dir, path);
            fs.size(&place).map_err(|error| Error::io("inspect", &place, error))
        };
        let sizes: Vec<u64> = paths.iter().map(size).collect::<Result<_, _>>()?;
        let total = sizes.into_iter().fold(0, u64::saturating_add);
        let mut report = BackupReport::default();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            progress(&Progress { now: path.clone(), done: report.bytes, total });
            let place = join(dir, &path);
            let (size, checksum) = sum(fs, &place).map_err(|error| Error::io("read", &place, error))?;
            let file = Saved { path, size, checksum };
            report.files = report.files.saturating_add(1);
            report.bytes = report.bytes.saturating_add(size);
            if self.send(fs, &place, &file)? {
                report.sent_files = report.sent_files.saturating_add(1);
                report.sent_bytes = report.sent_bytes.saturating_add(size);
            }
            files.push(file);
        }
        let (key, bytes) = (self.key(&format!("backups/{name}")), render(&files));
        let put = self.retry.run(|| self.store.put(&key, &bytes, &Condition::Absent));
        match put {
            // A try that was told to have failed may have been the one that exists.
            Err(StoreError::Conflict { .. }) if self.read(&key)? == bytes => {}
            put => drop(put?),
        }
        Ok(report)
    }

    /// Makes the directory `to`, which must not exist, of the backup `name`. It opens as a database.
    ///
    /// # Errors
    /// There is no such backup, some of it is missing or damaged, or the directory exists or failed; then there is no
    /// such directory.
    pub fn restore(
        &self,
        fs: &dyn Fs,
        name: &str,
        to: &Path,
        progress: &mut OnProgress<'_>,
    ) -> Result<BackupReport, BackupError> {
        if fs.exists(to).map_err(|error| Error::io("inspect", to, error))? {
            return Err(Error::io("restore to", to, io::ErrorKind::AlreadyExists.into()).into());
        }
        let files = self.files(name)?;
        let unfinished = names::temporary(to);
        let remove = || fs.remove_dir_all(&unfinished);
        if fs.exists(&unfinished).map_err(|error| Error::io("inspect", &unfinished, error))? {
            remove().map_err(|error| Error::io("remove", &unfinished, error))?;
        }
        let total = bytes_of(&files);
        let restored = files.iter().try_fold(BackupReport::default(), |mut report, file| {
            progress(&Progress { now: file.path.clone(), done: report.bytes, total });
            self.fetch(fs, &unfinished, file)?;
            report.files = report.files.saturating_add(1);
            report.bytes = report.bytes.saturating_add(file.size);
            Ok(report)
        });
        let published = restored.and_then(|report| {
            publish_dir(fs, &unfinished, to).map_err(|error| Error::io("publish", to, error))?;
            Ok(report)
        });
        published.inspect_err(|_: &BackupError| drop(remove()))
    }

    /// Reads all of the backup `name` and compares its checksums.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self, name: &str, progress: &mut OnProgress<'_>) -> Result<BackupReport, BackupError> {
        let mut report = BackupReport::default();
        let files = self.files(name)?;
        let total = bytes_of(&files);
        for file in files {
            progress(&Progress { now: file.path.clone(), done: report.bytes, total });
            self.read_data(&file, &mut |_| Ok(()))?;
            report.files = report.files.saturating_add(1);
            report.bytes = report.bytes.saturating_add(file.size);
        }
        Ok(report)
    }

    fn files(&self, name: &str) -> Result<Vec<Saved>, BackupError> {
        let bytes = self.read(&self.key(&format!("backups/{name}")))?;
        parse(&bytes).map_err(|source| BackupError::Damaged { name: name.into(), source })
    }

    /// Sends the bytes of `file` unless they are there; says whether it did.
    fn send(&self, fs: &dyn Fs, place: &Path, file: &Saved) -> Result<bool, BackupError> {
        let key = self.data_key(file);
        match self.retry.run(|| self.store.head(&key)) {
            Ok(known) if known.size == file.size => return Ok(false),
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.retry.run(|| self.store.upload(&key, &mut FileReader::new(fs, place), file.size))?;
        // What was sent is read back once: later backups rely on it.
        self.read_data(file, &mut |_| Ok(()))?;
        Ok(true)
    }

    fn fetch(&self, fs: &dyn Fs, dir: &Path, file: &Saved) -> Result<(), BackupError> {
        let place = join(dir, &file.path);
        let parent = place.parent().unwrap_or(dir);
        fs.create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        let created = fs.create_new(&place).map_err(|error| Error::io("create", &place, error))?;
        self.read_data(file, &mut |piece| {
            created.append(piece).map_err(|error| BackupError::from(Error::io("write", &place, error)))
        })?;
        created.sync().map_err(|error| Error::io("sync", &place, error))?;
        Ok(())
    }

    /// Gives the bytes of `file` to `sink` and compares the checksum at the end.
    fn read_data(
        &self,
        file: &Saved,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let key = self.data_key(file);
        let mut hasher = Xxh3::new();
        let mut at = 0_u64;
        while at < file.size {
            let end = file.size.min(at.saturating_add(PIECE_BYTES));
            let piece = self.retry.run(|| self.store.get(&key, at..end, None))?;
            if piece.is_empty() {
                break;
            }
            hasher.update(&piece);
            sink(&piece)?;
            at = at.saturating_add(piece.len() as u64);
        }
        let found = hasher.digest128();
        if found == file.checksum && at == file.size {
            return Ok(());
        }
        let expected = format!("{:032x}", file.checksum);
        Err(StoreError::Wrong { key, found: format!("the checksum {found:032x}"), expected }.into())
    }

    fn read(&self, key: &str) -> Result<Vec<u8>, StoreError> {
        self.retry.run(|| {
            let info = self.store.head(key)?;
            self.store.get(key, 0..info.size, info.version.as_ref())
        })
    }

    fn data_key(&self, file: &Saved) -> String {
        self.key(&format!("data/{:032x}-{}", file.checksum, file.size))
    }

    fn key(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.into() } else { format!("{}/{key}", self.prefix) }
    }
}

fn bytes_of(files: &[Saved]) -> u64 {
    files.iter().map(|file| file.size).fold(0, u64::saturating_add)
}

fn render(files: &[Saved]) -> Vec<u8> {
    let mut out = Writer::new();
    out.bytes(&MAGIC);
    out.u32(VERSION);
    out.varint(files.len() as u64);
    for file in files {
        out.str(&file.path);
        out.varint(file.size);
        out.bytes(&file.checksum.to_le_bytes());
    }
    let sum = checksum(out.as_bytes());
    out.u32(sum);
    out.into_bytes()
}

fn parse(bytes: &[u8]) -> Result<Vec<Saved>, Corruption> {
    let (fields, sum) = bytes.split_at_checked(bytes.len().saturating_sub(4)).unwrap_or_default();
    let mut reader = Reader::new(SECTION, fields);
    let unknown =
        |reader: &Reader<'_>, field, value| reader.corruption(CorruptionKind::Unknown { field, value });
    let magic = reader.u64("magic")?;
    if magic != u64::from_le_bytes(MAGIC) {
        return Err(unknown(&reader, "magic", magic));
    }
    let version = reader.u32("version")?;
    if version != VERSION {
        return Err(unknown(&reader, "version", version.into()));
    }
    let (stored, computed) = (Reader::new(SECTION, sum).u32("checksum")?, checksum(fields));
    if stored != computed {
        let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
        return Err(reader.corruption(kind));
    }
    let mut files: Vec<Saved> = Vec::new();
    for _ in 0..reader.count(18, "count of files")? {
        let path = reader.str("path of a file")?;
        if !path.split('/').all(is_word) || files.last().is_some_and(|last| last.path.as_str() >= path) {
            let rule = "files are those of a data directory, in order of their paths";
            return Err(reader.corruption(CorruptionKind::Rule { rule }));
        }
        let size = reader.varint("length of a file")?;
        let (low, high) = (reader.u64("checksum of a file")?, reader.u64("checksum of a file")?);
        let checksum = u128::from(high).wrapping_shl(64) | u128::from(low);
        files.push(Saved { path: path.into(), size, checksum });
    }
    reader.finish()?;
    Ok(files)
}

fn is_word(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !word.is_empty() && !word.starts_with('.') && word.bytes().all(allowed)
}

/// The files of a database below `dir`.
fn collect(fs: &dyn Fs, dir: &Path, path: &str, found: &mut Vec<String>) -> Result<(), Error> {
    for entry in fs.list(dir).map_err(|error| Error::io("list", dir, error))? {
        let is_top = path.is_empty();
        let besides = [names::LOCK, names::SNAPSHOTS_DIR, names::QUARANTINE_DIR];
        if names::is_temporary(&entry.name)
            || !is_word(&entry.name)
            || is_top && besides.contains(&entry.name.as_str())
        {
            continue;
        }
        let below = if is_top { entry.name.clone() } else { format!("{path}/{}", entry.name) };
        if entry.is_dir {
            collect(fs, &dir.join(&entry.name), &below, found)?;
        } else {
            found.push(below);
        }
    }
    Ok(())
}

fn join(dir: &Path, path: &str) -> PathBuf {
    path.split('/').fold(dir.to_owned(), |place, word| place.join(word))
}

/// Length and checksum of a file.
fn sum(fs: &dyn Fs, place: &Path) -> io::Result<(u64, u128)> {
    let mut reader = FileReader::new(fs, place);
    let mut hasher = Xxh3::new();
    let mut piece = vec![0; 256 << 10];
    let mut size = 0_u64;
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok((size, hasher.digest128())),
            count => {
                hasher.update(piece.get(..count).unwrap_or_default());
                size = size.saturating_add(count as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests;
