//! Reading ahead in a block that lies far away: all that the next step of a query needs is asked for at once.
//!
//! A cold query takes three steps that depend on each other: what opening reads; the stretches of the index that the
//! matchers lead to, with the records of the series; the texts of their labels with their frames. Nothing tells how long
//! a frame is but its own first bytes and where the next one begins, if a record that was read has named that: the rest of
//! frames that are longer than was guessed is a fourth step. Steps that more memory would be needed for than
//! [`STEP_BYTES`] are taken one after the other: what is asked for must still be there when it is read.

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
use tsdb_core::{Corruption, Matcher, TimeRange};
use tsdb_index::{ChunkRef, RoaringBitmap, SeriesCursor};

/// What is asked for at once takes about as much memory at most, unless somebody says less.
pub(crate) const STEP_BYTES: usize = 16 << 20;

/// Few frames are longer: those that hardly become shorter when they are compressed.
const LONG_FRAME_BYTES: usize = RAW_TARGET_BYTES + (8 << 10);

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
    /// `cursor` is to load, and the frames of the first series, of about `bytes`.
    pub(super) fn read_ahead_series(
        &self,
        opened: &Opened,
        found: &RoaringBitmap,
        range: TimeRange,
        cursor: &mut SeriesCursor<'_, IndexFile>,
        bytes: usize,
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
            if frames.bytes < bytes && cursor.chunks(series, &mut chunks).is_ok() {
                let asked = chunks.iter().filter(|chunk| chunk.range.overlaps(&range));
                asked.for_each(|chunk| frames.add(opened, chunk));
                frames.borders.extend(cursor.frames_around(series).into_iter().flatten());
            }
        }
        self.prefetch_frames(opened, frames, self.in_index(texts));
    }

    /// Asks for the frames of `series`.
    pub(crate) fn read_ahead_samples(&self, series: &[BlockSeries]) {
        if let Ok(opened) = self.opened() {
            let mut frames = Frames::default();
            series.iter().flat_map(|series| &series.chunks).for_each(|chunk| frames.add(&opened, chunk));
            self.prefetch_frames(&opened, frames, Vec::new());
        }
    }

    /// Divides `series` into runs whose frames, of about `bytes`, are to be asked for together: where each ends.
    pub(crate) fn steps(&self, series: &[BlockSeries], bytes: usize) -> Vec<usize> {
        let Ok(opened) = self.opened() else { return Vec::new() };
        let mut frames = Frames::default();
        let mut ends = Vec::new();
        for (index, series) in series.iter().enumerate() {
            series.chunks.iter().for_each(|chunk| frames.add(&opened, chunk));
            if frames.bytes >= bytes {
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

    /// Asks for `frames` together with `others`, and then for what lies behind the guessed ends of frames.
    fn prefetch_frames(&self, opened: &Opened, mut frames: Frames, mut others: Wanted) {
        frames.borders.extend(opened.segments.times().iter().map(|entry| entry.frame.0));
        frames.borders.extend(&frames.places);
        // Frames of one block are alike.
        let known = frames.places.iter().filter_map(|frame| frames.up_to_next(*frame));
        let guess = known.max().unwrap_or(GUESSED_FRAME_BYTES);
        let samples = frames.places.iter().map(|frame| (*frame, guess));
        let times = frames.times.iter().map(|frame| (*frame, LONG_FRAME_BYTES));
        let asked: Vec<(FrameRef, usize)> = samples
            .chain(times)
            .map(|(frame, guess)| (FrameRef(frame), frames.up_to_next(frame).unwrap_or(guess)))
            .collect();
        others.extend(asked.iter().map(|(frame, len)| self.in_segment(*frame, 0..*len)));
        if !self.fs.prefetch(&others) {
            return;
        }
        let rest = |(frame, asked): &(FrameRef, usize)| {
            let len = opened.segments.stored_len(*frame)?;
            // One that says that it is longer than all of this is read when its turn comes, if it is right.
            let is_cut = (*asked..STEP_BYTES).contains(&len);
            Ok::<_, Corruption>(is_cut.then(|| self.in_segment(*frame, *asked..len)))
        };
        // Whoever reads a frame that cannot be read says so.
        let rest: Vec<_> = asked.iter().map(rest).filter_map(Result::ok).flatten().collect();
        if !rest.is_empty() {
            self.fs.prefetch(&rest);
        }
    }

    /// Bytes of a segment, counted from the start of `frame`.
    fn in_segment(&self, frame: FrameRef, bytes: Range<usize>) -> (PathBuf, Range<u64>) {
        let path = self.dir.join(names::CHUNKS_DIR).join(names::numbered(frame.segment()));
        let place = |at: usize| frame.offset().saturating_add(at as u64);
        (path, place(bytes.start)..place(bytes.end))
    }
}

/// Frames of samples with those of their timestamps, each once.
#[derive(Default)]
struct Frames {
    places: BTreeSet<u64>,
    times: BTreeSet<u64>,
    /// Where frames begin, as far as that is known: there those before have ended.
    borders: BTreeSet<u64>,
    /// How much memory they take, about.
    bytes: usize,
}

impl Frames {
    fn add(&mut self, opened: &Opened, chunk: &ChunkRef) {
        if self.places.insert(chunk.frame) {
            // As long as the one before, if that is a neighbour.
            let before = self.places.range(..chunk.frame).next_back();
            let len = before.map_or(u64::MAX, |before| chunk.frame.saturating_sub(*before));
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(LONG_FRAME_BYTES);
            self.bytes = self.bytes.saturating_add(len);
        }
        if let Ok((times, _)) = opened.segments.time_column(chunk.times)
            && self.times.insert(times.0)
        {
            self.bytes = self.bytes.saturating_add(LONG_FRAME_BYTES);
        }
    }
    /// Bytes from the start of `frame` to that of the next one that is known, if they are no more than a frame takes.
    fn up_to_next(&self, frame: u64) -> Option<usize> {
        let next = self.borders.range((Excluded(frame), Unbounded)).next()?;
        // The number of the segment stands above the offset.
        usize::try_from(next.checked_sub(frame)?).ok().filter(|len| *len <= LONG_FRAME_BYTES)
    }
}
