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

use super::exemplars::Kept;
use super::held::Held;
use super::late::{Generation, LateSample};
use super::log::Newest;
use super::mixed::Value;
use super::pages::{MAX_SERIES, page_number, slot};
use super::sealed::Sealer;
use super::{Duplicates, Head, Memory};
use crate::record::{Border, Decoded, ExemplarSeries, RecordSink, decode};
use parking_lot::MutexGuard;
use std::collections::BTreeMap;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::labels::write_wire;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Exemplar, Labels, NO_START, SeriesRef, Timestamp};

/// Takes records into memory.
pub(super) struct Replay<'a> {
    head: &'a Head,
    memory: &'a Memory,
    border: Border,
    /// The generation of the late samples that are being handed out.
    late: Option<Generation>,
    page: Option<(usize, MutexGuard<'a, Held>)>,
    segment: u64,
    newest: BTreeMap<u64, Newest>,
    /// The highest number that a sample has: no number up to it may be given out, whether its series is known or lost.
    highest: Option<SeriesRef>,
    /// Exemplars below this number that are in the log are in the checkpoint too, as far as they are kept.
    exemplars_from: u64,
    sealer: Sealer,
    deferred: Vec<Deferred>,
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

impl<'a> Replay<'a> {
    pub(super) fn new(head: &'a Head) -> Self {
        Self {
            head,
            memory: &head.memory,
            border: head.replayed(),
            late: None,
            page: None,
            segment: 0,
            newest: BTreeMap::new(),
            highest: None,
            exemplars_from: 0,
            sealer: Sealer::default(),
            deferred: Vec::new(),
            losses: Losses::default(),
        }
    }

    /// Takes a record of `segment`.
    pub(super) fn take(&mut self, segment: u64, record: &[u8]) {
        self.segment = segment;
        let decoded = decode(record, self);
        self.losses.count(decoded.map_err(|damage| damage.to_string()));
    }

    /// Is a page kept from others?
    pub(super) fn holds_a_page(&self) -> bool {
        self.page.is_some()
    }

    /// Lets go of the page that was written last, so that others may read it.
    pub(super) fn pause(&mut self) {
        self.page = None;
    }

    /// Ends replay of all records that give numbers to series: the batches that were put aside find theirs now.
    pub(super) fn settle(&mut self) {
        self.page = None;
        if let Some(highest) = self.highest.filter(|highest| highest.0 < MAX_SERIES) {
            self.memory.ids.lock().seen(highest);
        }
        for deferred in std::mem::take(&mut self.deferred) {
            let records: Vec<&[u8]> = deferred.records.iter().map(Vec::as_slice).collect();
            self.segment = deferred.segment;
            self.take_batch(&records, Unknown::Register, &deferred.taken);
        }
        // ORDER: queries lock the index and then pages, so nobody may keep a page and go for the index.
        self.page = None;
    }

    /// Takes the records of a named batch that was written after [`settle`](Self::settle).
    pub(super) fn take_settled(&mut self, segment: u64, record: &[u8]) {
        self.take(segment, record);
        if !self.deferred.is_empty() {
            self.settle();
        }
    }

    fn take_sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: &Value, start: Timestamp) {
        let newest = self.newest.entry(self.segment).or_default();
        match self.late {
            None => newest.add(timestamp),
            Some(generation) => newest.add_late(generation, timestamp),
        }
        self.highest = self.highest.max(Some(series));
        let from = self.late.map_or(Some(self.border.from), |generation| self.border.late_from(generation));
        if from.is_none_or(|from| timestamp < from) {
            return;
        }
        let (late, memory, keeps_first) = (self.late, self.memory, self.keeps_first());
        // Taken out and put back, because the page is borrowed meanwhile.
        let mut sealer = std::mem::take(&mut self.sealer);
        match (self.held(series), late) {
            (None, _) => self.losses.homeless += 1,
            (Some(held), Some(generation)) => {
                memory.late.insert(held, generation, LateSample::new(slot(series), timestamp, value, start));
            }
            (Some(held), None) => {
                held.insert(slot(series), timestamp, (value, start), keeps_first, &mut sealer);
                memory.widen(timestamp, timestamp);
            }
        }
        self.sealer = sealer;
    }

    /// What is in blocks, as far as is known.
    pub(super) fn border(&self) -> Border {
        self.border
    }

    /// Names what went wrong and returns what is in each segment.
    pub(super) fn finish(self) -> (BTreeMap<u64, Newest>, Vec<String>) {
        (self.newest, self.losses.sentences())
    }

    /// The page of `series`, if the number is in use.
    fn held(&mut self, series: SeriesRef) -> Option<&mut Held> {
        if self.page.as_ref().is_none_or(|(number, _)| *number != page_number(series)) {
            self.page = None;
            self.page = self.memory.pages.page(series).map(|page| (page_number(series), page.lock()));
        }
        let is_live = |held: &&mut Held| held.is_live(slot(series));
        self.page.as_mut().map(|(_, held)| &mut **held).filter(is_live)
    }

    /// Takes a sample of a batch that names its series: it may be anywhere in time.
    fn named_sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: &Value, start: Timestamp) {
        let stored = self.held(series).is_some_and(|held| held.late.find(slot(series), timestamp).is_some());
        if stored && self.keeps_first() {
            return;
        }
        if stored || timestamp < self.border.from {
            self.late = Some(self.memory.late.generation());
        }
        self.take_sample(series, timestamp, value, start);
        self.late = None;
    }

    fn keeps_first(&self) -> bool {
        self.head.settings.duplicates == Duplicates::KeepFirst
    }

    fn take_batch(&mut self, records: &[&[u8]], unknown: Unknown, taken: &[bool]) -> Vec<bool> {
        let mut batch = NamedBatch { replay: self, unknown, taken, places: Vec::new() };
        let decoded: Vec<_> = records.iter().map(|record| decode(record, &mut batch)).collect();
        let places = batch.places;
        decoded
            .into_iter()
            .for_each(|decoded| self.losses.count(decoded.map_err(|damage| damage.to_string())));
        places.iter().map(Option::is_some).collect()
    }

    /// The series with these labels, whoever registered it.
    fn find(&mut self, labels: &Labels, unknown: Unknown) -> Option<SeriesRef> {
        // The page is locked again to register.
        self.page = None;
        let mut wire = Vec::new();
        write_wire(labels, &mut wire);
        let hash = self.memory.identities.hash(&wire);
        let found = self.memory.identities.find(&self.memory.pages, hash, None, 0);
        match unknown {
            Unknown::Register if found.is_none() => self.head.register_replayed(labels, hash),
            _ => found,
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

impl RecordSink for Replay<'_> {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        // The page is locked again to register.
        self.page = None;
        if let Some(labels) = self.labels(series, labels) {
            self.memory.replay_series(series, &labels);
        }
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.take_sample(series, timestamp, &Value::Float(value), NO_START);
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, start: Timestamp, value: f64) {
        self.take_sample(series, timestamp, &Value::Float(value), start);
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: FloatHistogram,
    ) {
        self.memory.note_histogram();
        self.take_sample(series, timestamp, &Value::Histogram(histogram.into()), start);
    }

    fn late(&mut self, generation: Option<Generation>) {
        self.late = generation;
        if let Some(generation) = generation {
            self.memory.late.seen_generation(generation.saturating_sub(1));
        }
    }

    fn border(&mut self, border: Border) {
        self.border = self.border.or_later(border);
        self.memory.late.seen_generation(border.cut.max(border.flushed));
    }

    fn exemplar(&mut self, number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        let mut ring = self.memory.exemplars.write();
        match series {
            ExemplarSeries::Labelled(labels) => {
                let _: Kept = ring.push_labelled(labels, exemplar);
                self.exemplars_from = number.saturating_add(1);
            }
            // One that came in before the checkpoint stands in it, or was overwritten before.
            ExemplarSeries::Registered(series) if number >= self.exemplars_from => {
                self.highest = self.highest.max(Some(*series));
                let _: Kept = ring.push(*series, || self.memory.labels(*series), exemplar);
            }
            ExemplarSeries::Registered(_) => {}
        }
        ring.skip_numbers_below(number.saturating_add(1));
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.memory.metadata.write().insert(metric, metadata);
    }

    fn named_batch(&mut self, records: &[&[u8]]) {
        let taken = self.take_batch(records, Unknown::Defer, &[]);
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
struct NamedBatch<'r, 'a> {
    replay: &'r mut Replay<'a>,
    unknown: Unknown,
    /// The series of the batch whose samples were taken the first time.
    taken: &'r [bool],
    /// The series of the batch: their numbers in memory, if their samples are to be taken.
    places: Vec<Option<SeriesRef>>,
}

impl NamedBatch<'_, '_> {
    fn place(&self, series: SeriesRef) -> Option<SeriesRef> {
        self.places.get(series.index()).copied().flatten()
    }
}

impl RecordSink for NamedBatch<'_, '_> {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let is_taken = self.taken.get(self.places.len()).copied().unwrap_or(false);
        let labels = self.replay.labels(series, labels).filter(|_| !is_taken);
        let place = labels.and_then(|labels| self.replay.find(&labels, self.unknown));
        self.places.push(place);
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        if let Some(place) = self.place(series) {
            self.replay.named_sample(place, timestamp, &Value::Float(value), NO_START);
        }
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, start: Timestamp, value: f64) {
        if let Some(place) = self.place(series) {
            self.replay.named_sample(place, timestamp, &Value::Float(value), start);
        }
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: FloatHistogram,
    ) {
        if let Some(place) = self.place(series) {
            self.replay.memory.note_histogram();
            self.replay.named_sample(place, timestamp, &Value::Histogram(histogram.into()), start);
        }
    }

    /// Such a batch has only exemplars with the labels of their series. They got no number when they came in: a
    /// checkpoint may have them already, and then they are repetitions.
    fn exemplar(&mut self, _number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        if let ExemplarSeries::Labelled(labels) = series {
            let _: Kept = self.replay.memory.exemplars.write().push_labelled(labels, exemplar);
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
