//! Records of the log into memory.
//!
//! Samples on the other side of the border that the checkpoint and the records of the log state are skipped: they are in
//! blocks. What blocks there are says nothing of that: somebody may have put one there. What is damaged is counted and
//! named; the rest is taken. Replay never refuses what was acknowledged: no limit on series, skew or
//! order applies to it.
//!
//! # Batches that name their series themselves
//! They were taken while an earlier replay went on (see `recovery`). A series that such a batch names and memory does
//! not know yet may get its number from a record further on, so its samples wait: the batch is put aside and read
//! again at the end, when every number is known. Series still unknown then are new and get a number of their own.
//! Samples of such a batch from before the border are late ones: all that is in blocks was written before it.

use super::Head;
use super::exemplars::Kept;
use super::lanes::{BATCH_SAMPLES, Batch, Lanes, Number, Other};
use super::late::Generation;
use super::log::Newest;
use super::mixed::Value;
use super::pages::MAX_SERIES;
use crate::record::{Border, Decoded, Delete, ExemplarSeries, RecordSink, decode};
use crate::tombstones::Intervals;
use std::collections::BTreeMap;
use std::thread::Scope;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Exemplar, Labels, NO_START, SeriesRef, Timestamp};
use tsdb_index::RoaringBitmap;

/// Takes records into memory.
pub(super) struct Replay<'scope, 'a> {
    head: &'a Head,
    lanes: Lanes<'scope, 'a>,
    /// Samples that no lane has yet.
    batch: Batch,
    border: Border,
    /// The generation of the late samples that are being handed out.
    late: Option<Generation>,
    segment: u64,
    newest_here: Newest,
    /// Of the segments before.
    newest: BTreeMap<u64, Newest>,
    /// The highest number that a sample has: no number up to it may be given out, whether its series is known or lost.
    highest: Option<SeriesRef>,
    /// Numbers of series that are gone and whose samples are in blocks.
    retired: RoaringBitmap,
    /// Exemplars below this number that are in the log are in the checkpoint too, as far as they are kept.
    exemplars_from: u64,
    deferred: Vec<Deferred>,
    /// Deletes that stand behind batches that were put aside: behind how many.
    deletes: Vec<(usize, Delete)>,
    /// Working memory.
    wire: Vec<u8>,
    losses: Losses,
}

/// A named batch of which some samples wait.
struct Deferred {
    segment: u64,
    records: Vec<Vec<u8>>,
    /// For each series of the batch: were its samples taken?
    taken: Vec<bool>,
}

/// What could not be taken.
#[derive(Debug, Default)]
struct Losses {
    homeless: u64,
    damaged: u64,
    first_damage: Option<String>,
    unknown_tags: u64,
}

impl<'scope, 'a> Replay<'scope, 'a> {
    /// Into `head`; threads that help are of `scope`.
    pub(super) fn new(head: &'a Head, scope: &'scope Scope<'scope, 'a>) -> Self {
        let border = head.replayed();
        Self {
            head,
            lanes: Lanes::new(scope, head),
            batch: Batch { from: Some(border.from), ..Batch::default() },
            border,
            late: None,
            segment: 0,
            newest_here: Newest::default(),
            newest: BTreeMap::new(),
            highest: None,
            retired: RoaringBitmap::new(),
            exemplars_from: 0,
            deferred: Vec::new(),
            deletes: Vec::new(),
            wire: Vec::new(),
            losses: Losses::default(),
        }
    }

    /// Takes a record of `segment`. Its samples may not be in memory before [`pause`](Self::pause).
    pub(super) fn take(&mut self, segment: u64, record: &[u8]) {
        if self.segment != segment {
            self.end_segment();
            self.segment = segment;
        }
        let decoded = decode(record, self);
        self.losses.count(decoded.map_err(|damage| damage.to_string()));
    }

