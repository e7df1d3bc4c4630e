//! Writing the samples of a block: chunks go into frames, frames into segments.

use super::segment::{ColumnSpan, FrameRef, Kind, SegmentNumbers, SegmentsWriter, StoredFrame};
use super::times::TimeColumns;
use super::{BlockError, BlockSpec};
use crate::fs::Fs;
use std::path::PathBuf;
use tsdb_core::TimeRange;
use tsdb_core::block::BlockStats;
use tsdb_core::pack::{MAX_SERIES, PackError, RAW_TARGET_BYTES, Times, Values, ValuesWriter, fitting};
use tsdb_core::sample::SampleSlices;
use tsdb_index::ChunkRef;
use tsdb_rollup::aggregate::{AggregateColumns, AggregateWriter, Aggregates};

/// Samples in a chunk. A longer series is cut, so that a short range of a long block does not cost all of it.
pub(super) const CHUNK_SAMPLES: usize = 8192;

/// Writes samples and says where they are.
pub(super) struct SamplesWriter<'a> {
    /// The block that is written.
    dir: PathBuf,
    segments: SegmentsWriter<'a>,
    /// Frames that are copied have segments of their own: the place of a frame that fills must not change.
    copies: SegmentsWriter<'a>,
    written: u64,
    values: ValuesWriter,
    /// In place of the values, if the block is a rollup.
    windows: AggregateWriter,
    times: TimeColumns,
    stats: BlockStats,
    range: Option<TimeRange>,
}

impl<'a> SamplesWriter<'a> {
    /// A writer of segments of about `segment_bytes` in `chunks_dir`, which exists, for the block `spec` in `dir`. The first
    /// column of timestamps that it writes itself gets the number `first_column`.
    pub(super) fn new(
        fs: &'a dyn Fs,
        dir: PathBuf,
        chunks_dir: PathBuf,
        spec: &BlockSpec,
        first_column: u32,
        segment_bytes: u64,
    ) -> Result<Self, BlockError> {
        let numbers = SegmentNumbers::default();
        let resolution_ms = spec.rollup.map_or(1, |rollup| rollup.resolution_ms);
        Ok(Self {
            dir,
            segments: SegmentsWriter::new(fs, chunks_dir.clone(), segment_bytes, numbers.clone())?,
            copies: SegmentsWriter::new(fs, chunks_dir, segment_bytes, numbers)?,
            written: 0,
            values: ValuesWriter::new(),
            windows: AggregateWriter::new(resolution_ms),
            times: TimeColumns::new(spec.id.0 as u64, first_column),
            stats: BlockStats::default(),
            range: None,
        })
    }

    /// Adds the next samples of a series and appends to `chunks` where they are.
    pub(super) fn add(
        &mut self,
        samples: SampleSlices<'_>,
        chunks: &mut Vec<ChunkRef>,
    ) -> Result<(), BlockError> {
        let mut rest = samples;
        while !rest.is_empty() {
            let (chunk, _) = rest.split_at(CHUNK_SAMPLES);
            let (chunk, _) = chunk.split_at(fitting(chunk).max(1));
            chunks.push(self.add_chunk(chunk)?);
            (_, rest) = rest.split_at(chunk.len());
        }
        Ok(())
    }

    /// As [`add`](Self::add), for windows of one form.
    pub(super) fn add_windows(
        &mut self,
        windows: &AggregateColumns,
        chunks: &mut Vec<ChunkRef>,
    ) -> Result<(), BlockError> {
        let mut start = 0;
        while start < windows.len() {
            let (_, rest) = windows.samples.as_slices().split_at(start);
            let (piece, _) = rest.split_at(CHUNK_SAMPLES);
            let end = start + fitting(piece).max(1);
            chunks.push(self.add_window_chunk(&windows.slice(start..end))?);
            start = end;
        }
        Ok(())
    }

    /// Ends all segments. Returns the times and the numbers of what was written, without that of series; `None` if it
    /// was nothing.
    pub(super) fn finish(&mut self) -> Result<Option<(TimeRange, BlockStats)>, BlockError> {
        let Some(range) = self.range else { return Ok(None) };
        self.flush_values()?;
        self.flush_windows()?;
        for frame in self.times.take_full(true) {
            self.append_times(frame.columns, &frame.bytes)?;
        }
        self.segments.finish()?;
        self.copies.finish()?;
        Ok(Some((range, self.stats)))
    }

    /// Writes a frame of another block as it is, but for the base of its columns.
    pub(super) fn copy_frame(&mut self, frame: &StoredFrame<'_>) -> Result<FrameRef, BlockError> {
        let before = self.copies.len();
        let place = self.copies.append_stored(frame)?;
        self.written += self.copies.len() - before;
        if frame.kind == Kind::Times {
            return Ok(place);
        }
        self.copies.roll()?;
        Ok(place)
    }

