//! Samples from elsewhere, written as blocks: in any order, as many as there are, in bounded memory.
//!
//! Samples are collected and written as one block each time the memory for them is used up. The blocks of one import
//! may overlap; of two samples of a series at one time the one imported last is believed. What the directory has in its
//! log becomes blocks first, because a log is replayed only from where blocks end. Descriptions of metrics and exemplars
//! live in the log: they are written last, as a sender's would be.

use crate::block::{Block, BlockSpec, BlockWriter};
use crate::engine::new_id;
use crate::fs::{DirLock, Fs};
use crate::{Db, Error, Options, SystemClock, verify};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::block::BlockId;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{ExemplarQueryable, ReadError};
use tsdb_core::sample::SampleColumns;
use tsdb_core::time::Clock as _;
use tsdb_core::write::{Appendable, CommitError};
use tsdb_core::{Exemplar, Labels, METRIC_NAME, MatchOp, Matcher, TimeRange, Timestamp};

/// Samples that are collected before they are written.
const BATCH_SAMPLES: usize = 4 << 20;

/// Bytes of histograms, about, that are collected before they are written.
const BATCH_HISTOGRAM_BYTES: usize = 64 << 20;

/// Makes `dir` ready for blocks to be put beside those it has: the samples of its log become blocks. Keeps it locked.
pub(crate) fn prepare(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Option<DirLock>, Error> {
    let db = Db::open_on(Arc::clone(fs), dir, options())?;
    db.flush()?;
    db.close()?;
    verify::lock(&**fs, dir)
}

/// An import under way. What was not [`finish`](Self::finish)ed is in the directory as far as it was written.
pub struct Importer {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    lock: Option<DirLock>,
    newest: Timestamp,
    collected: BTreeMap<Labels, SampleColumns>,
    count: usize,
    histogram_bytes: usize,
    blocks: Vec<PathBuf>,
    metadata: BTreeMap<String, Metadata>,
    /// With their series; the newest are kept.
    exemplars: Vec<(Labels, Exemplar)>,
    max_exemplars: usize,
}

/// What an import has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The blocks.
    pub blocks: Vec<PathBuf>,
    /// Metrics that were described.
    pub metrics: usize,
    /// Exemplars that were stored.
    pub exemplars: u64,
    /// Exemplars that were not stored: those before the newest of their series are not taken, and only the newest of
    /// all are kept.
    pub exemplars_left_out: u64,
}

