//! How many there were within the last minute, exactly enough to be a limit.

/// Seconds that are looked back; one more than a minute, because the current one is not over.
const SECONDS: usize = 61;

/// A count over a sliding minute: by seconds, so that within any 60 s there never were more than it says.
#[derive(Debug, Clone)]
pub struct Rate {
    seconds: [u32; SECONDS],
    /// Of all seconds together.
    sum: u64,
    /// The second that is counted now.
    now: i64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { seconds: [0; SECONDS], sum: 0, now: i64::MIN }
    }
}

impl Rate {
    /// Counts `count` more at `now_ms`, a time that never goes back.
    pub fn add(&mut self, count: u64, now_ms: i64) {
        self.advance(now_ms);
        if let Some(second) = self.seconds.get_mut(place(self.now)) {
            let count = count.min(u64::from(u32::MAX - *second));
            *second = second.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            self.sum = self.sum.saturating_add(count);
        }
    }

    /// How many there were within the last 60 s; those of up to a second before that are counted as well.
    pub fn last_minute(&mut self, now_ms: i64) -> u64 {
        self.advance(now_ms);
        self.sum
    }

    fn advance(&mut self, now_ms: i64) {
        let now = now_ms.div_euclid(1000);
        let passed = now.saturating_sub(self.now).max(0);
        if passed == 0 {
            return;
        }
        let cleared = usize::try_from(passed).unwrap_or(SECONDS).min(SECONDS);
        for back in 0..cleared {
            let second = now.saturating_sub(i64::try_from(back).unwrap_or(i64::MAX));
            if let Some(second) = self.seconds.get_mut(place(second)) {
                self.sum = self.sum.saturating_sub(u64::from(std::mem::take(second)));
            }
        }
        self.now = now;
    }
}

/// Where a second is counted.
fn place(second: i64) -> usize {
    let seconds = i64::try_from(SECONDS).unwrap_or(i64::MAX);
    usize::try_from(second.rem_euclid(seconds)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_minute_has_more_than_it_says(
            steps in proptest::collection::vec((0_i64..90_000, 0_u64..5), 1..60),
            start in -100_000_i64..100_000,
        ) {
            let mut rate = Rate::default();
            let (mut now, mut all) = (start, Vec::new());
            for (passed, count) in steps {
                now += passed;
                rate.add(count, now);
                all.push((now, count));
                let within = |ms: i64| all.iter().filter(|(at, _)| *at > now - ms).map(|(_, count)| count).sum::<u64>();
                let told = rate.last_minute(now);
                prop_assert!(told >= within(60_000), "{told} of {}", within(60_000));
                prop_assert!(told <= within(61_000), "{told} of {}", within(61_000));
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        let mut rate = Rate::default();
        rate.add(3, 100_000);
        assert_eq!(rate.last_minute(50_000), 3);
        assert_eq!(rate.last_minute(i64::MAX), 0);
        rate.add(u64::MAX, i64::MAX);
        assert_eq!(rate.last_minute(i64::MAX), u64::from(u32::MAX));
    }
}
