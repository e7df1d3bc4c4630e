//! The samples of the series of one page: plain series by their place, mixed ones in a side table.
//!
//! A mixed series (see [`mixed`](super::mixed)) may have plain chunks from before it was one; they are older than all
//! others.

use super::late::{Generation, Late, LateSample};
use super::mixed::{Mixed, MixedSnapshot, Value};
use super::sealed::Sealer;
use super::series::{Series, Snapshot};
use std::collections::BTreeMap;
use std::ops::Range;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange, Timestamp};

/// What a page holds of its series, by [`slot`](super::pages::slot).
#[derive(Debug, Default)]
pub(crate) struct Held {
    plain: Vec<Series>,
    mixed: BTreeMap<usize, Box<Mixed>>,
    /// Samples of all kinds that came late.
    pub(super) late: Late,
    /// The number of the last delete that was applied to it.
    pub(super) deleted: u64,
    /// Until when there may be late samples that lie behind all those in order of their series: a delete leaves some.
    overtaken_until: Option<Timestamp>,
}

/// What a reader takes from a series under the lock of its page, to decode without it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    plain: Snapshot,
    mixed: MixedSnapshot,
}

impl Held {
    /// The series at `slot` if it is plain: the fast path.
    #[inline]
    pub(crate) fn plain_mut(&mut self, slot: usize) -> Option<&mut Series> {
        self.plain.get_mut(slot).filter(|series| series.is_plain())
    }

    /// Has the memory of the series at `slot` fetched to which its next sample goes.
    #[inline]
    pub(crate) fn prefetch(&self, slot: usize) {
        if let Some(series) = self.plain.get(slot) {
            series.prefetch();
        }
    }

    /// The series at `slot` if all of its samples in order are numbers that it holds itself.
    pub(crate) fn plain(&self, slot: usize) -> Option<&Series> {
        self.plain.get(slot).filter(|series| series.is_plain())
    }

    /// Is the number in use?
    pub(crate) fn is_live(&self, slot: usize) -> bool {
        self.plain.get(slot).is_some_and(Series::is_live)
    }

    /// Has the series no samples, neither in order nor late?
    pub(crate) fn is_empty(&self, slot: usize) -> bool {
        let in_order = self.plain.get(slot).is_some_and(|series| !series.is_empty());
        !in_order && !self.mixed.contains_key(&slot) && !self.late.has(slot)
    }

    /// Puts the number to use: the series has no samples.
    pub(crate) fn begin(&mut self, slot: usize) {
        self.put(slot, (Series::begun(), None));
    }

    /// Takes the number out of use. The samples are returned.
    pub(crate) fn take(&mut self, slot: usize) -> (Series, Option<Box<Mixed>>) {
        (self.plain.get_mut(slot).map(std::mem::take).unwrap_or_default(), self.mixed.remove(&slot))
    }

    /// Gives the series these samples.
    pub(crate) fn put(&mut self, slot: usize, samples: (Series, Option<Box<Mixed>>)) {
        if self.plain.len() <= slot {
            self.plain.resize_with(slot + 1, Series::default);
        }
        if let Some(place) = self.plain.get_mut(slot) {
            *place = samples.0;
        }
        self.mixed.extend(samples.1.map(|mixed| (slot, mixed)));
    }

    /// Puts a sample and when its counting began where it belongs; one at its time stays if `keeps_first`. For replay:
    /// the log holds only samples that were accepted, but those of batches that were written at the same time may stand
    /// in it in another order.
    pub(crate) fn insert(
        &mut self,
        slot: usize,
        timestamp: Timestamp,
        (value, start): (&Value, Timestamp),
        keeps_first: bool,
        sealer: &mut Sealer,
    ) {
        if self.newest(slot).is_none_or(|newest| timestamp > newest) {
            return self.push(slot, timestamp, value, start, sealer);
        }
        // Mostly one that the checkpoint has as well.
        if self.at(slot, timestamp).is_some_and(|stored| keeps_first || stored.is(value)) {
            return;
        }
        let mut all = SampleColumns::new();
        // The chunks were written by this process: they decode.
        drop(self.snapshot(slot, TimeRange::ALL).decode(TimeRange::ALL, &mut all));
        let (place, behind) = match all.timestamps.binary_search(&timestamp) {
            Ok(_) if keeps_first => return,
            Ok(place) => (place, place + 1),
            Err(place) => (place, place),
        };
        drop(self.take(slot));
        self.begin(slot);
        self.push_all(slot, &all, 0..place, sealer);
        self.push(slot, timestamp, value, start, sealer);
        self.push_all(slot, &all, behind..all.len(), sealer);
    }

