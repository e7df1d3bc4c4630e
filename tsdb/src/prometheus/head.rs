//! What a server had not yet put into blocks: the log, the chunks of its head, the log of samples that came out of
//! order.
//!
//! It is read as Prometheus reads it at its start. Samples in order that lie before the end of the blocks are in the
//! blocks; of the others, those of the log count that are newer than what their series has, because the log also tells
//! of samples that were refused. The log is read twice: first for series, deletions and metadata, then for samples.
//!
//! Samples are collected and become a block each time there are enough of them, so memory does not depend on the
//! length of the log.

use super::finding::Findings;
use super::record::{Sink, decode};
use super::wal::{self, Records};
use super::{chunk, mapped, series, tombstones::Tombstones};
use crate::fs::Fs;
use crate::{Error, names};
use hashbrown::{HashMap, HashSet};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Exemplar, Labels, Timestamp};
use xxhash_rust::xxh3::Xxh3Builder;

/// Samples that are collected before they become a block.
const BATCH_SAMPLES: usize = 8 << 20;
/// What a native histogram counts for, besides its buckets.
const HISTOGRAM_SAMPLES: usize = 16;
/// Exemplars that are kept, the newest.
const MAX_EXEMPLARS: usize = 100_000;

/// Directories of a data directory.
const WAL: &str = "wal";
const OUT_OF_ORDER_LOG: &str = "wbl";
const MAPPED: &str = "chunks_head";

/// The head of a server as its files tell of it.
pub(super) struct SourceHead {
    fs: Arc<dyn Fs>,
    log: Vec<PathBuf>,
    late_log: Vec<PathBuf>,
    mapped: Vec<PathBuf>,
    known: Known,
}

/// What the first walk through the log finds.
#[derive(Default)]
pub(super) struct Known {
    /// Places in `series` by the numbers of series. Several numbers may stand for one series.
    numbers: HashMap<u64, u32, Xxh3Builder>,
    series: Vec<Series>,
    by_labels: HashMap<Labels, u32, Xxh3Builder>,
    tombstones: Tombstones,
    /// What is known of metrics, by name.
    pub(super) metadata: BTreeMap<String, Metadata>,
    exemplars: VecDeque<(u32, Exemplar)>,
    without_series: HashSet<u64, Xxh3Builder>,
}

struct Series {
    labels: Labels,
    /// Time of the newest sample in order.
    newest: Timestamp,
    columns: SampleColumns,
}

/// Takes the samples of a batch: series with their samples in order of time, in order of labels.
pub(super) type OnBatch<'b> = dyn FnMut(Vec<(Labels, SampleColumns)>) -> Result<(), Error> + 'b;

impl SourceHead {
    /// Finds the files of the head in the data directory `dir` and reads the log for what is not samples.
    pub(super) fn open(fs: &Arc<dyn Fs>, dir: &Path, findings: &mut Findings) -> Result<Self, Error> {
        let log = wal::segments(&**fs, &dir.join(WAL))?;
        let late_log = wal::segments(&**fs, &dir.join(OUT_OF_ORDER_LOG))?;
        let mapped = mapped_files(&**fs, &dir.join(MAPPED))?;
        let mut known = Known::default();
        let mut records = Records::new(fs);
        for (number, segment) in log.iter().enumerate() {
            records.read(segment, number + 1 == log.len(), findings, |record, findings| {
                tell(record, segment, &mut known, findings);
            });
        }
        Ok(Self { fs: Arc::clone(fs), log, late_log, mapped, known })
    }

    /// Bytes of all its files.
    pub(super) fn size(&self) -> u64 {
        let files = self.log.iter().chain(&self.late_log).chain(&self.mapped);
        files.map(|file| self.fs.size(file).unwrap_or(0)).sum()
    }

    /// Reads all samples, of those in order the ones that are not before `from`, and calls `on_batch` with them and
    /// `on_bytes` with what has been read.
    pub(super) fn read(
        mut self,
        from: Timestamp,
        findings: &mut Findings,
        on_batch: &mut OnBatch<'_>,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<Known, Error> {
        let mut collector = Collector { known: self.known, from, count: 0, is_late: false };
        let found_before = findings.kept.len();
        for file in &self.mapped {
            let bytes = mapped::read(&self.fs, file, findings, |chunk| collector.add_chunk(&chunk));
            on_bytes(bytes);
            collector.write_if_full(on_batch)?;
        }
        if findings.kept.len() > found_before {
            // What a chunk has lost may be in the log.
            collector.known.series.iter_mut().for_each(|series| series.newest = Timestamp::MIN);
        }
        let mut records = Records::new(&self.fs);
        for (number, segment) in self.log.iter().enumerate() {
            let mut outcome = Ok(());
            // Told at the first walk.
            let mut damage = Findings::default();
            let bytes = records.read(segment, number + 1 == self.log.len(), &mut damage, |record, _| {
                tell(record, segment, &mut collector, findings);
                if outcome.is_ok() {
                    outcome = collector.write_if_full(on_batch);
                }
            });
            outcome?;
            on_bytes(bytes);
        }
        collector.is_late = true;
        for (number, segment) in std::mem::take(&mut self.late_log).iter().enumerate() {
            let mut outcome = Ok(());
            let last = number + 1 == self.late_log.len();
            let bytes = records.read(segment, last, findings, |record, findings| {
                tell(record, segment, &mut collector, findings);
                if outcome.is_ok() {
                    outcome = collector.write_if_full(on_batch);
                }
            });
            outcome?;
            on_bytes(bytes);
        }
        collector.write(on_batch)?;
        let without = collector.known.without_series.len();
        if without > 0
            && let Some(segment) = self.log.first()
        {
            let what = format!("{without} series have samples and no labels; these samples were left out");
            findings.push(segment, what);
        }
        Ok(collector.known)
    }
}

