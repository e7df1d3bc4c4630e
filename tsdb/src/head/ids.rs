//! Numbers for series: dense, and reused only when nobody can mean the old owner any more.

use super::pages::MAX_SERIES;
use super::pins::Epoch;
use std::collections::VecDeque;
use tsdb_core::SeriesRef;

/// The numbers of a head.
///
/// A number that is given back rests until no pin is left from before that moment, and until the log has a
/// checkpoint in which the old owner does not stand and behind which no sample of it does: samples whose series is
/// lost would come back as those of the new owner.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    next: u32,
    free: Vec<SeriesRef>,
    resting: VecDeque<Resting>,
}

#[derive(Debug)]
struct Resting {
    since: Epoch,
    /// The first segment of the log that cannot have samples of the old owners.
    clean: u64,
    checkpointed: bool,
    numbers: Vec<SeriesRef>,
}

impl Ids {
    /// A number nobody uses; `None` if all are in use.
    pub(crate) fn take(&mut self) -> Option<SeriesRef> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        let number = self.next;
        self.next = (number < MAX_SERIES).then_some(number + 1)?;
        Some(SeriesRef(number))
    }

    /// Gives back a number that nobody has seen.
    pub(crate) fn undo(&mut self, number: SeriesRef) {
        self.free.push(number);
    }

    /// Replay uses this number: it and those below it are not given out as new.
    pub(crate) fn seen(&mut self, number: SeriesRef) {
        self.next = self.next.max(number.0.saturating_add(1));
    }

    /// After replay: these numbers below the highest one seen are in nobody's use. The segments below `clean` were
    /// replayed.
    pub(crate) fn reclaim(&mut self, clean: u64, is_used: impl Fn(SeriesRef) -> bool) {
        let unused = (0..self.next).map(SeriesRef).filter(|number| !is_used(*number));
        self.rest(0, clean, unused.collect());
    }

    /// Gives back numbers that were in use until epoch `since` began, and that no segment from `clean` on names.
    pub(crate) fn rest(&mut self, since: Epoch, clean: u64, numbers: Vec<SeriesRef>) {
        if !numbers.is_empty() {
            self.resting.push_back(Resting { since, clean, checkpointed: false, numbers });
        }
    }

    /// A checkpoint begun after this call will not name the numbers that rest now. Returns how many groups those are.
    pub(crate) fn resting(&self) -> usize {
        self.resting.len()
    }

    /// The first `groups` groups stand in no checkpoint any more, and the log begins with `first_segment`.
    pub(crate) fn checkpointed(&mut self, groups: usize, first_segment: u64) {
        let groups = self.resting.iter_mut().take(groups);
        groups.filter(|group| group.clean <= first_segment).for_each(|group| group.checkpointed = true);
    }

    /// Frees what has rested long enough: `oldest` is the oldest pinned epoch.
    pub(crate) fn wake(&mut self, oldest: Epoch) {
        while self.resting.front().is_some_and(|group| group.checkpointed && group.since <= oldest) {
            let group = self.resting.pop_front();
            // Given out from the end, so in ascending order: neighbours stay neighbours.
            self.free.extend(group.into_iter().flat_map(|group| group.numbers.into_iter().rev()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_rests_until_unpinned_and_checkpointed() {
        let mut ids = Ids::default();
        assert_eq!((ids.take(), ids.take()), (Some(SeriesRef(0)), Some(SeriesRef(1))));
        ids.rest(5, 3, vec![SeriesRef(0), SeriesRef(1)]);
        ids.wake(5);
        assert_eq!(ids.take(), Some(SeriesRef(2)));
        let groups = ids.resting();
        ids.rest(6, 3, vec![SeriesRef(2)]);
        ids.checkpointed(groups, 2);
        ids.wake(5);
        assert_eq!(ids.take(), Some(SeriesRef(3)));
        ids.checkpointed(groups, 3);
        ids.wake(4);
        assert_eq!(ids.take(), Some(SeriesRef(4)));
        ids.wake(5);
        assert_eq!(
            (ids.take(), ids.take(), ids.take()),
            (Some(SeriesRef(0)), Some(SeriesRef(1)), Some(SeriesRef(5)))
        );
    }

    #[test]
    fn numbers_run_out_instead_of_wrapping() {
        let mut ids = Ids::default();
        ids.seen(SeriesRef(MAX_SERIES - 2));
        assert_eq!(ids.take(), Some(SeriesRef(MAX_SERIES - 1)));
        assert_eq!(ids.take(), None);
    }
}
