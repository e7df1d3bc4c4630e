//! Where a group stands in time: which evaluation is next, and whether it waits, is made, or is made although samples are
//! missing.
//!
//! Evaluations lie an interval apart and are made one after the other. Each waits until the data of its tenant has come
//! up to it ([watermark](super::watermark)), but not longer than a bound. What comes too late then is evaluated all the
//! same, as *incomplete*: that changes no alert. The group goes on like this at its pace, looks each time whether the data
//! has come up to the first evaluation that was incomplete, and once it has takes up there: everything since is evaluated
//! again, in order, with the data that belongs to it. So it is after a restart too. Only what lies too far back is left
//! out for good, and of that time nobody knows.
//!
//! A group whose evaluations take longer than its interval cannot catch up: what it cannot make is left out and counted.
//!
//! If the clock goes back the group goes on by the timer, ahead of the clock; unless the samples that come in say that
//! the clock is right, then it goes back with it.

use super::running::Mode;
use super::watermark::{Moment, Progress, Standard};
use tsdb_core::Timestamp;

/// What is fixed for a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Time between two evaluations, ms.
    pub(super) interval_ms: i64,
    /// Where in the interval they are made, ms.
    pub(super) place_ms: i64,
    /// How long one waits for samples, ms.
    pub(super) max_wait_ms: i64,
    /// How far back evaluations are made up for, ms.
    pub(super) catch_up_ms: i64,
}

impl Terms {
    /// The time of the first evaluation behind `time`.
    pub(super) fn behind(&self, time: Timestamp) -> Timestamp {
        let past = time.saturating_sub(self.place_ms).rem_euclid(self.interval_ms);
        time.saturating_sub(past).saturating_add(self.interval_ms)
    }

    /// The time of the last evaluation that is not behind `time`.
    fn latest(&self, time: Timestamp) -> Timestamp {
        self.behind(time).saturating_sub(self.interval_ms)
    }
}

/// What is known of the data of a group.
pub(super) trait Data {
    /// Has it come up to what an evaluation at `at` asks?
    fn progress(&self, at: Timestamp, standard: Standard) -> Progress;

    /// Do those who send it think that the clock is right?
    fn agrees(&self) -> bool;
}

/// A group's place in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// The time that the next evaluation is for, ms.
    next: Timestamp,
    /// When it was due, by the clock that is never set, ms.
    due_ms: i64,
    /// When to look again, by that clock.
    look_ms: i64,
    /// Has it waited?
    waited: bool,
    /// The first evaluation that was made without all samples.
    resume: Option<Timestamp>,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// The time to evaluate the group for, ms, and how; `None` to wait.
    pub(super) evaluate: Option<(Timestamp, Mode)>,
    /// So much earlier are all times from now on, ms, because the clock went back.
    pub(super) moved_back_ms: i64,
    /// So much time is left out for good, ms.
    pub(super) unknown_ms: i64,
}

/// Time between two looks whether samples have come, ms.
const POLL_MS: i64 = 250;

impl Pace {
    /// The pace of a group that begins now.
    pub(super) fn begin(terms: Terms, moment: Moment) -> Self {
        let next = terms.behind(moment.now);
        let due_ms = moment.monotonic_ms.saturating_add(next.saturating_sub(moment.now));
        Self { next, due_ms, look_ms: due_ms, waited: false, resume: None }
    }

    /// When to look at the group, by the clock that is never set, ms.
    pub(super) fn look_ms(&self) -> i64 {
        self.look_ms
    }

    /// The last evaluation before a restart was at `last`: what follows it comes next, as far as it is not too long ago.
    pub(super) fn take_up(&mut self, last: Timestamp, terms: Terms, moment: Moment) {
        let oldest = moment.now.saturating_sub(terms.catch_up_ms);
        if last >= oldest && terms.behind(last) < self.next {
            self.next = terms.behind(last);
            self.due_ms = moment.monotonic_ms;
        }
    }

    /// Tries again a little later.
    pub(super) fn put_off(&mut self, moment: Moment) {
        self.look_ms = moment.monotonic_ms.saturating_add(POLL_MS);
    }

    /// How long ago the next evaluation was due, ms.
    pub(super) fn overdue_ms(&self, moment: Moment) -> i64 {
        moment.monotonic_ms.saturating_sub(self.due_ms)
    }

