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
//!
//! What memory has of such a series at the end was written behind the batch: samples that waited are older than all of it, and
//! those of a batch older than those of later batches. So they are taken from the end, and one at whose time there is
//! another takes its place if the first stays, and goes if the last does. What went into blocks when the border moved or
//! the series was retired since was written behind the batch too; that is not changed.

use super::Head;
use super::exemplars::Kept;
use super::lanes::Lanes;
use super::late::Generation;
use super::memory::Named;
use super::mixed::Value;
use super::named::{Deferred, NamedBatch, Since, WaitingBatch};
use super::pages::MAX_SERIES;
use super::replay_batch::{Batch, Other};
use crate::record::{Border, Decoded, Delete, ExemplarSeries, RecordSink, SeriesChunks, decode};
use std::thread::Scope;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::labels::LabelsMaker;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Corruption, Exemplar, Labels, SeriesRef, Timestamp};
use tsdb_index::RoaringBitmap;

/// Takes records into memory.
pub(super) struct Replay<'scope, 'a> {
    pub(super) head: &'a Head,
    lanes: Lanes<'scope, 'a>,
    /// Samples that no lane has yet.
    batch: Batch,
    border: Border,
    /// The generation of the late samples that are being handed out.
    late: Option<Generation>,
    /// The highest number that a sample has: no number up to it may be given out, whether its series is known or lost.
    highest: Option<SeriesRef>,
    /// Numbers of series that are gone and whose samples are in blocks.
    retired: RoaringBitmap,
    /// Exemplars below this number that are in the log are in the checkpoint too, as far as they are kept.
    exemplars_from: u64,
    deferred: Vec<Deferred>,
    /// What stands behind batches that were put aside and concerns their samples: behind how many.
    since: Vec<(usize, Since)>,
    /// Working memory.
    wire: Vec<u8>,
    maker: LabelsMaker,
    losses: Losses,
}

/// What could not be taken.
#[derive(Debug, Default)]
struct Losses {
    homeless: u64,
    chunks: u64,
    damaged: u64,
    first_damage: Option<String>,
    unknown_tags: u64,
}

impl<'scope, 'a> Replay<'scope, 'a> {
    /// Into `head`; threads that help are of `scope`.
    pub(super) fn new(head: &'a Head, scope: &'scope Scope<'scope, 'a>) -> Self {
        let border = head.replayed();
        let lanes = Lanes::new(scope, head);
        let batch = lanes.batch(None, Some(border.from));
        Self {
            head,
            lanes,
            batch,
            border,
            late: None,
            highest: None,
            retired: RoaringBitmap::new(),
            exemplars_from: 0,
            deferred: Vec::new(),
            since: Vec::new(),
            wire: Vec::new(),
            maker: LabelsMaker::new(),
            losses: Losses::default(),
        }
    }

    /// Takes a record. Its samples may not be in memory before [`pause`](Self::pause).
    pub(super) fn take(&mut self, record: &[u8]) {
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
        let since = std::mem::take(&mut self.since);
        let mut deferred: Vec<_> = std::mem::take(&mut self.deferred).into_iter().enumerate().collect();
        while let Some((place, deferred)) = deferred.pop() {
            let later = since.get(since.partition_point(|(behind, _)| *behind <= place)..);
            let waiting = self.waiting(&deferred, later.unwrap_or_default());
            waiting.iter().rev().for_each(|sample| self.take_waiting(sample, &deferred));
        }
    }

    /// Takes a sample of a batch that was put aside, unless it is in blocks.
    fn take_waiting(&mut self, sample: &Other, of: &Deferred) {
        let is_late = sample.1 < of.border.from;
        let from = if is_late { self.border.late_from(of.generation) } else { Some(self.border.from) };
        if from.is_some_and(|from| sample.1 >= from) {
            self.lanes.take_waiting(sample, of.border.from);
            self.highest = self.highest.max(Some(sample.0));
        }
    }

    /// Takes the records of a named batch that was written after [`settle`](Self::settle).
    pub(super) fn take_settled(&mut self, record: &[u8]) {
        self.take(record);
        if !self.deferred.is_empty() {
            self.settle();
        }
    }

    #[inline]
    fn is_retired(&self, series: SeriesRef) -> bool {
        !self.retired.is_empty() && self.retired.contains(series.0)
    }

    /// Takes numbers of one time and of neighbouring series, all of which are registered.
    fn take_run(&mut self, series: SeriesRef, timestamp: Timestamp, values: &[[u8; 8]]) {
        if self.batch.is_full_for(false) {
            self.hand_over();
        }
        self.batch.push_run(series, timestamp, values);
    }