    /// Returns when all that was taken is in memory.
    pub(super) fn pause(&mut self) {
        self.hand_over();
        self.lanes.settle();
    }

    /// Ends replay of all records that give numbers to series: the batches that were put aside find theirs now.
    pub(super) fn settle(&mut self) {
        self.pause();
        if let Some(highest) = self.highest.filter(|highest| highest.0 < MAX_SERIES) {
            self.head.memory.ids.lock().seen(highest);
        }
        self.end_segment();
        let deletes = std::mem::take(&mut self.deletes);
        for (place, deferred) in std::mem::take(&mut self.deferred).into_iter().enumerate() {
            let records: Vec<&[u8]> = deferred.records.iter().map(Vec::as_slice).collect();
            self.segment = deferred.segment;
            let later = deletes.get(deletes.partition_point(|(behind, _)| *behind <= place)..);
            let later = later.unwrap_or_default();
            self.take_batch(&records, Unknown::Register, &deferred.taken, later);
            self.end_segment();
        }
    }

    /// Takes the records of a named batch that was written after [`settle`](Self::settle).
    pub(super) fn take_settled(&mut self, segment: u64, record: &[u8]) {
        self.take(segment, record);
        if !self.deferred.is_empty() {
            self.settle();
        }
    }

    fn end_segment(&mut self) {
        self.newest.entry(self.segment).or_default().merge(&std::mem::take(&mut self.newest_here));
    }

    #[inline]
    fn note(&mut self, series: SeriesRef, timestamp: Timestamp) {
        match self.late {
            None => self.newest_here.add(timestamp),
            Some(generation) => self.newest_here.add_late(generation, timestamp),
        }
        self.highest = self.highest.max(Some(series));
    }

    #[inline]
    fn is_retired(&self, series: SeriesRef) -> bool {
        !self.retired.is_empty() && self.retired.contains(series.0)
    }

    #[inline]
    fn take_number(&mut self, sample: Number) {
        self.note(sample.0, sample.1);
        if self.is_retired(sample.0) {
            return;
        }
        if self.batch.numbers.len() >= BATCH_SAMPLES || !self.batch.others.is_empty() {
            self.hand_over();
        }
        self.batch.numbers.push(sample);
    }

    fn take_other(&mut self, sample: Other) {
        self.note(sample.0, sample.1);
        if self.is_retired(sample.0) {
            return;
        }
        if self.batch.others.len() >= BATCH_SAMPLES || !self.batch.numbers.is_empty() {
            self.hand_over();
        }
        self.batch.others.push(sample);
    }

    /// Gives the samples collected so far to the lanes. Those behind them may be taken in another way.
    fn hand_over(&mut self) {
        let late = self.late;
        let from = late.map_or(Some(self.border.from), |generation| self.border.late_from(generation));
        let next = self.lanes.batch(late, from);
        self.lanes.take(std::mem::replace(&mut self.batch, next));
    }

    /// What is in blocks, as far as is known.
    pub(super) fn border(&self) -> Border {
        self.border
    }

    /// Names what went wrong and returns what is in each segment.
    pub(super) fn finish(mut self) -> (BTreeMap<u64, Newest>, Vec<String>) {
        self.pause();
        self.end_segment();
        self.losses.homeless = self.lanes.homeless();
        (self.newest, self.losses.sentences())
    }

    /// Takes a sample of a batch that names its series.
    fn named_sample(&mut self, sample: &Other) {
        self.late = self.lanes.take_named(sample, &self.border);
        self.note(sample.0, sample.1);
        self.late = None;
    }

