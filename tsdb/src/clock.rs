//! The system clock: the one place that reads wall time.
//!
//! Everything else takes a [`Clock`]; tests take a manual one.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tsdb_core::Timestamp;
use tsdb_core::time::Clock;

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the system clock is read here and nowhere else")]
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(Timestamp::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(Timestamp::MIN, |ms| -ms),
        }
    }

    fn monotonic_ms(&self) -> i64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let since = START.get_or_init(Instant::now).elapsed();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
