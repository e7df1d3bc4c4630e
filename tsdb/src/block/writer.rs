//! Writing a block: series stream in, a finished directory appears under its name or nothing does.

use super::BlockError;
use super::draft::Draft;
use super::samples::SamplesWriter;
use super::segment::SEGMENT_BYTES;
use crate::fs::Fs;
use crate::names;
use std::collections::BTreeSet;
use std::path::Path;
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
    /// Those of the sources of which it lacks samples, because they could not be read.
    pub incomplete: Vec<BlockId>,
    /// The windows that it holds instead of samples.
    pub rollup: Option<Rollup>,
}

impl BlockSpec {
    /// A block of level 1 named `id`.
    pub fn first_level(id: BlockId) -> Self {
        Self { id, level: 1, sources: vec![id], parents: Vec::new(), incomplete: Vec::new(), rollup: None }
    }

    /// A block named `id` that replaces `parents` and is made of `inputs`, which are among them.
    pub(crate) fn merging<'m>(
        id: BlockId,
        inputs: impl Iterator<Item = &'m BlockMeta> + Clone,
        parents: BTreeSet<BlockId>,
    ) -> Self {
        let union = |of: fn(&BlockMeta) -> &Vec<BlockId>| {
            let all: BTreeSet<BlockId> = inputs.clone().flat_map(of).copied().collect();
            all.into_iter().collect()
        };
        Self {
            id,
            level: inputs.clone().map(|meta| meta.level).max().unwrap_or(0).saturating_add(1),
            sources: union(|meta| &meta.sources),
            parents: parents.into_iter().collect(),
            incomplete: union(|meta| &meta.incomplete),
            rollup: None,
        }
    }
}

/// Writes one block. Takes series in order of their labels.
///
/// Everything goes into a directory with a temporary name, which [`finish`](Self::finish) syncs and renames. A writer
/// that is dropped before that removes what it has written, as far as it can; what stays is swept at the next start.
pub struct BlockWriter<'a> {
    draft: Draft<'a>,
    samples: SamplesWriter<'a>,
    index: IndexWriter,
    chunks: Vec<ChunkRef>,
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
        let draft = Draft::create(fs, parent, spec)?;
        let samples =
            SamplesWriter::new(fs, draft.dir.clone(), draft.chunks_dir(), &draft.spec, 0, segment_bytes)?;
        Ok(Self { draft, samples, index: IndexWriter::new(), chunks: Vec::new() })
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
            return Err(BlockError::Samples { path: self.draft.dir.clone(), source });
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
        added.map_err(|source| BlockError::Series { path: self.draft.dir.clone(), source })?;
        Ok(())
    }

    /// Says of which sources samples are missing, which may turn out while they are read.
    pub fn set_incomplete(&mut self, sources: impl IntoIterator<Item = BlockId>) {
        self.draft.spec.incomplete = sources.into_iter().collect();
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
        let stats = BlockStats { series: self.index.series_count().into(), ..stats };
        let index = std::mem::take(&mut self.index).finish();
        self.draft.write_file(names::INDEX, &index)?;
        self.draft.publish(range, stats).map(Some)
    }
}
