//! Errors of the engine.

use crate::wal::WalError;
use std::io;
use std::path::PathBuf;
use tsdb_core::Corruption;

/// The format version of the log that this version reads, as text.
const WAL_VERSION: &str = "1";

/// Why an operation of the engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory is in use by another process or another handle of this one.
    #[error("{path} is in use: another process or handle holds its lock", path = path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory was written by a version that this one does not know.
    #[error("{path} has format version {found:?}; this version reads {supported:?}", path = path.display())]
    UnknownVersion {
        /// The directory.
        path: PathBuf,
        /// What its version file says.
        found: String,
        /// What this version reads.
        supported: &'static str,
    },
    /// The operating system refused access.
    #[error("no permission to {action} {path}: {source}", path = path.display())]
    Permission {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space left to {action} {path}: {source}", path = path.display())]
    NoSpace {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Retention would delete nearly everything at once.
    #[error(
        "retention would delete {blocks} blocks, {bytes} of {all_bytes} bytes, and deletes nothing: if retention and \
         clock are right, set max_expired_percent to 100"
    )]
    RetentionRefused {
        /// The blocks.
        blocks: usize,
        /// Their bytes.
        bytes: u64,
        /// Bytes of all blocks.
        all_bytes: u64,
    },
    /// Another failure of the file system.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is damaged in a way that could not be worked round.
    #[error("{path}: {source}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Corruption,
    },
    /// The log of the run before could not be replayed to its end, because a thread that did it panicked or a file could not
    /// be read. What is in the log stays there, for the next start.
    #[error(
        "the log in {path} was not replayed: its samples are on disk and not in memory; the next start replays it",
        path = path.display()
    )]
    NotReplayed {
        /// The directory of the log.
        path: PathBuf,
    },
    /// A delete could not be done in a part of the database; elsewhere it was.
    #[error("samples in {path} may not be deleted: {source}", path = path.display())]
    NotDeleted {
        /// The block.
        path: PathBuf,
        /// Why.
        source: Box<Self>,
    },
    /// An option has a value that makes no sense.
    #[error("option {option} has the value {value}; it must be {rule}")]
    InvalidOption {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: i64,
        /// What it must be.
        rule: &'static str,
    },
    /// A limit on tenants is reached.
    #[error("the limit tenants of {allowed} is reached; refused tenant: {tenant}")]
    TooManyTenants {
        /// What the limit allows.
        allowed: usize,
        /// The refused tenant.
        tenant: tsdb_core::TenantId,
    },
    /// A batch does not fit into one record of the log.
    #[error("the batch exceeds the {limit} bytes that a record of the log may have")]
    BatchTooLarge {
        /// The longest record allowed, in bytes.
        limit: usize,
    },
    /// A compaction was begun anew several times because samples were deleted in its blocks meanwhile.
    #[error("the compaction of {blocks} blocks is put off: samples in them are being deleted")]
    Overtaken {
        /// How many blocks were to be compacted.
        blocks: usize,
    },
    /// Too many blocks wait for their upload.
    #[error("{bytes} bytes of blocks wait for their upload to object storage; {limit} may")]
    BacklogFull {
        /// How many bytes wait.
        bytes: u64,
        /// How many may.
        limit: u64,
    },
    /// Samples of a range are in blocks that another server keeps on its disk.
    #[error(
        "{blocks} blocks on object storage hold samples of the range and are still held by the server that uploaded \
         them; the rest is deleted"
    )]
    FarAway {
        /// How many.
        blocks: usize,
    },
    /// Object storage failed.
    #[error("object storage: {source}")]
    ObjectStorage {
        /// Why.
        source: Box<crate::tier::LedgerError>,
    },
    /// The database has been closed.
    #[error("the database is closed")]
    Closed,
}

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Try again later: the same call may succeed.
    Temporary,
    /// Change the call, the settings or the permissions.
    Usage,
    /// The directory is somebody else's or of another version.
    Foreign,
    /// Data on disk is damaged.
    Damage,
    /// The disk or the operating system fails.
    Storage,
}

impl Error {
    /// The class of the error: what can be done about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSpace { .. } | Self::Overtaken { .. } | Self::FarAway { .. } => ErrorKind::Temporary,
            Self::BacklogFull { .. } | Self::ObjectStorage { .. } => ErrorKind::Temporary,
            Self::Permission { .. } | Self::InvalidOption { .. } | Self::Closed => ErrorKind::Usage,
            Self::RetentionRefused { .. } => ErrorKind::Usage,
            Self::TooManyTenants { .. } | Self::BatchTooLarge { .. } => ErrorKind::Usage,
            Self::Locked { .. } | Self::UnknownVersion { .. } => ErrorKind::Foreign,
            Self::Corrupt { .. } => ErrorKind::Damage,
            Self::Io { .. } | Self::NotReplayed { .. } => ErrorKind::Storage,
            Self::NotDeleted { source, .. } => source.kind(),
        }
    }

    /// Sorts a failure of the file system into the variant it belongs to.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission { action, path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { action, path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

impl From<WalError> for Error {
    fn from(error: WalError) -> Self {
        match error {
            WalError::Io { action, path, source } => Self::io(action, path, source),
            WalError::UnknownVersion { path, found, .. } => {
                Self::UnknownVersion { path, found: found.to_string(), supported: WAL_VERSION }
            }
            WalError::RecordTooLarge { limit, .. } => Self::BatchTooLarge { limit },
        }
    }
}
