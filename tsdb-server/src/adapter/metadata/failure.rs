//! What can go wrong in a call, before it is known what the call was for.

use crate::metadata::MetadataError;

/// A call that failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database or the way to it failed.
    Database(sqlx::Error),
    /// The database is well, and the answer is no.
    Told(MetadataError),
}

impl Failure {
    /// What is wrong with a row of which this is the failure.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Told(MetadataError::Damaged { what, source }) => format!("{what}: {source}"),
            Self::Told(error) => error.to_string(),
            Self::Database(error) => error.to_string(),
        }
    }

    /// The failure of a call that was to do `action`.
    pub(super) fn into_error(self, action: &'static str) -> MetadataError {
        match self {
            Self::Told(error) => error,
            Self::Database(error) => match &error {
                sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::ColumnIndexOutOfBounds { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::TypeNotFound { .. } => MetadataError::damaged("a row", error),
                sqlx::Error::Database(told) if is_damage(told.as_ref()) => {
                    MetadataError::damaged("the file", error)
                }
                sqlx::Error::Configuration(reason) => {
                    MetadataError::invalid("metadata.url", reason.to_string())
                }
                _ => MetadataError::unavailable(action, error),
            },
        }
    }
}

/// Does SQLite say that the file is damaged (SQLITE_CORRUPT) or none of its own (SQLITE_NOTADB)?
fn is_damage(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().is_some_and(|code| ["11", "26"].contains(&code.as_ref()))
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<MetadataError> for Failure {
    fn from(error: MetadataError) -> Self {
        Self::Told(error)
    }
}
