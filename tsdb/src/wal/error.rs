//! What can go wrong with the log as a whole.
//!
//! Damage found in segments is no error: it is reported by the replay and the rest is served.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the write-ahead log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The file system refused an operation.
    #[error("write-ahead log: cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A segment of a later version than this one reads.
    #[error("log segment {} has format version {found}; this version reads up to {newest}", path.display())]
    UnknownVersion {
        /// The segment.
        path: PathBuf,
        /// The version it states.
        found: u32,
        /// The newest version known here.
        newest: u32,
    },
    /// A record longer than the format allows.
    #[error("a log record of {len} bytes exceeds the limit of {limit} bytes")]
    RecordTooLarge {
        /// Its length.
        len: usize,
        /// The longest record allowed.
        limit: usize,
    },
}

impl WalError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Does the failure pass when space is freed?
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Io { source, .. } if crate::fs::is_out_of_space(source))
    }
}
