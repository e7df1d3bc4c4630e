//! Errors of blocks as a whole. Damage met while reading samples is a [`ReadError`](tsdb_core::read::ReadError).

use crate::Error;
use std::io;
use std::path::PathBuf;
use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;
use tsdb_core::pack::PackError;
use tsdb_index::WriteError;

/// A block that cannot be written or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The file system failed.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is damaged so that the block cannot be used at all.
    #[error("{path}: {source}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Corruption,
    },
    /// A file is of a version that this one does not know.
    #[error("{path} has format version {found}; this version reads {supported}", path = path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// What this version reads.
        supported: &'static str,
    },
    /// The index does not take a series.
    #[error("block {path}: {source}", path = path.display())]
    Series {
        /// The block being written.
        path: PathBuf,
        /// Why.
        source: WriteError,
    },
    /// The samples of a series are not what a block holds.
    #[error("block {path}: {source}", path = path.display())]
    Samples {
        /// The block being written.
        path: PathBuf,
        /// Why.
        source: PackError,
    },
}

impl BlockError {
    /// Damage found in `path`: an unknown version is told apart.
    pub(crate) fn damaged(path: impl Into<PathBuf>, source: Corruption) -> Self {
        let path = path.into();
        match source.kind {
            CorruptionKind::Unknown { field: "version", value } => {
                Self::UnknownVersion { path, found: value, supported: "1" }
            }
            _ => Self::Corrupt { path, source },
        }
    }

    /// A failure of the file system while doing `action` on `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl From<BlockError> for Error {
    fn from(error: BlockError) -> Self {
        let layer = |error: &dyn std::error::Error| {
            Corruption::new("block", 0, CorruptionKind::Layer { message: error.to_string() })
        };
        match error {
            BlockError::Io { action, path, source } => Self::io(action, path, source),
            BlockError::Corrupt { path, source } => Self::Corrupt { path, source },
            BlockError::UnknownVersion { path, found, supported } => {
                Self::UnknownVersion { path, found: found.to_string(), supported }
            }
            BlockError::Series { path, source } => Self::Corrupt { path, source: layer(&source) },
            BlockError::Samples { path, source } => Self::Corrupt { path, source: layer(&source) },
        }
    }
}
