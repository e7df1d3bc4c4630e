//! What compactions have done and are doing.

use super::{Load, Throttle};
use crate::block::Pace;
use crate::stats::{CompactionStats, RunningCompaction};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a database's compactions.
#[derive(Default)]
pub(crate) struct Progress {
    done: AtomicU64,
    failed: AtomicU64,
    replaced: AtomicU64,
    written: AtomicU64,
    running: Mutex<Option<RunningCompaction>>,
    /// What is to be kept from being slowed down; nobody, if the caller waits for the compaction.
    load: Mutex<Option<Arc<dyn Load>>>,
}

impl Progress {
    /// A merge begins, out of consideration for `load`.
    pub(crate) fn begin(&self, running: RunningCompaction, load: Option<Arc<dyn Load>>) {
        *self.running.lock() = Some(running);
        *self.load.lock() = load;
    }

    /// The merge ended; `replaced` blocks were replaced, or it failed.
    pub(crate) fn end(&self, replaced: Option<u64>) {
        *self.running.lock() = None;
        match replaced {
            Some(replaced) => {
                self.done.fetch_add(1, Ordering::Relaxed);
                self.replaced.fetch_add(replaced, Ordering::Relaxed);
            }
            None => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The numbers.
    pub(crate) fn stats(&self) -> CompactionStats {
        CompactionStats {
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            blocks_replaced: self.replaced.load(Ordering::Relaxed),
            bytes_written: self.written.load(Ordering::Relaxed),
            running: *self.running.lock(),
        }
    }
}

/// A merge that is counted and slowed down.
pub(super) struct Watched<'a> {
    pub(super) throttle: &'a Throttle,
    pub(super) progress: &'a Progress,
}

impl Pace for Watched<'_> {
    fn advance(&self, bytes: u64) -> bool {
        self.progress.written.fetch_add(bytes, Ordering::Relaxed);
        if let Some(running) = &mut *self.progress.running.lock() {
            running.bytes_written += bytes;
        }
        let load = self.progress.load.lock().clone();
        self.throttle.advance(bytes, load.as_deref())
    }
}
