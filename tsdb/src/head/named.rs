//! Batches that name their series themselves, at replay: those whose series are known, and those that waited until all
//! were (see `replay`).

use super::exemplars::Kept;
use super::late::Generation;
use super::mixed::Value;
use super::replay::Replay;
use super::replay_batch::Other;
use crate::record::{Border, Delete, ExemplarSeries, RecordSink};
use crate::tombstones::Intervals;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Exemplar, Labels, NO_START, SeriesRef, TimeRange, Timestamp};

/// A named batch of which some samples wait.
pub(super) struct Deferred {
    /// Where the border was, and which generation its late samples belong to.
    pub(super) border: Border,
    pub(super) generation: Generation,
    pub(super) records: Vec<Vec<u8>>,
    /// For each series of the batch: were its samples taken?
    pub(super) taken: Vec<bool>,
}

/// What took samples of a batch away before they found their series.
pub(super) enum Since {
    Deleted(Delete),
    /// All that there was of the series is in blocks.
    Retired(Labels),
}

impl Since {
    /// Which samples of the series with these labels.
    fn range(&self, labels: &Labels) -> Option<TimeRange> {
        match self {
            Self::Deleted(delete) => delete.matches(labels).then_some(delete.range),
            Self::Retired(retired) => (retired == labels).then_some(TimeRange::ALL),
        }
    }
}

/// Takes the samples of a named batch whose series are known.
pub(super) struct NamedBatch<'r, 'scope, 'a> {
    replay: &'r mut Replay<'scope, 'a>,
    /// The series of the batch: their numbers in memory.
    places: Vec<Option<SeriesRef>>,
}

impl<'r, 'scope, 'a> NamedBatch<'r, 'scope, 'a> {
    pub(super) fn new(replay: &'r mut Replay<'scope, 'a>) -> Self {
        Self { replay, places: Vec::new() }
    }

    /// Which of its series were known.
    pub(super) fn known(self) -> Vec<bool> {
        self.places.iter().map(Option::is_some).collect()
    }

    fn take(&mut self, series: SeriesRef, timestamp: Timestamp, value: Value, start: Timestamp) {
        if let Some(place) = self.places.get(series.index()).copied().flatten() {
            self.replay.named_sample(&(place, timestamp, value, start));
        }
    }
}

impl RecordSink for NamedBatch<'_, '_, '_> {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let labels = self.replay.labels(series, labels);
        let place = labels.and_then(|labels| self.replay.find(&labels).known);
        self.places.push(place);
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.take(series, timestamp, Value::Float(value), NO_START);
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, start: Timestamp, value: f64) {
        self.take(series, timestamp, Value::Float(value), start);
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: FloatHistogram,
    ) {
        self.replay.head.memory.note_histogram();
        self.take(series, timestamp, Value::Histogram(histogram.into()), start);
    }

    /// Such a batch has only exemplars with the labels of their series. They got no number when they came in: a
    /// checkpoint may have them already, and then they are repetitions.
    fn exemplar(&mut self, _number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        if let ExemplarSeries::Labelled(labels) = series {
            let _: Kept = self.replay.head.memory.exemplars.write().push_labelled(labels, exemplar);
        }
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.replay.metadata(metric, metadata);
    }
}

/// Collects the samples of a named batch that waited for their series; those that are new get their numbers.
pub(super) struct WaitingBatch<'r, 'scope, 'a> {
    replay: &'r mut Replay<'scope, 'a>,
    /// The series of the batch whose samples did not wait.
    taken: &'r [bool],
    since: &'r [(usize, Since)],
    /// The series of the batch: their numbers in memory, if their samples are to be taken, and when these are gone.
    places: Vec<Option<(SeriesRef, Intervals)>>,
    samples: Vec<Other>,
}

impl<'r, 'scope, 'a> WaitingBatch<'r, 'scope, 'a> {
    pub(super) fn new(
        replay: &'r mut Replay<'scope, 'a>,
        taken: &'r [bool],
        since: &'r [(usize, Since)],
    ) -> Self {
        Self { replay, taken, since, places: Vec::new(), samples: Vec::new() }
    }

    pub(super) fn into_samples(self) -> Vec<Other> {
        self.samples
    }

    fn place(&mut self, labels: &Labels) -> Option<(SeriesRef, Intervals)> {
        let named = self.replay.find(labels);
        let place = named.known.or_else(|| self.replay.head.register_replayed(labels, named.hash))?;
        let gone = self.since.iter().filter_map(|(_, since)| since.range(labels));
        Some((place, gone.fold(Intervals::NONE, |gone, range| gone.with(range))))
    }

    fn collect(&mut self, series: SeriesRef, timestamp: Timestamp, value: Value, start: Timestamp) {
        if let Some(Some((place, gone))) = self.places.get(series.index())
            && !gone.contains(timestamp)
        {
            self.samples.push((*place, timestamp, value, start));
        }
    }
}

impl RecordSink for WaitingBatch<'_, '_, '_> {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let is_taken = self.taken.get(self.places.len()).copied().unwrap_or(false);
        let labels = if is_taken { None } else { self.replay.labels(series, labels) };
        let place = labels.and_then(|labels| self.place(&labels));
        self.places.push(place);
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.collect(series, timestamp, Value::Float(value), NO_START);
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, start: Timestamp, value: f64) {
        self.collect(series, timestamp, Value::Float(value), start);
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: FloatHistogram,
    ) {
        self.replay.head.memory.note_histogram();
        self.collect(series, timestamp, Value::Histogram(histogram.into()), start);
    }
}
