//! Damage that queries met: said once, remembered for the statistics.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use tsdb_core::read::ReadError;

/// Different sentences that are kept.
const KEPT: usize = 100;

/// Damage met so far.
#[derive(Debug, Default)]
pub(crate) struct DamageLog {
    met: Mutex<BTreeSet<String>>,
}

impl DamageLog {
    /// Remembers what `error` says.
    pub(crate) fn note(&self, error: &ReadError) {
        let sentence = sentence(error);
        let mut met = self.met.lock();
        if met.len() < KEPT && !met.contains(&sentence) {
            log::error!("{sentence}");
            met.insert(sentence);
        }
    }

    /// All of it.
    pub(crate) fn sentences(&self) -> Vec<String> {
        self.met.lock().iter().cloned().collect()
    }
}

/// What a reader is told of damage that cost it samples.
fn sentence(error: &ReadError) -> String {
    format!("samples are missing: {error}")
}
