//! Up to when samples are past retention.
//!
//! A clock that is wrong must delete nothing. So time counts only as far as samples came in, and a clock that has leapt
//! counts for nothing before it has gone on steadily for a while: samples may be stamped by the clock that is wrong.
//!
//! A restart is no way around that: the time that was believed last lies in a file, and a clock that shows another one at
//! the start has leapt meanwhile, or the machine was off for long. Both are doubted alike, and cost an hour. Beside it stands
//! which retention was acted on last: another one may be mistyped.

use crate::fs::{Fs, twice, write_file};
use crate::names;
use std::io;
use std::path::Path;
use tsdb_core::Timestamp;
use tsdb_core::bytes::checksum;
use tsdb_core::time::Clock;

/// A clock that gains or loses more than this between two rounds has leapt, in ms.
const LEAP_MS: u64 = 60_000;
/// How long after a leap the clock is not believed, in ms.
const DOUBT_MS: i64 = 3_600_000;
/// A start that is so much later than the time that was believed last, or earlier, is doubted, in ms.
const LEAP_OVER_RESTART_MS: u64 = 3_600_000;
/// How far the time may be ahead of the one in the file, in ms.
const KEEP_EVERY_MS: u64 = 600_000;

/// What is kept for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The time.
    pub(crate) time: Timestamp,
    /// What tells the retention apart that was acted on last; 0 if none was.
    pub(crate) retention: u64,
}

impl Kept {
    /// What the data directory `dir` says.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Option<Self> {
        let path = dir.join(names::CLOCK);
        match twice(|| fs.read(&path)) {
            Ok(bytes) => parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("{}: {error}; the clock is doubted for an hour", path.display());
                None
            }
        }
    }
}

/// What is known of the clock.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    /// Wall time less monotonic time.
    offset: Option<i64>,
    /// When the clock leapt last, in monotonic time.
    leapt: Option<i64>,
    latest: Option<Timestamp>,
    /// What the file says.
    kept: Option<Kept>,
    /// Is there nothing in the directory that a wrong clock could delete?
    is_new: bool,
}

impl Horizon {
    /// What is known of the clock when a data directory is opened that has `kept`, or was made just now if it `is_new`.
    pub(super) fn after(kept: Option<Kept>, is_new: bool) -> Self {
        Self { kept, is_new, ..Self::default() }
    }

    /// The time from which retention counts back, `newest` being the newest sample. In doubt it stays where it was.
    pub(super) fn next(&mut self, clock: &dyn Clock, newest: Timestamp) -> Option<Timestamp> {
        let now = self.look(clock);
        if self.is_believed(clock) {
            self.latest = Some(newest.min(now));
        }
        self.latest
    }

    /// Reads the clock.
    fn look(&mut self, clock: &dyn Clock) -> Timestamp {
        let (now, monotonic) = (clock.now(), clock.monotonic_ms());
        let offset = now.saturating_sub(monotonic);
        let has_leapt = match self.offset.replace(offset) {
            Some(before) => before.abs_diff(offset) > LEAP_MS,
            None => {
                !self.is_new && self.kept.is_none_or(|kept| kept.time.abs_diff(now) > LEAP_OVER_RESTART_MS)
            }
        };
        if has_leapt {
            log::warn!(
                "the clock leapt, or nobody looked at it for long; nothing expires until it has been steady for an hour"
            );
            self.leapt = Some(monotonic);
        }
        now
    }

    fn is_believed(&self, clock: &dyn Clock) -> bool {
        self.leapt.is_none_or(|leapt| clock.monotonic_ms().saturating_sub(leapt) >= DOUBT_MS)
    }

    /// Keeps the time for the next start with what tells the `retention` apart that was acted on, if the time is believed and
    /// not kept already; at the end to the millisecond. A disk that takes no writing has the next start doubt for an hour.
    pub(super) fn keep(&mut self, fs: &dyn Fs, dir: &Path, clock: &dyn Clock, retention: u64, is_end: bool) {
        let now = self.look(clock);
        let far = if is_end { 0 } else { KEEP_EVERY_MS };
        let is_near = |kept: Kept| kept.time.abs_diff(now) <= far && kept.retention == retention;
        if self.kept.is_some_and(is_near) || !self.is_believed(clock) {
            return;
        }
        let kept = Kept { time: now, retention };
        let path = dir.join(names::CLOCK);
        match write_file(fs, &path, render(kept).as_bytes()) {
            Ok(()) => self.kept = Some(kept),
            Err(error) => log::warn!("{}: {error}", path.display()),
        }
    }
}

fn render(kept: Kept) -> String {
    let fields = format!("{} {:016x}", kept.time, kept.retention);
    format!("{fields} {:08x}\n", checksum(fields.as_bytes()))
}

/// What `bytes` say, if they are whole.
fn parse(bytes: &[u8]) -> Option<Kept> {
    let mut fields = std::str::from_utf8(bytes).ok()?.split(' ');
    let time = fields.next()?.parse().ok()?;
    let retention = u64::from_str_radix(fields.next()?, 16).ok()?;
    let kept = Kept { time, retention };
    (render(kept).as_bytes() == bytes).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_kept_is_read_as_it_was_written_and_no_flipped_bit_goes_unseen() {
        for time in [0, -1, 1_700_000_000_000, i64::MIN, i64::MAX] {
            let kept = Kept { time, retention: 0x0123_4567_89ab_cdef };
            let bytes = render(kept).into_bytes();
            assert_eq!(parse(&bytes), Some(kept));
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(parse(&changed), None, "bit {bit} of {time}");
            }
            (0..bytes.len()).for_each(|len| assert_eq!(parse(&bytes[..len]), None));
        }
    }
}
