//! The head's side of the write-ahead log: what must be written, in which order.
//!
//! # Order
//! A batch is first applied to memory, then logged, then acknowledged. Three rules make that safe:
//!
//! 1. *Series before samples.* Whoever registers a series leaves it in `unlogged` before anyone can find it; every
//!    batch writes what is in there ahead of its samples, in the same append. So no samples record precedes the
//!    record of its series, whoever registered it.
//! 2. *Nothing is forgotten.* Samples that are in memory and could not be logged stay in the backlog, which is
//!    written before anything else. While it cannot be written, batches are refused before they touch memory, so
//!    the backlog holds no more than the batches that were under way when the log failed.
//! 3. *A repetition proves nothing.* A batch that repeats samples of another waits until that other batch is logged
//!    ([`Log::barrier`]) and, if batches wait for the disk, until it is durable.
//!
//! Batches that run at the same time may be logged in another order than they were applied; replay puts their
//! samples where they belong.

use super::late::Generation;
use super::mixed::Value;
use crate::record::{
    Border, ExemplarSeries, ExemplarsEncoder, HistogramsEncoder, SamplesEncoder, SeriesEncoder,
    encode_border, encode_late, encode_metadata, encode_newest, encode_retired,
};
use crate::wal::{Position, Wal, WalError};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tsdb_core::metadata::Metadata;
use tsdb_core::{Exemplar, Labels, SeriesRef, Timestamp};

/// Samples in one record at most, so that no record comes near the limit of the log.
const RECORD_SAMPLES: usize = 1 << 16;
/// Series in one record at most.
const RECORD_SERIES: usize = 1 << 12;
/// Bytes at which a record of series, histograms or exemplars is finished: labels and histograms may be long.
pub(super) const RECORD_BYTES: usize = 1 << 20;

/// Should the record that `series` collects be finished before it takes another?
pub(super) fn is_full(series: &SeriesEncoder) -> bool {
    series.len() >= RECORD_SERIES || series.byte_len() >= RECORD_BYTES
}

/// The log of a head.
#[derive(Debug)]
pub(crate) struct Log {
    wal: Wal,
    state: Mutex<State>,
    unlogged: Mutex<Unlogged>,
    /// Held shared while a batch is in memory and not yet in the log.
    under_way: RwLock<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Records that should be in the log and are not.
    backlog: Vec<Vec<u8>>,
    last: Option<Position>,
}

/// Series and metadata that no record names yet.
#[derive(Debug, Default)]
struct Unlogged {
    series: SeriesEncoder,
    records: Vec<Vec<u8>>,
}

/// The samples of one batch on their way to the log. Kept and reused.
#[derive(Debug, Default)]
pub(crate) struct Records {
    encoder: SamplesEncoder,
    histograms: HistogramsEncoder,
    exemplars: ExemplarsEncoder,
    late: SamplesEncoder,
    late_histograms: HistogramsEncoder,
    generation: Generation,
    records: Vec<Vec<u8>>,
}

impl Records {
    /// Begins a batch whose late samples are of `generation`.
    pub(crate) fn begin(&mut self, generation: Generation) {
        self.generation = generation;
    }

    /// The generation of the late samples that are added.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// Adds a late sample that was stored, and when its counting began.
    pub(crate) fn push_late(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        value: &Value,
        start: Timestamp,
    ) {
        match value {
            Value::Float(value) => self.late.push_started(series, timestamp, start, *value),
            Value::Histogram(histogram) => self.late_histograms.push(series, timestamp, start, histogram),
        }
        if self.late.len() >= RECORD_SAMPLES || self.late_histograms.byte_len() >= RECORD_BYTES {
            self.finish_late();
        }
    }

    fn finish_late(&mut self) {
        let mut samples = Vec::new();
        self.late.finish(&mut samples);
        self.keep_late(&samples);
        samples.clear();
        self.late_histograms.finish(&mut samples);
        self.keep_late(&samples);
    }

