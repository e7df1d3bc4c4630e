//! How fast a merge may go.
//!
//! Two brakes. Bytes are counted against a budget per second, so that the disk has time for the log. And while
//! somebody writes or asks, a merge works only half of the time: on a machine of few cores it would else be one of two
//! that want each of them.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a merge works at a stretch before it pauses for others.
const STRETCH: Duration = Duration::from_millis(5);
/// No pause is longer than this; then the load is looked at again.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Tells how much others have done: a number that grows with every batch written and every query.
pub(crate) trait Load: Send + Sync {
    /// The number.
    fn done(&self) -> u64;
}

/// Slows a merge down, and stops it.
pub(crate) struct Throttle {
    bytes_per_second: Option<u64>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    is_stopped: bool,
    /// When the stretch of work began, and what the load was.
    since: Instant,
    load: u64,
    /// From when on bytes may be written again.
    free_at: Instant,
}

impl Throttle {
    /// A throttle that lets so many bytes pass; `None` for no limit.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        let now = Instant::now();
        let state = State { is_stopped: false, since: now, load: 0, free_at: now };
        Self { bytes_per_second, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Ends what is under way, and everything that begins later.
    pub(crate) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_all();
    }

    /// Waits as long as `bytes` that were written and the load of others make it. Says whether to go on.
    pub(crate) fn advance(&self, bytes: u64, load: Option<&dyn Load>) -> bool {
        let mut state = self.state.lock();
        let Some(load) = load else { return !state.is_stopped };
        let now = Instant::now();
        let mut until = now;
        if let Some(limit) = self.bytes_per_second.filter(|_| bytes > 0) {
            let cost = Duration::from_secs_f64(bytes as f64 / limit.max(1) as f64);
            state.free_at = state.free_at.max(now) + cost;
            until = state.free_at;
        }
        let worked = now.saturating_duration_since(state.since);
        if worked >= STRETCH {
            let done = load.done();
            if std::mem::replace(&mut state.load, done) != done {
                until = until.max(now + worked.min(LONGEST_PAUSE));
            }
        }
        if until > now {
            let until = until.min(now + LONGEST_PAUSE);
            while !state.is_stopped && !self.changed.wait_until(&mut state, until).timed_out() {}
        }
        if worked >= STRETCH || until > now {
            state.since = Instant::now();
        }
        !state.is_stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Busy(AtomicU64);

    impl Load for Busy {
        fn done(&self) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }
    }

    #[test]
    fn bytes_beyond_the_budget_take_their_time() {
        let throttle = Throttle::new(Some(1_000_000));
        let idle = Busy(AtomicU64::new(0));
        let begun = Instant::now();
        (0..10).for_each(|_| assert!(throttle.advance(3_000, Some(&idle))));
        assert!(begun.elapsed() >= Duration::from_millis(30));
        // Without a load to look at nobody is in the way.
        assert!(throttle.advance(u64::MAX, None));
    }

    #[test]
    fn a_merge_that_is_stopped_does_not_wait() {
        let throttle = Throttle::new(Some(1));
        throttle.stop();
        let begun = Instant::now();
        assert!(!throttle.advance(1 << 40, Some(&Busy(AtomicU64::new(0)))));
        assert!(begun.elapsed() < LONGEST_PAUSE);
    }
}
