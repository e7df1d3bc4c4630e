//! Up to when samples are past retention.
//!
//! A clock that is wrong must delete nothing. So time counts only as far as samples came in, and a clock that has leapt
//! counts for nothing before it has gone on steadily for a while: samples may be stamped by the clock that is wrong.

use tsdb_core::Timestamp;
use tsdb_core::time::Clock;

/// A clock that gains or loses more than this between two rounds has leapt, in ms.
const LEAP_MS: u64 = 60_000;
/// How long after a leap the clock is not believed, in ms.
const DOUBT_MS: i64 = 3_600_000;

/// What is known of the clock.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    /// Wall time less monotonic time.
    offset: Option<i64>,
    /// When the clock leapt last, in monotonic time.
    leapt: Option<i64>,
    latest: Option<Timestamp>,
}

impl Horizon {
    /// The time from which retention counts back, `newest` being the newest sample. In doubt it stays where it was.
    pub(super) fn next(&mut self, clock: &dyn Clock, newest: Timestamp) -> Option<Timestamp> {
        let (now, monotonic) = (clock.now(), clock.monotonic_ms());
        let offset = now.saturating_sub(monotonic);
        if self.offset.replace(offset).is_some_and(|before| before.abs_diff(offset) > LEAP_MS) {
            log::warn!("the clock leapt; nothing expires until it has been steady for an hour");
            self.leapt = Some(monotonic);
        }
        if self.leapt.is_none_or(|leapt| monotonic.saturating_sub(leapt) >= DOUBT_MS) {
            self.latest = Some(newest.min(now));
        }
        self.latest
    }
}
