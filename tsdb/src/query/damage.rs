//! Damage that queries met: said once for each file, remembered for the statistics.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use tsdb_core::read::ReadError;

/// Files of which something is kept.
const KEPT: usize = 100;

/// Damage met so far.
#[derive(Debug, Default)]
pub(crate) struct DamageLog {
    /// Sentences that were said before, and stand elsewhere.
    said: Vec<String>,
    /// What was met first in each file.
    met: Mutex<BTreeMap<String, String>>,
}

impl DamageLog {
    /// Files named in `said` are not named again.
    pub(crate) fn after(said: Vec<String>) -> Self {
        Self { said, met: Mutex::default() }
    }

    /// Remembers what `error` says. True if its file was not known to be damaged.
    pub(crate) fn note(&self, error: &ReadError) -> bool {
        let file = file(error);
        let mut met = self.met.lock();
        let is_known = met.contains_key(file) || self.said.iter().any(|sentence| sentence.contains(file));
        if is_known || met.len() >= KEPT {
            return false;
        }
        met.insert(file.to_owned(), sentence(error));
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
        self.met.lock().values().cloned().collect()
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