    fn keep_late(&mut self, samples: &[u8]) {
        if !samples.is_empty() {
            let mut record = Vec::with_capacity(samples.len() + 16);
            encode_late(self.generation, samples, &mut record);
            self.keep(record);
        }
    }

    /// Adds a number that was stored, and when its counting began.
    #[inline]
    pub(crate) fn push(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64, start: Timestamp) {
        self.encoder.push_started(series, timestamp, start, value);
        if self.encoder.len() >= RECORD_SAMPLES {
            self.finish();
        }
    }

    /// Adds a sample of any kind that was stored, and when its counting began.
    pub(crate) fn push_other(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        value: &Value,
        start: Timestamp,
    ) {
        match value {
            Value::Float(value) => self.encoder.push_started(series, timestamp, start, *value),
            Value::Histogram(histogram) => self.histograms.push(series, timestamp, start, histogram),
        }
        if self.encoder.len() >= RECORD_SAMPLES || self.histograms.byte_len() >= RECORD_BYTES {
            self.finish();
        }
    }

    /// Adds an exemplar that was stored.
    pub(crate) fn push_exemplar(&mut self, number: u64, series: SeriesRef, exemplar: &Exemplar) {
        self.exemplars.push(number, ExemplarSeries::Registered(series), exemplar);
        if self.exemplars.byte_len() >= RECORD_BYTES {
            self.finish();
        }
    }

    /// Adds a finished record.
    pub(crate) fn push_record(&mut self, record: Vec<u8>) {
        self.finish();
        self.records.push(record);
    }

    /// Takes the records out, and forgets them.
    pub(crate) fn take(&mut self) -> Vec<Vec<u8>> {
        self.finish();
        std::mem::take(&mut self.records)
    }

    fn finish(&mut self) {
        let mut record = Vec::new();
        self.encoder.finish(&mut record);
        self.keep(record);
        let mut record = Vec::new();
        self.histograms.finish(&mut record);
        self.keep(record);
        let mut record = Vec::new();
        self.exemplars.finish(&mut record);
        self.keep(record);
        self.finish_late();
    }

    fn keep(&mut self, record: Vec<u8>) {
        if !record.is_empty() {
            self.records.push(record);
        }
    }
}

impl Log {
    /// Over an opened log.
    pub(crate) fn new(wal: Wal) -> Self {
        Self { wal, state: Mutex::default(), unlogged: Mutex::default(), under_way: RwLock::new(()) }
    }

    pub(crate) fn wal(&self) -> &Wal {
        &self.wal
    }