impl Importer {
    /// Begins an import into the data directory `dir`, made if there is none, which no database may have open.
    ///
    /// # Errors
    /// The directory cannot be opened, or what its log holds not written.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, Error> {
        let lock = prepare(&fs, dir)?;
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            lock,
            newest: SystemClock.now(),
            collected: BTreeMap::new(),
            count: 0,
            histogram_bytes: 0,
            blocks: Vec::new(),
            metadata: BTreeMap::new(),
            exemplars: Vec::new(),
            max_exemplars: options().max_exemplars,
        })
    }

    /// The newest time that is taken, ms: that of the beginning of the import.
    pub fn newest(&self) -> Timestamp {
        self.newest
    }

    /// Adds a sample, whose time must not be after [`newest`](Self::newest): says whether it was taken.
    ///
    /// # Errors
    /// A block cannot be written.
    pub fn add(&mut self, labels: &Labels, timestamp: Timestamp, value: f64) -> Result<bool, Error> {
        self.collect(labels, timestamp, |columns| columns.push(timestamp, value))
    }

    /// [`add`](Self::add) for a native histogram.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_histogram(
        &mut self,
        labels: &Labels,
        timestamp: Timestamp,
        histogram: Arc<FloatHistogram>,
    ) -> Result<bool, Error> {
        self.histogram_bytes = self.histogram_bytes.saturating_add(histogram.size_bytes());
        self.collect(labels, timestamp, |columns| columns.push_histogram(timestamp, histogram))
    }

    /// Says when the counting began, in ms, behind the sample of this series that was added last.
    pub fn set_start(&mut self, labels: &Labels, start: Timestamp) {
        if let Some(columns) = self.collected.get_mut(labels) {
            columns.set_start(start);
        }
    }

    /// Says what a metric is.
    pub fn describe(&mut self, metric: &str, metadata: Metadata) {
        self.metadata.insert(metric.to_owned(), metadata);
    }

    /// Adds an exemplar. As in a database that runs, the newest are kept.
    pub fn add_exemplar(&mut self, labels: &Labels, exemplar: Exemplar) {
        self.exemplars.push((labels.clone(), exemplar));
    }

    /// Writes what is left, so that the database can be opened.
    ///
    /// # Errors
    /// A block or the log cannot be written.
    pub fn finish(mut self) -> Result<Imported, Error> {
        self.write()?;
        drop(self.lock.take());
        let metrics = self.metadata.len();
        let mut imported =
            Imported { blocks: std::mem::take(&mut self.blocks), metrics, ..Imported::default() };
        if metrics > 0 || !self.exemplars.is_empty() {
            self.log(&mut imported)?;
        }
        Ok(imported)
    }

    fn collect(
        &mut self,
        labels: &Labels,
        timestamp: Timestamp,
        push: impl FnOnce(&mut SampleColumns),
    ) -> Result<bool, Error> {
        if timestamp > self.newest {
            return Ok(false);
        }
        // Before and not after the sample is added: its start timestamp may follow.
        if self.count >= BATCH_SAMPLES || self.histogram_bytes >= BATCH_HISTOGRAM_BYTES {
            self.write()?;
        }
        match self.collected.get_mut(labels) {
            Some(columns) => push(columns),
            None => push(self.collected.entry(labels.clone()).or_default()),
        }
        self.count += 1;
        Ok(true)
    }

    fn write(&mut self) -> Result<(), Error> {
        let entries = self.fs.list(&self.dir).map_err(|e| Error::io("list", &self.dir, e))?;
        let newest: Option<BlockId> = entries.iter().filter_map(|e| Block::parse_dir_name(&e.name)).max();
        let spec = BlockSpec::first_level(new_id(newest, SystemClock.now()));
        let mut writer = BlockWriter::create(&*self.fs, &self.dir, spec)?;
        for (labels, collected) in std::mem::take(&mut self.collected) {
            let mut columns = in_order(collected);
            columns.renew_reset_hints();
            writer.add_samples(&labels, columns.as_slices())?;
        }
        (self.count, self.histogram_bytes) = (0, 0);
        if let Some(written) = writer.finish()? {
            self.blocks.push(self.dir.join(Block::dir_name(written.id)));
        }
        Ok(())
    }

    /// Writes descriptions and exemplars through the log.
    fn log(&mut self, imported: &mut Imported) -> Result<(), Error> {
        let db = Db::open_on(Arc::clone(&self.fs), &self.dir, options())?;
        let mut batch = db.appender();
        for (metric, metadata) in std::mem::take(&mut self.metadata) {
            batch.set_metadata(&metric, metadata);
        }
        let mut exemplars = std::mem::take(&mut self.exemplars);
        exemplars.sort_by_key(|(_, exemplar)| exemplar.timestamp);
        let surplus = exemplars.len().saturating_sub(self.max_exemplars);
        imported.exemplars_left_out = surplus as u64;
        let known = known_exemplars(&db, &self.dir)?;
        let is_new = |(labels, exemplar): &(Labels, Exemplar)| {
            !known.get(labels).is_some_and(|held| held.contains(exemplar))
        };
        for (labels, exemplar) in exemplars.into_iter().skip(surplus).filter(is_new) {
            if let Ok(series) = batch.series(&labels) {
                batch.append_exemplar(series, exemplar);
            }
        }
        batch.commit().map_err(|error| commit_error(error, &self.dir))?;
        let stats = db.stats();
        imported.exemplars = stats.exemplars_stored;
        imported.exemplars_left_out += stats.exemplars_refused;
        db.close()
    }
}

/// Keeps everything and judges nothing: what is imported is somebody's data already.
fn options() -> Options {
    Options { retention_ms: None, future_skew_ms: None, background: false, ..Options::default() }
}

/// What was stored by an earlier import, perhaps of the same text.
fn known_exemplars(db: &Db, dir: &Path) -> Result<BTreeMap<Labels, Vec<Exemplar>>, Error> {
    let failed = |error: ReadError| Error::io("read exemplars of", dir, std::io::Error::other(error));
    // Every series has a name or has none.
    let named = [MatchOp::Equal, MatchOp::NotEqual].map(|op| Matcher::new(op, METRIC_NAME, ""));
    let selectors: Vec<Vec<Matcher>> = named.into_iter().flatten().map(|matcher| vec![matcher]).collect();
    let found = db.exemplars(&selectors, TimeRange::ALL).map_err(failed)?;
    Ok(found.into_iter().map(|series| (series.labels, series.exemplars)).collect())
}

fn commit_error(error: CommitError, dir: &Path) -> Error {
    match error.source.downcast::<Error>() {
        Ok(error) => *error,
        Err(other) => Error::io("write descriptions and exemplars to", dir, std::io::Error::other(other)),
    }
}

/// The samples in order of time; of several at one time the last.
fn in_order(columns: SampleColumns) -> SampleColumns {
    if columns.timestamps.is_sorted_by(|one, next| one < next) {
        return columns;
    }
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|index| columns.timestamps.get(*index).copied());
    let mut sorted = SampleColumns::new();
    for (place, index) in order.iter().enumerate() {
        let at = |index: &usize| columns.timestamps.get(*index).copied();
        let Some(timestamp) = at(index).filter(|now| order.get(place + 1).and_then(at) != Some(*now)) else {
            continue;
        };
        match columns.histogram(*index) {
            Some(histogram) => sorted.push_histogram(timestamp, Arc::clone(histogram)),
            None => sorted.push(timestamp, columns.values.get(*index).copied().unwrap_or_default()),
        }
        sorted.set_start(columns.start(*index));
    }
    sorted
}
