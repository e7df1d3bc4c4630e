//! Writing a block: series stream in, a finished directory appears under its name or nothing does.

use super::segment::{Kind, SEGMENT_BYTES, SegmentsWriter};
use super::times::TimeColumns;
use super::{BlockError, meta};
use crate::fs::{Fs, publish_dir};
use crate::names;
use std::path::{Path, PathBuf};
use tsdb_core::block::{BlockId, BlockMeta, BlockStats, Rollup};
use tsdb_core::pack::{MAX_SERIES, PackError, RAW_TARGET_BYTES, Times, Values, ValuesWriter, fitting};
use tsdb_core::sample::SampleSlices;
use tsdb_core::{Labels, TimeRange, Timestamp};
use tsdb_index::{ChunkRef, IndexWriter};

/// Samples in a chunk. A longer series is cut, so that a short range of a long block does not cost all of it.
const CHUNK_SAMPLES: usize = 8192;

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
    segments: SegmentsWriter<'a>,
    index: IndexWriter,
    values: ValuesWriter,
    times: TimeColumns,
    chunks: Vec<ChunkRef>,
    stats: BlockStats,
    range: Option<TimeRange>,
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
        let seed = spec.id.0 as u64;
        Ok(Self {
            fs,
            dir,
            temporary,
            spec,
            segments: SegmentsWriter::new(fs, chunks_dir, segment_bytes)?,
            index: IndexWriter::new(),
            values: ValuesWriter::new(),
            times: TimeColumns::new(seed),
            chunks: Vec::new(),
            stats: BlockStats::default(),
            range: None,
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
            return Err(self.samples_error(source));
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
        let mut rest = samples;
        while !rest.is_empty() {
            let (chunk, _) = rest.split_at(CHUNK_SAMPLES);
            let (chunk, _) = chunk.split_at(fitting(chunk).max(1));
            self.add_chunk(chunk)?;
            (_, rest) = rest.split_at(chunk.len());
        }
        let added = self.index.add(labels, &self.chunks);
        added.map_err(|source| BlockError::Series { path: self.dir.clone(), source })?;
        self.stats.series += 1;
        self.stats.chunks += self.chunks.len() as u64;
        self.stats.samples += samples.len() as u64;
        self.stats.histograms += samples.histogram_count() as u64;
        Ok(())
    }

    /// Number of series so far.
    pub fn series_count(&self) -> u64 {
        self.stats.series
    }

    /// Publishes the block and returns its description; `None`, and nothing is published, if it has no series.
    /// Durable when it returns.
    ///
    /// # Errors
    /// The file system failed. Unless the very last sync did, nothing is published.
    pub fn finish(mut self) -> Result<Option<BlockMeta>, BlockError> {
        let Some(range) = self.range else { return Ok(None) };
        self.flush_values()?;
        for frame in self.times.take_full(true) {
            self.append_times(frame.first, &frame.bytes)?;
        }
        self.segments.finish()?;
        let description = BlockMeta {
            id: self.spec.id,
            range,
            stats: self.stats,
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

    fn add_chunk(&mut self, samples: SampleSlices<'_>) -> Result<(), BlockError> {
        let timestamps = samples.timestamps();
        let slot = self.times.intern(timestamps).and_then(|time| self.values.push_samples(time, samples));
        let slot = slot.map_err(|source| self.samples_error(source))?;
        let ends = timestamps.first().zip(timestamps.last());
        let Some(range) = ends.and_then(|(first, last)| TimeRange::new(*first, *last)) else {
            return Err(self.samples_error(PackError::NotAscending { index: 0 }));
        };
        self.range = Some(self.range.map_or(range, |all| all.union(&range)));
        self.chunks.push(ChunkRef {
            // Nothing is appended before this frame is: see `flush_values`.
            frame: self.segments.next().0,
            slot,
            range,
            samples: u32::try_from(timestamps.len()).unwrap_or(u32::MAX),
        });
        if self.values.len() >= MAX_SERIES || self.values.raw_len() >= RAW_TARGET_BYTES {
            self.flush_values()?;
        }
        Ok(())
    }

    /// Writes the frame of values and then, not before, the frames of timestamps that have become full: so the place of
    /// a frame of values is known while it fills.
    fn flush_values(&mut self) -> Result<(), BlockError> {
        if self.values.is_empty() {
            return Ok(());
        }
        let raw = self.values.finish();
        let damaged = |source| BlockError::Corrupt { path: self.dir.clone(), source };
        let frame = Values::open(&raw).map_err(damaged)?;
        self.segments.append(Kind::Values, &raw, frame.cuts())?;
        for frame in self.times.take_full(false) {
            self.append_times(frame.first, &frame.bytes)?;
        }
        self.segments.roll()
    }

    fn append_times(&mut self, first: u32, raw: &[u8]) -> Result<(), BlockError> {
        let damaged = |source| BlockError::Corrupt { path: self.dir.clone(), source };
        let frame = Times::open(raw).map_err(damaged)?;
        self.segments.append_times(first, raw, frame.cuts())
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), BlockError> {
        let path = self.temporary.join(name);
        let file = self.fs.create_new(&path).map_err(BlockError::io("create", &path))?;
        file.append(bytes).map_err(BlockError::io("write", &path))?;
        file.sync().map_err(BlockError::io("sync", &path))
    }

    fn samples_error(&self, source: PackError) -> BlockError {
        BlockError::Samples { path: self.dir.clone(), source }
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