    /// Announces a batch that is about to touch memory. Fails, and memory must stay as it is, while there is a
    /// backlog that cannot be written.
    pub(crate) fn begin(&self) -> Result<RwLockReadGuard<'_, ()>, WalError> {
        self.write(&mut self.state.lock())?;
        Ok(self.under_way.read())
    }

    /// Returns when every batch that was in memory before this call is in the log or in the backlog.
    pub(crate) fn barrier(&self) {
        drop(self.under_way.write());
    }

    /// Keeps batches from beginning while it is held; none is under way.
    pub(crate) fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.under_way.write()
    }

    /// Logs that what lies on the other side of `border` is in blocks.
    pub(crate) fn add_border(&self, border: Border) -> Result<(), WalError> {
        let mut record = Vec::new();
        encode_border(border, &mut record);
        let mut state = self.state.lock();
        state.backlog.push(record);
        self.write(&mut state)
    }

    /// Logs that no sample so far is newer than this.
    pub(crate) fn add_newest(&self, newest: Timestamp) -> Result<(), WalError> {
        let mut record = Vec::new();
        encode_newest(newest, &mut record);
        let mut state = self.state.lock();
        state.backlog.push(record);
        self.write(&mut state)
    }

    /// Logs the record of a delete: of what is in memory, and of nothing that comes later. No batch may be under way.
    /// After an error it is in the backlog.
    pub(crate) fn add_delete(&self, record: Vec<u8>) -> Result<(), WalError> {
        let mut state = self.state.lock();
        self.unlogged.lock().take(&mut state.backlog);
        state.backlog.push(record);
        self.write(&mut state)
    }

    /// Logs that these series, in ascending order, were removed and that their samples are in blocks.
    pub(crate) fn add_retired(&self, series: &[SeriesRef]) -> Result<(), WalError> {
        let mut state = self.state.lock();
        for part in series.chunks(RECORD_SAMPLES) {
            let mut record = Vec::new();
            encode_retired(part, &mut record);
            state.backlog.push(record);
        }
        self.write(&mut state)
    }

    /// Leaves a series for the next batch to log. To be called before anyone can find the series.
    pub(crate) fn add_series(&self, series: SeriesRef, labels: &Labels) {
        let mut unlogged = self.unlogged.lock();
        unlogged.series.push(series, labels);
        if is_full(&unlogged.series) {
            unlogged.finish_series();
        }
    }

    /// Leaves metadata for the next batch to log.
    pub(crate) fn add_metadata(&self, metric: &str, metadata: &Metadata) {
        let mut record = Vec::new();
        encode_metadata(metric, metadata, &mut record);
        self.unlogged.lock().records.push(record);
    }

    /// Logs the samples of a batch, and everything that must stand before them. After an error all of it is in the
    /// backlog.
    pub(crate) fn append(&self, batch: &mut Records) -> Result<(), WalError> {
        batch.finish();
        let mut state = self.state.lock();
        // ORDER: the series that the samples refer to stand before them.
        self.unlogged.lock().take(&mut state.backlog);
        state.backlog.append(&mut batch.records);
        self.write(&mut state)
    }

    /// Waits until everything that is in the log now is durable.
    pub(crate) fn sync(&self) -> Result<(), WalError> {
        let last = self.state.lock().last;
        // Without an append of this run there is still what was replayed.
        last.map_or_else(|| self.wal.sync(), |position| self.wal.sync_to(position))
    }

    /// Writes what is left over and closes the segment.
    pub(crate) fn rotate(&self) -> Result<u64, WalError> {
        let mut state = self.state.lock();
        self.unlogged.lock().take(&mut state.backlog);
        self.write(&mut state)?;
        drop(state);
        self.wal.rotate()
    }

    /// Removes the segments below `first`.
    pub(crate) fn drop_below(&self, first: u64) -> Result<(), WalError> {
        self.wal.drop_segments_below(first)
    }

    fn write(&self, state: &mut State) -> Result<(), WalError> {
        if state.backlog.is_empty() {
            return Ok(());
        }
        let records: Vec<&[u8]> = state.backlog.iter().map(Vec::as_slice).collect();
        state.last = Some(self.wal.append(&records)?);
        state.backlog.clear();
        Ok(())
    }
}

impl Unlogged {
    fn finish_series(&mut self) {
        let mut record = Vec::new();
        self.series.finish(&mut record);
        self.records.push(record);
    }

    fn take(&mut self, into: &mut Vec<Vec<u8>>) {
        if !self.series.is_empty() {
            self.finish_series();
        }
        into.append(&mut self.records);
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::fs::SimFs;
    use crate::wal::WalOptions;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn records_of_series_with_long_labels_are_finished_by_their_bytes() {
        let fs = Arc::new(SimFs::new());
        let opened = Wal::open(fs, Path::new("/wal"), WalOptions::default(), &mut |_, _| {});
        let log = Log::new(opened.unwrap().0);
        let long = "x".repeat(100_000);
        for number in 0..50 {
            // No value is that of the series before, which would not be written again.
            let value = format!("{number}{long}");
            let labels = Labels::from_pairs([("long", value.as_str())]).unwrap();
            log.add_series(SeriesRef(number), &labels);
        }
        let mut records = Vec::new();
        log.unlogged.lock().take(&mut records);
        assert!(records.len() >= 4 && records.iter().all(|record| record.len() < 2 * RECORD_BYTES));
    }
}
