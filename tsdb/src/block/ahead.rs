//! Reading ahead in a block that lies far away: all that the next step of a query needs is asked for at once.
//!
//! A cold query takes three steps that depend on each other: what opening reads; the stretches of the index that the
//! matchers lead to, with the records of the series; the texts of their labels with their frames. Steps that more
//! memory would be needed for than [`STEP_FRAMES`] frames are taken one after the other.

use super::file::IndexFile;
use super::parts::Opened;
use super::reader::{Block, BlockSeries};
use super::segment::{FrameRef, GUESSED_FRAME_BYTES};
use crate::names;
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::Range;
use std::path::PathBuf;
use tsdb_core::pack::RAW_TARGET_BYTES;
use tsdb_core::{Matcher, TimeRange};
use tsdb_index::{ChunkRef, RoaringBitmap, SeriesCursor};

/// Frames that are asked for at once at most.
const STEP_FRAMES: usize = 1024;

/// What is read of a frame of timestamps: those with jitter hardly become shorter when they are compressed.
const TIMES_BYTES: usize = RAW_TARGET_BYTES + (8 << 10);

/// What a file system is asked for.
type Wanted = Vec<(PathBuf, Range<u64>)>;

impl Block {
    /// Does each read take long?
    pub(crate) fn is_far(&self) -> bool {
        self.fs.is_far()
    }

    /// Asks for what finding the series of `matchers` needs, and probably for their records.
    pub(super) fn read_ahead_index(&self, opened: &Opened, matchers: &[Matcher]) {
        if self.is_far()
            && let Ok(places) = opened.index.places_of(matchers)
        {
            self.fs.prefetch(&self.in_index(places));
        }
    }

    /// Asks for the records of the series `found`, and then for what the records lead to: the texts of labels that
    /// `cursor` is to load, and the frames of the first series.
    pub(super) fn read_ahead_series(
        &self,
        opened: &Opened,
        found: &RoaringBitmap,
        range: TimeRange,
        cursor: &mut SeriesCursor<'_, IndexFile>,
    ) {
        if !self.is_far() || found.is_empty() {
            return;
        }
        if let Ok(places) = opened.index.places_of_series(found) {
            self.fs.prefetch(&self.in_index(places));
        }
        let (mut texts, mut chunks) = (Vec::new(), Vec::new());
        let mut frames = Frames::default();
        for series in found {
            // Damage is named by whoever reads it.
            drop(cursor.places_of_labels(series, &mut texts));
            if frames.places.len() < STEP_FRAMES && cursor.chunks(series, &mut chunks).is_ok() {
                let asked = chunks.iter().filter(|chunk| chunk.range.overlaps(&range));
                asked.for_each(|chunk| frames.add(opened, chunk));
                frames.borders.extend(cursor.frames_around(series).into_iter().flatten());
            }
        }
        let mut wanted = self.in_index(texts);
        wanted.extend(self.in_segments(opened, frames));
        self.fs.prefetch(&wanted);
    }

    /// Asks for the frames of `series`.
    pub(crate) fn read_ahead_samples(&self, series: &[BlockSeries]) {
        if let Ok(opened) = self.opened() {
            let mut frames = Frames::default();
            series.iter().flat_map(|series| &series.chunks).for_each(|chunk| frames.add(&opened, chunk));
            self.fs.prefetch(&self.in_segments(&opened, frames));
        }
    }

    /// Divides `series` into runs whose frames are to be asked for together: where each ends.
    pub(crate) fn steps(&self, series: &[BlockSeries]) -> Vec<usize> {
        let Ok(opened) = self.opened() else { return Vec::new() };
        let mut frames = Frames::default();
        let mut ends = Vec::new();
        for (index, series) in series.iter().enumerate() {
            series.chunks.iter().for_each(|chunk| frames.add(&opened, chunk));
            if frames.places.len() >= STEP_FRAMES {
                frames = Frames::default();
                ends.push(index + 1);
            }
        }
        ends.push(series.len());
        ends
    }

    fn in_index(&self, places: Vec<Range<usize>>) -> Wanted {
        let path = self.dir.join(names::INDEX);
        places.into_iter().map(|place| (path.clone(), place.start as u64..place.end as u64)).collect()
    }

    fn in_segments(&self, opened: &Opened, mut frames: Frames) -> Wanted {
        frames.borders.extend(opened.segments.times().iter().map(|entry| entry.frame.0));
        frames.borders.extend(&frames.places);
        let place = |frame: &u64, bytes: usize| {
            let next = frames.borders.range((Excluded(*frame), Unbounded)).next().map(|next| FrameRef(*next));
            let frame = FrameRef(*frame);
            let path = self.dir.join(names::CHUNKS_DIR).join(names::numbered(frame.segment()));
            let most = frame.offset() + bytes as u64;
            let next = next.filter(|next| next.segment() == frame.segment());
            (path, frame.offset()..next.map_or(most, |next| next.offset().min(most)))
        };
        let samples = frames.places.iter().map(|frame| place(frame, GUESSED_FRAME_BYTES));
        samples.chain(frames.times.iter().map(|frame| place(frame, TIMES_BYTES))).collect()
    }
}

/// Frames of samples with those of their timestamps, each once.
#[derive(Default)]
struct Frames {
    places: BTreeSet<u64>,
    times: BTreeSet<u64>,
    /// Where frames begin, as far as that is known: there those before have ended.
    borders: BTreeSet<u64>,
}

impl Frames {
    fn add(&mut self, opened: &Opened, chunk: &ChunkRef) {
        self.places.insert(chunk.frame);
        if let Ok((times, _)) = opened.segments.time_column(chunk.times) {
            self.times.insert(times.0);
        }
    }
}
