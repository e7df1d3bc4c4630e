//! A directory as an object store: for one machine with a second disk, or a file system that several share.

use super::store::{Condition, ObjectInfo, ObjectStore, StoreError, Version};
use crate::fs::{Fs, OsFs, create_dirs};
use crate::{SystemClock, names};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use tsdb_core::time::Clock;

/// How much of an upload is in memory.
const PIECE_BYTES: usize = 1 << 20;
/// How often a lock that somebody else holds is tried, and how long in between.
const LOCK_TRIES: u32 = 600;
const LOCK_WAIT: Duration = Duration::from_millis(10);
const LOCK: &str = "LOCK";
/// A file that was never finished is nobody's when nobody has written to it for so long, ms.
const ABANDONED_MS: i64 = 86_400_000;

/// A store whose objects are files below a directory. Puts are atomic and durable, also those with conditions, among
/// all processes that use the directory.
#[derive(Debug)]
pub struct DirStore {
    root: PathBuf,
    files: AtomicU64,
}

impl DirStore {
    /// The store in `root`, which is created if need be.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        create_dirs(&OsFs, &root)?;
        sweep(&root, SystemClock.now().saturating_sub(ABANDONED_MS))?;
        Ok(Self { root, files: AtomicU64::new(0) })
    }

    fn path(&self, action: &'static str, key: &str) -> Result<PathBuf, StoreError> {
        let is_word = |word: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._=-".contains(&byte);
            !word.is_empty()
                && word.bytes().all(allowed)
                && !word.starts_with('.')
                && !names::is_temporary(word)
        };
        if key.split('/').all(is_word) {
            return Ok(self.root.join(key));
        }
        let source = io::Error::new(io::ErrorKind::InvalidInput, "this is no key of an object");
        Err(StoreError::Refused { action, key: key.into(), source })
    }

    /// Writes a file beside `path` that nobody sees and gives its name to `publish`.
    fn write(
        &self,
        path: &Path,
        source: &mut dyn Read,
        len: u64,
        publish: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<Version> {
        let parent = path.parent().unwrap_or(&self.root);
        create_dirs(&OsFs, parent)?;
        // Processes and calls do not meet on a name.
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let hidden = parent.join(format!(".{}-{}-{number}", std::process::id(), SystemClock.now()));
        let hidden = names::temporary(&hidden);
        let written = copy(&hidden, source, len).and_then(|()| publish(&hidden));
        // After a rename it is gone; whatever else stays is of no use.
        drop(OsFs.remove_file(&hidden));
        written?;
        OsFs.sync_dir(parent)?;
        Ok(info(path, "")?.version.unwrap_or(Version(String::new())))
    }
}

impl ObjectStore for DirStore {
    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Version, StoreError> {
        let path = self.path("put", key)?;
        let mut source = bytes;
        let len = bytes.len() as u64;
        let put = match condition {
            Condition::Always => self.write(&path, &mut source, len, |hidden| OsFs.rename(hidden, &path)),
            // A second name is made only if there is none.
            Condition::Absent => self.write(&path, &mut source, len, |hidden| OsFs.hard_link(hidden, &path)),
            Condition::Unchanged(version) => {
                let _lock = self.lock().map_err(|source| StoreError::unavailable("put", key, source))?;
                let current = info(&path, key).map_err(|source| failed("put", key, source))?;
                if current.version.as_ref() != Some(version) {
                    return Err(StoreError::Conflict { key: key.into() });
                }
                self.write(&path, &mut source, len, |hidden| OsFs.rename(hidden, &path))
            }
        };
        put.map_err(|source| failed("put", key, source))
    }

    fn upload(&self, key: &str, source: &mut dyn Read, len: u64) -> Result<Version, StoreError> {
        let path = self.path("put", key)?;
        let put = self.write(&path, source, len, |hidden| OsFs.rename(hidden, &path));
        put.map_err(|source| failed("put", key, source))
    }

    fn get(&self, key: &str, range: Range<u64>, version: Option<&Version>) -> Result<Vec<u8>, StoreError> {
        let path = self.path("get", key)?;
        if version.is_some() && self.head(key)?.version.as_ref() != version {
            return Err(StoreError::Conflict { key: key.into() });
        }
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let size = OsFs.size(&path).map_err(|source| failed("get", key, source))?;
        if range.end > size {
            let found = format!("{size} bytes");
            return Err(StoreError::Wrong {
                key: key.into(),
                found,
                expected: format!("{} bytes", range.end),
            });
        }
        let mut bytes = vec![0; len];
        let count =
            OsFs.read_at(&path, range.start, &mut bytes).map_err(|source| failed("get", key, source))?;
        bytes.truncate(count);
        Ok(bytes)
    }

    fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        info(&self.path("ask for", key)?, key).map_err(|source| failed("ask for", key, source))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut found = Vec::new();
        let failed = |source| failed("list", prefix, source);
        let start = if prefix.is_empty() { self.root.clone() } else { self.path("list", prefix)? };
        collect(&start, prefix, &mut found).map_err(failed)?;
        Ok(found)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let start = if prefix.is_empty() { self.root.clone() } else { self.path("list", prefix)? };
        let entries = match OsFs.list(&start) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries.map_err(|source| failed("list", prefix, source))?,
        };
        let is_folder = |entry: &crate::fs::DirEntry| entry.is_dir && !entry.name.starts_with('.');
        let mut names: Vec<String> = entries.into_iter().filter(is_folder).map(|entry| entry.name).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        match OsFs.remove_file(&self.path("delete", key)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", key, error)),
            _ => Ok(()),
        }
    }
}

impl DirStore {
    /// Whoever compares and replaces does so alone.
    fn lock(&self) -> io::Result<Box<dyn crate::fs::FileLock>> {
        let path = self.root.join(LOCK);
        let mut tries = 0;
        loop {
            match OsFs.lock(&path, "") {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::park_timeout(LOCK_WAIT);
                }
                outcome => return outcome,
            }
        }
    }
}

fn copy(path: &Path, source: &mut dyn Read, len: u64) -> io::Result<()> {
    let file = OsFs.create_new(path)?;
    let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(len).unwrap_or(PIECE_BYTES)).max(1)];
    let mut copied = 0;
    loop {
        match source.read(&mut piece)? {
            0 => break,
            count => {
                file.append(piece.get(..count).unwrap_or_default())?;
                copied += count as u64;
            }
        }
    }
    if copied != len {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the source has another length than it said",
        ));
    }
    file.sync()
}

fn info(path: &Path, key: &str) -> io::Result<ObjectInfo> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let version = Version(format!("{:x}-{:x}-{:x}", modified.as_nanos(), metadata.len(), inode(&metadata)));
    let modified_ms = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
    Ok(ObjectInfo { key: key.into(), size: metadata.len(), version: Some(version), modified_ms })
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &std::fs::Metadata) -> u64 {
    0
}

fn collect(dir: &Path, key: &str, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    let entries = match OsFs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.iter().filter(|entry| !entry.name.starts_with('.') && entry.name != LOCK) {
        let key = if key.is_empty() { entry.name.clone() } else { format!("{key}/{}", entry.name) };
        let path = dir.join(&entry.name);
        if entry.is_dir {
            collect(&path, &key, found)?;
        } else {
            match info(&path, &key) {
                // Somebody deleted it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                info => found.push(info?),
            }
        }
    }
    Ok(())
}

/// Removes files below `dir` that were never finished and were written to last before `before`.
fn sweep(dir: &Path, before: i64) -> io::Result<()> {
    for entry in OsFs.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            sweep(&path, before)?;
        } else if entry.name.starts_with('.') && names::is_temporary(&entry.name) {
            // Somebody else may sweep as well.
            match info(&path, "") {
                Ok(info) if info.modified_ms < before => drop(OsFs.remove_file(&path)),
                _ => {}
            }
        }
    }
    Ok(())
}

fn failed(action: &'static str, key: &str, source: io::Error) -> StoreError {
    let key = key.into();
    match source.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound { key },
        io::ErrorKind::AlreadyExists => StoreError::Conflict { key },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Refused { action, key, source }
        }
        _ => StoreError::Unavailable { action, key, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_a_killed_process_left_behind_are_swept_when_nobody_writes_them_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::open(dir.path()).unwrap();
        store.put("a/b", b"whole", &Condition::Always).unwrap();
        let (left, whole) = (dir.path().join("a/.1-2-3.tmp"), dir.path().join("a/b"));
        std::fs::write(&left, b"half").unwrap();
        sweep(dir.path(), SystemClock.now() - ABANDONED_MS).unwrap();
        assert!(left.exists(), "somebody may still write it");
        sweep(dir.path(), SystemClock.now() + 60_000).unwrap();
        assert!(!left.exists() && whole.exists());
        assert_eq!(store.folders("").unwrap(), ["a"]);
        assert!(store.folders("a").unwrap().is_empty() && store.folders("nowhere").unwrap().is_empty());
    }
}
