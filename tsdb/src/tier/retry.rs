//! Trying again: how often, and how long to wait in between.

use super::StoreError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// How a call that failed for the moment is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Tries in all.
    pub attempts: u32,
    /// The longest wait after the first failure. It doubles with each one; a random part of it is waited, so that many
    /// that failed together do not come back together.
    pub first: Duration,
    /// The longest wait at all. A block of which something could not be read is not opened anew for so long.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, first: Duration::from_millis(100), most: Duration::from_secs(5) }
    }
}

impl Retry {
    /// What `call` gives in the end.
    pub(crate) fn run<T>(&self, mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut failures = 0;
        loop {
            match call() {
                Err(error) if error.is_temporary() && failures + 1 < self.attempts => {
                    failures += 1;
                    std::thread::park_timeout(self.wait(failures));
                }
                outcome => return outcome,
            }
        }
    }

    /// How long to wait after so many failures in a row: between a half and the whole of the longest wait.
    pub(crate) fn wait(&self, failures: u32) -> Duration {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let longest = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.most);
        // Spread is all that is wanted: threads differ by the counter, processes by their numbers.
        let seed = CALLS.fetch_add(1, Ordering::Relaxed) << 32 | u64::from(std::process::id());
        let part = xxh3_64(&seed.to_le_bytes()) % 512;
        longest.mul_f64(0.5 + part as f64 / 1024.0)
    }
}
