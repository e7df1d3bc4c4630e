//! A full check of a block: every checksum, every frame unpacked, every column decoded, and that index, description
//! and samples tell the same story.

use super::file::IndexFile;
use super::reader::read_meta;
use super::segment::{self, FrameRef, HEADER_LEN, Kind, Segments};
use super::{BlockError, FrameCache};
use crate::fs::Fs;
use crate::names;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::error::CorruptionKind;
use tsdb_core::pack::{Times, Values};
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange};
use tsdb_index::{ChunkRef, IndexReader};
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
}

/// Reads all of the block in `dir` and lists what is damaged; nothing if all is well. Goes on behind damaged frames.
///
/// # Errors
/// A file that cannot be read or is of an unknown version.
pub fn verify(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Vec<Damage>, BlockError> {
    let mut found = Vec::new();
    let meta = note(read_meta(&**fs, dir), &mut found)?;
    let (segments, damaged) = segment::open_all(fs, &dir.join(names::CHUNKS_DIR))?;
    found.extend(damaged.into_iter().map(|(path, what)| Damage { path, what }));
    verify_frames(dir, &segments, &mut found);
    let index_path = dir.join(names::INDEX);
    let cache = Arc::new(FrameCache::new(CACHE_BYTES));
    let file =
        IndexFile::open(fs, &index_path, BlockId(0), cache).map_err(BlockError::io("open", &index_path))?;
    let opened = IndexReader::open(file).and_then(|index| index.check().map(|()| index));
    let opened = opened.map_err(|damage| BlockError::damaged(&index_path, damage));
    if let Some(index) = note(opened, &mut found)? {
        verify_series(dir, &index, &segments, meta.as_ref(), &mut found);
    }
    Ok(found)
}

/// Lists damage; other errors end the check.
fn note<T>(result: Result<T, BlockError>, found: &mut Vec<Damage>) -> Result<Option<T>, BlockError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(BlockError::Corrupt { path, source }) => {
            found.push(Damage { path, what: source });
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
                    found.push(Damage { path: segment_path(dir, number), what });
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
    let mut reader = FrameReader::new(segments);
    let mut seen = Seen::default();
    let (mut cursor, mut chunks) = (index.cursor(), Vec::new());
    let mut last_damaged = None;
    for series in 0..index.series_count() {
        // The index has been checked: this cannot fail.
        if cursor.chunks(series, &mut chunks).is_err() {
            continue;
        }
        for chunk in &chunks {
            seen.add(chunk);
            let place = FrameRef(chunk.frame);
            if let Err(what) = reader.check(chunk)
                && last_damaged.replace(place) != Some(place)
            {
                found.push(Damage { path: segment_path(dir, place.segment()), what });
            }
        }
    }
    if let Some(meta) = meta {
        let stats = (meta.stats.series, meta.stats.chunks, meta.stats.samples);
        if stats != (index.series_count().into(), seen.chunks, seen.samples) || Some(meta.range) != seen.range
        {
            let kind = CorruptionKind::Rule { rule: "the description agrees with the index" };
            let what = Corruption::new("block description", 0, kind);
            found.push(Damage { path: dir.join(names::META), what });
        }
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(names::CHUNKS_DIR).join(names::numbered(number))
}

/// What the index tells in all.
#[derive(Default)]
struct Seen {
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
    values: Option<(FrameRef, Vec<u8>)>,
    times: Option<(FrameRef, Vec<u8>)>,
    samples: SampleColumns,
    decoder: Option<Decompressor<'static>>,
}

impl<'a> FrameReader<'a> {
    fn new(segments: &'a Segments) -> Self {
        Self { segments, values: None, times: None, samples: SampleColumns::new(), decoder: None }
    }

    /// Do the samples of `chunk` decode, and are they what the index says?
    fn check(&mut self, chunk: &ChunkRef) -> Result<(), Corruption> {
        let place = FrameRef(chunk.frame);
        load(self.segments, &mut self.decoder, &mut self.values, place, Kind::Values)?;
        let values = Values::open(bytes(&self.values))?;
        let (times_place, column) = self.segments.time_column(values.time(chunk.slot)?)?;
        load(self.segments, &mut self.decoder, &mut self.times, times_place, Kind::Times)?;
        self.samples.clear();
        Times::open(bytes(&self.times))?.read(column, &mut self.samples.timestamps)?;
        values.read(chunk.slot, &mut self.samples.values)?;
        let timestamps = &self.samples.timestamps;
        let range = timestamps.first().zip(timestamps.last()).and_then(|(a, b)| TimeRange::new(*a, *b));
        let agrees = range == Some(chunk.range)
            && timestamps.len() == chunk.samples as usize
            && timestamps.len() == self.samples.values.len();
        if agrees {
            return Ok(());
        }
        let rule = "a chunk has the samples that the index says";
        Err(Corruption::new("segment", 0, CorruptionKind::Rule { rule }))
    }
}

fn bytes(frame: &Option<(FrameRef, Vec<u8>)>) -> &[u8] {
    frame.as_ref().map_or(&[], |(_, bytes)| bytes)
}

/// Unpacks the frame at `place` into `into`, unless it is there.
fn load(
    segments: &Segments,
    decoder: &mut Option<Decompressor<'static>>,
    into: &mut Option<(FrameRef, Vec<u8>)>,
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