    /// What to do at this moment, which is not before [`look_ms`](Self::look_ms).
    pub(super) fn turn(&mut self, terms: Terms, moment: Moment, data: &dyn Data) -> Turn {
        let mut turn = Turn { evaluate: None, moved_back_ms: 0, unknown_ms: 0 };
        let ahead = self.next.saturating_sub(moment.now);
        if ahead > terms.interval_ms.saturating_add(terms.max_wait_ms) && data.agrees() {
            let next = terms.latest(moment.now);
            turn.moved_back_ms = self.next.saturating_sub(next);
            (self.next, self.resume, self.due_ms) = (next, None, moment.monotonic_ms);
        }
        if let Some(resume) = self.resume {
            let oldest = terms.behind(moment.now.saturating_sub(terms.catch_up_ms));
            let from = resume.max(oldest);
            turn.unknown_ms = from.saturating_sub(resume);
            self.resume = Some(from);
            if data.progress(from, Standard::Complete) != Progress::Reached {
                turn.evaluate = Some((self.next, Mode::Incomplete));
                return turn;
            }
            // What follows has waited long enough.
            self.due_ms = moment.monotonic_ms.saturating_sub(terms.max_wait_ms);
            (self.next, self.resume, self.waited) = (from, None, true);
        }
        turn.evaluate = self.evaluation(terms, moment, data);
        turn
    }

    fn evaluation(&mut self, terms: Terms, moment: Moment, data: &dyn Data) -> Option<(Timestamp, Mode)> {
        let following = terms.behind(self.next);
        let is_last = following > moment.now;
        let standard = if self.waited || !is_last { Standard::Complete } else { Standard::Rhythm };
        if data.progress(self.next, standard) == Progress::Reached {
            let catches_up = !is_last && data.progress(following, Standard::Complete) == Progress::Reached;
            return Some((self.next, if catches_up { Mode::CatchUp } else { Mode::Current }));
        }
        if self.overdue_ms(moment) < terms.max_wait_ms {
            self.waited = true;
            self.put_off(moment);
            return None;
        }
        self.resume = Some(self.next);
        self.next = self.next.max(terms.latest(moment.now));
        Some((self.next, Mode::Incomplete))
    }