    /// Puts a late sample in.
    pub(super) fn insert_late(&mut self, generation: Generation, sample: LateSample) {
        let timestamp = sample.timestamp();
        if self.newest(sample.slot()).is_none_or(|newest| newest < timestamp) {
            self.overtaken_until = self.overtaken_until.max(Some(timestamp));
        }
        self.late.insert(generation, sample);
    }

    /// May a sample at this time come behind all in order of its series and still meet a late one?
    #[inline]
    pub(super) fn may_meet_late(&self, timestamp: Timestamp) -> bool {
        self.overtaken_until.is_some_and(|until| timestamp <= until)
    }

    /// Samples in order are gone: what comes behind the rest may meet late samples.
    pub(super) fn note_overtaken(&mut self) {
        self.overtaken_until = self.overtaken_until.max(self.late.newest());
    }

    /// Forgets the samples of the series in order within `range`.
    pub(super) fn delete(&mut self, slot: usize, range: TimeRange, sealer: &mut Sealer) {
        let Some(times) = self.range(slot).filter(|times| times.overlaps(&range)) else { return };
        let mut rest = SampleColumns::new();
        for kept in outside(range).into_iter().flatten().filter(|kept| kept.overlaps(&times)) {
            // The chunks were written by this process: they decode.
            drop(self.snapshot(slot, kept).decode(kept, &mut rest));
        }
        drop(self.take(slot));
        self.begin(slot);
        self.push_all(slot, &rest, 0..rest.len(), sealer);
    }

    /// Forgets the chunks that have no sample at or after `min_time`.
    pub(crate) fn truncate(&mut self, min_time: Timestamp) {
        self.plain.iter_mut().for_each(|series| series.truncate(min_time));
        self.mixed.retain(|slot, mixed| {
            mixed.truncate(min_time);
            if let Some(series) = self.plain.get_mut(*slot).filter(|_| mixed.is_empty()) {
                series.set_plain();
            }
            !mixed.is_empty()
        });
    }

    /// Times of the first and the last sample.
    pub(crate) fn range(&self, slot: usize) -> Option<TimeRange> {
        let plain = self.plain.get(slot).and_then(Series::range);
        match self.mixed.get(&slot).and_then(|mixed| mixed.range()) {
            None => plain,
            Some(mixed) => Some(plain.map_or(mixed, |plain| plain.union(&mixed))),
        }
    }

    /// The first time at or after `min_time` at which any series has a sample; if not `exact`, perhaps `min_time`
    /// instead.
    pub(crate) fn first(&self, min_time: Timestamp, exact: bool) -> Option<Timestamp> {
        (0..self.plain.len()).filter_map(|slot| self.first_of(slot, min_time, exact)).min()
    }

    /// Takes the chunks of the series that may have samples within `range`.
    pub(crate) fn snapshot(&self, slot: usize, range: TimeRange) -> Taken {
        Taken {
            plain: self.plain.get(slot).map(|series| series.snapshot(range)).unwrap_or_default(),
            mixed: self.mixed.get(&slot).map(|mixed| mixed.snapshot(range)).unwrap_or_default(),
        }
    }

    /// An upper estimate of the samples of the series within `range`.
    pub(crate) fn estimate(&self, slot: usize, range: TimeRange) -> usize {
        let plain = self.plain.get(slot).map_or(0, |series| series.estimate(range));
        plain + self.mixed.get(&slot).map_or(0, |mixed| mixed.estimate(range))
    }

