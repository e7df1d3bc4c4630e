//! What may answer otherwise than before: for caches of answers.
//!
//! Every batch, delete and change of blocks is noted with the times that it may have changed, behind the moment at which
//! readers see it and before it is acknowledged. Whoever asks for a [`ChangeMark`] *before* reading learns later which
//! times may no longer be as they were read: nothing that was acknowledged in between is ever left out, whether or not
//! the reader has seen it. What only moves samples (cuts, compactions) is not noted.
//!
//! A note is a mark and one bound. Batches change everything from their oldest sample on, as far as anyone can tell, and
//! blocks that appear or go everything up to their end. Of notes of which a later one reaches as far nothing is kept, so
//! batches in order leave one note each, a batch with a late sample removes many. Beyond [`MAX_NOTES`] neighbours become
//! one that reaches as far as either: answers are then more cautious, never wrong.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::{TimeRange, Timestamp};

/// A moment in the history of an open database. Of a moment of another one, or of one before it was opened, a database
/// knows nothing, and says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangeMark {
    history: u64,
    number: u64,
}

/// Which times may have changed since a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Changed {
    /// All from this one on, ms.
    pub from: Option<Timestamp>,
    /// All up to this one, ms.
    pub until: Option<Timestamp>,
}

impl Changed {
    /// Nothing is certain.
    pub const EVERYTHING: Self = Self { from: Some(Timestamp::MIN), until: Some(Timestamp::MAX) };

    /// Is everything within `range` as it was?
    pub fn spares(&self, range: TimeRange) -> bool {
        self.from.is_none_or(|from| range.end() < from)
            && self.until.is_none_or(|until| until < range.start())
    }
}

/// The notes of one database.
#[derive(Debug)]
pub(crate) struct ChangeLog {
    /// Tells it from all others of the process.
    history: u64,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    mark: u64,
    /// Lower bounds.
    from: Bounds,
    /// Upper bounds, with the other sign.
    until: Bounds,
}

/// Notes that are kept of each kind.
const MAX_NOTES: usize = 1 << 10;

impl Default for ChangeLog {
    fn default() -> Self {
        static HISTORIES: AtomicU64 = AtomicU64::new(0);
        Self { history: HISTORIES.fetch_add(1, Ordering::Relaxed), notes: Mutex::default() }
    }
}

impl ChangeLog {
    /// The present moment.
    pub(crate) fn mark(&self) -> ChangeMark {
        ChangeMark { history: self.history, number: self.notes.lock().mark }
    }

    /// Notes that everything from `from` on may have changed.
    pub(crate) fn note_from(&self, from: Timestamp) {
        let mut notes = self.notes.lock();
        let mark = notes.advance();
        notes.from.note(mark, from);
    }

    /// Notes that everything up to `until` may have changed.
    pub(crate) fn note_until(&self, until: Timestamp) {
        let mut notes = self.notes.lock();
        let mark = notes.advance();
        notes.until.note(mark, flipped(until));
    }

    /// What may have changed behind `mark`.
    pub(crate) fn since(&self, mark: ChangeMark) -> Changed {
        if mark.history != self.history {
            return Changed::EVERYTHING;
        }
        let notes = self.notes.lock();
        let until = notes.until.least_since(mark.number).map(flipped);
        Changed { from: notes.from.least_since(mark.number), until }
    }
}

impl Notes {
    fn advance(&mut self) -> u64 {
        self.mark = self.mark.saturating_add(1);
        self.mark
    }
}

/// The same order backwards, without overflow.
const fn flipped(time: Timestamp) -> Timestamp {
    !time
}

/// Marks with bounds.
///
/// INVARIANT: both ascend strictly, so the least bound behind a mark is the first one there.
#[derive(Debug, Default)]
struct Bounds(Vec<(u64, Timestamp)>);

impl Bounds {
    fn note(&mut self, mark: u64, bound: Timestamp) {
        while self.0.pop_if(|(_, known)| *known >= bound).is_some() {}
        self.0.push((mark, bound));
        if self.0.len() > MAX_NOTES {
            self.thin();
        }
    }

    /// Makes one of any two of the older half. It takes the later mark and the lesser bound.
    fn thin(&mut self) {
        let newer = self.0.split_off(MAX_NOTES / 2);
        let merged = |pair: &[(u64, Timestamp)]| Some((pair.last()?.0, pair.first()?.1));
        self.0 = self.0.chunks(2).filter_map(merged).collect();
        self.0.extend(newer);
    }

    fn least_since(&self, mark: u64) -> Option<Timestamp> {
        let at = self.0.partition_point(|(known, _)| *known <= mark);
        self.0.get(at).map(|(_, bound)| *bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_changed_in_order_spares_what_lies_before() {
        let log = ChangeLog::default();
        let before = log.mark();
        assert_eq!(log.since(before), Changed::default());
        log.note_from(100);
        let between = log.mark();
        log.note_from(200);
        assert_eq!(log.since(before).from, Some(100));
        assert_eq!(log.since(between).from, Some(200));
        log.note_from(50);
        assert_eq!(log.since(between).from, Some(50));
        let changed = log.since(between);
        assert!(changed.spares(TimeRange::new(0, 49).unwrap()));
        assert!(!changed.spares(TimeRange::new(0, 50).unwrap()));
        log.note_until(10);
        let changed = log.since(between);
        assert_eq!(changed.until, Some(10));
        assert!(!changed.spares(TimeRange::new(10, 49).unwrap()));
        assert!(changed.spares(TimeRange::new(11, 49).unwrap()));
    }

    #[test]
    fn a_mark_of_another_history_means_nothing() {
        assert_eq!(ChangeLog::default().since(ChangeLog::default().mark()), Changed::EVERYTHING);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_is_left_out_and_little_is_kept(
            notes in proptest::collection::vec((any::<bool>(), -50i64..5_000), 1..300),
        ) {
            let log = ChangeLog::default();
            let mut marks = Vec::new();
            for (is_from, time) in &notes {
                marks.push(log.mark());
                if *is_from { log.note_from(*time) } else { log.note_until(*time) }
            }
            for (at, mark) in marks.iter().enumerate() {
                let changed = log.since(*mark);
                let behind = || notes[at..].iter();
                let from = behind().filter(|(is_from, _)| *is_from).map(|(_, time)| *time).min();
                let until = behind().filter(|(is_from, _)| !*is_from).map(|(_, time)| *time).max();
                prop_assert!(from.is_none() || changed.from <= from && changed.from.is_some());
                prop_assert!(until.is_none() || changed.until >= until);
                if notes.len() <= MAX_NOTES {
                    prop_assert_eq!((changed.from, changed.until), (from, until));
                }
            }
            let notes = log.notes.lock();
            prop_assert!(notes.from.0.len() <= MAX_NOTES && notes.until.0.len() <= MAX_NOTES);
        }
    }

    #[test]
    fn ascending_notes_stay_bounded_and_cautious() {
        let log = ChangeLog::default();
        let marks: Vec<_> = (0..10_000)
            .map(|time| {
                let mark = log.mark();
                log.note_from(time);
                mark
            })
            .collect();
        for (time, mark) in marks.into_iter().enumerate() {
            let from = log.since(mark).from.unwrap();
            assert!(from <= time as i64);
        }
        assert!(log.notes.lock().from.0.len() <= MAX_NOTES);
    }
}
