//! Exemplars: the newest of a tenant, in a ring. What comes in when it is full overwrites what came in first.
//!
//! The exemplars of a series are in order of time, and of value and labels at equal times: one that sorts before the
//! newest is refused, and so is one with long labels, both as in Prometheus (`tsdb/exemplar.go`). Exemplars stay when
//! the samples of their series go; so the ring knows the labels of series itself.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use tsdb_core::read::SeriesExemplars;
use tsdb_core::{Exemplar, Labels, Matcher, SeriesRef, TimeRange};

/// Characters that the labels of an exemplar have together. Source: OpenMetrics 1.0, section "Exemplars".
const MAX_LABEL_CHARS: usize = 128;
/// Memory of an exemplar besides its labels, about.
const EXEMPLAR_BYTES: usize = size_of::<Slot>() + 16;
/// Memory of a series besides its labels, about.
const SERIES_BYTES: usize = size_of::<Known>() + 64;

/// What became of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is stored.
    Stored,
    /// The series has it already.
    Repeated,
    /// It sorts before the newest one of its series, its labels are too long, or exemplars are not kept at all.
    Refused,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Exemplars {
    limit: usize,
    slots: Vec<Slot>,
    /// The slot that is overwritten next, once there are as many as may be.
    next: usize,
    series: Vec<Option<Known>>,
    free: Vec<usize>,
    by_labels: HashMap<Labels, usize>,
    /// Series that the head holds.
    by_reference: HashMap<SeriesRef, usize>,
    bytes: usize,
    next_number: u64,
}

#[derive(Debug)]
struct Slot {
    series: usize,
    /// The slot of the next exemplar of the series.
    newer: Option<usize>,
    exemplar: Exemplar,
}

/// A series with exemplars: the slots of its oldest and newest one.
#[derive(Debug)]
struct Known {
    labels: Labels,
    reference: Option<SeriesRef>,
    oldest: usize,
    newest: usize,
}

