//! What a data directory spends its bytes on: by block, by metric, by label.
//!
//! Reads descriptions, indices and the headers of frames; samples are not unpacked. A frame holds neighbouring series,
//! mostly of one metric: its bytes are attributed by count of samples. Timestamps are shared by series of many metrics
//! and stand apart. What is only in the log is told in bytes alone.

use crate::block::{Block, FrameCache};
use crate::fs::Fs;
use crate::verify::{OnProgress, Progress};
use crate::{Error, blocks, names, verify, version};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::block::BlockMeta;

/// Memory for pages of indices, in bytes.
const CACHE_BYTES: usize = 16 << 20;

/// What is in a data directory.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// The blocks, in order of name.
    pub blocks: Vec<BlockUse>,
    /// The metrics of all blocks, most bytes first.
    pub metrics: Vec<MetricUse>,
    /// The label names of all blocks, most values first.
    pub labels: Vec<LabelUse>,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// A block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockUse {
    /// What it says of itself.
    pub meta: BlockMeta,
    /// Its directory.
    pub path: PathBuf,
    /// Bytes of its index.
    pub index_bytes: u64,
    /// Bytes of its samples, timestamps included.
    pub sample_bytes: u64,
}

/// A metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricUse {
    /// Its name.
    pub name: String,
    /// Series, counted in each block.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes of its values, compressed.
    pub bytes: f64,
}

/// A label name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelUse {
    /// The name.
    pub name: String,
    /// Different values.
    pub values: u64,
    /// Bytes of these values, uncompressed.
    pub value_bytes: u64,
    /// Series that have it, counted in each block.
    pub series: u64,
}

/// Looks into the data directory `dir`, which no database may have open.
///
/// # Errors
/// The directory is in use, of an unknown version, or cannot be listed.
pub fn inspect(fs: &Arc<dyn Fs>, dir: &Path, on_progress: &mut OnProgress<'_>) -> Result<Inspection, Error> {
    let _lock = verify::lock(&**fs, dir)?;
    version::require(&**fs, dir)?;
    let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let found = entries.into_iter().map(|entry| entry.name);
    let found: Vec<String> = found.filter(|name| Block::parse_dir_name(name).is_some()).collect();
    let mut tally = Tally::default();
    let mut inspection = Inspection::default();
    let mut progress = Progress { now: String::new(), done: 0, total: found.len() as u64 };
    for name in found {
        progress.now.clone_from(&name);
        on_progress(&progress);
        match tally.add_block(fs, &dir.join(&name)) {
            Ok(block) => inspection.blocks.push(block),
            Err(error) => inspection.warnings.push(format!("block {name}: {error}")),
        }
        progress.done += 1;
        on_progress(&progress);
    }
    let wal_dir = dir.join(names::WAL_DIR);
    inspection.log_bytes = blocks::size(&**fs, &wal_dir).unwrap_or(0);
    tally.finish(&mut inspection);
    Ok(inspection)
}

#[derive(Default)]
struct Tally {
    metrics: BTreeMap<String, MetricUse>,
    labels: BTreeMap<String, Label>,
    hasher: RandomState,
}

#[derive(Default)]
struct Label {
    /// Hashes of the values.
    values: HashSet<u64>,
    value_bytes: u64,
    series: u64,
}

impl Tally {
    fn add_block(&mut self, fs: &Arc<dyn Fs>, path: &Path) -> Result<BlockUse, Error> {
        let block = Block::open(fs, path, Arc::new(FrameCache::new(CACHE_BYTES)))?;
        // Samples of each metric in each frame of values.
        let mut frames: HashMap<u64, Vec<(String, u64)>> = HashMap::new();
        block.for_each_readable(|labels, chunks, _| {
            let name = labels.metric_name().to_owned();
            self.count_labels(&labels);
            let metric = self.metrics.entry(name.clone()).or_default();
            metric.series += 1;
            for chunk in chunks {
                let samples = u64::from(chunk.samples);
                metric.samples += samples;
                let frame = frames.entry(chunk.frame).or_default();
                match frame.last_mut().filter(|(last, _)| *last == name) {
                    Some((_, sum)) => *sum += samples,
                    None => frame.push((name.clone(), samples)),
                }
            }
            Ok::<(), Error>(())
        })?;
        for (frame, shares) in frames {
            let stored = block.stored_len(frame).unwrap_or(0) as f64;
            let all: u64 = shares.iter().map(|share| share.1).sum();
            for (name, samples) in shares {
                let metric = self.metrics.entry(name).or_default();
                metric.bytes += stored * samples as f64 / all.max(1) as f64;
            }
        }
        let index_bytes = fs.size(&path.join(names::INDEX)).unwrap_or(0);
        let sample_bytes = blocks::size(&**fs, &path.join(names::CHUNKS_DIR)).unwrap_or(0);
        Ok(BlockUse { meta: block.meta().clone(), path: path.to_owned(), index_bytes, sample_bytes })
    }

    fn count_labels(&mut self, labels: &tsdb_core::Labels) {
        for (name, value) in labels.iter() {
            if !self.labels.contains_key(name) {
                self.labels.insert(name.to_owned(), Label::default());
            }
            let Some(label) = self.labels.get_mut(name) else { continue };
            label.series += 1;
            if label.values.insert(self.hasher.hash_one(value)) {
                label.value_bytes += value.len() as u64;
            }
        }
    }

    fn finish(self, into: &mut Inspection) {
        let named = self.metrics.into_iter().map(|(name, metric)| MetricUse { name, ..metric });
        into.metrics = named.collect();
        into.metrics.sort_by(|a, b| b.bytes.total_cmp(&a.bytes));
        let labels = self.labels.into_iter().map(|(name, label)| LabelUse {
            name,
            values: label.values.len() as u64,
            value_bytes: label.value_bytes,
            series: label.series,
        });
        into.labels = labels.collect();
        into.labels.sort_by_key(|label| std::cmp::Reverse(label.values));
    }
}
