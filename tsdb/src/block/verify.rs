//! A full check of a block: every checksum, every frame unpacked, every column decoded, and that index, description
//! and samples tell the same story.

use super::file::IndexFile;
use super::reader::{id_by_name, read_meta};
use super::segment::{self, FrameRef, HEADER_LEN, Kind, Segments, UnpackedFrame};
use super::{BlockError, FrameCache};
use crate::fs::Fs;
use crate::names;
use crate::tombstones;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::error::CorruptionKind;
use tsdb_core::pack::{Times, Values};
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange, Timestamp};
use tsdb_index::{ChunkRef, IndexReader};
use tsdb_rollup::aggregate::{AggregateColumns, Aggregates};
use zstd::bulk::Decompressor;

/// Memory for pages of the index, in bytes.
const CACHE_BYTES: usize = 4 << 20;

/// A damaged part of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: Corruption,
    /// What cannot be read because of it.
    pub lost: Loss,
}

/// What damage costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Nothing that was stored.
    Nothing,
    /// These samples.
    Samples {
        /// Chunks of series that hold them.
        chunks: u64,
        /// Their number.
        samples: u64,
    },
    /// All samples of so many series.
    Series(u64),
    /// All samples of the block.
    Block,
    /// The records of the log in so many bytes.
    Records {
        /// Bytes that could not be read as records.
        bytes: u64,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "nothing"),
            Self::Samples { chunks, samples } => write!(f, "{samples} samples in {chunks} chunks"),
            Self::Series(count) => write!(f, "{count} series"),
            Self::Block => write!(f, "the whole block"),
            Self::Records { bytes: 0 } => write!(f, "the records in it"),
            Self::Records { bytes } => write!(f, "the records in {bytes} bytes"),
        }
    }
}

