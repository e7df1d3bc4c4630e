//! Which samples a head takes: how old they may be and how new.

use super::Head;
use super::late::Generation;
use std::sync::atomic::{AtomicI64, Ordering};
use tsdb_core::Timestamp;

/// How far ahead of the clock a sample may lie if nothing else is said. One from the year 9999 would keep the log from
/// its time on.
const MAX_SKEW_MS: i64 = 365 * 86_400_000;

/// What is decided while the head is open.
#[derive(Debug)]
pub(super) struct Intake {
    /// What the monotonic clock showed at the latest batch.
    last_append: AtomicI64,
    /// Samples before this are past retention.
    horizon: AtomicI64,
    /// How far behind the newest sample late ones may lie, ms; 0 for none.
    late_window_ms: AtomicI64,
}

/// Which samples a batch may bring.
#[derive(Debug)]
pub(super) struct Taken {
    /// The newest time.
    pub(super) newest: Timestamp,
    /// The oldest time of late samples; `None` if none are taken.
    pub(super) late_from: Option<Timestamp>,
    /// The generation of the late ones.
    pub(super) generation: Generation,
}

impl Intake {
    /// Begins when the monotonic clock shows `now_ms`.
    pub(super) const fn new(now_ms: i64, late_window_ms: i64) -> Self {
        Self {
            last_append: AtomicI64::new(now_ms),
            horizon: AtomicI64::new(Timestamp::MIN),
            late_window_ms: AtomicI64::new(late_window_ms),
        }
    }

    /// Samples before this are past retention.
    pub(super) fn horizon(&self) -> Timestamp {
        self.horizon.load(Ordering::Relaxed)
    }
}

impl Head {
    /// Milliseconds since the head last took a batch, or since it was opened.
    pub(crate) fn idle_ms(&self) -> i64 {
        let last = self.intake.last_append.load(Ordering::Relaxed);
        self.settings.clock.monotonic_ms().saturating_sub(last)
    }

    /// Refuses samples before `horizon` from now on: they are past retention. It may lie before an earlier one.
    pub(crate) fn set_horizon(&self, horizon: Timestamp) {
        self.intake.horizon.store(horizon, Ordering::Relaxed);
    }

    /// Late samples may lie so far behind the newest one from now on; 0 for none.
    pub(crate) fn set_late_window(&self, window_ms: i64) {
        self.intake.late_window_ms.store(window_ms, Ordering::Relaxed);
    }

    /// Notes that a batch comes in, and says which samples it may bring.
    pub(super) fn taken(&self) -> Taken {
        let clock = &self.settings.clock;
        self.intake.last_append.store(clock.monotonic_ms(), Ordering::Relaxed);
        let now = clock.now();
        let window_ms = self.intake.late_window_ms.load(Ordering::Relaxed);
        // Neither a sample from the future nor a clock that is wrong closes the window.
        let newest = self.memory.newest().map_or(Timestamp::MIN, |newest| newest.min(now));
        let late_from = newest.saturating_sub(window_ms).max(self.intake.horizon());
        Taken {
            newest: now.saturating_add(self.settings.future_skew_ms.unwrap_or(MAX_SKEW_MS)),
            late_from: (window_ms > 0).then_some(late_from),
            generation: self.memory.late.generation(),
        }
    }
}