    /// The evaluation was made and took so long, ms. Answers how many were left out because it took too long, and for how
    /// much time that nobody knows of evaluations are left out because it lies too far back, ms.
    pub(super) fn done(&mut self, took_ms: i64, terms: Terms, moment: Moment) -> (u64, i64) {
        let at = self.next;
        self.next = terms.behind(at);
        if self.next > moment.now {
            // Not longer than the interval, even if the clock went back.
            let wait = self.next.saturating_sub(moment.now).min(terms.interval_ms);
            self.due_ms = moment.monotonic_ms.saturating_add(wait);
            (self.look_ms, self.waited) = (self.due_ms, false);
            return (0, 0);
        }
        self.look_ms = moment.monotonic_ms;
        self.due_ms = self.due_ms.saturating_add(terms.interval_ms).min(moment.monotonic_ms);
        if took_ms > terms.interval_ms {
            let latest = terms.latest(moment.now);
            let missed = latest.saturating_sub(self.next).saturating_div(terms.interval_ms);
            self.next = latest;
            return (u64::try_from(missed).unwrap_or(0), 0);
        }
        let oldest = terms.behind(moment.now.saturating_sub(terms.catch_up_ms));
        let unknown_ms = oldest.saturating_sub(self.next).max(0);
        self.next = self.next.max(oldest);
        (0, unknown_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const TERMS: Terms =
        Terms { interval_ms: 15_000, place_ms: 4_000, max_wait_ms: 180_000, catch_up_ms: 3_600_000 };
    const START: Timestamp = 1_000_000_009_000;

    /// Data that has come up to a time.
    struct UpTo(Cell<Timestamp>, bool);

    impl Data for UpTo {
        fn progress(&self, at: Timestamp, standard: Standard) -> Progress {
            let allowance = if standard == Standard::Rhythm { 27_500 } else { 0 };
            if self.0.get() >= at - allowance { Progress::Reached } else { Progress::Behind(self.0.get()) }
        }

        fn agrees(&self) -> bool {
            self.1
        }
    }

    /// The evaluations that are made from one second to another while data lags by `lag` seconds, with the second at which
    /// each is made.
    fn evaluations(
        pace: &mut Pace,
        (from, to): (i64, i64),
        lag: impl Fn(i64) -> i64,
    ) -> Vec<(i64, i64, Mode)> {
        let mut made = Vec::new();
        for second in from..to {
            let moment = Moment { now: START + second * 1_000, monotonic_ms: second * 1_000 };
            let data = UpTo(Cell::new(moment.now - lag(second) * 1_000), true);
            while pace.look_ms() <= moment.monotonic_ms {
                let turn = pace.turn(TERMS, moment, &data);
                if let Some((at, mode)) = turn.evaluate {
                    made.push((second, (at - START) / 1_000, mode));
                    pace.done(10, TERMS, moment);
                }
            }
        }
        made
    }

    fn begun() -> Pace {
        Pace::begin(TERMS, Moment { now: START - 1_000, monotonic_ms: -1_000 })
    }

    #[test]
    fn evaluations_lie_an_interval_apart_at_the_place_of_the_group() {
        assert_eq!(TERMS.behind(0), 4_000);
        assert_eq!(TERMS.behind(4_000), 19_000);
        let made = evaluations(&mut begun(), (0, 46), |_| 5);
        let expected: Vec<_> = [0, 15, 30, 45].map(|at| (at, at, Mode::Current)).into();
        assert_eq!(made, expected);
    }

    #[test]
    fn data_that_is_two_minutes_late_makes_evaluations_two_minutes_late_and_none_incomplete() {
        let mut pace = begun();
        evaluations(&mut pace, (0, 61), |_| 5);
        let lag = |second: i64| if second < 400 { 120.min(second - 55) } else { 5 };
        let late = evaluations(&mut pace, (61, 400), lag);
        assert!(late.iter().all(|(_, _, mode)| *mode == Mode::Current), "{late:?}");
        let ats: Vec<_> = late.iter().map(|(_, at, _)| *at).collect();
        assert_eq!(ats, (75..).step_by(15).take(ats.len()).collect::<Vec<_>>(), "each once, in order");
        assert!(late.iter().skip(3).all(|(made, at, _)| made - at <= 121), "{late:?}");
        let caught_up = evaluations(&mut pace, (400, 420), lag);
        assert!(caught_up.iter().filter(|(_, _, mode)| *mode == Mode::CatchUp).count() >= 6, "{caught_up:?}");
        assert_eq!(caught_up.last(), Some(&(405, 405, Mode::Current)));
    }

    #[test]
    fn beyond_the_bound_evaluations_are_incomplete_and_made_again_when_the_data_has_come() {
        let mut pace = begun();
        evaluations(&mut pace, (0, 61), |_| 5);
        let stopped = |second: i64| second - 60;
        let waiting = evaluations(&mut pace, (61, 600), stopped);
        assert_eq!(waiting.first(), Some(&(75, 75, Mode::Current)), "in the rhythm still");
        assert_eq!(waiting.get(1), Some(&(270, 270, Mode::Incomplete)), "90 is given up after three minutes");
        assert!(waiting.iter().skip(1).all(|(made, at, mode)| made == at && *mode == Mode::Incomplete));
        let back = evaluations(&mut pace, (600, 616), |_| 0);
        let ats: Vec<_> = back.iter().map(|(_, at, _)| *at).collect();
        assert_eq!(ats, (90..=615).step_by(15).collect::<Vec<_>>());
    }

    #[test]
    fn what_lies_too_far_back_is_left_out_and_told() {
        let mut pace = begun();
        evaluations(&mut pace, (0, 61), |_| 5);
        evaluations(&mut pace, (61, 600), |second| second - 60);
        let moment = Moment { now: START + 5_000_000, monotonic_ms: 5_000_000 };
        let turn = pace.turn(TERMS, moment, &UpTo(Cell::new(moment.now), true));
        assert_eq!(turn.unknown_ms, 5_000_000 - 3_600_000 - 90_000 + 10_000);
        assert_eq!(turn.evaluate.unwrap().1, Mode::CatchUp);
    }

    #[test]
    fn what_cannot_be_made_in_time_is_left_out_and_counted() {
        let mut pace = begun();
        let moment = Moment { now: START + 66_000, monotonic_ms: 66_000 };
        assert_eq!(pace.done(66_000, TERMS, moment), (3, 0));
        assert_eq!(pace.next, START + 60_000);
    }

    #[test]
    fn a_clock_that_goes_back_repeats_nothing_unless_the_data_says_that_it_is_right() {
        for agrees in [false, true] {
            let mut pace = begun();
            evaluations(&mut pace, (0, 61), |_| 0);
            let moment = Moment { now: START - 7_200_000, monotonic_ms: 75_000 };
            let data = UpTo(Cell::new(START + 100_000), agrees);
            let turn = pace.turn(TERMS, moment, &data);
            let (at, _) = turn.evaluate.unwrap();
            if agrees {
                assert_eq!((at, turn.moved_back_ms), (START - 7_200_000, 7_275_000));
            } else {
                assert_eq!((at, turn.moved_back_ms), (START + 75_000, 0));
            }
        }
    }

    #[test]
    fn a_clock_that_leaps_forward_makes_evaluations_wait_for_the_data() {
        let mut pace = begun();
        evaluations(&mut pace, (0, 61), |_| 0);
        let moment = Moment { now: START + 3_675_000, monotonic_ms: 75_000 };
        let data = UpTo(Cell::new(START + 75_000), true);
        let turn = pace.turn(TERMS, moment, &data);
        assert_eq!(turn.evaluate, Some((START + 75_000, Mode::Current)));
        pace.done(10, TERMS, moment);
        assert_eq!(pace.turn(TERMS, moment, &data).evaluate, None);
    }
}