/// Reads all of the block in `dir` and lists what is damaged; nothing if all is well. Goes on behind damaged frames.
///
/// # Errors
/// A file that cannot be read or is of an unknown version.
pub fn verify(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Vec<Damage>, BlockError> {
    let mut found = Vec::new();
    let meta = note(read_meta(&**fs, dir), &mut found)?;
    let (segments, damaged) = segment::open_all(fs, &dir.join(names::CHUNKS_DIR))?;
    found.extend(damaged.into_iter().map(|(path, what)| Damage { path, what, lost: Loss::Nothing }));
    verify_frames(dir, &segments, &mut found);
    if let Some(id) = meta.as_ref().map(|meta| meta.id).or_else(|| id_by_name(dir)) {
        verify_tombstones(&**fs, dir, id, &mut found)?;
    }
    if let Some(index) = verify_index(fs, dir, &mut found)? {
        verify_series(dir, &index, &segments, meta.as_ref(), &mut found);
    }
    Ok(found)
}

/// Lists damaged copies of the tombstones. A block of which no copy can be read is not served.
fn verify_tombstones(
    fs: &dyn Fs,
    dir: &Path,
    id: BlockId,
    found: &mut Vec<Damage>,
) -> Result<(), BlockError> {
    let before = found.len();
    let kept = note(tombstones::load(fs, dir, id), found)?;
    found.iter_mut().skip(before).for_each(|damage| damage.lost = Loss::Block);
    let damaged = kept.into_iter().flat_map(|kept| kept.damaged);
    found.extend(damaged.map(|(path, what)| Damage { path, what, lost: Loss::Nothing }));
    Ok(())
}

/// The index, as far as it can be used.
fn verify_index(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    found: &mut Vec<Damage>,
) -> Result<Option<IndexReader<IndexFile>>, BlockError> {
    let path = dir.join(names::INDEX);
    let cache = Arc::new(FrameCache::new(CACHE_BYTES));
    let opened = IndexFile::open(fs, &path, BlockId(0), cache).map_err(|error| {
        Corruption::new("index file", 0, CorruptionKind::Unreadable { message: error.to_string() })
    });
    let opened = opened.and_then(IndexReader::open).map_err(|damage| BlockError::damaged(&path, damage));
    let before = found.len();
    let index = note(opened, found)?;
    found.iter_mut().skip(before).for_each(|damage| damage.lost = Loss::Block);
    if let Some(index) = &index
        && let Err(what) = index.check()
    {
        let (mut cursor, mut chunks) = (index.cursor(), Vec::new());
        let mut is_lost =
            |series| cursor.labels(series).is_err() || cursor.chunks(series, &mut chunks).is_err();
        let lost = (0..index.series_count()).filter(|series| is_lost(*series)).count();
        found.push(Damage { path, what, lost: Loss::Series(lost as u64) });
    }
    Ok(index)
}

/// Lists damage; other errors end the check.
fn note<T>(result: Result<T, BlockError>, found: &mut Vec<Damage>) -> Result<Option<T>, BlockError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(BlockError::Corrupt { path, source }) => {
            found.push(Damage { path, what: source, lost: Loss::Nothing });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Walks the frames of each segment: none may be damaged, and they fill the segment.
fn verify_frames(dir: &Path, segments: &Segments, found: &mut Vec<Damage>) {
    for number in 1..=segments.len() as u64 {
        let Ok(segment) = segments.segment(number) else { continue };
        let mut offset = HEADER_LEN;
        let mut buffer = Vec::new();
        while offset < segment.frames_end() {
            match segment.frame(offset, &mut buffer) {
                Ok((_, end)) => offset = end,
                Err(what) => {
                    found.push(Damage { path: segment_path(dir, number), what, lost: Loss::Nothing });
                    break;
                }
            }
        }
    }
}

/// Reads all samples of all series, each frame once.
fn verify_series(
    dir: &Path,
    index: &IndexReader<IndexFile>,
    segments: &Segments,
    meta: Option<&BlockMeta>,
    found: &mut Vec<Damage>,
) {
    // What a damaged description does not tell, the first frame does.
    let first =
        segments.segment(1).and_then(|segment| Ok(segment.frame(HEADER_LEN, &mut Vec::new())?.0.kind));
    let kind = if first == Ok(Kind::Windows) { Kind::Windows } else { Kind::Values };
    let mut reader = FrameReader::new(segments, kind);
    let mut seen = Seen::default();
    let (mut cursor, mut chunks) = (index.cursor(), Vec::new());
    for series in 0..index.series_count() {
        // Damage to the index is known and counted.
        if cursor.chunks(series, &mut chunks).is_err() {
            continue;
        }
        seen.series += 1;
        for chunk in &chunks {
            seen.add(chunk);
            if let Err(what) = reader.check(chunk) {
                let path = segment_path(dir, FrameRef(chunk.frame).segment());
                add_loss(found, path, what, u64::from(chunk.samples));
            }
        }
    }
    if let Some(meta) = meta.filter(|_| seen.series == u64::from(index.series_count())) {
        let stats = (meta.stats.series, meta.stats.chunks, meta.stats.samples);
        if stats != (index.series_count().into(), seen.chunks, seen.samples) || Some(meta.range) != seen.range
        {
            let kind = CorruptionKind::Rule { rule: "the description agrees with the index" };
            let what = Corruption::new("block description", 0, kind);
            found.push(Damage { path: dir.join(names::META), what, lost: Loss::Nothing });
        }
    }
}

/// Counts a chunk of so many `samples` that is lost by the damage `what` to `path`, known or not.
fn add_loss(found: &mut Vec<Damage>, path: PathBuf, what: Corruption, samples: u64) {
    let lost = Loss::Samples { chunks: 1, samples };
    match found.iter_mut().rev().find(|damage| damage.path == path && damage.what == what) {
        None => found.push(Damage { path, what, lost }),
        Some(Damage { lost: Loss::Samples { chunks, samples: all }, .. }) => {
            *chunks += 1;
            *all += samples;
        }
        Some(known) => known.lost = lost,
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(names::CHUNKS_DIR).join(names::numbered(number))
}

/// What the index tells in all.
#[derive(Default)]
struct Seen {
    series: u64,
    chunks: u64,
    samples: u64,
    range: Option<TimeRange>,
}

impl Seen {
    fn add(&mut self, chunk: &ChunkRef) {
        self.chunks += 1;
        self.samples += u64::from(chunk.samples);
        self.range = Some(self.range.map_or(chunk.range, |all| all.union(&chunk.range)));
    }
}

/// Unpacked frames of the two kinds, the last of each kept.
struct FrameReader<'a> {
    segments: &'a Segments,
    values: Option<(FrameRef, UnpackedFrame)>,
    times: Option<(FrameRef, UnpackedFrame)>,
    timestamps: Vec<Timestamp>,
    samples: SampleColumns,
    windows: AggregateColumns,
    /// What the frames of the block hold.
    kind: Kind,
    decoder: Option<Decompressor<'static>>,
}

impl<'a> FrameReader<'a> {
    fn new(segments: &'a Segments, kind: Kind) -> Self {
        Self {
            segments,
            kind,
            windows: AggregateColumns::default(),
            values: None,
            times: None,
            timestamps: Vec::new(),
            samples: SampleColumns::new(),
            decoder: None,
        }
    }

    /// Do the samples of `chunk` decode, and are they what the index says?
    fn check(&mut self, chunk: &ChunkRef) -> Result<(), Corruption> {
        let place = FrameRef(chunk.frame);
        load(self.segments, &mut self.decoder, &mut self.values, place, self.kind)?;
        // Reading fails unless there are as many values as timestamps.
        if self.kind == Kind::Windows {
            let windows = Aggregates::open(bytes(&self.values))?;
            let time = told_time_column(chunk, &self.values, windows.time(chunk.slot)?)?;
            read_times(self.segments, &mut self.decoder, &mut self.times, time, &mut self.timestamps)?;
            windows.read_all(chunk.slot, &self.timestamps, &mut self.windows)?;
        } else {
            let values = Values::open(bytes(&self.values))?;
            let time = told_time_column(chunk, &self.values, values.time(chunk.slot)?)?;
            read_times(self.segments, &mut self.decoder, &mut self.times, time, &mut self.timestamps)?;
            self.samples.clear();
            values.read_samples(chunk.slot, &self.timestamps, TimeRange::ALL, &mut self.samples)?;
        }
        let timestamps = &self.timestamps;
        let range = timestamps.first().zip(timestamps.last()).and_then(|(a, b)| TimeRange::new(*a, *b));
        if range == Some(chunk.range) && timestamps.len() == chunk.samples as usize {
            return Ok(());
        }
        let rule = "a chunk has the samples that the index says";
        Err(Corruption::new("segment", 0, CorruptionKind::Rule { rule }))
    }
}

fn bytes(frame: &Option<(FrameRef, UnpackedFrame)>) -> &[u8] {
    frame.as_ref().map_or(&[], |(_, frame)| &frame.bytes)
}

/// The number in the block of the column of timestamps that the frame of values calls `time`.
fn time_column(values: &Option<(FrameRef, UnpackedFrame)>, time: u32) -> u32 {
    values.as_ref().map_or(time, |(_, frame)| frame.columns.base.saturating_add(time))
}

/// As [`time_column`], which must be the number that the index tells.
fn told_time_column(
    chunk: &ChunkRef,
    values: &Option<(FrameRef, UnpackedFrame)>,
    time: u32,
) -> Result<u32, Corruption> {
    let number = time_column(values, time);
    if number == chunk.times {
        return Ok(number);
    }
    let rule = "a chunk has the timestamps that the index says";
    Err(Corruption::new("segment", 0, CorruptionKind::Rule { rule }))
}

/// Replaces `into` by the column of timestamps `number`, whose frame is loaded into `frame`.
fn read_times(
    segments: &Segments,
    decoder: &mut Option<Decompressor<'static>>,
    frame: &mut Option<(FrameRef, UnpackedFrame)>,
    number: u32,
    into: &mut Vec<Timestamp>,
) -> Result<(), Corruption> {
    let (place, column) = segments.time_column(number)?;
    load(segments, decoder, frame, place, Kind::Times)?;
    into.clear();
    Times::open(bytes(frame))?.read(column, into).map(drop)
}

/// Unpacks the frame at `place` into `into`, unless it is there.
fn load(
    segments: &Segments,
    decoder: &mut Option<Decompressor<'static>>,
    into: &mut Option<(FrameRef, UnpackedFrame)>,
    place: FrameRef,
    kind: Kind,
) -> Result<(), Corruption> {
    if into.as_ref().is_some_and(|(loaded, _)| *loaded == place) {
        return Ok(());
    }
    *into = None;
    let mut buffer = Vec::new();
    let frame = segments.frame(place, kind, &mut buffer)?;
    let decoder = match decoder {
        Some(decoder) => decoder,
        none => none.insert(segment::decoder()?),
    };
    *into = Some((place, frame.unpack(decoder)?));
    Ok(())
}