    /// Takes a named batch, but for what `deletes` that stand behind it mean. Says which of its series were known.
    fn take_batch(
        &mut self,
        records: &[&[u8]],
        unknown: Unknown,
        taken: &[bool],
        deletes: &[(usize, Delete)],
    ) -> Vec<bool> {
        // Its samples look for others at their time.
        self.pause();
        let (places, deleted) = (Vec::new(), Vec::new());
        let mut batch = NamedBatch { replay: self, unknown, taken, deletes, places, deleted };
        let decoded: Vec<_> = records.iter().map(|record| decode(record, &mut batch)).collect();
        let places = batch.places;
        decoded
            .into_iter()
            .for_each(|decoded| self.losses.count(decoded.map_err(|damage| damage.to_string())));
        places.iter().map(Option::is_some).collect()
    }

    /// The series with these labels, whoever registered it.
    fn find(&mut self, labels: &Labels, unknown: Unknown) -> Option<SeriesRef> {
        let named = self.head.memory.name(labels, &mut self.wire);
        match unknown {
            Unknown::Register if named.known.is_none() => self.head.register_replayed(labels, named.hash),
            _ => named.known,
        }
    }

    fn labels(&mut self, series: SeriesRef, labels: &[(&str, &str)]) -> Option<Labels> {
        let valid = Labels::from_sorted_pairs(labels.iter().copied()).filter(|labels| !labels.is_empty());
        if valid.is_none() {
            self.losses.count(Err(format!("labels of series {} are invalid", series.0)));
        }
        valid
    }
}

impl RecordSink for Replay<'_, '_> {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let Some(labels) = self.labels(series, labels) else { return };
        self.retired.remove(series.0);
        let memory = &self.head.memory;
        let named = memory.name(&labels, &mut self.wire);
        if memory.is_in_conflict(series, &named) {
            // The samples so far are those of who had the number, or of another number that these labels had.
            self.pause();
        }
        memory.replay_series(series, &labels, &named);
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.take_number((series, timestamp, value));
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, start: Timestamp, value: f64) {
        self.take_other((series, timestamp, Value::Float(value), start));
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: FloatHistogram,
    ) {
        self.head.memory.note_histogram();
        self.take_other((series, timestamp, Value::Histogram(histogram.into()), start));
    }

    fn late(&mut self, generation: Option<Generation>) {
        self.late = generation;
        self.hand_over();
        if let Some(generation) = generation {
            self.head.memory.late.seen_generation(generation.saturating_sub(1));
        }
    }

    fn retired(&mut self, series: SeriesRef) {
        // Its samples before this record must be in memory, to be forgotten.
        self.pause();
        self.retired.insert(series.0);
        self.head.memory.forget_retired(series);
    }

    fn border(&mut self, border: Border) {
        self.border = self.border.or_later(border);
        self.hand_over();
        self.head.memory.late.seen_generation(border.cut.max(border.flushed));
    }

    fn exemplar(&mut self, number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        let mut ring = self.head.memory.exemplars.write();
        match series {
            ExemplarSeries::Labelled(labels) => {
                let _: Kept = ring.push_labelled(labels, exemplar);
                self.exemplars_from = number.saturating_add(1);
            }
            // One that came in before the checkpoint stands in it, or was overwritten before.
            ExemplarSeries::Registered(series) if number >= self.exemplars_from => {
                self.highest = self.highest.max(Some(*series));
                let _: Kept = ring.push(*series, || self.head.memory.labels(*series), exemplar);
            }
            ExemplarSeries::Registered(_) => {}
        }
        ring.skip_numbers_below(number.saturating_add(1));
    }

    fn delete(&mut self, delete: &Delete) {
        // All that stands before it must be in memory.
        self.pause();
        self.head.memory.delete(delete);
        if delete.exemplars >= self.exemplars_from {
            self.head.memory.delete_exemplars(delete);
        }
        if !self.deferred.is_empty() {
            self.deletes.push((self.deferred.len(), delete.clone()));
        }
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.head.memory.metadata.write().insert(metric, metadata);
    }

    fn named_batch(&mut self, records: &[&[u8]]) {
        let taken = self.take_batch(records, Unknown::Defer, &[], &[]);
        if taken.contains(&false) {
            let records = records.iter().map(|record| record.to_vec()).collect();
            self.deferred.push(Deferred { segment: self.segment, records, taken });
        }
    }
}