impl Known {
    fn place(&mut self, number: u64) -> Option<u32> {
        let place = self.numbers.get(&number).copied();
        if place.is_none() {
            self.without_series.insert(number);
        }
        place
    }

    /// The exemplars, each with the labels of its series.
    pub(super) fn take_exemplars(&mut self) -> Vec<(Labels, Exemplar)> {
        let exemplars = std::mem::take(&mut self.exemplars).into_iter();
        let with_labels = exemplars.filter_map(|(place, exemplar)| {
            Some((self.series.get(place as usize)?.labels.clone(), exemplar))
        });
        with_labels.collect()
    }
}

impl Sink for Known {
    fn series(&mut self, number: u64, labels: Labels) {
        let next = self.series.len() as u32;
        let place = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            let columns = SampleColumns::new();
            self.series.push(Series { labels: labels.clone(), newest: Timestamp::MIN, columns });
            next
        });
        self.numbers.insert(number, place);
    }

    fn deleted(&mut self, number: u64, first: Timestamp, last: Timestamp) {
        if let Some(place) = self.numbers.get(&number) {
            self.tombstones.add(u64::from(*place), first, last);
        }
    }

    fn exemplar(&mut self, number: u64, exemplar: Exemplar) {
        if let Some(place) = self.numbers.get(&number) {
            if self.exemplars.len() >= MAX_EXEMPLARS {
                self.exemplars.pop_front();
            }
            self.exemplars.push_back((*place, exemplar));
        }
    }

    fn metadata(&mut self, number: u64, metadata: Metadata) {
        let series = self.numbers.get(&number).and_then(|place| self.series.get(*place as usize));
        if let Some(series) = series {
            self.metadata.insert(series.labels.metric_name().to_owned(), metadata);
        }
    }

    fn wants_samples(&self) -> bool {
        false
    }
}

/// Collects samples by series.
struct Collector {
    known: Known,
    from: Timestamp,
    count: usize,
    /// Are the samples those that came out of order?
    is_late: bool,
}

impl Collector {
    /// The columns for a sample at `time`, if it is wanted.
    fn columns(&mut self, number: u64, time: Timestamp) -> Option<&mut SampleColumns> {
        if !self.is_late && time < self.from {
            return None;
        }
        let place = self.known.place(number)?;
        let series = self.known.series.get_mut(place as usize)?;
        if !self.is_late {
            if time <= series.newest {
                return None;
            }
            series.newest = time;
        }
        Some(&mut series.columns)
    }

    fn add_chunk(&mut self, chunk: &mapped::MappedChunk<'_>) -> Result<(), tsdb_core::Corruption> {
        if !chunk.is_out_of_order && chunk.last < self.from {
            return Ok(());
        }
        let Some(place) = self.known.place(chunk.series) else { return Ok(()) };
        let Some(series) = self.known.series.get_mut(place as usize) else { return Ok(()) };
        let before = series.columns.len();
        let decoded = chunk::decode(chunk.encoding, chunk.data, &mut series.columns);
        decoded.inspect_err(|_| series.columns.truncate(before))?;
        if !chunk.is_out_of_order {
            series.newest = series.newest.max(chunk.last);
        }
        let added = series.columns.histograms.get(before..).unwrap_or_default().iter().flatten();
        self.count += series.columns.len() - before;
        self.count += added.map(|histogram| weight(histogram)).sum::<usize>();
        Ok(())
    }

    fn write_if_full(&mut self, on_batch: &mut OnBatch<'_>) -> Result<(), Error> {
        if self.count >= BATCH_SAMPLES { self.write(on_batch) } else { Ok(()) }
    }

    fn write(&mut self, on_batch: &mut OnBatch<'_>) -> Result<(), Error> {
        self.count = 0;
        let mut batch = Vec::new();
        for (place, series) in (0..).zip(&mut self.known.series) {
            if series.columns.is_empty() {
                continue;
            }
            let mut columns = std::mem::take(&mut series.columns);
            series::tidy(&mut columns);
            self.known.tombstones.apply(place, &mut columns);
            batch.push((series.labels.clone(), columns));
        }
        batch.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if batch.is_empty() { Ok(()) } else { on_batch(batch) }
    }
}

impl Sink for Collector {
    fn number(&mut self, number: u64, time: Timestamp, start: Timestamp, value: f64) {
        if let Some(columns) = self.columns(number, time) {
            columns.push(time, value);
            columns.set_start(start);
            self.count += 1;
        }
    }

    fn histogram(&mut self, number: u64, time: Timestamp, start: Timestamp, histogram: FloatHistogram) {
        let weight = weight(&histogram);
        if let Some(columns) = self.columns(number, time) {
            columns.push_histogram(time, Arc::new(histogram));
            columns.set_start(start);
            self.count += 1 + weight;
        }
    }

    fn wants_samples(&self) -> bool {
        true
    }
}

fn weight(histogram: &FloatHistogram) -> usize {
    HISTOGRAM_SAMPLES + histogram.bucket_count()
}

fn tell(record: &[u8], segment: &Path, sink: &mut impl Sink, findings: &mut Findings) {
    if let Err(damage) = decode(record, sink) {
        findings.push(segment, format!("{damage}; the rest of the record was left out"));
    }
}

fn mapped_files(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    if !fs.exists(dir).map_err(|e| Error::io("look for", dir, e))? {
        return Ok(Vec::new());
    }
    let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let files = entries.iter().filter(|entry| names::parse_numbered(&entry.name).is_some());
    Ok(files.map(|entry| dir.join(&entry.name)).collect())
}