    fn take_other(&mut self, sample: Other) {
        self.highest = self.highest.max(Some(sample.0));
        if self.is_retired(sample.0) {
            return;
        }
        if self.batch.is_full_for(true) {
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

    /// Names what went wrong.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.pause();
        self.losses.homeless = self.lanes.homeless();
        self.losses.chunks = self.lanes.damaged_chunks();
        self.losses.sentences()
    }

    /// Takes a sample of a batch that names its series.
    pub(super) fn named_sample(&mut self, sample: &Other) {
        self.lanes.take_named(sample, self.border.from);
        self.highest = self.highest.max(Some(sample.0));
    }

    /// Takes a named batch, as far as its series are known. Says which were.
    fn take_batch(&mut self, records: &[&[u8]]) -> Vec<bool> {
        // Its samples look for others at their time.
        self.pause();
        let mut batch = NamedBatch::new(self);
        let decoded: Vec<_> = records.iter().map(|record| decode(record, &mut batch)).collect();
        let known = batch.known();
        self.losses.count_all(decoded);
        known
    }

    /// The samples of a batch that waited, but for those that are gone `since`.
    fn waiting(&mut self, deferred: &Deferred, since: &[(usize, Since)]) -> Vec<Other> {
        let mut batch = WaitingBatch::new(self, &deferred.taken, since);
        let decoded: Vec<_> = deferred.records.iter().map(|record| decode(record, &mut batch)).collect();
        let samples = batch.into_samples();
        self.losses.count_all(decoded);
        samples
    }

    /// The series with these labels, whoever registered it.
    pub(super) fn find(&mut self, labels: &Labels) -> Named {
        self.head.memory.name(labels, &mut self.wire)
    }

    pub(super) fn labels(&mut self, series: SeriesRef, labels: &[(&str, &str)]) -> Option<Labels> {
        let valid = self.maker.make(labels.iter().copied()).filter(|labels| !labels.is_empty());
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
        let hash = memory.hash(&labels, &mut self.wire);
        if memory.replay_new(series, hash) {
            return self.lanes.index(series, labels);
        }
        let named = memory.find_named(hash);
        if memory.is_in_conflict(series, &named) {
            // The samples so far are those of who had the number, or of another number that these labels had.
            self.pause();
        }
        memory.replay_series(series, &labels, &named);
    }

    fn samples(&mut self, series: SeriesRef, timestamp: Timestamp, values: &[[u8; 8]]) {
        let Some(further) = values.len().checked_sub(1) else { return };
        // The decoder saw to it that the last series has a number.
        self.highest = self.highest.max(Some(SeriesRef(series.0.saturating_add(further as u32))));
        if self.retired.is_empty() {
            return self.take_run(series, timestamp, values);
        }
        for (series, value) in (series.0..).map(SeriesRef).zip(values.chunks(1)) {
            if !self.is_retired(series) {
                self.take_run(series, timestamp, value);
            }
        }
    }

    fn chunks(&mut self, chunks: SeriesChunks) {
        self.highest = self.highest.max(Some(chunks.series));
        if !self.is_retired(chunks.series) {
            if !self.batch.is_empty() {
                self.hand_over();
            }
            self.lanes.restore(chunks);
        }
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
        if !self.deferred.is_empty() {
            let retired = self.head.memory.labels(series).map(Since::Retired);
            self.since.extend(retired.map(|retired| (self.deferred.len(), retired)));
        }
        self.head.memory.forget_retired(series);
    }

    fn newest(&mut self, newest: Timestamp) {
        // It may be that of a sample that was deleted since.
        self.head.memory.see(newest);
    }

    fn border(&mut self, border: Border) {
        self.border = self.border.or_later(border);
        self.hand_over();
        self.head.memory.late.seen_generation(border.cut.max(border.flushed));
    }

    fn exemplar(&mut self, number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        // The ring asks for the labels of series.
        self.lanes.settle_index();
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
            self.since.push((self.deferred.len(), Since::Deleted(delete.clone())));
        }
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.head.memory.metadata.write().insert(metric, metadata);
    }

    fn named_batch(&mut self, records: &[&[u8]]) {
        let taken = self.take_batch(records);
        if taken.contains(&false) {
            let records = records.iter().map(|record| record.to_vec()).collect();
            let (border, generation) = (self.border, self.head.memory.late.generation());
            self.deferred.push(Deferred { border, generation, records, taken });
        }
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

    fn count_all(&mut self, decoded: Vec<Result<Decoded, Corruption>>) {
        decoded.into_iter().for_each(|decoded| self.count(decoded.map_err(|damage| damage.to_string())));
    }

    fn sentences(self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(first) = self.first_damage {
            sentences.push(format!("log: {} records are damaged; the first: {first}", self.damaged));
        }
        if self.homeless > 0 {
            sentences.push(format!("log: {} samples are of series whose record is lost", self.homeless));
        }
        if self.chunks > 0 {
            sentences.push(format!("checkpoint: {} open chunks are damaged", self.chunks));
        }
        if self.unknown_tags > 0 {
            sentences.push(format!("log: {} records of unknown kinds were skipped", self.unknown_tags));
        }
        sentences
    }
}