    /// Gives back memory if no series is in use.
    pub(crate) fn shrink(&mut self) {
        if !self.plain.iter().any(Series::is_live) {
            self.plain = Vec::new();
            self.mixed = BTreeMap::new();
        }
    }

    /// Bytes of memory in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        let plain: usize = self.plain.iter().map(Series::heap_bytes).sum();
        let mixed: usize = self.mixed.values().map(|mixed| mixed.memory_bytes()).sum();
        self.plain.capacity() * size_of::<Series>() + plain + mixed + self.late.bytes()
    }

    /// The time of the newest sample in order.
    pub(crate) fn newest(&self, slot: usize) -> Option<Timestamp> {
        let mixed = self.mixed.get(&slot).and_then(|mixed| mixed.newest());
        mixed.or_else(|| self.plain.get(slot)?.last())
    }

    /// Adds a sample that is newer than all others of the series.
    pub(crate) fn push(
        &mut self,
        slot: usize,
        timestamp: Timestamp,
        value: &Value,
        start: Timestamp,
        sealer: &mut Sealer,
    ) {
        let Some(series) = self.plain.get_mut(slot) else { return };
        if let Value::Float(value) = value
            && series.push(timestamp, *value, start, sealer)
        {
            return;
        }
        series.set_mixed();
        self.mixed.entry(slot).or_default().push(timestamp, value, start, sealer);
    }

    fn push_all(&mut self, slot: usize, all: &SampleColumns, part: Range<usize>, sealer: &mut Sealer) {
        for index in part {
            if let Some((timestamp, value)) = all.timestamps.get(index).zip(Value::at(all, index)) {
                self.push(slot, *timestamp, &value, all.start(index), sealer);
            }
        }
    }

    /// The sample in order at `timestamp`, if there is one.
    pub(crate) fn at(&self, slot: usize, timestamp: Timestamp) -> Option<Value> {
        let instant = TimeRange::instant(timestamp);
        let mut found = SampleColumns::new();
        self.snapshot(slot, instant).decode(instant, &mut found).ok()?;
        Value::at(&found, 0)
    }

    fn first_of(&self, slot: usize, min_time: Timestamp, exact: bool) -> Option<Timestamp> {
        let range = self.range(slot).filter(|range| range.end() >= min_time)?;
        if range.start() >= min_time || !exact {
            return Some(range.start().max(min_time));
        }
        let rest = TimeRange::new(min_time, range.end())?;
        let mut columns = SampleColumns::new();
        self.snapshot(slot, rest).decode(rest, &mut columns).ok()?;
        columns.timestamps.first().copied()
    }
}

/// The times before and after `range`.
fn outside(range: TimeRange) -> [Option<TimeRange>; 2] {
    let before = range.start().checked_sub(1).and_then(|end| TimeRange::new(Timestamp::MIN, end));
    let after = range.end().checked_add(1).and_then(|start| TimeRange::new(start, Timestamp::MAX));
    [before, after]
}

