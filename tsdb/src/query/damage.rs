//! Damage that queries met: said once for each file, remembered for the statistics.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tsdb_core::read::ReadError;

/// Files of which something is kept.
const KEPT: usize = 100;
/// A file that could not be read, as when object storage was away, is forgotten so long after it was met last. Damage stays.
const PASSING: Duration = Duration::from_secs(3_600);

/// Damage met so far.
#[derive(Debug, Default)]
pub(crate) struct DamageLog {
    /// Sentences that were said before, and stand elsewhere.
    said: Vec<String>,
    /// What was met first in each file.
    met: Mutex<BTreeMap<String, Met>>,
}

#[derive(Debug)]
struct Met {
    sentence: String,
    /// When it was met last, if it may pass.
    passing: Option<Instant>,
}

impl Met {
    fn has_passed(&self) -> bool {
        self.passing.is_some_and(|at| at.elapsed() >= PASSING)
    }
}

impl DamageLog {
    /// Files named in `said` are not named again.
    pub(crate) fn after(said: Vec<String>) -> Self {
        Self { said, met: Mutex::default() }
    }

    /// Remembers what `error` says. True if its file was not known to be damaged.
    pub(crate) fn note(&self, error: &ReadError) -> bool {
        let file = file(error);
        let passing = error.may_pass().then(Instant::now);
        let mut met = self.met.lock();
        met.retain(|_, met| !met.has_passed());
        if let Some(known) = met.get_mut(file) {
            // What was damage stays damage, though it now cannot be read either.
            known.passing = known.passing.and(passing);
            return false;
        }
        if self.said.iter().any(|sentence| sentence.contains(file)) || met.len() >= KEPT {
            return false;
        }
        met.insert(file.to_owned(), Met { sentence: sentence(error), passing });
        true
    }

    /// [`note`](Self::note), and tells the operator of a file that was not known to be damaged.
    pub(crate) fn note_and_tell(&self, error: &ReadError) {
        if self.note(error) {
            log::error!("{}", sentence(error));
        }
    }

    /// All of it.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let met = self.met.lock();
        met.values().filter(|met| !met.has_passed()).map(|met| met.sentence.clone()).collect()
    }
}

/// What a reader is told of damage that cost it samples.
fn sentence(error: &ReadError) -> String {
    format!("samples are missing: {error}")
}

fn file(error: &ReadError) -> &str {
    match error {
        ReadError::Corrupt { origin, .. } | ReadError::Storage { origin, .. } => origin,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::Corruption;
    use tsdb_core::error::CorruptionKind;

    #[test]
    fn damage_stays_and_what_could_not_be_read_for_a_while_passes() {
        let log = DamageLog::default();
        let source = Corruption::new("frame", 7, CorruptionKind::Truncated { field: "times" });
        let damaged = ReadError::Corrupt { origin: "a".into(), source };
        let source = std::io::Error::from(std::io::ErrorKind::TimedOut);
        let away = ReadError::Storage { origin: "b".into(), source: Box::new(source) };
        let kind = CorruptionKind::Unreadable { message: "timed out".into() };
        let unread = ReadError::Corrupt { origin: "c".into(), source: Corruption::new("index", 0, kind) };
        assert!(log.note(&damaged) && log.note(&away) && !log.note(&away) && log.note(&unread));
        assert_eq!(log.sentences().len(), 3);
        let long_ago = Instant::now().checked_sub(PASSING);
        for met in log.met.lock().values_mut() {
            met.passing = met.passing.and(long_ago);
        }
        assert_eq!(log.sentences(), [sentence(&damaged)]);
        assert!(log.note(&away), "it is told again when it comes back");
    }
}
