//! Up to when samples are past retention.
//!
//! A clock that is wrong must delete nothing. So time counts only as far as samples came in, and a clock that has leapt
//! counts for nothing before it has gone on steadily for a while: samples may be stamped by the clock that is wrong.
//!
//! A restart is no way around that: the time that was believed last lies in a file, and a clock that shows another one at
//! the start has leapt meanwhile, or the machine was off for long. Both are doubted alike, and cost an hour. Beside it stands
//! which retention was acted on last: another one may be mistyped.
//!
//! # Databases that are open for less than an hour
//!
//! They never see a clock go on for an hour, and nobody can tell how long they were closed but the clock itself. So a
//! doubted clock is *sighted*, at most once in twelve hours by its own reckoning, and the last seven sightings lie in the
//! file. Each came when the database was open, with time that it lived through, and later than the one before; a clock that
//! goes back takes those with it that were ahead of it. When there are seven, the oldest counts as the time: six later
//! ones, three days at least, have gone on from it. So a clock that is wrong at one start, or at a few, is sighted and
//! believed in nothing; what is deleted is late by six sightings. What is trusted beyond that is trusted with an hour of
//! steady running too: that somebody sets a clock right which is wrong for that long.

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
/// A doubted clock is sighted again when it shows so much more, in ms.
const SIGHT_EVERY_MS: i64 = 43_200_000;
/// Of so many sightings the oldest is believed.
const SIGHTINGS: usize = 7;

/// What is kept for the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The time that was believed; the first instant of all if none was.
    pub(crate) time: Timestamp,
    /// What tells the retention apart that was acted on last; 0 if none was.
    pub(crate) retention: u64,
    /// Times that the clock showed since, while it was doubted, ascending.
    pub(crate) sightings: Vec<Timestamp>,
}

impl Kept {
    /// When nothing is known.
    const fn nothing() -> Self {
        Self { time: Timestamp::MIN, retention: 0, sightings: Vec::new() }
    }

    /// Notes that a clock that is doubted shows `now`.
    fn sight(&mut self, now: Timestamp) {
        self.sightings.retain(|sighted| *sighted <= now);
        let is_due = |last: &Timestamp| now.saturating_sub(*last) >= SIGHT_EVERY_MS;
        if self.sightings.last().is_none_or(is_due) {
            self.sightings.push(now);
        }
        let surplus = self.sightings.len().saturating_sub(SIGHTINGS);
        self.sightings.drain(..surplus);
    }

    /// The time that may be believed of a clock that is doubted.
    fn confirmed(&self) -> Option<Timestamp> {
        self.sightings.first().copied().filter(|_| self.sightings.len() >= SIGHTINGS)
    }

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

