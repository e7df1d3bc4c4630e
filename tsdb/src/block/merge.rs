//! Merging blocks into one, series by series: what a compaction does.
//!
//! A frame of which nothing changes is copied as it is, without being unpacked. A chunk is *touched* if it overlaps a
//! chunk of the same series in another source, or if some of its samples are deleted; a frame is touched if one of its
//! chunks is, and then all of them are read and written anew. So are the chunks of sources whose chunks are short:
//! longer ones are smaller and faster to read.
//!
//! Memory does not grow with the blocks: what is held is a bit per series and label value of each source, the series
//! that is merged, some frames, and the places of frames that were copied and are still referred to.

use super::draft::Draft;
use super::frames::{Copied, Touched};
use super::samples::{CHUNK_SAMPLES, SamplesWriter};
use super::segment::{FrameRef, SEGMENT_BYTES};
use super::{Block, BlockError, BlockSpec};
use crate::fs::Fs;
use crate::names;
use crate::tombstones::Tombstones;
use std::path::Path;
use std::sync::Arc;
use tsdb_core::TimeRange;
use tsdb_core::block::{BlockMeta, BlockStats};
use tsdb_core::read::ReadError;
use tsdb_core::sample::SampleColumns;
use tsdb_index::{ChunkRef, IndexMerger, InputDamage, Part, RoaringBitmap, WriteError};
use tsdb_rollup::merge::{add, add_missing};

/// Of this length a chunk gains little by becoming longer, in samples.
const LONG_CHUNK: u64 = 1024;
/// How many series are merged, or
const SERIES_PER_PAUSE: u32 = 256;
/// how many bytes are written, between two questions whether to go on.
const BYTES_PER_PAUSE: u64 = 256 << 10;

/// A block to be merged and what is deleted in it.
#[derive(Debug)]
pub(crate) struct MergeInput {
    /// Opened with a cache that nobody else uses, so that queries keep theirs.
    pub(crate) block: Block,
    pub(crate) tombstones: Arc<Tombstones>,
}

/// How fast merging may go, and whether it may go on.
pub(crate) trait Pace {
    /// Called again and again with the number of bytes written since the last call. Waits as long as needed; says
    /// whether to go on.
    fn advance(&self, bytes: u64) -> bool;
}

/// How blocks are merged.
pub(crate) struct MergeOptions<'a> {
    pub(crate) pace: &'a dyn Pace,
    /// Of two samples of a series at one time the one in the earlier source stays, not the one in the later.
    pub(crate) keep_first: bool,
    /// Length of segments, in bytes.
    pub(super) segment_bytes: u64,
    /// Sources whose chunks have on average at least so many samples keep them.
    pub(super) long_chunk: u64,
}

impl<'a> MergeOptions<'a> {
    /// The usual segments.
    pub(crate) fn new(pace: &'a dyn Pace, keep_first: bool) -> Self {
        Self { pace, keep_first, segment_bytes: SEGMENT_BYTES, long_chunk: LONG_CHUNK }
    }
}

/// Why there is no merged block.
#[derive(Debug)]
pub(crate) enum MergeError {
    /// One of the sources, counted from 0, cannot be read.
    Input { input: usize, source: ReadError },
    /// The block cannot be written.
    Output(BlockError),
    /// The pace said so.
    Stopped,
}

impl From<BlockError> for MergeError {
    fn from(error: BlockError) -> Self {
        Self::Output(error)
    }
}

/// A merged block that is written, but for its description and its name. Removed if it is dropped.
pub(crate) struct Merged<'a> {
    draft: Draft<'a>,
    range: TimeRange,
    stats: BlockStats,
}

impl Merged<'_> {
    /// Gives the block its name. Durable when it returns.
    pub(crate) fn publish(self) -> Result<BlockMeta, BlockError> {
        self.draft.publish(self.range, self.stats)
    }
}

/// Writes the block `spec` into the data directory `parent` with all that is left of `inputs`, which come in the order
/// in which they were written. `None` if nothing is left.
pub(crate) fn merge<'a>(
    fs: &'a dyn Fs,
    parent: &Path,
    spec: BlockSpec,
    inputs: &[MergeInput],
    options: &MergeOptions<'_>,
) -> Result<Option<Merged<'a>>, MergeError> {
    let opened = inputs
        .iter()
        .enumerate()
        .map(|(input, each)| each.block.opened().map_err(|source| MergeError::Input { input, source }));
    let opened = opened.collect::<Result<Vec<_>, _>>()?;
    let sources: Vec<Source<'_>> = inputs
        .iter()
        .zip(&opened)
        .map(|(input, opened)| Source { block: &input.block, tombstones: &input.tombstones, opened })
        .collect();
    let touched = find_touched(&sources, options)?;
    Merge::new(fs, parent, spec, sources, touched, options)?.run()
}

