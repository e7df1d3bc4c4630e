//! One engine per data directory.
//!
//! The lock is the operating system's advisory lock on a file in the directory, so it dies with its holder. The
//! number of the holder's process is written into the file for the message, and for nothing else.

use super::{FileLock, Fs};
use crate::names;
use std::io;
use std::path::{Path, PathBuf};

/// Holds a data directory for this engine alone until dropped.
#[derive(Debug)]
pub struct DirLock {
    _lock: Box<dyn FileLock>,
}

/// A data directory that could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Someone else works in the directory.
    #[error("data directory {} is in use by {}; stop it or choose another directory",
        dir.display(), holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Held {
        /// The directory.
        dir: PathBuf,
        /// Process number of the holder, if it is known.
        holder: Option<u32>,
    },
    /// The lock file could not be used at all.
    #[error("cannot lock data directory {}: {source}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DirLock {
    /// Locks the existing directory `dir`.
    ///
    /// # Errors
    /// Another holder, or a directory that cannot be written.
    pub fn acquire(fs: &dyn Fs, dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(names::LOCK);
        match fs.lock(&path, &std::process::id().to_string()) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(LockError::Held { dir: dir.to_owned(), holder: holder(fs, &path) })
            }
            Err(source) => Err(LockError::Io { dir: dir.to_owned(), source }),
        }
    }
}

fn holder(fs: &dyn Fs, path: &Path) -> Option<u32> {
    String::from_utf8(fs.read(path).ok()?).ok()?.trim().parse().ok()
}
