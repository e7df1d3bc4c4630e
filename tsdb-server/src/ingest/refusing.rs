//! Does the storage take writes? Nobody asks it: what became of the last batches says so, for a while.
//!
//! A disk that is full or read-only refuses every batch, and answers queries all the same. So it says nothing about a server
//! being ready; who sends writes elsewhere meanwhile asks for it (`/-/ready?writes=true`).
//!
//! *Absent:* whose writes they were, and which files: everybody may ask.

use parking_lot::Mutex;
use std::error::Error as _;
use std::time::{Duration, Instant};
use tsdb::Error;
use tsdb_core::write::CommitError;

/// How long a refusal counts. Whoever sent writes elsewhere because of it then tries again.
const COUNTS_FOR: Duration = Duration::from_secs(30);

/// The last batch that the storage refused.
#[derive(Debug, Default)]
pub(crate) struct Refusing(Mutex<Option<(Instant, String)>>);

impl Refusing {
    /// Takes note of a batch that was not written. One that is itself at fault says nothing about others.
    pub(super) fn note(&self, error: &CommitError, now: Instant) {
        if let Some(reason) = reason(error) {
            *self.0.lock() = Some((now, reason));
        }
    }

    /// Why writes are refused; `None` if none was within the last half minute.
    pub(crate) fn reason(&self, now: Instant) -> Option<String> {
        let last = self.0.lock().clone();
        let counts = |at: Instant| now.saturating_duration_since(at) < COUNTS_FOR;
        last.filter(|(at, _)| counts(*at)).map(|(_, reason)| reason)
    }
}

/// What the storage said, without the names of files.
fn reason(error: &CommitError) -> Option<String> {
    match error.source.downcast_ref::<Error>() {
        Some(full @ Error::BacklogFull { .. }) => Some(full.to_string()),
        Some(fault @ (Error::NoSpace { .. } | Error::Permission { .. } | Error::Io { .. })) => {
            Some(fault.source().map_or_else(|| "the disk fails".to_owned(), ToString::to_string))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn refused(source: Error) -> CommitError {
        CommitError { source: Box::new(source), temporary: true }
    }

    #[test]
    fn a_refusal_of_the_storage_counts_for_half_a_minute_and_names_no_file() {
        let (refusing, start) = (Refusing::default(), Instant::now());
        let after = |secs: u64| start + Duration::from_secs(secs);
        assert_eq!(refusing.reason(start), None);
        refusing.note(&refused(Error::BatchTooLarge { limit: 1 }), start);
        assert_eq!(refusing.reason(start), None, "others are taken");
        let full = io::Error::new(io::ErrorKind::StorageFull, "no space left on device");
        refusing.note(
            &refused(Error::NoSpace { action: "write", path: "/data/acme".into(), source: full }),
            after(1),
        );
        assert_eq!(refusing.reason(after(30)).as_deref(), Some("no space left on device"));
        assert_eq!(refusing.reason(after(31)), None);
        refusing.note(&refused(Error::BacklogFull { bytes: 2, limit: 1 }), after(40));
        assert!(refusing.reason(after(41)).unwrap().contains("wait for their upload"));
    }
}
