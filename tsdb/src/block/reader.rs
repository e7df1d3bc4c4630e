//! An opened block: its series found by matchers, their samples read frame by frame.

use super::ahead::STEP_BYTES;
use super::cache::FrameCache;
use super::deleted::Deleted;
use super::file::IndexFile;
use super::parts::{Far, InUse, Opened, Parts};
use super::segment::{self, FrameRef, Kind, Segments, UnpackedFrame};
use super::{BlockError, meta};
use crate::fs::{Fs, twice, write_file};
use crate::names;
use crate::tombstones::{self, Intervals, Kept, Tombstones};
use parking_lot::RwLock;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::block::{BlockId, BlockMeta, BlockStats, Rollup};
use tsdb_core::error::CorruptionKind;
use tsdb_core::pack::{Times, Values};
use tsdb_core::read::{Projection, ReadError, SampleColumns};
use tsdb_core::{Corruption, Labels, Matcher, TimeRange, Timestamp};
use tsdb_index::{ChunkRef, IndexReader, RoaringBitmap, SeriesCursor};
use tsdb_rollup::aggregate::Aggregates;
use tsdb_rollup::downsample::windows_of;
use tsdb_rollup::merge::renew_seam;

/// A series that a selection found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its chunks within the range of the selection, in order of time; at least one.
    pub chunks: Vec<ChunkRef>,
    /// Of the samples in them these are deleted.
    pub deleted: Intervals,
}

/// An immutable block, open for reading. Shared by threads.
///
/// What is deleted in it (see [`tombstones`](crate::tombstones)) is left out of every answer.
///
/// Damage to a frame is an error for the series in it; damage to a segment, for the series in that segment; damage to
/// a page of the index, for the answers that need it. All else is served.
#[derive(Debug)]
pub struct Block {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    meta: BlockMeta,
    parts: Parts,
    cache: Arc<FrameCache>,
    warnings: Vec<String>,
    pub(super) deleted: RwLock<Deleted>,
}

impl Block {
    /// Opens the block in `dir`, whose unpacked frames go into `cache`. Damage found on the way that leaves the block
    /// usable is in [`warnings`](Self::warnings); a damaged description is made anew from the index.
    ///
    /// # Errors
    /// A file is missing, of an unknown version, or damaged so that nothing can be served.
    pub fn open(fs: &Arc<dyn Fs>, dir: &Path, cache: Arc<FrameCache>) -> Result<Self, BlockError> {
        let described = match read_meta(&**fs, dir) {
            Err(error) if !matches!(error, BlockError::Corrupt { .. }) => return Err(error),
            described => described,
        };
        let (described, id) = match (described, id_by_name(dir)) {
            (Ok(meta), _) => (Ok(meta.clone()), meta.id),
            (Err(damage), Some(id)) => (Err(damage), id),
            (Err(damage), None) => return Err(damage),
        };
        let (opened, damaged) = Opened::open(fs, dir, id, &cache)?;
        let mut warnings: Vec<String> =
            damaged.iter().map(|(path, damage)| format!("{}: {damage}", path.display())).collect();
        let meta = match described {
            Ok(meta) => meta,
            Err(damage) => {
                warnings.push(format!("{damage}; described anew from the index"));
                let damaged = |source| BlockError::damaged(dir.join(names::INDEX), source);
                rebuild(id, &opened.index, &opened.segments).map_err(damaged)?
            }
        };
        let kept = tombstones::load(&**fs, dir, id)?;
        let damage = |(path, damage): &(PathBuf, Corruption)| {
            format!("{}: {damage}; the other copy is used", path.display())
        };
        warnings.extend(kept.damaged.iter().map(damage));
        let (parts, deleted) = (Parts::Near(Box::new(opened)), RwLock::new(Deleted::from(kept)));
        Ok(Self { fs: Arc::clone(fs), dir: dir.into(), meta, parts, cache, warnings, deleted })
    }