    /// Counts a chunk that lies in a frame which was copied.
    pub(super) fn count_copied(&mut self, chunk: &ChunkRef) {
        self.count(chunk);
    }

    /// Bytes of frames written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    fn add_chunk(&mut self, samples: SampleSlices<'_>) -> Result<ChunkRef, BlockError> {
        let times = samples.timestamps();
        let times = self.times.intern(times).map_err(|source| self.samples_error(source))?;
        let slot = self.values.push_samples(times, samples);
        let chunk = self.chunk(samples, times, slot)?;
        if self.values.len() >= MAX_SERIES || self.values.raw_len() >= RAW_TARGET_BYTES {
            self.flush_values()?;
        }
        Ok(chunk)
    }

    fn add_window_chunk(&mut self, windows: &AggregateColumns) -> Result<ChunkRef, BlockError> {
        let times = &windows.samples.timestamps;
        let times = self.times.intern(times).map_err(|source| self.samples_error(source))?;
        let slot = self.windows.push(times, windows);
        let chunk = self.chunk(windows.samples.as_slices(), times, slot)?;
        if self.windows.is_full() {
            self.flush_windows()?;
        }
        Ok(chunk)
    }

    /// Where `samples` are going to be, at `slot` of the frame that fills, with the column of timestamps `times`.
    fn chunk(
        &mut self,
        samples: SampleSlices<'_>,
        times: u32,
        slot: Result<u32, PackError>,
    ) -> Result<ChunkRef, BlockError> {
        let slot = slot.map_err(|source| self.samples_error(source))?;
        let ends = samples.timestamps().first().zip(samples.timestamps().last());
        let Some(range) = ends.and_then(|(first, last)| TimeRange::new(*first, *last)) else {
            return Err(self.samples_error(PackError::NotAscending { index: 0 }));
        };
        let chunk = ChunkRef {
            // Nothing is appended before this frame is: see `flush_values`.
            frame: self.segments.next().0,
            slot,
            range,
            samples: u32::try_from(samples.len()).unwrap_or(u32::MAX),
            times,
        };
        self.count(&chunk);
        self.stats.histograms += samples.histogram_count() as u64;
        Ok(chunk)
    }

    fn count(&mut self, chunk: &ChunkRef) {
        self.range = Some(self.range.map_or(chunk.range, |all| all.union(&chunk.range)));
        self.stats.chunks += 1;
        self.stats.samples += u64::from(chunk.samples);
    }

    /// Writes the frame of values and then, not before, the frames of timestamps that have become full: so the place of
    /// a frame of values is known while it fills.
    fn flush_values(&mut self) -> Result<(), BlockError> {
        if self.values.is_empty() {
            return Ok(());
        }
        let count = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let raw = self.values.finish();
        let damaged = |source| BlockError::Corrupt { path: self.dir.clone(), source };
        let frame = Values::open(&raw).map_err(damaged)?;
        let before = self.segments.len();
        self.segments.append(Kind::Values, ColumnSpan { base: 0, count }, &raw, frame.cuts())?;
        self.written += self.segments.len() - before;
        self.append_full_times()
    }

    /// As [`flush_values`](Self::flush_values).
    fn flush_windows(&mut self) -> Result<(), BlockError> {
        if self.windows.is_empty() {
            return Ok(());
        }
        let raw = self.windows.finish().map_err(|source| self.samples_error(source))?;
        let damaged = |source| BlockError::Corrupt { path: self.dir.clone(), source };
        let frame = Aggregates::open(&raw).map_err(damaged)?;
        let count = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        self.segments.append(Kind::Windows, ColumnSpan { base: 0, count }, &raw, frame.cuts())?;
        self.append_full_times()
    }

    fn append_full_times(&mut self) -> Result<(), BlockError> {
        for frame in self.times.take_full(false) {
            self.append_times(frame.columns, &frame.bytes)?;
        }
        self.segments.roll()
    }

    fn append_times(&mut self, columns: ColumnSpan, raw: &[u8]) -> Result<(), BlockError> {
        let damaged = |source| BlockError::Corrupt { path: self.dir.clone(), source };
        let frame = Times::open(raw).map_err(damaged)?;
        self.segments.append(Kind::Times, columns, raw, frame.cuts())?;
        Ok(())
    }

    fn samples_error(&self, source: PackError) -> BlockError {
        BlockError::Samples { path: self.dir.clone(), source }
    }
}
