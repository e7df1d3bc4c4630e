//! Which part of the head can become a block.
//!
//! Time is divided into windows of equal width, aligned to the epoch; a block cut from the head covers one of them.
//! A window is cut when no more samples are expected for it:
//!
//! ```text
//!      window            slack
//! |--------------|--------------|------>
//! ^              ^              ^
//! oldest sample  window ends    both the newest sample and the clock are here: cut
//! ```
//!
//! The newest sample alone would let a single one from the future close every window; the clock alone would close
//! windows that are just being filled with old data. A head that takes no samples at all any more is cut by the clock.

use std::num::NonZeroU32;
use tsdb_core::{TimeRange, Timestamp};

/// Width of the windows that blocks cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockWidth(NonZeroU32);

impl BlockWidth {
    /// Two hours.
    pub const DEFAULT: Self = Self(NonZeroU32::MIN.saturating_add(2 * 60 * 60 * 1000 - 1));

    /// A width of `width_ms` milliseconds; `None` if that is 0.
    pub const fn new(width_ms: u32) -> Option<Self> {
        match NonZeroU32::new(width_ms) {
            Some(width_ms) => Some(Self(width_ms)),
            None => None,
        }
    }

    /// The width in ms.
    pub const fn ms(self) -> i64 {
        self.0.get() as i64
    }

    /// The window that holds `at`, clipped at the ends of time.
    pub fn window(self, at: Timestamp) -> TimeRange {
        let width = i128::from(self.ms());
        let start = i128::from(at).div_euclid(width) * width;
        let end = start + width - 1;
        let start = Timestamp::try_from(start).unwrap_or(Timestamp::MIN);
        let end = Timestamp::try_from(end).unwrap_or(Timestamp::MAX);
        TimeRange::new(start, end).unwrap_or(TimeRange::instant(at))
    }
}

impl Default for BlockWidth {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// When a window of the head becomes a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutPolicy {
    /// Width of the windows.
    pub width: BlockWidth,
    /// How far samples and clock must be past the end of a window, in ms.
    pub slack_ms: i64,
    /// After how long without any append windows of the past are cut regardless, in ms; `None` for never.
    pub idle_ms: Option<i64>,
}

/// Two hours, one more of slack; a head without appends for two hours is idle.
impl Default for CutPolicy {
    fn default() -> Self {
        let width = BlockWidth::DEFAULT;
        Self { width, slack_ms: width.ms() / 2, idle_ms: Some(width.ms()) }
    }
}

/// What the head holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSpan {
    /// From the oldest to the newest sample.
    pub range: TimeRange,
    /// What the clock showed at the latest append, in ms; `None` if that is not known.
    pub last_append: Option<Timestamp>,
}

/// The window of the head's oldest sample, if it can be cut at `now` (ms).
///
/// One window at a time: the next depends on what is then the oldest sample, so that long gaps cost nothing.
pub fn next_cut(head: HeadSpan, policy: &CutPolicy, now: Timestamp) -> Option<TimeRange> {
    let window = policy.width.window(head.range.start());
    let passed = head.range.end().min(now);
    let complete = passed >= window.end().saturating_add(policy.slack_ms.max(0)) && passed > window.end();
    let idle = match (policy.idle_ms, head.last_append) {
        (Some(idle_ms), Some(last)) => now > window.end() && now.saturating_sub(last) >= idle_ms,
        _ => false,
    };
    (complete || idle).then_some(window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(start, end).unwrap()
    }

    fn cut(start: i64, end: i64, now: i64) -> Option<TimeRange> {
        next_cut(HeadSpan { range: range(start, end), last_append: None }, &CutPolicy::default(), now)
    }

    #[test]
    fn windows_are_aligned_to_the_epoch() {
        let width = BlockWidth::DEFAULT;
        assert_eq!(width.ms(), 2 * HOUR);
        assert_eq!(width.window(0), range(0, 2 * HOUR - 1));
        assert_eq!(width.window(2 * HOUR - 1), range(0, 2 * HOUR - 1));
        assert_eq!(width.window(2 * HOUR), range(2 * HOUR, 4 * HOUR - 1));
        assert_eq!(width.window(-1), range(-2 * HOUR, -1));
    }

    #[test]
    fn a_window_is_cut_once_samples_and_clock_are_an_hour_past_it() {
        assert_eq!(cut(30 * MINUTE, 3 * HOUR - 2, 5 * HOUR), None);
        assert_eq!(cut(30 * MINUTE, 3 * HOUR, 3 * HOUR - 2), None);
        assert_eq!(cut(30 * MINUTE, 3 * HOUR, 3 * HOUR), Some(range(0, 2 * HOUR - 1)));
    }

    #[test]
    fn a_sample_from_the_future_closes_nothing() {
        assert_eq!(cut(30 * MINUTE, 9000 * HOUR, HOUR), None);
    }

    #[test]
    fn old_data_being_filled_in_is_left_alone() {
        assert_eq!(cut(30 * MINUTE, HOUR, 9000 * HOUR), None);
    }

    #[test]
    fn an_idle_head_is_cut_by_the_clock() {
        let head = HeadSpan { range: range(HOUR, HOUR), last_append: Some(HOUR) };
        let at = |now| next_cut(head, &CutPolicy::default(), now);
        assert_eq!(at(2 * HOUR), None);
        assert_eq!(at(3 * HOUR), Some(range(0, 2 * HOUR - 1)));
        let never = CutPolicy { idle_ms: None, ..CutPolicy::default() };
        assert_eq!(next_cut(head, &never, 9000 * HOUR), None);
    }

    #[test]
    fn a_window_that_is_not_over_is_never_cut() {
        let eager = CutPolicy { slack_ms: 0, idle_ms: Some(0), ..CutPolicy::default() };
        let head = HeadSpan { range: range(0, 2 * HOUR - 1), last_append: Some(0) };
        assert_eq!(next_cut(head, &eager, 2 * HOUR - 1), None);
        assert!(next_cut(head, &eager, 2 * HOUR).is_some());
    }

    proptest! {
        #[test]
        fn every_instant_is_in_its_window(at: i64, width in 1_u32..) {
            let width = BlockWidth::new(width).unwrap();
            let window = width.window(at);
            prop_assert!(window.contains(at));
            prop_assert_eq!(width.window(window.start()), window);
            prop_assert_eq!(width.window(window.end()), window);
            prop_assert!(i128::from(window.end()) - i128::from(window.start()) < i128::from(width.ms()));
            if window.start() != i64::MIN {
                prop_assert_eq!(window.start().rem_euclid(width.ms()), 0);
            }
        }

        #[test]
        fn what_is_cut_begins_the_head_and_lies_in_the_past(start: i64, end: i64, last: i64, now: i64) {
            prop_assume!(start <= end);
            let head = HeadSpan { range: range(start, end), last_append: Some(last) };
            if let Some(window) = next_cut(head, &CutPolicy::default(), now) {
                prop_assert!(window.contains(start));
                prop_assert!(window.end() < now);
            }
        }
    }
}