impl Taken {
    /// Appends the samples within `range` to `into`.
    pub(crate) fn decode(&self, range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
        self.plain.decode(range, into)?;
        self.mixed.decode(range, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::NO_START;
    use tsdb_core::histogram::{FloatHistogram, FloatParts};

    /// The sample at a time, one of four kinds.
    fn sample(timestamp: Timestamp) -> (Value, Timestamp) {
        let parts = FloatParts { count: timestamp as f64, ..FloatParts::default() };
        let histogram = || Value::Histogram(FloatHistogram::new(parts).unwrap().into());
        let start = if timestamp % 3 == 0 { 1000 + timestamp / 40 } else { NO_START };
        if timestamp / 60 % 2 == 1 { (histogram(), start) } else { (Value::Float(timestamp as f64), start) }
    }

    fn read(held: &Held, range: TimeRange) -> SampleColumns {
        let mut columns = SampleColumns::new();
        held.snapshot(3, range).decode(range, &mut columns).unwrap();
        columns
    }

    fn expected(times: impl Iterator<Item = Timestamp>) -> SampleColumns {
        let mut columns = SampleColumns::new();
        for timestamp in times {
            let (value, start) = sample(timestamp);
            match value {
                Value::Float(value) => columns.push(timestamp, value),
                Value::Histogram(histogram) => columns.push_histogram(timestamp, histogram),
            }
            columns.set_start(start);
        }
        columns.renew_reset_hints();
        columns
    }

    /// Everything, bit by bit: the stale markers beside histograms equal nothing as floats.
    fn bits(columns: SampleColumns) -> impl PartialEq + std::fmt::Debug {
        let values: Vec<u64> = columns.values.iter().map(|value| value.to_bits()).collect();
        (columns.timestamps, values, columns.histograms, columns.starts)
    }

    #[test]
    fn replayed_samples_of_all_kinds_go_where_they_belong() {
        let (mut held, mut sealer) = (Held::default(), Sealer::default());
        held.begin(3);
        for k in 0..300_i64 {
            let t = k * 7 % 300;
            let (value, start) = sample(t);
            held.insert(3, t, (&value, start), true, &mut sealer);
            held.insert(3, t, (&Value::Float(-1.0), start), true, &mut sealer);
            held.insert(3, t, (&value, start), false, &mut sealer);
        }
        assert!(bits(read(&held, TimeRange::ALL)) == bits(expected(0..300)));
        assert!(held.plain_mut(3).is_none() && held.is_live(3));
    }

    #[test]
    fn replayed_numbers_go_where_they_belong_and_stay_plain() {
        let (mut held, mut sealer) = (Held::default(), Sealer::default());
        held.begin(3);
        for k in 0..300_i64 {
            let t = k * 7 % 300;
            held.insert(3, t, (&Value::Float(t as f64), NO_START), true, &mut sealer);
            held.insert(3, t, (&Value::Float(-1.0), NO_START), true, &mut sealer);
        }
        let found = read(&held, TimeRange::ALL);
        assert!(found.timestamps.iter().copied().eq(0..300) && held.plain_mut(3).is_some());
    }

    #[test]
    fn deleted_samples_of_all_kinds_are_gone_and_can_come_again() {
        let (mut held, mut sealer) = (Held::default(), Sealer::default());
        held.begin(3);
        let push = |held: &mut Held, sealer: &mut Sealer, times: Range<Timestamp>| {
            for t in times {
                let (value, start) = sample(t);
                held.push(3, t, &value, start, sealer);
            }
        };
        push(&mut held, &mut sealer, 0..300);
        held.delete(3, TimeRange::new(100, 129).unwrap(), &mut sealer);
        assert!(bits(read(&held, TimeRange::ALL)) == bits(expected((0..100).chain(130..300))));
        held.delete(3, TimeRange::new(100, 129).unwrap(), &mut sealer);
        held.delete(3, TimeRange::new(250, 1000).unwrap(), &mut sealer);
        assert_eq!(held.newest(3), Some(249));
        push(&mut held, &mut sealer, 255..280);
        assert!(
            bits(read(&held, TimeRange::ALL)) == bits(expected((0..100).chain(130..250).chain(255..280)))
        );
        held.delete(3, TimeRange::ALL, &mut sealer);
        assert!(held.is_empty(3) && held.plain_mut(3).is_some());
    }

    #[test]
    fn a_series_becomes_mixed_behind_its_plain_samples_and_plain_again_when_they_are_gone() {
        let (mut held, mut sealer) = (Held::default(), Sealer::default());
        held.begin(3);
        for t in 0..400_i64 {
            let (value, start) = match t {
                0..130 => (Value::Float(t as f64), NO_START),
                _ => sample(t),
            };
            held.push(3, t, &value, start, &mut sealer);
        }
        assert!(held.at(3, 70).unwrap().is(&Value::Float(70.0)));
        assert!(held.at(3, 200).unwrap().is(&sample(200).0) && held.at(3, 400).is_none());
        assert_eq!(held.range(3), TimeRange::new(0, 399));
        assert_eq!(held.first(50, true), Some(50));
        let part = TimeRange::new(131, 350).unwrap();
        assert!(bits(read(&held, part)) == bits(expected(131..351)));
        held.truncate(400);
        assert!(held.is_empty(3) && held.plain_mut(3).is_some());
    }
}