    /// The block `meta` in `dir` of a file system that is [far](Fs::is_far): none of its files is read before a query needs
    /// it, nor `look_again` after it could not be read. Whoever opens it says what is deleted in it.
    pub fn far(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        meta: BlockMeta,
        cache: Arc<FrameCache>,
        look_again: Duration,
    ) -> Self {
        let (parts, deleted) = (Parts::Far(Far::new(look_again)), RwLock::new(Deleted::from(Kept::none())));
        Self { fs: Arc::clone(fs), dir: dir.into(), meta, parts, cache, warnings: Vec::new(), deleted }
    }

    /// Lets go of what a far block keeps in memory, if nobody used it since the last call.
    pub fn release(&self) {
        self.parts.release();
    }

    /// The directory name of the block `id`.
    pub fn dir_name(id: BlockId) -> String {
        meta::dir_name(id)
    }

    /// The block whose directory has the name `name`; `None` if it is not such a name.
    pub fn parse_dir_name(name: &str) -> Option<BlockId> {
        meta::parse_dir_name(name)
    }

    /// What the block in `dir` says of itself, if that can be read.
    pub(crate) fn described(fs: &dyn Fs, dir: &Path) -> Option<BlockMeta> {
        read_meta(fs, dir).ok()
    }

    /// What the text `description`, read from `path`, says of a block.
    pub(crate) fn parse_description(path: &Path, description: &[u8]) -> Result<BlockMeta, BlockError> {
        meta::parse(path, description)
    }

    /// The text that says `meta`.
    #[cfg(test)]
    pub(crate) fn render_description(meta: &BlockMeta) -> Vec<u8> {
        meta::render(meta)
    }

    /// The files with series and samples, by their paths within the block, and from where to their ends opening reads
    /// them.
    pub(crate) fn tails(&self) -> Result<Vec<(String, u64)>, BlockError> {
        let opened = self.parts()?;
        let mut tails = vec![(names::INDEX.to_owned(), opened.index.tail() as u64)];
        for number in 1..=opened.segments.len() as u64 {
            let name = names::numbered(number);
            let path = self.dir.join(names::CHUNKS_DIR).join(&name);
            let segment =
                opened.segments.segment(number).map_err(|damage| BlockError::damaged(path, damage))?;
            tails.push((format!("{}/{name}", names::CHUNKS_DIR), segment.frames_end() as u64));
        }
        Ok(tails)
    }

    /// What the block says of itself.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Damage found while opening, as sentences for people.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Numbers of the series that satisfy all `matchers`, in order of labels; every series if there are none. Those of
    /// which all samples are deleted are among them.
    ///
    /// # Errors
    /// Damage to what had to be read of the index.
    pub fn find(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, ReadError> {
        let opened = self.opened()?;
        self.read_ahead_index(&opened, matchers);
        opened.index.select(matchers).map_err(|damage| self.index_error(damage))
    }

    /// The series that satisfy all `matchers` and have chunks within `range`, in order of labels. A series in a
    /// damaged page of the index is left out and the damage pushed to `damage`. Labels are loaded as far as
    /// `projection` asks for them.
    ///
    /// # Errors
    /// Damage to the part of the index that finds series.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        projection: &Projection,
        damage: &mut Vec<ReadError>,
    ) -> Result<Vec<BlockSeries>, ReadError> {
        self.select_ahead(matchers, range, projection, damage, STEP_BYTES)
    }

    /// [`select`](Self::select), with so much memory for what is read ahead of samples if the block is far away.
    pub(crate) fn select_ahead(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        projection: &Projection,
        damage: &mut Vec<ReadError>,
        ahead_bytes: usize,
    ) -> Result<Vec<BlockSeries>, ReadError> {
        let mut selected = Vec::new();
        if !self.meta.range.overlaps(&range) {
            return Ok(selected);
        }
        let opened = self.opened()?;
        self.read_ahead_index(&opened, matchers);
        let tombstones = self.tombstones();
        let found = opened.index.select(matchers).map_err(|damage| self.index_error(damage))?;
        let found = found - tombstones.gone();
        let mut cursor = opened.index.cursor().projected(projection);
        self.read_ahead_series(&opened, &found, range, &mut cursor, ahead_bytes);
        let mut chunks = Vec::new();
        let mut first_damage = None;
        for series in found {
            match one(&mut cursor, series, range, &tombstones, &mut chunks) {
                Ok(found) => selected.extend(found),
                Err(source) => first_damage = first_damage.or(Some(source)),
            }
        }
        damage.extend(first_damage.map(|source| self.index_error(source)));
        Ok(selected)
    }