impl Exemplars {
    /// A ring of `limit` exemplars; 0 keeps none.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            slots: Vec::new(),
            next: 0,
            series: Vec::new(),
            free: Vec::new(),
            by_labels: HashMap::new(),
            by_reference: HashMap::new(),
            bytes: 0,
            next_number: 0,
        }
    }

    /// Number of exemplars.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Estimate of the bytes of memory in use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Stores an exemplar of a series of the head, whose labels are found by `labels`.
    pub(super) fn push(
        &mut self,
        reference: SeriesRef,
        labels: impl FnOnce() -> Option<Labels>,
        exemplar: Exemplar,
    ) -> Kept {
        let known = self.by_reference.get(&reference).and_then(|series| self.known(*series));
        let Some(labels) = known.map(|known| known.labels.clone()).or_else(labels) else {
            return Kept::Refused;
        };
        let kept = self.push_labelled(&labels, exemplar);
        if let Some(series) = self.find(&labels)
            && let Some(Some(known)) = self.series.get_mut(series)
            && known.reference.is_none()
        {
            known.reference = Some(reference);
            self.by_reference.insert(reference, series);
        }
        kept
    }

    /// Stores an exemplar of the series with these labels.
    pub(super) fn push_labelled(&mut self, labels: &Labels, exemplar: Exemplar) -> Kept {
        if self.limit == 0 || label_chars(&exemplar.labels) > MAX_LABEL_CHARS {
            return Kept::Refused;
        }
        let newest = self.find(labels).and_then(|series| self.known(series)?.newest(&self.slots));
        match newest.map(|newest| compare(&exemplar, newest)) {
            Some(Ordering::Less) => return Kept::Refused,
            Some(Ordering::Equal) => return Kept::Repeated,
            _ => {}
        }
        let place = self.make_room();
        // What was overwritten may have been the last exemplar of this very series.
        let series = self.find(labels).unwrap_or_else(|| self.add_series(labels.clone(), place));
        self.put(place, Slot { series, newer: None, exemplar });
        self.next_number = self.next_number.saturating_add(1);
        Kept::Stored
    }

    /// Forgets the references of series that the head does not hold any more.
    pub(super) fn forget_references(&mut self, dead: impl IntoIterator<Item = SeriesRef>) {
        for reference in dead {
            let series = self.by_reference.remove(&reference);
            if let Some(Some(known)) = series.and_then(|series| self.series.get_mut(series)) {
                known.reference = None;
            }
        }
    }

    /// The exemplars within `range` of the series that satisfy all matchers of at least one of `selectors`, ordered by
    /// labels.
    pub(super) fn select(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        let matches = |labels: &Labels, matchers: &[Matcher]| {
            matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
        };
        let mut found = BTreeMap::new();
        for known in self.series.iter().flatten() {
            if selectors.iter().any(|matchers| matches(&known.labels, matchers)) {
                let of_series = self.of(known).map(|slot| &slot.exemplar);
                let within: Vec<Exemplar> =
                    of_series.filter(|exemplar| range.contains(exemplar.timestamp)).cloned().collect();
                if !within.is_empty() {
                    found.insert(known.labels.clone(), within);
                }
            }
        }
        found.into_iter().map(|(labels, exemplars)| SeriesExemplars { labels, exemplars }).collect()
    }

    /// Forgets the exemplars within `range` of the series that `is_meant`.
    pub(super) fn delete(&mut self, range: TimeRange, is_meant: impl Fn(&Labels) -> bool) {
        let of_series = |known: &Known| is_meant(&known.labels);
        let meant: Vec<bool> =
            self.series.iter().map(|known| known.as_ref().is_some_and(of_series)).collect();
        let is_gone = |slot: &Slot| {
            meant.get(slot.series).is_some_and(|is_meant| *is_meant)
                && range.contains(slot.exemplar.timestamp)
        };
        if !self.slots.iter().any(is_gone) {
            return;
        }
        let mut rest = Self::new(self.limit);
        let (newer, older) = self.slots.split_at(self.next.min(self.slots.len()));
        for slot in older.iter().chain(newer).filter(|slot| !is_gone(slot)) {
            let Some(known) = self.known(slot.series) else { continue };
            let labels = || Some(known.labels.clone());
            let _: Kept = match known.reference {
                Some(reference) => rest.push(reference, labels, slot.exemplar.clone()),
                None => rest.push_labelled(&known.labels, slot.exemplar.clone()),
            };
        }
        rest.next_number = self.next_number;
        *self = rest;
    }

    /// The number of the next exemplar: each that is stored has one more than the one before.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// The next exemplar has at least this number.
    pub(super) fn skip_numbers_below(&mut self, number: u64) {
        self.next_number = self.next_number.max(number);
    }

    /// All exemplars with the labels of their series, in the order in which they came in.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Labels, &Exemplar)> {
        let (newer, older) = self.slots.split_at(self.next.min(self.slots.len()));
        older.iter().chain(newer).filter_map(|slot| Some((&self.known(slot.series)?.labels, &slot.exemplar)))
    }

    fn find(&self, labels: &Labels) -> Option<usize> {
        self.by_labels.get(labels).copied()
    }

    /// The slots of a series, oldest first.
    fn of(&self, known: &Known) -> impl Iterator<Item = &Slot> {
        let mut next = Some(known.oldest);
        std::iter::from_fn(move || {
            let slot = self.slots.get(next?)?;
            next = slot.newer;
            Some(slot)
        })
    }

    fn known(&self, series: usize) -> Option<&Known> {
        self.series.get(series)?.as_ref()
    }

    /// A slot to write to: behind the others, or that of the exemplar that came in first, which is forgotten.
    fn make_room(&mut self) -> usize {
        if self.slots.len() < self.limit {
            return self.slots.len();
        }
        let place = self.next;
        self.next = if place + 1 < self.limit { place + 1 } else { 0 };
        if let Some(slot) = self.slots.get(place) {
            self.bytes -= size_of_exemplar(&slot.exemplar);
            // What came in first of all came in first of its series.
            match (slot.newer, self.series.get_mut(slot.series)) {
                (Some(newer), Some(Some(known))) => known.oldest = newer,
                _ => self.remove_series(slot.series),
            }
        }
        place
    }

    fn add_series(&mut self, labels: Labels, place: usize) -> usize {
        self.bytes += SERIES_BYTES + labels.encoded_len();
        let series = self.free.pop().unwrap_or(self.series.len());
        self.by_labels.insert(labels.clone(), series);
        let known = Some(Known { labels, reference: None, oldest: place, newest: place });
        match self.series.get_mut(series) {
            Some(free) => *free = known,
            None => self.series.push(known),
        }
        series
    }

    fn remove_series(&mut self, series: usize) {
        let Some(known) = self.series.get_mut(series).and_then(Option::take) else { return };
        self.bytes -= SERIES_BYTES + known.labels.encoded_len();
        if let Some(reference) = known.reference {
            self.by_reference.remove(&reference);
        }
        self.by_labels.remove(&known.labels);
        self.free.push(series);
    }

    /// Writes `slot` to `place`, behind the newest exemplar of its series.
    fn put(&mut self, place: usize, slot: Slot) {
        self.bytes += size_of_exemplar(&slot.exemplar);
        if let Some(Some(known)) = self.series.get_mut(slot.series) {
            if known.newest != place
                && let Some(before) = self.slots.get_mut(known.newest)
            {
                before.newer = Some(place);
            }
            known.newest = place;
        }
        match self.slots.get_mut(place) {
            Some(old) => *old = slot,
            None => self.slots.push(slot),
        }
    }
}

