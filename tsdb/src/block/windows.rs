//! What was read of the windows of one series.

use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange, Timestamp};
use tsdb_rollup::aggregate::{Aggregates, Column, Form};
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

#[cfg(test)]
mod tests {
    use super::super::{Block, BlockSpec, BlockWriter, FrameCache, verify};
    use super::*;
    use crate::fs::{Fs, SimFs};
    use crate::names;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use tsdb_core::Labels;
    use tsdb_core::block::{BlockId, Rollup};
    use tsdb_core::read::Projection;
    use tsdb_rollup::aggregate::AggregateColumns;
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
            block.read_windows(&found.chunks, range, Column::Max, &mut read).unwrap();
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
            all.clear(windows.form());
            found.chunks.iter().for_each(|chunk| all.extend(&block.read_all_windows(chunk).unwrap()));
            assert_eq!(&all, windows);
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