/// What becomes of a series that a named batch names and nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// Its samples wait.
    Defer,
    /// It is registered.
    Register,
}

/// Translates the numbers of a named batch into those of memory.
struct NamedBatch<'r, 'scope, 'a> {
    replay: &'r mut Replay<'scope, 'a>,
    unknown: Unknown,
    /// The series of the batch whose samples were taken the first time.
    taken: &'r [bool],
    /// Deletes that stand behind the batch in the log, and were applied before its samples found their series.
    deletes: &'r [(usize, Delete)],
    /// The series of the batch: their numbers in memory, if their samples are to be taken.
    places: Vec<Option<SeriesRef>>,
    /// What the deletes mean of them; empty if there are no deletes.
    deleted: Vec<Intervals>,
}

impl NamedBatch<'_, '_, '_> {
    /// The series in memory that takes a sample, if one does.
    fn place(&self, series: SeriesRef, timestamp: Timestamp) -> Option<SeriesRef> {
        let is_deleted = self.deleted.get(series.index()).is_some_and(|deleted| deleted.contains(timestamp));
        self.places.get(series.index()).copied().flatten().filter(|_| !is_deleted)
    }
}

impl RecordSink for NamedBatch<'_, '_, '_> {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let is_taken = self.taken.get(self.places.len()).copied().unwrap_or(false);
        let labels = self.replay.labels(series, labels).filter(|_| !is_taken);
        let place = labels.as_ref().and_then(|labels| self.replay.find(labels, self.unknown));
        self.places.push(place);
        if let Some(labels) = labels.filter(|_| !self.deletes.is_empty()) {
            let meant =
                self.deletes.iter().map(|(_, delete)| delete).filter(|delete| delete.matches(&labels));
            let deleted = meant.fold(Intervals::NONE, |deleted, delete| deleted.with(delete.range));
            self.deleted.resize(self.places.len() - 1, Intervals::NONE);
            self.deleted.push(deleted);
        }
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        if let Some(place) = self.place(series, timestamp) {
            self.replay.named_sample(&(place, timestamp, Value::Float(value), NO_START));
        }
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, start: Timestamp, value: f64) {
        if let Some(place) = self.place(series, timestamp) {
            self.replay.named_sample(&(place, timestamp, Value::Float(value), start));
        }
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: FloatHistogram,
    ) {
        if let Some(place) = self.place(series, timestamp) {
            self.replay.head.memory.note_histogram();
            self.replay.named_sample(&(place, timestamp, Value::Histogram(histogram.into()), start));
        }
    }

    /// Such a batch has only exemplars with the labels of their series. They got no number when they came in: a
    /// checkpoint may have them already, and then they are repetitions. All of them are taken the first time.
    fn exemplar(&mut self, _number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        if let ExemplarSeries::Labelled(labels) = series
            && self.unknown == Unknown::Defer
        {
            let _: Kept = self.replay.head.memory.exemplars.write().push_labelled(labels, exemplar);
        }
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.replay.metadata(metric, metadata);
    }
}

impl Losses {
    fn count(&mut self, decoded: Result<Decoded, String>) {
        match decoded {
            Ok(Decoded::UnknownTag(_)) => self.unknown_tags += 1,
            Ok(_) => {}
            Err(damage) => {
                self.damaged += 1;
                self.first_damage.get_or_insert(damage);
            }
        }
    }

    fn sentences(self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(first) = self.first_damage {
            sentences.push(format!("log: {} records are damaged; the first: {first}", self.damaged));
        }
        if self.homeless > 0 {
            sentences.push(format!("log: {} samples are of series whose record is lost", self.homeless));
        }
        if self.unknown_tags > 0 {
            sentences.push(format!("log: {} records of unknown kinds were skipped", self.unknown_tags));
        }
        sentences
    }
}
