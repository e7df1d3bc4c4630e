//! The file system as the engine sees it: a small trait, the real thing, and the durable steps built on it.
//!
//! Every file of a data directory is opened, written, renamed and removed through [`Fs`], so that a simulated file
//! system (`sim`, feature `testing`) can stop the engine at any operation, lose what was not synced, or fill the
//! disk. What it promises: nothing more than a POSIX file system does. Bytes are durable after [`File::sync`],
//! names after [`Fs::sync_dir`] of their directory, and neither before.
//!
//! Deliberately absent: writes at a position (every file is written front to back), buffering (callers build whole
//! buffers), and any asynchronous form.

mod atomic;
mod lock;
mod os;
#[cfg(feature = "testing")]
mod sim;

pub use atomic::{create_dirs, publish_dir, write_file};
pub use lock::{DirLock, LockError};
pub use os::OsFs;
#[cfg(feature = "testing")]
pub use sim::{Fault, Loss, Op, SimFs};

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file open for appending.
///
/// All methods take a shared reference: one thread may sync while another appends. Appends of several threads do
/// not mix within one call only if the callers see to it themselves.
pub trait File: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at the end of the file.
    ///
    /// # Errors
    /// After an error any part of `bytes` may be in the file; [`truncate`](Self::truncate) takes it back.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Makes every byte appended before this call durable.
    ///
    /// # Errors
    /// After an error nothing that was not durable before may be trusted, and a later success of this method on
    /// the same file proves nothing about it: it is condemned.
    fn sync(&self) -> io::Result<()>;

    /// Length of the file in bytes.
    ///
    /// # Errors
    /// The file cannot be asked.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file to its first `len` bytes.
    ///
    /// # Errors
    /// The file may still have its old length.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

/// What is found in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Name within the directory. Names that are not UTF-8 are never listed: the engine writes none.
    pub name: String,
    /// Is it a directory?
    pub is_dir: bool,
}

/// Keeps a file locked until it is dropped.
pub trait FileLock: Send + Sync + fmt::Debug {}

/// A file system.
///
/// Errors are those of the operating system; callers add the path and what they were doing.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Creates the file `path` and opens it for appending. Its name is durable after [`sync_dir`](Self::sync_dir).
    ///
    /// # Errors
    /// `AlreadyExists` if there is such a file; whatever else the system says.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens the existing file `path` for appending.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// The whole content of `path`.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Fills `buffer` with the bytes of `path` from `offset` on; returns how many there were, less than asked only
    /// at the end of the file.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Does each read take long, however little is read, so that it pays to [`prefetch`](Self::prefetch)?
    fn is_far(&self) -> bool {
        false
    }

    /// Says what will be read soon: a file system that is [far](Self::is_far) gets it in one go. Advice, which may be
    /// ignored; what cannot be read is told when it is read. Says whether all of it is near now.
    fn prefetch(&self, wanted: &[(PathBuf, Range<u64>)]) -> bool {
        let _: &[(PathBuf, Range<u64>)] = wanted;
        true
    }

    /// Says that the block in `dir` will be opened, likewise.
    fn will_open(&self, dir: &Path) {
        let _: &Path = dir;
    }

    /// Says that bytes of `path` are not what they should be: if they were kept since they were read, they are read
    /// anew the next time.
    fn distrust(&self, path: &Path) {
        let _: &Path = path;
    }

    /// Length of the file `path` in bytes.
    ///
    /// # Errors
    /// The file cannot be asked.
    fn size(&self, path: &Path) -> io::Result<u64>;

    /// Is there a file or directory `path`?
    ///
    /// # Errors
    /// The directory above cannot be searched.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The entries of the directory `dir`, in order of name.
    ///
    /// # Errors
    /// `dir` cannot be read.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Creates `dir` and what is missing above it.
    ///
    /// # Errors
    /// One of them cannot be created.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Gives `from` the name `to`, replacing a file of that name. Durable after [`sync_dir`](Self::sync_dir) of the
    /// directory of `to`.
    ///
    /// # Errors
    /// Nothing has changed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives the file `from` the second name `to`, on the same file system. Durable after
    /// [`sync_dir`](Self::sync_dir) of the directory of `to`.
    ///
    /// # Errors
    /// `AlreadyExists` if there is such a name; there is no file `from`; the file system knows no such thing.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file; whoever has it open keeps its bytes.
    ///
    /// # Errors
    /// The file is still there.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes `dir` and all it holds.
    ///
    /// # Errors
    /// Some of it may be gone.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in `dir` durable: creations, renames, removals.
    ///
    /// # Errors
    /// Nothing may be assumed about them.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks the file `path` (created if need be) for this holder alone and writes `note` into it if it can. The
    /// operating system releases the lock when the process dies, however it dies.
    ///
    /// # Errors
    /// `WouldBlock` if someone else holds the lock.
    fn lock(&self, path: &Path, note: &str) -> io::Result<Box<dyn FileLock>>;
}

/// Is the error a full disk or a used-up quota: a state that passes when space is freed?
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What `read` gives, at the second try if need be: a disk may recover. What fails twice counts as damaged.
pub(crate) fn twice<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match read() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => read(),
        first => first,
    }
}