impl Known {
    fn newest<'a>(&self, slots: &'a [Slot]) -> Option<&'a Exemplar> {
        slots.get(self.newest).map(|slot| &slot.exemplar)
    }
}

/// The order of exemplars in a series.
fn compare(one: &Exemplar, other: &Exemplar) -> Ordering {
    let by_time = one.timestamp.cmp(&other.timestamp);
    by_time.then(one.value.total_cmp(&other.value)).then_with(|| one.labels.cmp(&other.labels))
}

fn label_chars(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
}

fn size_of_exemplar(exemplar: &Exemplar) -> usize {
    EXEMPLAR_BYTES + exemplar.labels.encoded_len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsdb_core::MatchOp;

    fn labels(series: u32) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("series", series.to_string().as_str())]).unwrap()
    }

    fn exemplar(timestamp: i64) -> Exemplar {
        let labels = Labels::from_pairs([("trace_id", timestamp.to_string().as_str())]).unwrap();
        Exemplar { labels, timestamp, value: 1.0 }
    }

    fn push(ring: &mut Exemplars, series: u32, timestamp: i64) -> Kept {
        ring.push(SeriesRef(series), || Some(labels(series)), exemplar(timestamp))
    }

    fn times(ring: &Exemplars) -> Vec<(Labels, Vec<i64>)> {
        let found = ring.select(&[vec![]], TimeRange::ALL).into_iter();
        found.map(|of| (of.labels, of.exemplars.iter().map(|e| e.timestamp).collect())).collect()
    }

    #[test]
    fn the_exemplar_that_came_in_first_is_overwritten() {
        let mut ring = Exemplars::new(3);
        for (series, timestamp) in [(1, 10), (2, 5), (1, 20), (1, 30), (2, 7)] {
            assert_eq!(push(&mut ring, series, timestamp), Kept::Stored);
        }
        assert_eq!(times(&ring), [(labels(1), vec![20, 30]), (labels(2), vec![7])]);
        assert_eq!(ring.len(), 3);
    }

    #[test]
    fn a_ring_of_one_overwrites_the_last_exemplar_of_the_same_series() {
        let mut ring = Exemplars::new(1);
        for timestamp in 0..4 {
            assert_eq!(push(&mut ring, 7, timestamp), Kept::Stored);
            assert_eq!(times(&ring), [(labels(7), vec![timestamp])]);
        }
    }

    #[test]
    fn what_sorts_before_the_newest_is_refused_and_repetitions_are_ignored() {
        let mut ring = Exemplars::new(10);
        assert_eq!(push(&mut ring, 1, 10), Kept::Stored);
        assert_eq!(push(&mut ring, 1, 10), Kept::Repeated);
        assert_eq!(push(&mut ring, 1, 9), Kept::Refused);
        let mut other = |value, trace: &str| {
            let trace = Labels::from_pairs([("trace_id", trace)]).unwrap();
            ring.push_labelled(&labels(1), Exemplar { labels: trace, timestamp: 10, value })
        };
        assert_eq!(other(0.5, "z"), Kept::Refused);
        assert_eq!(other(1.0, "11"), Kept::Stored);
        assert_eq!(other(1.0, "10"), Kept::Refused);
        assert_eq!(other(1.5, "a"), Kept::Stored);
    }

    #[test]
    fn long_labels_and_a_ring_without_room_are_refused() {
        let long = |length: usize| {
            let labels = Labels::from_pairs([("trace_id", "\u{fc}".repeat(length).as_str())]).unwrap();
            Exemplar { labels, timestamp: 1, value: 1.0 }
        };
        let mut ring = Exemplars::new(10);
        assert_eq!(ring.push_labelled(&labels(1), long(121)), Kept::Refused);
        assert_eq!(ring.push_labelled(&labels(1), long(120)), Kept::Stored);
        assert_eq!(Exemplars::new(0).push_labelled(&labels(1), long(1)), Kept::Refused);
    }

    #[test]
    fn selection_is_by_any_selector_and_by_time() {
        let mut ring = Exemplars::new(10);
        for (series, timestamp) in [(1, 10), (1, 20), (2, 15), (3, 30)] {
            assert_eq!(push(&mut ring, series, timestamp), Kept::Stored);
        }
        let only = |series: &str| vec![Matcher::new(MatchOp::Equal, "series", series).unwrap()];
        let found = ring.select(&[only("1"), only("3")], TimeRange::new(15, 29).unwrap());
        assert_eq!(found, [SeriesExemplars { labels: labels(1), exemplars: vec![exemplar(20)] }]);
        assert_eq!(ring.select(&[], TimeRange::ALL), []);
    }

    #[test]
    fn a_reference_that_is_used_again_names_its_new_series() {
        let mut ring = Exemplars::new(10);
        push(&mut ring, 1, 10);
        ring.forget_references([SeriesRef(1)]);
        assert_eq!(ring.push(SeriesRef(1), || Some(labels(2)), exemplar(20)), Kept::Stored);
        assert_eq!(times(&ring), [(labels(1), vec![10]), (labels(2), vec![20])]);
    }

    proptest! {
        #[test]
        fn the_ring_is_a_queue(
            pushes in prop::collection::vec((0..5_u32, 0..40_i64, 0..20_u32), 0..120),
            limit in 1..12_usize,
        ) {
            let mut ring = Exemplars::new(limit);
            let mut queue = std::collections::VecDeque::<(u32, i64)>::new();
            for (series, timestamp, deletes) in pushes {
                if deletes == 0 {
                    let range = TimeRange::new(timestamp - 5, timestamp + 5).unwrap();
                    ring.delete(range, |of| *of == labels(series));
                    queue.retain(|(known, at)| *known != series || !range.contains(*at));
                }
                let of_series = queue.iter().rfind(|(known, _)| *known == series);
                let newest = of_series.map(|(_, newest)| *newest);
                let stored = push(&mut ring, series, timestamp) == Kept::Stored;
                prop_assert_eq!(stored, newest.is_none_or(|newest| timestamp > newest));
                if stored {
                    queue.push_back((series, timestamp));
                    if queue.len() > limit {
                        queue.pop_front();
                    }
                }
                let mut model = BTreeMap::<Labels, Vec<i64>>::new();
                queue.iter().for_each(|(series, at)| model.entry(labels(*series)).or_default().push(*at));
                prop_assert_eq!(times(&ring), model.into_iter().collect::<Vec<_>>());
                let found: Vec<_> = ring.iter().map(|(labels, e)| (labels.clone(), e.timestamp)).collect();
                let expected = queue.iter().map(|(series, at)| (labels(*series), *at));
                prop_assert_eq!(found, expected.collect::<Vec<_>>());
            }
            let exemplars: usize = ring.slots.iter().map(|slot| size_of_exemplar(&slot.exemplar)).sum();
            let of_series = |known: &Known| SERIES_BYTES + known.labels.encoded_len();
            let series: usize = ring.series.iter().flatten().map(of_series).sum();
            prop_assert_eq!(ring.bytes(), exemplars + series);
        }
    }
}
