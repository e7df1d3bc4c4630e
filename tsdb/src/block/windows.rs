//! Reading the windows of a rollup.

use super::Block;
use super::segment::{FrameRef, Kind, Segments};
use crate::tombstones::Intervals;
use tsdb_core::error::CorruptionKind;
use tsdb_core::read::ReadError;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange, Timestamp};
use tsdb_index::ChunkRef;
use tsdb_rollup::aggregate::{AggregateColumns, Aggregates, Column, Form};
use tsdb_rollup::downsample::window_of;
use tsdb_rollup::merge::renew_seam;

/// One column of windows, of one chunk after the other.
#[derive(Debug, Clone, Default)]
pub struct WindowColumns {
    /// Times and values.
    pub samples: SampleColumns,
    /// For how many samples each stands, 0 for stale markers.
    pub weights: Vec<u32>,
    /// Was a chunk of corners among what was read?
    pub corners: bool,
    /// Was a chunk with a spread?
    pub spread: bool,
    part: SampleColumns,
    part_weights: Vec<u32>,
}

impl WindowColumns {
    /// Forgets what was read and keeps the memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.weights.clear();
        (self.corners, self.spread) = (false, false);
    }

    /// Keeps the entries with times of which `keep` says so.
    pub(super) fn retain(&mut self, keep: impl Fn(Timestamp) -> bool) {
        let all = std::mem::take(&mut self.samples);
        let mut weights = std::mem::take(&mut self.weights).into_iter();
        let mut rest = all.as_slices();
        while !rest.is_empty() {
            let (one, behind) = rest.split_at(1);
            let weight = weights.next();
            if one.timestamps().iter().all(|time| keep(*time)) {
                self.samples.extend(one);
                self.weights.extend(weight);
            }
            rest = behind;
        }
        self.samples.renew_reset_hints();
    }

    /// Adds `column` of the chunk at `slot` of `frame`, whose timestamps are `times`, within `range`.
    pub(super) fn add(
        &mut self,
        frame: &Aggregates<'_>,
        slot: u32,
        column: Column,
        times: &[Timestamp],
        range: TimeRange,
    ) -> Result<(), Corruption> {
        match frame.form(slot)? {
            Form::Spread => self.spread = true,
            _ => self.corners = true,
        }
        frame.read(slot, column, times, &mut self.part, &mut self.part_weights)?;
        let start = times.partition_point(|time| *time < range.start());
        let end = times.partition_point(|time| *time <= range.end()).max(start);
        self.weights.extend_from_slice(self.part_weights.get(start..end).unwrap_or_default());
        let (_, within) = self.part.as_slices().split_at(start);
        let seam = self.samples.len();
        self.samples.extend(within.split_at(end - start).0);
        renew_seam(&mut self.samples, seam);
        Ok(())
    }
}

impl Block {
    /// Appends to `into` what is asked of the windows in `chunks`, which are those of one series of a rollup, for the
    /// entries within `range`, in order of time. Windows that hold something `deleted` are left out.
    ///
    /// # Errors
    /// Damage to a frame; `into` then holds nothing of use.
    pub fn read_windows(
        &self,
        chunks: &[ChunkRef],
        deleted: &Intervals,
        range: TimeRange,
        column: Column,
        into: &mut WindowColumns,
    ) -> Result<(), ReadError> {
        let opened = self.opened()?;
        for chunk in chunks.iter().filter(|chunk| chunk.range.overlaps(&range)) {
            let read = self.with_windows(&opened.segments, chunk, |frame, times| {
                into.add(frame, chunk.slot, column, times, range)
            });
            read.map_err(|source| self.segment_error(FrameRef(chunk.frame), source))?;
        }
        if let Some(rollup) = self.meta().rollup.filter(|_| !deleted.is_empty()) {
            into.retain(|time| !deleted.overlaps(&window_of(time, rollup.resolution_ms)));
        }
        Ok(())
    }

    /// Replaces `into` by all that is kept of the windows in `chunks`, which are those of one series, all of one form, but
    /// for windows that hold something `deleted`.
    ///
    /// # Errors
    /// Damage to a frame.
    pub fn read_all_windows(
        &self,
        chunks: &[ChunkRef],
        deleted: &Intervals,
        into: &mut AggregateColumns,
    ) -> Result<(), ReadError> {
        let opened = self.opened()?;
        let mut part = AggregateColumns::default();
        for (index, chunk) in chunks.iter().enumerate() {
            let read = self.with_windows(&opened.segments, chunk, |frame, times| {
                frame.read_all(chunk.slot, times, &mut part)
            });
            read.map_err(|source| self.segment_error(FrameRef(chunk.frame), source))?;
            if let Some(rollup) = self.meta().rollup.filter(|_| !deleted.is_empty()) {
                part.retain(|time| !deleted.overlaps(&window_of(time, rollup.resolution_ms)));
            }
            match index {
                0 => std::mem::swap(into, &mut part),
                _ => into.extend(&part),
            }
        }
        Ok(())
    }

