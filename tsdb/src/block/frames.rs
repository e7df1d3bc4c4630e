//! Which frames a merge copies, and where to.

use super::BlockError;
use super::merge::{MergeError, Source};
use super::samples::SamplesWriter;
use super::segment::{FrameRef, Kind, Segments};
use hashbrown::{HashMap, HashSet};
use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;
use tsdb_index::RoaringBitmap;
use xxhash_rust::xxh3::Xxh3Builder;

/// When more frames of a source than this are touched, all of them count as touched: their places would take too much
/// memory.
const MAX_TOUCHED: usize = 1 << 18;

/// What of the sources cannot be copied as it is.
pub(super) struct Touched {
    sources: Vec<OfSource>,
}

struct OfSource {
    /// May frames that are not touched be copied?
    copies: bool,
    frames: HashSet<u64, Xxh3Builder>,
    /// Series of which nothing is left.
    removed: RoaringBitmap,
}

impl Touched {
    /// Nothing is touched yet. `copies` says of each source whether its frames may be copied at all.
    pub(super) fn new(copies: Vec<bool>) -> Self {
        let of_source =
            |copies| OfSource { copies, frames: HashSet::default(), removed: RoaringBitmap::new() };
        Self { sources: copies.into_iter().map(of_source).collect() }
    }

    /// May frames of any source be copied?
    pub(super) fn any_copies(&self) -> bool {
        self.sources.iter().any(|source| source.copies)
    }

    /// Something in the frame changes.
    pub(super) fn touch(&mut self, input: usize, frame: u64) {
        let Some(source) = self.sources.get_mut(input).filter(|source| source.copies) else { return };
        source.frames.insert(frame);
        if source.frames.len() > MAX_TOUCHED {
            source.copy_nothing();
        }
    }

    /// Nothing is left of a series.
    pub(super) fn remove_series(&mut self, input: usize, series: u32) {
        if let Some(source) = self.sources.get_mut(input) {
            source.removed.insert(series);
        }
    }

    /// The series of which nothing is left.
    pub(super) fn removed(&self, input: usize) -> RoaringBitmap {
        self.sources.get(input).map(|source| source.removed.clone()).unwrap_or_default()
    }

    /// May the frame be copied?
    pub(super) fn may_copy(&self, input: usize, frame: u64) -> bool {
        self.sources.get(input).is_some_and(|source| source.copies && !source.frames.contains(&frame))
    }
}

impl OfSource {
    fn copy_nothing(&mut self) {
        self.copies = false;
        self.frames = HashSet::default();
    }
}

/// The frames of one source that were copied.
pub(super) struct Copied {
    /// What is added to the numbers of its columns of timestamps.
    base: u32,
    has_begun: bool,
    /// New places of frames, and how many of their columns nobody has referred to yet.
    places: HashMap<FrameRef, (FrameRef, u32), Xxh3Builder>,
    buffer: Vec<u8>,
}

/// Why a frame is not copied.
pub(super) enum CopyError {
    Input(Corruption),
    Output(BlockError),
}

impl CopyError {
    /// `damaged` tells of damage to the source.
    pub(super) fn into_merge_error(self, damaged: impl FnOnce(Corruption) -> MergeError) -> MergeError {
        match self {
            Self::Input(damage) => damaged(damage),
            Self::Output(error) => MergeError::Output(error),
        }
    }
}

impl Copied {
    /// Nothing is copied yet. Gives each source numbers of columns of its own, and returns the first number that is
    /// free. If there are not enough numbers, nothing may be copied.
    pub(super) fn of_sources(sources: &[Source<'_>], touched: &mut Touched) -> (Vec<Self>, u32) {
        let mut next = Some(0_u32);
        let mut copied = Vec::new();
        for (source, of) in sources.iter().zip(&touched.sources) {
            copied.push(Self {
                base: next.unwrap_or(0),
                has_begun: false,
                places: HashMap::default(),
                buffer: Vec::new(),
            });
            if of.copies {
                let last = source.opened.segments.times().last();
                let end = last.map_or(Some(0), |last| last.first.checked_add(last.columns));
                next = end.and_then(|end| next?.checked_add(end)).filter(|next| *next < u32::MAX / 2);
            }
        }
        if next.is_none() {
            touched.sources.iter_mut().for_each(OfSource::copy_nothing);
        }
        (copied, next.unwrap_or(0))
    }

    /// Was anything copied?
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The new number of the column of timestamps `old`.
    pub(super) fn column(&self, old: u32) -> u32 {
        self.base.saturating_add(old)
    }

    /// The new place of the frame at `old`, which is copied into `samples` when it is first asked for. To be asked once
    /// for each of its columns.
    pub(super) fn place(
        &mut self,
        segments: &Segments,
        old: FrameRef,
        samples: &mut SamplesWriter<'_>,
    ) -> Result<FrameRef, CopyError> {
        if let Some((new, left)) = self.places.get_mut(&old) {
            let new = *new;
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.places.remove(&old);
            }
            return Ok(new);
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            for entry in segments.times() {
                self.copy(segments, entry.frame, Kind::Times, samples)?;
            }
        }
        let (new, columns) = self.copy(segments, old, Kind::Values, samples)?;
        if columns > 1 {
            self.places.insert(old, (new, columns - 1));
        }
        Ok(new)
    }

    fn copy(
        &mut self,
        segments: &Segments,
        old: FrameRef,
        kind: Kind,
        samples: &mut SamplesWriter<'_>,
    ) -> Result<(FrameRef, u32), CopyError> {
        let mut frame = segments.frame(old, kind, &mut self.buffer).map_err(CopyError::Input)?;
        frame.columns.base = frame.columns.base.checked_add(self.base).ok_or_else(|| {
            let rule = "numbers of columns of timestamps are below those of the directory";
            CopyError::Input(Corruption::new("segment", 0, CorruptionKind::Rule { rule }))
        })?;
        let new = samples.copy_frame(&frame).map_err(CopyError::Output)?;
        Ok((new, frame.columns.count))
    }
}
