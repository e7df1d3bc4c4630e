//! Writing a block: series stream in, a finished directory appears under its name or nothing does.

use super::samples::SamplesWriter;
use super::segment::SEGMENT_BYTES;
use super::{BlockError, meta};
use crate::fs::{Fs, publish_dir};
use crate::names;
use std::path::{Path, PathBuf};
use tsdb_core::block::{BlockId, BlockMeta, BlockStats, Rollup};
use tsdb_core::pack::PackError;
use tsdb_core::sample::SampleSlices;
use tsdb_core::{Labels, Timestamp};
use tsdb_index::{ChunkRef, IndexWriter};
use tsdb_rollup::aggregate::AggregateColumns;

/// What a block to be written is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSpec {
    /// Its name.
    pub id: BlockId,
    /// 1 for a block cut from the head; one more than the highest of its sources after a compaction.
    pub level: u32,
    /// The blocks cut from a head that it is made of, itself at level 1.
    pub sources: Vec<BlockId>,
    /// The blocks that it replaces.
    pub parents: Vec<BlockId>,
    /// The windows that it holds instead of samples.
    pub rollup: Option<Rollup>,
}

impl BlockSpec {
    /// A block of level 1 named `id`.
    pub fn first_level(id: BlockId) -> Self {
        Self { id, level: 1, sources: vec![id], parents: Vec::new(), rollup: None }
    }
}

/// Writes one block. Takes series in order of their labels.
///
/// Everything goes into a directory with a temporary name, which [`finish`](Self::finish) syncs and renames. A writer
/// that is dropped before that removes what it has written, as far as it can; what stays is swept at the next start.
pub struct BlockWriter<'a> {
    fs: &'a dyn Fs,
    dir: PathBuf,
    temporary: PathBuf,
    spec: BlockSpec,
    samples: SamplesWriter<'a>,
    index: IndexWriter,
    chunks: Vec<ChunkRef>,
    finished: bool,
}

impl<'a> BlockWriter<'a> {
    /// Begins the block `spec` in the data directory `parent`.
    ///
    /// # Errors
    /// The temporary directory cannot be made.
    pub fn create(fs: &'a dyn Fs, parent: &Path, spec: BlockSpec) -> Result<Self, BlockError> {
        Self::with_segment_bytes(fs, parent, spec, SEGMENT_BYTES)
    }

    /// As [`create`](Self::create), with segments of about `segment_bytes`.
    pub(super) fn with_segment_bytes(
        fs: &'a dyn Fs,
        parent: &Path,
        spec: BlockSpec,
        segment_bytes: u64,
    ) -> Result<Self, BlockError> {
        let dir = parent.join(meta::dir_name(spec.id));
        let temporary = names::temporary(&dir);
        if fs.exists(&temporary).map_err(BlockError::io("look for", &temporary))? {
            fs.remove_dir_all(&temporary).map_err(BlockError::io("remove", &temporary))?;
        }
        let chunks_dir = temporary.join(names::CHUNKS_DIR);
        fs.create_dir_all(&chunks_dir).map_err(BlockError::io("create", &chunks_dir))?;
        let samples = SamplesWriter::new(fs, dir.clone(), chunks_dir, &spec, segment_bytes)?;
        Ok(Self {
            fs,
            dir,
            temporary,
            spec,
            samples,
            index: IndexWriter::new(),
            chunks: Vec::new(),
            finished: false,
        })
    }

    /// Adds the next series with its samples, timestamps (ms) strictly ascending. A series without samples is left
    /// out.
    ///
    /// # Errors
    /// As for [`add_samples`](Self::add_samples), and columns of different lengths.
    pub fn add(
        &mut self,
        labels: &Labels,
        timestamps: &[Timestamp],
        values: &[f64],
    ) -> Result<(), BlockError> {
        if timestamps.len() != values.len() {
            let source = PackError::UnequalColumns { timestamps: timestamps.len(), values: values.len() };
            return Err(BlockError::Samples { path: self.dir.clone(), source });
        }
        self.add_samples(labels, SampleSlices::of_numbers(timestamps, values))
    }

    /// As [`add`](Self::add), for samples of any kind: numbers, native histograms, start timestamps.
    ///
    /// # Errors
    /// A series that does not sort after the one before it, samples that are no series or of too many buckets, or a
    /// failure of the file system. After an error the writer is of no more use.
    pub fn add_samples(&mut self, labels: &Labels, samples: SampleSlices<'_>) -> Result<(), BlockError> {
        if samples.is_empty() {
            return Ok(());
        }
        self.chunks.clear();
        self.samples.add(samples, &mut self.chunks)?;
        self.end_series(labels)
    }

    /// As [`add_samples`](Self::add_samples), for the windows of a series in a block that is a rollup: `parts` follow one
    /// another in time, each of one form.
    ///
    /// # Errors
    /// As for `add_samples`.
    pub fn add_windows(&mut self, labels: &Labels, parts: &[AggregateColumns]) -> Result<(), BlockError> {
        if parts.iter().all(AggregateColumns::is_empty) {
            return Ok(());
        }
        self.chunks.clear();
        for part in parts {
            self.samples.add_windows(part, &mut self.chunks)?;
        }
        self.end_series(labels)
    }

    /// Puts the series whose chunks were added into the index.
    fn end_series(&mut self, labels: &Labels) -> Result<(), BlockError> {
        let added = self.index.add(labels, &self.chunks);
        added.map_err(|source| BlockError::Series { path: self.dir.clone(), source })?;
        Ok(())
    }

    /// Number of series so far.
    pub fn series_count(&self) -> u64 {
        self.index.series_count().into()
    }

    /// Publishes the block and returns its description; `None`, and nothing is published, if it has no series.
    /// Durable when it returns.
    ///
    /// # Errors
    /// The file system failed. Unless the very last sync did, nothing is published.
    pub fn finish(mut self) -> Result<Option<BlockMeta>, BlockError> {
        let Some((range, stats)) = self.samples.finish()? else { return Ok(None) };
        let description = BlockMeta {
            id: self.spec.id,
            range,
            stats: BlockStats { series: self.index.series_count().into(), ..stats },
            level: self.spec.level,
            sources: self.spec.sources.clone(),
            parents: self.spec.parents.clone(),
            rollup: self.spec.rollup,
        };
        let index = std::mem::take(&mut self.index).finish();
        self.write_file(names::INDEX, &index)?;
        self.write_file(names::META, &meta::render(&description))?;
        publish_dir(self.fs, &self.temporary, &self.dir).map_err(BlockError::io("publish", &self.dir))?;
        self.finished = true;
        Ok(Some(description))
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), BlockError> {
        let path = self.temporary.join(name);
        let file = self.fs.create_new(&path).map_err(BlockError::io("create", &path))?;
        file.append(bytes).map_err(BlockError::io("write", &path))?;
        file.sync().map_err(BlockError::io("sync", &path))
    }
}

impl Drop for BlockWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: what stays is swept at the next start.
            drop(self.fs.remove_dir_all(&self.temporary));
        }
    }
}