    /// Calls `read` with the frame of `chunk` and its timestamps.
    fn with_windows(
        &self,
        segments: &Segments,
        chunk: &ChunkRef,
        read: impl FnOnce(&Aggregates<'_>, &[Timestamp]) -> Result<(), Corruption>,
    ) -> Result<(), Corruption> {
        let frame = self.frame(segments, FrameRef(chunk.frame), Kind::Windows)?;
        let windows = Aggregates::open(&frame.bytes)?;
        let times = self.times(segments, frame.columns.base.saturating_add(windows.time(chunk.slot)?))?;
        if times.len() != chunk.samples as usize {
            let rule = "a chunk has as many entries as the index says";
            return Err(Corruption::new("segment", 0, CorruptionKind::Rule { rule }));
        }
        read(&windows, &times)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BlockSpec, BlockWriter, FrameCache, verify};
    use super::*;
    use crate::fs::{Fs, OsFs, SimFs};
    use crate::names;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use tsdb_core::Labels;
    use tsdb_core::STALE_NAN;
    use tsdb_core::block::{BlockId, Rollup};
    use tsdb_core::histogram::{FloatHistogram, FloatParts};
    use tsdb_core::read::Projection;
    use tsdb_rollup::downsample::downsample;

    const RESOLUTION_MS: i64 = 300_000;

    fn rollup() -> Rollup {
        Rollup { resolution_ms: RESOLUTION_MS, covers: TimeRange::new(1, 6_000_000).unwrap() }
    }

    /// A gauge and a counter, a sample every 15 s.
    fn series() -> Vec<(Labels, AggregateColumns)> {
        [("heat", Form::Spread), ("requests_total", Form::Corners)]
            .map(|(name, form)| {
                let mut samples = SampleColumns::new();
                (0..400_i32).for_each(|n| samples.push(i64::from(n) * 15_000 + 1, f64::from(n * n % 91)));
                let mut windows = AggregateColumns::default();
                downsample(&AggregateColumns::of_samples(samples, form), RESOLUTION_MS, &mut windows);
                (Labels::from_pairs([("__name__", name)]).unwrap(), windows)
            })
            .into()
    }

    fn write(fs: &SimFs) -> PathBuf {
        let id = BlockId(7);
        let spec = BlockSpec { rollup: Some(rollup()), ..BlockSpec::first_level(id) };
        let mut writer = BlockWriter::create(fs, Path::new("data"), spec).unwrap();
        for (labels, windows) in series() {
            writer.add_windows(&labels, &[windows.slice(0..9), windows.slice(9..windows.len())]).unwrap();
        }
        assert_eq!(writer.finish().unwrap().unwrap().rollup, Some(rollup()));
        Path::new("data").join(Block::dir_name(id))
    }

    fn shared(fs: &SimFs) -> Arc<dyn Fs> {
        Arc::new(fs.clone())
    }

    fn open(fs: &SimFs, dir: &Path) -> Block {
        Block::open(&shared(fs), dir, Arc::new(FrameCache::new(1 << 20))).unwrap()
    }

    #[test]
    fn a_rollup_serves_the_columns_of_its_windows() {
        let fs = SimFs::new();
        let dir = write(&fs);
        let block = open(&fs, &dir);
        let range = TimeRange::new(300_001, 3_000_000).unwrap();
        let selected = block.select(&[], TimeRange::ALL, &Projection::All, &mut Vec::new()).unwrap();
        for ((labels, windows), found) in series().iter().zip(&selected) {
            assert_eq!(labels, &found.labels);
            let mut read = WindowColumns::default();
            block.read_windows(&found.chunks, &found.deleted, range, Column::Max, &mut read).unwrap();
            let values = windows.spread.as_ref().map_or(&windows.samples.values, |spread| &spread.max);
            let times = windows.samples.timestamps.iter().zip(values).zip(&windows.weights);
            let expected: Vec<_> = times
                .filter(|((time, _), _)| range.contains(**time))
                .map(|((t, v), w)| (*t, *v, *w))
                .collect();
            let got = read.samples.timestamps.iter().zip(&read.samples.values).zip(&read.weights);
            assert_eq!(got.map(|((t, v), w)| (*t, *v, *w)).collect::<Vec<_>>(), expected);
            assert_eq!((read.corners, read.spread), (windows.spread.is_none(), windows.spread.is_some()));
            let mut all = AggregateColumns::default();
            block.read_all_windows(&found.chunks, &found.deleted, &mut all).unwrap();
            assert_eq!(&all, windows);
        }
    }

    /// A gauge with a gap, a histogram and a counter that begins anew.
    fn golden_series() -> Vec<(Labels, AggregateColumns)> {
        let mut series = [const { SampleColumns::new() }; 3];
        for n in 0..200_i32 {
            let time = i64::from(n) * 15_000 + 1;
            if !(61..90).contains(&n) {
                series[0].push(time, if n == 60 { STALE_NAN } else { f64::from(n * n % 91) / 4.0 });
            }
            let parts = FloatParts { count: f64::from(n), sum: f64::from(n) / 2.0, ..FloatParts::default() };
            series[1].push_histogram(time, Arc::new(FloatHistogram::new(parts).unwrap()));
            series[2].push(time, f64::from(n % 70 * 3));
        }
        let names = ["heat", "latency", "requests_total"].into_iter();
        let forms = [Form::Spread, Form::Corners, Form::Corners].into_iter();
        let named = names.zip(forms).zip(series).map(|((name, form), samples)| {
            let mut windows = AggregateColumns::default();
            downsample(&AggregateColumns::of_samples(samples, form), RESOLUTION_MS, &mut windows);
            (Labels::from_pairs([("__name__", name), ("job", "node")]).unwrap(), windows)
        });
        named.collect()
    }

    /// The golden block of windows: read by every later version.
    #[test]
    fn the_golden_rollup_is_read() {
        let id = BlockId(0x019a_0000_0000_1234_5678_9abc_def0_5678);
        let parent = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/block-of-windows");
        if !parent.exists() && std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            OsFs.create_dir_all(&parent).unwrap();
            let spec = BlockSpec { rollup: Some(rollup()), ..BlockSpec::first_level(id) };
            let mut writer = BlockWriter::create(&OsFs, &parent, spec).unwrap();
            for (labels, windows) in golden_series() {
                writer.add_windows(&labels, &[windows]).unwrap();
            }
            writer.finish().unwrap();
        }
        let (fs, dir): (Arc<dyn Fs>, _) = (Arc::new(OsFs), parent.join(Block::dir_name(id)));
        assert_eq!(verify(&fs, &dir).unwrap(), []);
        let block = Block::open(&fs, &dir, Arc::new(FrameCache::new(1 << 20))).unwrap();
        assert_eq!((block.meta().id, block.meta().rollup), (id, Some(rollup())));
        let found = block.select(&[], TimeRange::ALL, &Projection::All, &mut Vec::new()).unwrap();
        let expected = golden_series();
        assert_eq!(found.len(), expected.len());
        for ((labels, windows), found) in expected.iter().zip(&found) {
            assert_eq!(labels, &found.labels);
            let mut all = AggregateColumns::default();
            block.read_all_windows(&found.chunks, &found.deleted, &mut all).unwrap();
            assert_eq!(format!("{all:?}"), format!("{windows:?}"), "{labels}");
        }
    }

    #[test]
    fn a_rollup_is_no_block_of_samples() {
        let fs = SimFs::new();
        let dir = write(&fs);
        let block = open(&fs, &dir);
        let selected = block.select(&[], TimeRange::ALL, &Projection::All, &mut Vec::new()).unwrap();
        let mut into = SampleColumns::new();
        assert!(block.read(&selected[0].chunks, &selected[0].deleted, TimeRange::ALL, &mut into).is_err());
    }

    #[test]
    fn a_rollup_is_verified_and_is_one_also_without_its_description() {
        let fs = SimFs::new();
        let dir = write(&fs);
        assert_eq!(verify(&shared(&fs), &dir).unwrap(), []);
        fs.overwrite(&dir.join(names::META), b"{").unwrap();
        assert_eq!(open(&fs, &dir).meta().rollup, Some(rollup()));
        let segment = dir.join(names::CHUNKS_DIR).join(names::numbered(1));
        fs.flip(&segment, 40, 1).unwrap();
        assert!(!verify(&shared(&fs), &dir).unwrap().is_empty());
    }
}
