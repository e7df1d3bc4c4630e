//! What can go wrong with metadata, in classes that callers act on.

use std::error::Error;
use tsdb_core::TenantId;

/// Metadata that could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The store does not answer; the same call may succeed later.
    #[error("the metadata store cannot {action} now: {source}")]
    Unavailable {
        /// What was to be done.
        action: &'static str,
        /// Why it was not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Someone else changed it since it was read. Nothing was changed.
    #[error("{what} has version {found}, not {expected}: it was changed since it was read")]
    Conflict {
        /// What was to be changed.
        what: Subject,
        /// The version that it should have had; 0 for one that should not have been there.
        expected: u64,
        /// The version that it has; 0 if it is not there.
        found: u64,
    },
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: Subject,
    },
    /// A value that cannot be stored. Nothing was changed.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which value.
        field: String,
        /// What is wrong with it, with the bound if it is one.
        reason: String,
    },
    /// The store was made by a newer version of this program.
    #[error(
        "the metadata store has schema version {found}, this program knows up to {known}: use a newer program"
    )]
    NewerSchema {
        /// The version of the store.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// What is stored makes no sense.
    #[error("the metadata store is damaged: {what} cannot be read: {source}")]
    Damaged {
        /// What could not be read.
        what: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The classes of [`MetadataError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataErrorKind {
    /// The same call may succeed later.
    Unavailable,
    /// It was changed since it was read.
    Conflict,
    /// There is no such thing.
    NotFound,
    /// The request is wrong and stays wrong.
    Invalid,
    /// The store cannot be used as it is.
    Damaged,
}

/// What metadata is about: what errors and the audit log name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The limits of a tenant.
    Limits {
        /// The tenant.
        tenant: TenantId,
    },
    /// The definition of a metric.
    Metric {
        /// Whose it is.
        tenant: TenantId,
        /// Its name.
        name: String,
    },
    /// An alerting rule.
    Rule {
        /// Whose it is.
        tenant: TenantId,
        /// Its number; `None` for one that has none yet.
        id: Option<super::RuleId>,
    },
}

impl Subject {
    /// Whose it is.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Limits { tenant } | Self::Metric { tenant, .. } | Self::Rule { tenant, .. } => tenant,
        }
    }

    /// Does what has the version `found`, 0 for nothing, have the one that is `expected`?
    pub(crate) fn check_version(&self, found: u64, expected: Option<u64>) -> Result<(), MetadataError> {
        match expected {
            Some(expected) if expected != found => {
                Err(MetadataError::Conflict { what: self.clone(), expected, found })
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limits { tenant } => write!(f, "limits of tenant {tenant}"),
            Self::Metric { tenant, name } => write!(f, "definition of metric {name:?} of tenant {tenant}"),
            Self::Rule { tenant, id: Some(id) } => write!(f, "rule {id} of tenant {tenant}"),
            Self::Rule { tenant, id: None } => write!(f, "rule of tenant {tenant}"),
        }
    }
}

impl MetadataError {
    /// The class.
    pub const fn kind(&self) -> MetadataErrorKind {
        match self {
            Self::Unavailable { .. } => MetadataErrorKind::Unavailable,
            Self::Conflict { .. } => MetadataErrorKind::Conflict,
            Self::NotFound { .. } => MetadataErrorKind::NotFound,
            Self::Invalid { .. } => MetadataErrorKind::Invalid,
            Self::NewerSchema { .. } | Self::Damaged { .. } => MetadataErrorKind::Damaged,
        }
    }

    /// The value `field` cannot be stored.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// The store does not answer.
    pub fn unavailable(action: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable { action, source: source.into() }
    }

    /// What is stored makes no sense.
    pub fn damaged(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Damaged { what, source: source.into() }
    }
}