/// An input, opened.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) block: &'a Block,
    pub(super) tombstones: &'a Tombstones,
    pub(super) opened: &'a super::parts::Opened,
}

impl Source<'_> {
    /// Are its chunks long enough to be kept?
    fn has_long_chunks(&self, long_chunk: u64) -> bool {
        let stats = self.block.meta().stats;
        stats.samples >= stats.chunks.saturating_mul(long_chunk)
    }

    /// Appends what is left of `part`, which is one of this source, to `into`.
    fn read(&self, part: &Part, into: &mut SampleColumns) -> Result<(), MergeError> {
        let before = into.len();
        let deleted = self.tombstones.of(part.series);
        if deleted.covers(&part.chunk.range) {
            return Ok(());
        }
        let read = self.block.read_chunk(&self.opened.segments, &part.chunk, TimeRange::ALL, into);
        read.map_err(|source| MergeError::Input {
            input: part.input,
            source: self.block.segment_error(FrameRef(part.chunk.frame), source),
        })?;
        if !deleted.is_empty() {
            deleted.remove_from(into, before);
        }
        Ok(())
    }
}

fn damaged(sources: &[Source<'_>], damage: InputDamage) -> MergeError {
    let InputDamage { input, source, .. } = damage;
    match sources.get(input) {
        Some(of) => MergeError::Input { input, source: of.block.index_error(source) },
        None => MergeError::Stopped,
    }
}

/// Which frames cannot be copied, and which series have nothing left. Takes a walk through the indices if anything is
/// deleted or overlaps.
fn find_touched(sources: &[Source<'_>], options: &MergeOptions<'_>) -> Result<Touched, MergeError> {
    let has_long_chunks = |source: &Source<'_>| source.has_long_chunks(options.long_chunk);
    let copies = sources.iter().map(|source| sources.len() == 1 || has_long_chunks(source));
    let mut touched = Touched::new(copies.collect());
    let is_deleted = |source: &Source<'_>| !source.tombstones.is_empty();
    let may_overlap = touched.any_copies() && overlap(sources);
    if !may_overlap && !sources.iter().any(is_deleted) {
        return Ok(touched);
    }
    let all = sources.iter().map(|source| (&source.opened.index, RoaringBitmap::new())).collect();
    let mut merger = IndexMerger::new(all).map_err(|damage| damaged(sources, damage))?;
    let (mut parts, mut scratch, mut count) = (Vec::new(), SampleColumns::new(), 0_u32);
    while merger.next(&mut parts).map_err(|damage| damaged(sources, damage))? {
        count = count.wrapping_add(1);
        if count.is_multiple_of(SERIES_PER_PAUSE) && !options.pace.advance(0) {
            return Err(MergeError::Stopped);
        }
        in_order(&mut parts);
        for cluster in clusters(&parts) {
            let is_alone = cluster.len() == 1;
            for part in cluster.iter().filter(|part| !is_alone || is_deleted_in(sources, part)) {
                touched.touch(part.input, part.chunk.frame);
            }
        }
        if !is_anything_left(sources, &parts, &mut scratch)? {
            parts.iter().for_each(|part| touched.remove_series(part.input, part.series));
        }
    }
    Ok(touched)
}

/// Does anything of the series in `parts` survive? Samples are read only if all chunks have deleted ones.
fn is_anything_left(
    sources: &[Source<'_>],
    parts: &[Part],
    scratch: &mut SampleColumns,
) -> Result<bool, MergeError> {
    if !parts.iter().all(|part| is_deleted_in(sources, part)) {
        return Ok(true);
    }
    for part in parts {
        scratch.clear();
        if let Some(source) = sources.get(part.input) {
            source.read(part, scratch)?;
        }
        if !scratch.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_deleted_in(sources: &[Source<'_>], part: &Part) -> bool {
    let source = sources.get(part.input);
    source.is_some_and(|source| source.tombstones.of(part.series).overlaps(&part.chunk.range))
}

/// Do the times of any two sources overlap?
fn overlap(sources: &[Source<'_>]) -> bool {
    let mut ranges: Vec<TimeRange> = sources.iter().map(|source| source.block.meta().range).collect();
    ranges.sort_unstable_by_key(TimeRange::start);
    ranges.array_windows().any(|[a, b]| a.overlaps(b))
}

/// Sorts the chunks of a series by time.
fn in_order(parts: &mut [Part]) {
    parts.sort_unstable_by_key(|part| (part.chunk.range.start(), part.input));
}

/// Chunks that overlap, from left to right; mostly each is alone.
fn clusters(parts: &[Part]) -> impl Iterator<Item = &[Part]> {
    let mut rest = parts;
    std::iter::from_fn(move || {
        let mut end = rest.first()?.chunk.range.end();
        let is_apart = |part: &Part| {
            let is_apart = part.chunk.range.start() > end;
            end = end.max(part.chunk.range.end());
            is_apart
        };
        let len = rest.iter().skip(1).position(is_apart).map_or(rest.len(), |apart| apart + 1);
        let (cluster, others) = rest.split_at_checked(len)?;
        rest = others;
        Some(cluster)
    })
}

/// Everything about a merge that is under way.
struct Merge<'a, 's> {
    draft: Draft<'a>,
    sources: Vec<Source<'s>>,
    touched: Touched,
    options: &'s MergeOptions<'s>,
    samples: SamplesWriter<'a>,
    copied: Vec<Copied>,
    /// Histograms that were read from each source.
    histograms: Vec<u64>,
    /// Samples of the series that is merged, not written yet.
    pending: SampleColumns,
    cluster: SampleColumns,
    part: SampleColumns,
    chunks: Vec<ChunkRef>,
    told_bytes: u64,
}

impl<'a, 's> Merge<'a, 's> {
    fn new(
        fs: &'a dyn Fs,
        parent: &Path,
        spec: BlockSpec,
        sources: Vec<Source<'s>>,
        mut touched: Touched,
        options: &'s MergeOptions<'s>,
    ) -> Result<Self, MergeError> {
        let draft = Draft::create(fs, parent, spec)?;
        let (copied, first_column) = Copied::of_sources(&sources, &mut touched);
        let (dir, chunks_dir) = (draft.dir.clone(), draft.chunks_dir());
        let samples =
            SamplesWriter::new(fs, dir, chunks_dir, &draft.spec, first_column, options.segment_bytes)?;
        Ok(Self {
            draft,
            histograms: vec![0; sources.len()],
            sources,
            touched,
            options,
            samples,
            copied,
            pending: SampleColumns::new(),
            cluster: SampleColumns::new(),
            part: SampleColumns::new(),
            chunks: Vec::new(),
            told_bytes: 0,
        })
    }

    fn run(mut self) -> Result<Option<Merged<'a>>, MergeError> {
        let indices = self.sources.iter().enumerate();
        let indices = indices.map(|(input, source)| (&source.opened.index, self.touched.removed(input)));
        let mut merger =
            IndexMerger::new(indices.collect()).map_err(|damage| damaged(&self.sources, damage))?;
        let (index, index_path) = self.draft.create_file(names::INDEX)?;
        let mut append = |bytes: &[u8]| index.append(bytes).map_err(BlockError::io("write", &index_path));
        let mut parts = Vec::new();
        while merger.next(&mut parts).map_err(|damage| damaged(&self.sources, damage))? {
            self.merge_series(&mut parts)?;
            let limit = |source: WriteError| BlockError::Series { path: self.draft.dir.clone(), source };
            merger.push(&self.chunks).map_err(limit)?;
            merger.drain(&mut append)?;
            let unpaused = self.samples.written() - self.told_bytes;
            if merger.series_count().is_multiple_of(SERIES_PER_PAUSE) || unpaused >= BYTES_PER_PAUSE {
                self.pause()?;
            }
        }
        let series = u64::from(merger.series_count());
        let Some((range, stats)) = self.samples.finish()? else { return Ok(None) };
        let pace = self.options.pace;
        let finished = merger.finish::<Unfinished>(&mut |bytes| match pace.advance(bytes.len() as u64) {
            true => Ok(append(bytes)?),
            false => Err(Unfinished::Stopped),
        });
        finished.map_err(|error| error.into_merge_error(&self.sources))?;
        index.sync().map_err(BlockError::io("sync", &index_path))?;
        let histograms = stats.histograms + self.copied_histograms();
        Ok(Some(Merged { draft: self.draft, range, stats: BlockStats { series, histograms, ..stats } }))
    }

    /// Writes one series; `self.chunks` then says where it is.
    fn merge_series(&mut self, parts: &mut [Part]) -> Result<(), MergeError> {
        self.chunks.clear();
        self.pending.clear();
        in_order(parts);
        for cluster in clusters(parts) {
            match cluster {
                [part] if self.touched.may_copy(part.input, part.chunk.frame) => {
                    self.write_pending(true)?;
                    self.copy(part)?;
                }
                _ => {
                    self.merge_cluster(cluster)?;
                    self.write_pending(false)?;
                }
            }
        }
        self.write_pending(true)
    }

    /// Adds the samples of chunks that overlap to those that are pending.
    fn merge_cluster(&mut self, cluster: &[Part]) -> Result<(), MergeError> {
        self.cluster.clear();
        let mut in_order_of_writing: Vec<&Part> = cluster.iter().collect();
        in_order_of_writing.sort_by_key(|part| part.input);
        for part in in_order_of_writing {
            let Some(source) = self.sources.get(part.input) else { continue };
            self.part.clear();
            source.read(part, &mut self.part)?;
            if let Some(histograms) = self.histograms.get_mut(part.input) {
                *histograms += self.part.as_slices().histogram_count() as u64;
            }
            match self.options.keep_first {
                true => add_missing(&self.part, &mut self.cluster),
                false => add(&self.part, &mut self.cluster),
            }
        }
        add(&self.cluster, &mut self.pending);
        Ok(())
    }

    /// Writes the pending samples that fill chunks, or all of them.
    fn write_pending(&mut self, is_last: bool) -> Result<(), MergeError> {
        let len = match is_last {
            true => self.pending.len(),
            false => self.pending.len() / CHUNK_SAMPLES * CHUNK_SAMPLES,
        };
        if len == 0 {
            return Ok(());
        }
        self.samples.add(self.pending.as_slices().split_at(len).0, &mut self.chunks)?;
        self.pending.remove(0..len);
        Ok(())
    }

    /// Refers to a chunk in a frame that is copied, now or before.
    fn copy(&mut self, part: &Part) -> Result<(), MergeError> {
        let (Some(source), Some(copied)) = (self.sources.get(part.input), self.copied.get_mut(part.input))
        else {
            return Ok(());
        };
        let place = FrameRef(part.chunk.frame);
        let frame = copied.place(&source.opened.segments, place, &mut self.samples).map_err(|error| {
            error.into_merge_error(|damage| MergeError::Input {
                input: part.input,
                source: source.block.segment_error(place, damage),
            })
        })?;
        let times = copied.column(part.chunk.times);
        let chunk = ChunkRef { frame: frame.0, times, ..part.chunk };
        self.samples.count_copied(&chunk);
        self.chunks.push(chunk);
        Ok(())
    }

    fn copied_histograms(&self) -> u64 {
        let copied = self.sources.iter().zip(&self.histograms).zip(&self.copied);
        let copied = copied.filter(|(_, copied)| copied.has_begun());
        copied.map(|((source, read), _)| source.block.meta().stats.histograms.saturating_sub(*read)).sum()
    }

    fn pause(&mut self) -> Result<(), MergeError> {
        let written = self.samples.written();
        let bytes = written - std::mem::replace(&mut self.told_bytes, written);
        if self.options.pace.advance(bytes) { Ok(()) } else { Err(MergeError::Stopped) }
    }
}

/// Why the index is not finished.
enum Unfinished {
    Input(InputDamage),
    Output(BlockError),
    Stopped,
}

impl Unfinished {
    fn into_merge_error(self, sources: &[Source<'_>]) -> MergeError {
        match self {
            Self::Input(damage) => damaged(sources, damage),
            Self::Output(error) => MergeError::Output(error),
            Self::Stopped => MergeError::Stopped,
        }
    }
}

impl From<InputDamage> for Unfinished {
    fn from(damage: InputDamage) -> Self {
        Self::Input(damage)
    }
}

impl From<BlockError> for Unfinished {
    fn from(error: BlockError) -> Self {
        Self::Output(error)
    }
}
