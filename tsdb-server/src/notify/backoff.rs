//! How long to wait before the next try: twice as long after each failure, up to a minute, with a random part so that
//! servers that failed together do not come back together. A time that the receiver names is kept to.

use std::time::Duration;

/// The wait after the first failure, at most.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest wait that a receiver can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(15 * 60);

/// The wait after `failures` failures in a row, the last of which asked for `asked`; `random` is any number.
pub(super) fn wait(failures: u32, asked: Option<Duration>, random: u64) -> Duration {
    let doubled = FIRST.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let most = doubled.min(LONGEST);
    // Between half of it and all of it.
    let share = (random % 1_024) as f64 / 2_048.0 + 0.5;
    let own = most.mul_f64(share);
    own.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// Numbers that differ from process to process and from call to call.
#[derive(Debug, Default)]
pub(super) struct Dice {
    state: std::hash::RandomState,
    thrown: u64,
}

impl Dice {
    pub(super) fn throw(&mut self) -> u64 {
        use std::hash::BuildHasher;
        self.thrown = self.thrown.wrapping_add(1);
        self.state.hash_one(self.thrown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_are_never_the_same() {
        for (failures, most_ms) in
            [(1, 500), (2, 1_000), (5, 8_000), (8, 60_000), (40, 60_000), (u32::MAX, 60_000)]
        {
            let waits = [0, 511, 1_023].map(|random| wait(failures, None, random));
            assert_eq!(waits[0], Duration::from_millis(most_ms / 2));
            assert!(waits[0] < waits[1] && waits[1] < waits[2] && waits[2] <= Duration::from_millis(most_ms));
        }
    }

    #[test]
    fn a_time_that_the_receiver_names_is_kept_to_within_reason() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(wait(1, Some(minutes(2)), 7), minutes(2));
        assert_eq!(wait(1, Some(minutes(100_000)), 7), minutes(15));
        assert!(
            wait(9, Some(Duration::from_secs(1)), 7) > Duration::from_secs(29),
            "not sooner than without"
        );
    }
}