    /// Names of the labels of the series that satisfy all `matchers`, sorted.
    ///
    /// # Errors
    /// Damage to what had to be read of the index.
    pub fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let within = self.within(matchers)?;
        self.opened()?.index.label_names(within.as_ref()).map_err(|damage| self.index_error(damage))
    }

    /// Values of the label `name` among the series that satisfy all `matchers`, sorted.
    ///
    /// # Errors
    /// Damage to what had to be read of the index.
    pub fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let within = self.within(matchers)?;
        self.opened()?.index.label_values(name, within.as_ref()).map_err(|damage| self.index_error(damage))
    }

    /// Calls `visit` with each series in order of labels, its chunks in order of time, and what is deleted in them:
    /// what a compaction reads. Chunks and series of which nothing is left are not among them.
    ///
    /// # Errors
    /// Damage to the index, or the first error of `visit`.
    pub fn for_each_series<E: From<ReadError>>(
        &self,
        mut visit: impl FnMut(Labels, &[ChunkRef], &Intervals) -> Result<(), E>,
    ) -> Result<(), E> {
        let opened = self.opened()?;
        let mut cursor = opened.index.cursor();
        let mut chunks = Vec::new();
        let tombstones = self.tombstones();
        for series in 0..opened.index.series_count() {
            let labels = cursor.labels(series).map_err(|damage| self.index_error(damage))?;
            cursor.chunks(series, &mut chunks).map_err(|damage| self.index_error(damage))?;
            let deleted = tombstones.of(series);
            chunks.retain(|chunk| !deleted.covers(&chunk.range));
            if !chunks.is_empty() {
                visit(labels, &chunks, deleted)?;
            }
        }
        Ok(())
    }

    /// Bytes that the frame `frame`, as a chunk names it, takes in its file.
    pub(crate) fn stored_len(&self, frame: u64) -> Result<usize, ReadError> {
        let place = FrameRef(frame);
        self.opened()?.segments.stored_len(place).map_err(|source| self.segment_error(place, source))
    }

    /// Calls `visit` with each series that the index still tells of, in order of labels, its chunks, and what is
    /// deleted in them. Says whether these are all series.
    pub(crate) fn for_each_readable<E>(
        &self,
        mut visit: impl FnMut(Labels, &[ChunkRef], &Intervals) -> Result<(), E>,
    ) -> Result<bool, E> {
        // What cannot be opened tells of nothing.
        let Ok(opened) = self.opened() else { return Ok(false) };
        let mut are_all = true;
        let tombstones = self.tombstones();
        let mut cursor = opened.index.cursor();
        let mut chunks = Vec::new();
        for series in 0..opened.index.series_count() {
            let labels = cursor.labels(series);
            match (labels, cursor.chunks(series, &mut chunks)) {
                (Ok(labels), Ok(())) => visit(labels, &chunks, tombstones.of(series))?,
                _ => are_all = false,
            }
        }
        Ok(are_all)
    }

    /// Writes the description of the block as it is known now in place of the one on disk.
    pub(crate) fn describe_anew(&self, fs: &dyn Fs) -> Result<(), BlockError> {
        let path = self.dir.join(names::META);
        write_file(fs, &path, &meta::render(&self.meta)).map_err(BlockError::io("write", &path))
    }

    /// Appends to `into` the samples of `chunks`, which are those of one series, within `range`, in order of time, but
    /// for those that are `deleted` of that series.
    ///
    /// # Errors
    /// Damage to a frame; `into` is then as it was.
    pub fn read(
        &self,
        chunks: &[ChunkRef],
        deleted: &Intervals,
        range: TimeRange,
        into: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let opened = self.opened()?;
        let before = into.len();
        let is_wanted = |chunk: &&ChunkRef| chunk.range.overlaps(&range) && !deleted.covers(&chunk.range);
        for chunk in chunks.iter().filter(is_wanted) {
            let seam = into.len();
            if let Err(source) = self.read_chunk(&opened.segments, chunk, range, into) {
                into.truncate(before);
                return Err(self.segment_error(FrameRef(chunk.frame), source));
            }
            if seam > before {
                // The chunks may come from different blocks.
                renew_seam(into, seam);
            }
        }
        if !deleted.is_empty() {
            deleted.remove_from(into, before);
        }
        Ok(())
    }

    /// Appends to `into` the samples of `chunk` within `range`; after an error, what was appended is left to the caller
    /// to remove.
    pub(super) fn read_chunk(
        &self,
        segments: &Segments,
        chunk: &ChunkRef,
        range: TimeRange,
        into: &mut SampleColumns,
    ) -> Result<(), Corruption> {
        let frame = self.frame(segments, FrameRef(chunk.frame), Kind::Values)?;
        let values = Values::open(&frame.bytes)?;
        let times = self.times(segments, frame.columns.base.saturating_add(values.time(chunk.slot)?))?;
        if times.len() != chunk.samples as usize {
            let rule = "a chunk has as many samples as the index says";
            return Err(Corruption::new("segment", 0, CorruptionKind::Rule { rule }));
        }
        values.read_samples(chunk.slot, &times, range, into)
    }

    /// The series from number `first` on that have chunks within `range`, in order of labels: those among the next `most`,
    /// and the number behind them; `None` behind the last.
    ///
    /// # Errors
    /// Damage to the index.
    pub fn page(
        &self,
        first: u32,
        most: u32,
        range: TimeRange,
    ) -> Result<(Vec<BlockSeries>, Option<u32>), ReadError> {
        let opened = self.opened()?;
        let (tombstones, end) = (self.tombstones(), opened.index.series_count());
        let next = first.saturating_add(most).min(end);
        let (mut cursor, mut chunks, mut found) = (opened.index.cursor(), Vec::new(), Vec::new());
        for series in first..next {
            let one = one(&mut cursor, series, range, &tombstones, &mut chunks);
            found.extend(one.map_err(|damage| self.index_error(damage))?);
        }
        Ok((found, Some(next).filter(|next| *next < end)))
    }

    /// The column of timestamps `number`.
    pub(super) fn times(&self, segments: &Segments, number: u32) -> Result<Arc<Vec<Timestamp>>, Corruption> {
        self.cache.times(self.meta.id, number, || {
            let (place, column) = segments.time_column(number)?;
            let frame = self.frame(segments, place, Kind::Times)?;
            let mut times = Vec::new();
            Times::open(&frame.bytes)?.read(column, &mut times)?;
            Ok(times)
        })
    }

    pub(super) fn frame(
        &self,
        segments: &Segments,
        place: FrameRef,
        kind: Kind,
    ) -> Result<Arc<UnpackedFrame>, Corruption> {
        self.cache.frame(self.meta.id, place, |buffer| segments.frame(place, kind, buffer))
    }

    /// The files of the block.
    pub(super) fn opened(&self) -> Result<InUse<'_>, ReadError> {
        self.parts().map_err(|error| match error {
            BlockError::Corrupt { path, source } => {
                ReadError::Corrupt { origin: path.display().to_string(), source }
            }
            other => ReadError::Storage { origin: self.dir.display().to_string(), source: Box::new(other) },
        })
    }

    pub(super) fn parts(&self) -> Result<InUse<'_>, BlockError> {
        self.parts.in_use(|| Opened::open(&self.fs, &self.dir, self.meta.id, &self.cache))
    }

    /// The series that satisfy all `matchers` and have samples; `None` if all do.
    fn within(&self, matchers: &[Matcher]) -> Result<Option<RoaringBitmap>, ReadError> {
        let tombstones = self.tombstones();
        if matchers.is_empty() && tombstones.gone().is_empty() {
            return Ok(None);
        }
        self.find(matchers).map(|found| Some(found - tombstones.gone()))
    }

    pub(super) fn segment_error(&self, place: FrameRef, source: Corruption) -> ReadError {
        let path = self.dir.join(names::CHUNKS_DIR).join(names::numbered(place.segment()));
        ReadError::Corrupt { origin: path.display().to_string(), source }
    }

    pub(super) fn index_error(&self, source: Corruption) -> ReadError {
        ReadError::Corrupt { origin: self.dir.join(names::INDEX).display().to_string(), source }
    }
}

