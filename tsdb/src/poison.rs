//! A failed sync condemns its file.
//!
//! After a failed sync the operating system may have dropped the dirty pages and marked them clean: a second sync
//! succeeds and proves nothing. So a [`TrustedFile`] that failed once refuses everything from then on; its owner
//! seals it, starts a fresh file, writes there again whatever was not durable, and acknowledges nothing before that
//! file is synced. A full disk at a write is another matter: it passes, and the file stays good as long as the
//! partial write can be cut off again.
//!
//! Source: Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.

use crate::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file that can be trusted: none of its syncs has failed.
#[derive(Debug)]
pub(crate) struct TrustedFile {
    file: Box<dyn File>,
    condemned: AtomicBool,
}

impl TrustedFile {
    /// Trusts a freshly created file.
    pub(crate) fn new(file: Box<dyn File>) -> Self {
        Self { file, condemned: AtomicBool::new(false) }
    }

    /// Appends; see [`File::append`].
    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.append(bytes)
    }

    /// Syncs; the first failure condemns the file.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync().inspect_err(|_| self.condemn())
    }

    /// Cuts the file back; a failure condemns it, because its end is no longer known.
    pub(crate) fn truncate(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.truncate(len).inspect_err(|_| self.condemn())
    }

    /// Condemns the file for a reason that its owner saw.
    pub(crate) fn condemn(&self) {
        self.condemned.store(true, Ordering::Release);
    }

    /// Has the file been condemned?
    pub(crate) fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::Acquire)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_condemned() {
            return Err(io::Error::other("the file is condemned: an earlier sync of it failed"));
        }
        Ok(())
    }
}
