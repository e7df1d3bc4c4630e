//! What a fault of a store means to clients: one table from the engine's errors to kinds of answers.
//!
//! A sender drops what is answered with a 4xx and sends again what is answered with a 5xx. So whatever the disk or the
//! operating system refuses is 503, with a time to come back: somebody frees space, mounts the disk again, repairs, and
//! the samples are still with the sender. What the same request meets again however often it is sent is 4xx.

use crate::error::{ApiError, ErrorKind};
use crate::seldom::Seldom;
use std::io;
use std::time::Duration;
use tsdb::Error;
use tsdb_core::read::ReadError;
use tsdb_core::write::CommitError;

/// When a client should come back after a fault of the disk.
const DISK_RETRY: Duration = Duration::from_secs(5);

/// When a client should come back to a store that somebody else holds, or that another version wrote.
const REPAIR_RETRY: Duration = Duration::from_secs(30);

/// When a client should come back to a server that stops: another one may be there soon.
pub(crate) const RESTART_RETRY: Duration = Duration::from_secs(1);

/// What a client is told, and when it should come back.
fn row(error: &Error) -> (ErrorKind, Option<Duration>) {
    match error {
        Error::TooManyTenants { .. } => (ErrorKind::BadData, None),
        Error::BatchTooLarge { .. } => (ErrorKind::TooLarge, None),
        // The store has no such thing to offer, and will have none tomorrow.
        Error::Io { source, .. } if source.kind() == io::ErrorKind::Unsupported => (ErrorKind::BadData, None),
        Error::NoSpace { .. } | Error::Permission { .. } | Error::Io { .. } => {
            (ErrorKind::Unavailable, Some(DISK_RETRY))
        }
        Error::Locked { .. } | Error::UnknownVersion { .. } | Error::Corrupt { .. } => {
            (ErrorKind::Unavailable, Some(REPAIR_RETRY))
        }
        Error::NotReplayed { .. } => (ErrorKind::Unavailable, Some(REPAIR_RETRY)),
        Error::BacklogFull { .. } | Error::ObjectStorage { .. } => {
            (ErrorKind::Unavailable, Some(REPAIR_RETRY))
        }
        // The server that holds them will let them go.
        Error::FarAway { .. } | Error::Overtaken { .. } => (ErrorKind::Unavailable, Some(REPAIR_RETRY)),
        Error::Closed => (ErrorKind::Unavailable, Some(RESTART_RETRY)),
        Error::NotDeleted { source, .. } => row(source),
        _ => (ErrorKind::Internal, None),
    }
}

fn answer(error: &Error, message: String) -> ApiError {
    let (kind, delay) = row(error);
    let answer = ApiError::new(kind, message);
    match delay {
        Some(delay) => answer.retry_after(delay),
        None => answer,
    }
}

impl From<&Error> for ApiError {
    fn from(error: &Error) -> Self {
        answer(error, error.to_string())
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        static REFUSED: Seldom = Seldom::new();
        REFUSED.error(&error);
        match error.source.downcast_ref::<Error>() {
            Some(source) => answer(source, error.to_string()),
            None if error.temporary => {
                Self::new(ErrorKind::Unavailable, error.to_string()).retry_after(DISK_RETRY)
            }
            None => Self::new(ErrorKind::Internal, error.to_string()),
        }
    }
}

impl From<&ReadError> for ApiError {
    fn from(error: &ReadError) -> Self {
        let source = match error {
            ReadError::Storage { source, .. } => source.downcast_ref::<Error>(),
            _ => None,
        };
        match source {
            Some(source) => answer(source, error.to_string()),
            None => Self::new(ErrorKind::Internal, error.to_string()),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use tsdb_core::error::CorruptionKind;
    use tsdb_core::{Corruption, TenantId};

    fn io_error(kind: io::ErrorKind) -> Error {
        Error::Io { action: "write", path: "f".into(), source: kind.into() }
    }

    /// Every error of the engine with its status, and the seconds after which a client should come back.
    fn table() -> Vec<(Error, u16, Option<&'static str>)> {
        let path = || "f".into();
        let full = io::ErrorKind::StorageFull.into();
        let read_only = io::ErrorKind::ReadOnlyFilesystem.into();
        let damage = CorruptionKind::Truncated { field: "f" };
        let damage = Corruption { section: "s", offset: 0, kind: damage };
        let tenant = TenantId::new("t").unwrap();
        vec![
            (Error::NoSpace { action: "write", path: path(), source: full }, 503, Some("5")),
            (Error::BacklogFull { bytes: 2, limit: 1 }, 503, Some("30")),
            (Error::FarAway { blocks: 1 }, 503, Some("30")),
            (Error::Permission { action: "write", path: path(), source: read_only }, 503, Some("5")),
            (io_error(io::ErrorKind::Other), 503, Some("5")),
            (io_error(io::ErrorKind::Unsupported), 400, None),
            (Error::Locked { path: path() }, 503, Some("30")),
            (Error::UnknownVersion { path: path(), found: "9".into(), supported: "1" }, 503, Some("30")),
            (Error::Corrupt { path: path(), source: damage }, 503, Some("30")),
            (Error::NotReplayed { path: path() }, 503, Some("30")),
            (Error::Closed, 503, Some("1")),
            (Error::TooManyTenants { allowed: 1, tenant }, 400, None),
            (Error::BatchTooLarge { limit: 1 }, 413, None),
            (Error::InvalidOption { option: "o", value: 0, rule: "r" }, 500, None),
        ]
    }

    #[test]
    fn temporary_faults_are_503_with_a_time_to_come_back_and_permanent_ones_4xx() {
        for (error, status, delay) in table() {
            let said = error.to_string();
            let response = ApiError::from(&error).into_response();
            let told = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!((response.status().as_u16(), told.as_deref()), (status, delay), "{said}");
        }
    }

    #[test]
    fn a_fault_has_one_status_whether_a_write_a_query_or_an_order_meets_it() {
        for (written, read) in table().into_iter().zip(table()) {
            let (error, status, delay) = written;
            let commit = CommitError { source: Box::new(error), temporary: false };
            let read = ReadError::Storage { origin: "database".into(), source: Box::new(read.0) };
            for answer in [ApiError::from(commit), ApiError::from(read)] {
                let response = answer.into_text_response();
                let told = response.headers().contains_key("retry-after");
                assert_eq!((response.status().as_u16(), told), (status, delay.is_some()));
            }
        }
    }
}