/// Series number `series`, if it has chunks within `range`.
fn one(
    cursor: &mut SeriesCursor<'_, IndexFile>,
    series: u32,
    range: TimeRange,
    tombstones: &Tombstones,
    chunks: &mut Vec<ChunkRef>,
) -> Result<Option<BlockSeries>, Corruption> {
    cursor.chunks(series, chunks)?;
    let deleted = tombstones.of(series);
    let is_left = |part: TimeRange| !deleted.covers(&part);
    chunks.retain(|chunk| chunk.range.intersect(&range).is_some_and(is_left));
    if chunks.is_empty() {
        return Ok(None);
    }
    Ok(Some(BlockSeries { labels: cursor.labels(series)?, chunks: chunks.clone(), deleted: deleted.clone() }))
}

/// Reads the description of the block in `dir`.
pub(super) fn read_meta(fs: &dyn Fs, dir: &Path) -> Result<BlockMeta, BlockError> {
    let path = dir.join(names::META);
    let text = twice(|| fs.read(&path)).map_err(|error| {
        let kind = CorruptionKind::Unreadable { message: error.to_string() };
        BlockError::damaged(&path, Corruption::new("block description", 0, kind))
    })?;
    let meta = meta::parse(&path, &text)?;
    if id_by_name(dir).is_some_and(|id| id != meta.id) {
        let kind = CorruptionKind::Rule { rule: "the block has the name of its directory" };
        return Err(BlockError::damaged(path, Corruption::new("block description", 0, kind)));
    }
    Ok(meta)
}

