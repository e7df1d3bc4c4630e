//! Which series are new: within the last hour, by five minutes.

use roaring::RoaringBitmap;
use std::collections::VecDeque;

/// Times are known this exactly, ms.
const SLOT_MS: i64 = 300_000;
/// So many whole slots are kept, and the current one.
const SLOTS: i64 = 12;

/// The numbers of the series that were added within the last hour, whether or not they are still there: a number that is used
/// again is that of a newer series. A series costs about two bytes for that time.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// Numbers of slots with what was added in them, the oldest first.
    slots: VecDeque<(i64, RoaringBitmap)>,
}

impl Recent {
    /// Notes that `series` was added at `now_ms`, a time that never goes back.
    pub fn add(&mut self, series: u32, now_ms: i64) {
        let now = now_ms.div_euclid(SLOT_MS);
        if self.slots.back().is_none_or(|(slot, _)| *slot < now) {
            self.slots.push_back((now, RoaringBitmap::new()));
            self.slots.retain(|(slot, _)| now.saturating_sub(*slot) <= SLOTS);
        }
        if let Some((_, added)) = self.slots.back_mut() {
            added.insert(series);
        }
    }

    /// The series that were added within `window_ms` before `now_ms`, an hour at most. Those of up to five minutes before
    /// that are among them.
    pub fn within(&self, window_ms: i64, now_ms: i64) -> RoaringBitmap {
        let window_ms = window_ms.clamp(0, SLOTS.saturating_mul(SLOT_MS));
        let oldest = now_ms.saturating_sub(window_ms).div_euclid(SLOT_MS);
        let wanted = self.slots.iter().filter(|(slot, _)| *slot >= oldest);
        wanted.fold(RoaringBitmap::new(), |all, (_, added)| all | added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_new_for_as_long_as_is_asked_and_no_longer_than_an_hour() {
        let mut recent = Recent::default();
        for minute in 0..90 {
            recent.add(minute, i64::from(minute) * 60_000);
        }
        let now = 90 * 60_000;
        let within = |minutes: i64| recent.within(minutes * 60_000, now).iter().collect::<Vec<_>>();
        assert_eq!(within(0), Vec::<u32>::new());
        assert_eq!(within(1), (85..90).collect::<Vec<_>>(), "by five minutes");
        assert_eq!(within(10), (80..90).collect::<Vec<_>>());
        assert_eq!(within(60), (30..90).collect::<Vec<_>>());
        assert_eq!(within(600), (30..90).collect::<Vec<_>>());
        assert!(recent.slots.len() <= 13);
    }
}
