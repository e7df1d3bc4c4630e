//! Log lines that may come with every request, said seldom: a full disk, or a sender that never gives up, must not fill the
//! log too.
//!
//! What is left out is counted, and the next line says how much it was. Answers to requests are not changed by this.

use parking_lot::Mutex;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Time between two lines.
const PERIOD: Duration = Duration::from_secs(10);

/// Lines of one kind.
#[derive(Debug)]
pub(crate) struct Seldom(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State { last: None, left_out: 0 }))
    }

    /// Logs `message` as an error, unless one of the kind was logged a moment ago.
    pub(crate) fn error(&self, message: impl Display) {
        match self.turn(Instant::now()) {
            None => {}
            Some(0) => log::error!("{message}"),
            Some(left_out) => log::error!("{message} ({left_out} messages of this kind were left out)"),
        }
    }

    /// May a line be written? If so, how many were left out since the one before?
    fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < PERIOD) {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_kind_come_seldom_and_say_how_many_were_left_out() {
        let (lines, start) = (Seldom::new(), Instant::now());
        let turns = [0, 1, 9_999, 10_000, 10_001, 30_000, 40_000];
        let turns = turns.map(|ms| lines.turn(start + Duration::from_millis(ms)));
        assert_eq!(turns, [Some(0), None, None, Some(2), None, Some(1), Some(0)]);
    }
}