/// The block whose directory `dir` is, as the name says.
pub(super) fn id_by_name(dir: &Path) -> Option<BlockId> {
    dir.file_name().and_then(|name| name.to_str()).and_then(meta::parse_dir_name)
}

/// What the frame of `chunk` says of a rollup whose entries lie in `range`; `None` if it is a frame of samples. Windows
/// without entries at both ends are forgotten.
fn rollup_of(segments: &Segments, chunk: &ChunkRef, range: TimeRange) -> Option<Rollup> {
    let mut buffer = Vec::new();
    let frame = segments.frame(FrameRef(chunk.frame), Kind::Windows, &mut buffer).ok()?;
    let raw = frame.unpack(&mut segment::decoder().ok()?).ok()?;
    let resolution_ms = Aggregates::open(&raw.bytes).ok()?.resolution_ms();
    Some(Rollup { resolution_ms, covers: windows_of(range, resolution_ms) })
}

/// A description from the index alone: level, sources and parents are lost.
fn rebuild(
    id: BlockId,
    index: &IndexReader<IndexFile>,
    segments: &Segments,
) -> Result<BlockMeta, Corruption> {
    let mut stats = BlockStats { series: index.series_count().into(), ..BlockStats::default() };
    let mut range: Option<TimeRange> = None;
    let (mut cursor, mut chunks) = (index.cursor(), Vec::new());
    for series in 0..index.series_count() {
        cursor.chunks(series, &mut chunks)?;
        stats.chunks += chunks.len() as u64;
        for chunk in &chunks {
            stats.samples += u64::from(chunk.samples);
            range = Some(range.map_or(chunk.range, |all| all.union(&chunk.range)));
        }
    }
    // Which samples are histograms only the chunks know.
    stats.histograms = stats.samples;
    match range {
        Some(range) => {
            let (level, sources, parents, incomplete) = (1, vec![id], Vec::new(), Vec::new());
            let rollup = chunks.first().and_then(|chunk| rollup_of(segments, chunk, range));
            Ok(BlockMeta { id, range, stats, level, sources, parents, incomplete, rollup })
        }
        None => {
            let rule = "a block has samples";
            Err(Corruption::new("block description", 0, CorruptionKind::Rule { rule }))
        }
    }
}
