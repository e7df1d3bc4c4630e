//! An object store as the engine sees it: a small blocking trait.
//!
//! What it promises is what S3 and its like promise: an object appears whole or not at all, a put with a condition is
//! decided by the store, and whoever asks after an answer sees what the answer was about. A call may fail although it
//! took effect; everything above is built for that.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

/// Which of the contents that an object had: an entity tag or a generation, to be compared and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub String);

/// When a put takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// In any case.
    Always,
    /// If there is no such object.
    Absent,
    /// If the object has this version.
    Unchanged(Version),
}

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its version, if the store tells one.
    pub version: Option<Version>,
    /// When it was put, ms since 1970, by the clock of the store.
    pub modified_ms: i64,
}

/// A store of objects under keys. Keys are words of `A-Z a-z 0-9 . _ = -` separated by `/`. Shared by threads.
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Puts `bytes` under `key` if `condition` holds, and returns the version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if it does not hold. After a [`StoreError::Unavailable`] it may have been put.
    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Version, StoreError>;

    /// Puts what `source` gives, `len` bytes, under `key`, in several parts if need be: whole or not at all.
    ///
    /// # Errors
    /// As for [`put`](Self::put), and those of `source`.
    fn upload(&self, key: &str, source: &mut dyn Read, len: u64) -> Result<Version, StoreError>;

    /// The bytes of `key` at `range`, which lies within the object; of this `version` if one is given.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such object, [`StoreError::Conflict`] if it has another version.
    fn get(&self, key: &str, range: Range<u64>, version: Option<&Version>) -> Result<Vec<u8>, StoreError>;

    /// What the store says of `key`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such object.
    fn head(&self, key: &str) -> Result<ObjectInfo, StoreError>;

    /// All objects whose keys begin with `prefix` and a `/`, in any order.
    ///
    /// # Errors
    /// The store does not answer.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// The next words of all keys that begin with `prefix` and a `/`, if more words follow, sorted; with an empty `prefix`
    /// the first words.
    ///
    /// # Errors
    /// The store does not answer.
    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.list(prefix)?;
        let below = |key: &str| {
            let rest = if prefix.is_empty() { key } else { key.strip_prefix(prefix)?.strip_prefix('/')? };
            rest.split_once('/').map(|(word, _)| word.to_owned())
        };
        let words: BTreeSet<String> = listed.iter().filter_map(|object| below(&object.key)).collect();
        Ok(words.into_iter().collect())
    }

    /// Removes `key`; it is no error if there is no such object.
    ///
    /// # Errors
    /// The object may be gone or not.
    fn delete(&self, key: &str) -> Result<(), StoreError>;
}

/// A call of a store that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such object.
    #[error("there is no object {key}")]
    NotFound {
        /// Its key.
        key: String,
    },
    /// The condition of a put or a get does not hold.
    #[error("object {key} is not what it was, or exists already")]
    Conflict {
        /// Its key.
        key: String,
    },
    /// The store does not answer, is busy, or the answer was cut short. The call may have taken effect; another try may
    /// succeed.
    #[error("cannot {action} object {key}: {source}")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// On which object.
        key: String,
        /// Why.
        source: io::Error,
    },
    /// The store refuses: another try will not succeed.
    #[error("the store refuses to {action} object {key}: {source}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// On which object.
        key: String,
        /// Why.
        source: io::Error,
    },
    /// An object does not have the bytes it should have.
    #[error("object {key} has {found}, not {expected}")]
    Wrong {
        /// Its key.
        key: String,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
}

impl StoreError {
    /// May another try succeed?
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// A failure that may pass.
    pub fn unavailable(action: &'static str, key: &str, source: io::Error) -> Self {
        Self::Unavailable { action, key: key.into(), source }
    }

    /// For those who know but files.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::NotFound { .. } => io::ErrorKind::NotFound,
            Self::Unavailable { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}
