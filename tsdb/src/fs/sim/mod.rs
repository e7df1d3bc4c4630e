//! A file system in memory that can fail like a real one (feature `testing`).
//!
//! It keeps apart what programs see now and what a power cut leaves: bytes become durable with a sync of their
//! file, names with a sync of their directory. Every changing operation is counted, and any of them can be made to
//! stop the machine, to find the disk full, or to fail with an I/O error. A failed sync of a file drops what it
//! should have written, as Linux does; a failed sync of a directory leaves its changes in the journal. From the
//! state at any moment [`SimFs::after_power_cut`] draws a disk as it may be found afterwards.
//!
//! What it is stricter in than most real file systems: syncing a new file does not make its name durable, unsynced
//! changes of one directory survive independently of each other, and a rename across directories is two changes.
//! Deliberately absent: permissions, symbolic links, modification times.

mod disk;
mod draw;

use super::{DirEntry, File, FileLock, Fs};
use disk::{Disk, NodeId};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Kinds of operations that change something; these are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Creation of a file.
    Create,
    /// Append to a file.
    Append,
    /// Sync of a file.
    Sync,
    /// Shortening of a file.
    Truncate,
    /// Rename.
    Rename,
    /// A second name for a file.
    Link,
    /// Removal of a file or of an empty directory.
    Remove,
    /// Creation of one directory.
    MakeDir,
    /// Sync of a directory.
    SyncDir,
}

/// What happens to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops during the operation: it fails, and so does everything after it.
    Crash,
    /// The disk is full: the operation fails, an append half done.
    OutOfSpace,
    /// An I/O error: the operation fails, an append half done, the sync of a file having dropped what it should have
    /// written.
    Io,
}

/// Which unsynced changes survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// None: only what was synced is there.
    Everything,
    /// All of them.
    Nothing,
    /// Some, drawn with this seed: files torn at any byte or with holes, names kept or lost one by one.
    Random(u64),
}

/// The simulated file system. Clones share one state.
#[derive(Clone)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
    before_sync: Arc<Mutex<Option<Hook>>>,
    before_read: Arc<Mutex<Option<Hook>>>,
}

type Hook = Arc<dyn Fn() + Send + Sync>;

impl SimFs {
    /// An empty file system: a root directory and nothing else.
    pub fn new() -> Self {
        Self::over(Disk::new())
    }

    fn over(disk: Disk) -> Self {
        Self { disk: Arc::new(Mutex::new(disk)), before_sync: Arc::default(), before_read: Arc::default() }
    }

    /// Makes the operation with number `index` (from 0, see [`op_count`](Self::op_count)) end in `fault`.
    pub fn inject(&self, index: usize, fault: Fault) {
        self.disk.lock().faults.insert(index, fault);
    }

    /// Number of counted operations so far.
    pub fn op_count(&self) -> usize {
        self.disk.lock().ops.len()
    }

    /// The counted operations so far, in order.
    pub fn ops(&self) -> Vec<Op> {
        self.disk.lock().ops.clone()
    }

    /// Limits the bytes of all files together; `None` lifts the limit. Appends beyond it write what fits and find
    /// the disk full.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.lock().capacity = bytes;
    }

    /// Makes reads that touch `range` of `path` fail with an I/O error.
    pub fn make_unreadable(&self, path: &Path, range: Range<u64>) {
        self.disk.lock().unreadable.push((path.to_owned(), range));
    }

    /// Makes the reads with the numbers `reads` (from 0, see [`read_count`](Self::read_count)) fail with an I/O error.
    pub fn fail_reads(&self, reads: Range<usize>) {
        self.disk.lock().failing_reads = reads;
    }

    /// Number of reads so far, of whole files and of parts.
    pub fn read_count(&self) -> usize {
        self.disk.lock().reads
    }

    /// Calls `hook` before every sync of a file, on the thread that syncs: a sync can be made to take as long as it
    /// pleases a test.
    pub fn before_sync(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.before_sync.lock() = Some(Arc::new(hook));
    }

    /// Calls `hook` before every read at a position, on the thread that reads.
    pub fn before_read(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.before_read.lock() = Some(Arc::new(hook));
    }

    /// The disk as it may be found after a power cut now.
    #[must_use]
    pub fn after_power_cut(&self, loss: Loss) -> Self {
        Self::over(self.disk.lock().after_power_cut(loss))
    }

    /// The file system after the process died and the machine went on: all is visible, nothing more is durable, no
    /// faults are pending and no locks held.
    #[must_use]
    pub fn process_killed(&self) -> Self {
        Self::over(self.disk.lock().process_killed())
    }

    /// Changes one byte of `path` by exclusive or with `mask`, behind everyone's back.
    ///
    /// # Errors
    /// There is no such byte.
    pub fn flip(&self, path: &Path, offset: usize, mask: u8) -> io::Result<()> {
        self.disk.lock().edit(path, |data| {
            let byte = data.get_mut(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
            *byte ^= mask;
            Ok(())
        })
    }

    /// Replaces the content of the existing file `path`, durably and behind everyone's back.
    ///
    /// # Errors
    /// There is no such file.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.disk.lock().edit(path, |data| {
            data.clear();
            data.extend_from_slice(bytes);
            Ok(())
        })
    }

    /// The paths of all files, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        self.disk.lock().files()
    }
}

impl Default for SimFs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFs").field("files", &self.files()).finish_non_exhaustive()
    }
}

impl Fs for SimFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let node = self.disk.lock().create(path)?;
        Ok(Box::new(SimFile { fs: self.clone(), node }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let node = self.disk.lock().find_file(path)?;
        Ok(Box::new(SimFile { fs: self.clone(), node }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut disk = self.disk.lock();
        disk.begin_read()?;
        let bytes = disk.bytes(path)?;
        disk.check_readable(path, 0..bytes.len() as u64)?;
        Ok(bytes.to_vec())
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let hook = self.before_read.lock().clone();
        if let Some(hook) = hook {
            hook();
        }
        let mut disk = self.disk.lock();
        disk.begin_read()?;
        let bytes = disk.bytes(path)?;
        let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let (source, target) = (rest.iter(), buffer.iter_mut());
        let count = source.len().min(target.len());
        disk.check_readable(path, offset..offset.saturating_add(count as u64))?;
        target.zip(source).for_each(|(to, from)| *to = *from);
        Ok(count)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(self.disk.lock().bytes(path)?.len() as u64)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.lock().exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.lock().list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.lock().make_dirs(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.lock().rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.lock().link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.lock().remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.lock().remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.lock().sync_dir(dir)
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Box<dyn FileLock>> {
        let mut disk = self.disk.lock();
        let node = match disk.find_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(path)?,
            found => found?,
        };
        if !disk.locked.insert(node) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        drop(disk.truncate(node, 0).and_then(|()| disk.append(node, note.as_bytes())));
        Ok(Box::new(SimLock { fs: self.clone(), node }))
    }
}

#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    node: NodeId,
}

impl File for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.fs.disk.lock().append(self.node, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let hook = self.fs.before_sync.lock().clone();
        if let Some(hook) = hook {
            hook();
        }
        self.fs.disk.lock().sync(self.node)
    }

    fn size(&self) -> io::Result<u64> {
        self.fs.disk.lock().size(self.node)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.fs.disk.lock().truncate(self.node, len)
    }
}

#[derive(Debug)]
struct SimLock {
    fs: SimFs,
    node: NodeId,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.disk.lock().locked.remove(&self.node);
    }
}