    /// The time from which retention counts back, `newest` being the newest sample. In doubt it stays where it was, or
    /// goes on to what was confirmed.
    pub(super) fn next(&mut self, clock: &dyn Clock, newest: Timestamp) -> Option<Timestamp> {
        let now = self.look(clock);
        if self.is_believed(clock) {
            self.latest = Some(newest.min(now));
        } else if let Some(confirmed) = self.kept.as_ref().and_then(Kept::confirmed) {
            self.latest = self.latest.max(Some(newest.min(confirmed).min(now)));
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
                let is_far = |kept: &Kept| kept.time.abs_diff(now) > LEAP_OVER_RESTART_MS;
                !self.is_new && self.kept.as_ref().is_none_or(is_far)
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
    /// not kept already; at the end to the millisecond. A time that is doubted is sighted. A disk that takes no writing has
    /// the next start doubt for an hour.
    pub(super) fn keep(&mut self, fs: &dyn Fs, dir: &Path, clock: &dyn Clock, retention: u64, is_end: bool) {
        let now = self.look(clock);
        let mut next = Kept { retention, ..self.kept.clone().unwrap_or_else(Kept::nothing) };
        if self.is_believed(clock) {
            next.sightings.clear();
            let far = if is_end { 0 } else { KEEP_EVERY_MS };
            if self.kept.is_none() || next.time.abs_diff(now) > far {
                next.time = now;
            }
        } else {
            next.sight(now);
        }
        if self.kept.as_ref() == Some(&next) {
            return;
        }
        let path = dir.join(names::CLOCK);
        match write_file(fs, &path, render(&next).as_bytes()) {
            Ok(()) => self.kept = Some(next),
            Err(error) => log::warn!("{}: {error}", path.display()),
        }
    }
}

fn render(kept: &Kept) -> String {
    let sightings: String = kept.sightings.iter().map(|time| format!(" {time}")).collect();
    let fields = format!("{} {:016x}{sightings}", kept.time, kept.retention);
    format!("{fields} {:08x}\n", checksum(fields.as_bytes()))
}

/// What `bytes` say, if they are whole.
fn parse(bytes: &[u8]) -> Option<Kept> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (fields, _) = text.rsplit_once(' ')?;
    let mut fields = fields.split(' ');
    let time = fields.next()?.parse().ok()?;
    let retention = u64::from_str_radix(fields.next()?, 16).ok()?;
    let sightings = fields.map(|field| field.parse().ok()).collect::<Option<Vec<Timestamp>>>()?;
    let kept = Kept { time, retention, sightings };
    let is_right = kept.sightings.len() <= SIGHTINGS && kept.sightings.is_sorted();
    (is_right && render(&kept).as_bytes() == bytes).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_kept_is_read_as_it_was_written_and_no_flipped_bit_goes_unseen() {
        for time in [0, -1, 1_700_000_000_000, i64::MIN, i64::MAX] {
            let sightings = (0..time.rem_euclid(8)).map(|n| n * SIGHT_EVERY_MS).collect();
            let kept = Kept { time, retention: 0x0123_4567_89ab_cdef, sightings };
            let bytes = render(&kept).into_bytes();
            assert_eq!(parse(&bytes), Some(kept));
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(parse(&changed), None, "bit {bit} of {time}");
            }
            (0..bytes.len()).for_each(|len| assert_eq!(parse(&bytes[..len]), None));
        }
    }

    /// What earlier versions wrote: without sightings, and with them.
    const GOLDEN: [&str; 2] = [
        "1700000000000 0123456789abcdef b020468d\n",
        "1700000000000 0123456789abcdef 1700007200000 1700050400000 84d13c9a\n",
    ];

    #[test]
    fn the_golden_times_are_read_and_written_the_same() {
        for (golden, sightings) in
            GOLDEN.into_iter().zip([vec![], vec![1_700_007_200_000, 1_700_050_400_000]])
        {
            let kept = Kept { time: 1_700_000_000_000, retention: 0x0123_4567_89ab_cdef, sightings };
            assert_eq!(render(&kept), golden);
            assert_eq!(parse(golden.as_bytes()), Some(kept));
        }
    }

    const DAY: i64 = 86_400_000;

    #[test]
    fn the_oldest_of_seven_sightings_is_believed_and_they_go_on() {
        let mut kept = Kept::nothing();
        for day in 0..6 {
            (0..5).for_each(|minute| kept.sight(day * DAY + minute * 60_000));
            assert_eq!(kept.confirmed(), None, "day {day}");
        }
        for day in 6..20 {
            kept.sight(day * DAY);
            assert_eq!(kept.confirmed(), Some((day - 6) * DAY));
        }
    }

    #[test]
    fn sightings_ahead_of_a_later_one_are_forgotten_and_starts_that_follow_fast_are_one() {
        let mut kept = Kept::nothing();
        (0..5).for_each(|day| kept.sight(day * DAY));
        kept.sight(400 * DAY);
        (0..100).for_each(|minute| kept.sight(400 * DAY + minute * 60_000));
        kept.sight(5 * DAY);
        assert_eq!(kept.sightings, [0, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY]);
        kept.sight(-DAY);
        assert_eq!(kept.sightings, [-DAY]);
        (0..7).for_each(|hour| kept.sight(hour * 3_600_000));
        assert_eq!(kept.sightings, [-DAY, 0]);
    }
}
