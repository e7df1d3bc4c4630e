//! Checkpoints: what the log needs so that its beginning can be dropped.
//!
//! A checkpoint is a folder beside the segments, in the form of a log of its own: a record of what is in blocks,
//! records of all series, all metadata, and all exemplars. Its name says the first segment still needed and the
//! time before which samples are in blocks (see [`names`]). It is written under a temporary name, synced and renamed, so
//! it exists whole or not at all; the segments below it and older checkpoints are removed afterwards. Replay reads the
//! newest checkpoint and the segments from the one it names on.
//!
//! Series may come and go while a checkpoint is written: those that come are in the segments that stay, those that
//! go have no samples there that replay would take.

use super::log::{RECORD_BYTES, is_full};
use super::{Head, Place};
use crate::Error;
use crate::fs::{Fs, publish_dir};
use crate::names;
use crate::record::{
    Border, ExemplarSeries, ExemplarsEncoder, SeriesEncoder, encode_border, encode_metadata, encode_retired,
};
use crate::wal::{Wal, WalOptions};
use parking_lot::RwLockReadGuard;
use std::path::{Path, PathBuf};
use tsdb_core::{SeriesRef, Timestamp};

/// Series that are read before those get their turn who wait to add some.
const SERIES_AT_ONCE: usize = 512;

/// Numbers in one record of series that are gone.
const RECORD_NUMBERS: usize = 1 << 16;

/// What the name of a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Checkpoint {
    /// The first segment of the log that is still needed.
    pub(super) first_segment: u64,
    /// Samples before this are in blocks.
    pub(super) min_time: Timestamp,
}

impl Checkpoint {
    pub(super) fn path(&self, place: &Place) -> PathBuf {
        place.wal_dir.join(names::checkpoint(self.first_segment, self.min_time))
    }

    /// The checkpoints of a log, oldest first.
    pub(super) fn list(place: &Place) -> Result<Vec<Self>, Error> {
        let entries = place.fs.list(&place.wal_dir).map_err(|e| Error::io("list", &place.wal_dir, e))?;
        let parsed = entries.iter().filter(|entry| entry.is_dir).filter_map(|entry| {
            let (first_segment, min_time) = names::parse_checkpoint(&entry.name)?;
            Some(Self { first_segment, min_time })
        });
        let mut found: Vec<_> = parsed.collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Removes all other checkpoints.
    fn remove_others(&self, place: &Place) -> Result<(), Error> {
        for old in Self::list(place)?.into_iter().filter(|old| old != self) {
            let path = old.path(place);
            place.fs.remove_dir_all(&path).map_err(|e| Error::io("remove", path, e))?;
        }
        Ok(())
    }
}

/// The newest checkpoint of a log.
pub(crate) struct CheckpointName {
    /// Its directory.
    pub(crate) path: PathBuf,
    /// Samples before this are in blocks.
    pub(crate) min_time: Timestamp,
}

/// The newest checkpoint of the log in `dir`.
pub(crate) fn newest_checkpoint(fs: &dyn Fs, dir: &Path) -> Result<Option<CheckpointName>, Error> {
    let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let named = entries.iter().filter(|entry| entry.is_dir).filter_map(|entry| {
        let (first_segment, min_time) = names::parse_checkpoint(&entry.name)?;
        Some((first_segment, min_time, dir.join(&entry.name)))
    });
    Ok(named.max().map(|(_, min_time, path)| CheckpointName { path, min_time }))
}

/// Options of a log that is written once and synced at its end.
pub(super) fn log_options(place: &Place) -> WalOptions {
    WalOptions { max_unsynced_bytes: 0, ..place.wal_options }
}

impl Head {
    /// Closes the current segment if it spans more than `span_ms`: the log is dropped by whole segments.
    pub(crate) fn rotate_if_longer(&self, span_ms: i64) -> Result<(), Error> {
        if self.log.current_span_ms() > span_ms {
            self.log.rotate()?;
        }
        Ok(())
    }

    /// Closes the current segment. Everything acknowledged so far is durable in segments below the number returned.
    pub(crate) fn seal_log(&self) -> Result<u64, Error> {
        self.log.sync()?;
        Ok(self.log.rotate()?)
    }

    /// Are there segments that hold no sample on this side of `border`? A log in which exemplars or metadata come and no
    /// samples has such segments without any block being cut.
    pub(crate) fn has_spare_segments(&self, border: &Border) -> Result<bool, Error> {
        let segments = self.segments()?;
        let ends = segments.first().zip(segments.last());
        Ok(ends.is_some_and(|(first, newest)| self.log.first_needed(border).min(*newest) > *first))
    }

    /// Drops the part of the log that holds nothing but samples on the other side of `border`, which must be in blocks,
    /// after writing a checkpoint of everything else in it.
    pub(crate) fn checkpoint(&self, border: Border) -> Result<(), Error> {
        self.log.rotate()?;
        let segments = self.segments()?;
        // Nothing was logged, so nothing could come back.
        let Some(newest) = segments.last() else { return Ok(()) };
        // One segment stays, because the numbering of later ones goes on from it.
        self.checkpoint_at(self.log.first_needed(&border).min(*newest), border)
    }

    /// [`checkpoint`](Self::checkpoint) that may drop every segment, which it does if the head `is_empty`: the
    /// numbering goes on in a new one.
    pub(crate) fn renew_log(&self, border: Border, is_empty: bool) -> Result<(), Error> {
        let next = self.log.rotate()?;
        // The log may hold samples that nobody can read any more.
        let first_segment = if is_empty { next } else { self.log.first_needed(&border) };
        self.checkpoint_at(first_segment, border)
    }

    fn checkpoint_at(&self, first_segment: u64, border: Border) -> Result<(), Error> {
        let resting = self.memory.ids.lock().resting();
        // Even if no segment can go, the time is kept: the blocks that tell it now may expire before the segment does.
        let checkpoint = Checkpoint { first_segment, min_time: border.from };
        let is_new = self.publish_checkpoint(&checkpoint, border)?;
        // ORDER: the checkpoint is durable; now, and not before, the old segments may go.
        self.log.drop_below(first_segment)?;
        checkpoint.remove_others(&self.place)?;
        if is_new {
            self.memory.ids.lock().checkpointed(resting, first_segment);
        }
        Ok(())
    }

    /// After replay: removes what a crash may have left of the log before `checkpoint`.
    pub(super) fn finish_checkpoint(&self, checkpoint: Checkpoint, border: Border) -> Result<(), Error> {
        let next = self.log.wal().current_segment();
        if next < checkpoint.first_segment {
            // Segments were taken away from outside. New ones must not look as if they were before the checkpoint.
            let renumbered = Checkpoint { first_segment: next, ..checkpoint };
            self.publish_checkpoint(&renumbered, border)?;
            return renumbered.remove_others(&self.place);
        }
        self.log.drop_below(checkpoint.first_segment)?;
        checkpoint.remove_others(&self.place)
    }

    /// Numbers of the segments on disk, in order.
    fn segments(&self) -> Result<Vec<u64>, Error> {
        let dir = &self.place.wal_dir;
        let entries = self.place.fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
        let mut numbers: Vec<u64> =
            entries.iter().filter(|e| !e.is_dir).filter_map(|e| names::parse_numbered(&e.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Sees to it that the checkpoint is there for good. Says whether it was written now.
    fn publish_checkpoint(&self, checkpoint: &Checkpoint, border: Border) -> Result<bool, Error> {
        let fs: &dyn Fs = &*self.place.fs;
        let path = checkpoint.path(&self.place);
        let exists = |path: &PathBuf| fs.exists(path).map_err(|e| Error::io("inspect", path, e));
        if exists(&path)? {
            // A checkpoint that has its name is whole, and the log before it may be gone already: it must stay. Series
            // that came since then are in the segments behind it.
            let wal_dir = &self.place.wal_dir;
            fs.sync_dir(wal_dir).map_err(|e| Error::io("sync", wal_dir, e))?;
            return Ok(false);
        }
        let unfinished = names::temporary(&path);
        if exists(&unfinished)? {
            fs.remove_dir_all(&unfinished).map_err(|e| Error::io("remove", &unfinished, e))?;
        }
        let options = log_options(&self.place);
        let (log, _) = Wal::open(self.place.fs.clone(), &unfinished, options, &mut |_, _| {})?;
        let mut record = Vec::new();
        encode_border(border, &mut record);
        log.append(&[&record])?;
        self.write_missing(&log, checkpoint.first_segment)?;
        self.write_series(&log)?;
        self.write_metadata(&log)?;
        self.write_exemplars(&log)?;
        log.sync()?;
        drop(log);
        publish_dir(fs, &unfinished, &path).map_err(|e| Error::io("publish", path, e))?;
        Ok(true)
    }

    /// Series of which the segments that stay may have samples, and that are gone: their samples are in blocks.
    fn write_missing(&self, log: &Wal, first_segment: u64) -> Result<(), Error> {
        let missing = self.memory.ids.lock().missing(first_segment);
        for part in missing.chunks(RECORD_NUMBERS) {
            let mut record = Vec::new();
            encode_retired(part, &mut record);
            log.append(&[&record])?;
        }
        Ok(())
    }

    fn write_series(&self, log: &Wal) -> Result<(), Error> {
        let all: Vec<u32> = self.memory.index.read().all().iter().collect();
        let mut encoder = SeriesEncoder::new();
        let mut record = Vec::new();
        let mut rest = all.into_iter().map(SeriesRef).peekable();
        while rest.peek().is_some() {
            let index = self.memory.index.read();
            let mut left = SERIES_AT_ONCE;
            while left > 0
                && let Some(series) = rest.next_if(|_| !is_full(&encoder))
            {
                left -= 1;
                if let Some(labels) = index.labels(series) {
                    encoder.push(series, &labels);
                }
            }
            RwLockReadGuard::unlock_fair(index);
            if left == 0 && rest.peek().is_some() && !is_full(&encoder) {
                continue;
            }
            record.clear();
            encoder.finish(&mut record);
            if !record.is_empty() {
                log.append(&[&record])?;
            }
        }
        Ok(())
    }

    fn write_metadata(&self, log: &Wal) -> Result<(), Error> {
        let records = self.metadata().into_iter().map(|(metric, metadata)| {
            let mut record = Vec::new();
            encode_metadata(&metric, &metadata, &mut record);
            record
        });
        let records: Vec<Vec<u8>> = records.collect();
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        if !records.is_empty() {
            log.append(&records)?;
        }
        Ok(())
    }

    fn write_exemplars(&self, log: &Wal) -> Result<(), Error> {
        let mut encoder = ExemplarsEncoder::new();
        let mut records = Vec::new();
        {
            let ring = self.memory.exemplars.read();
            let first = ring.next_number().saturating_sub(ring.len() as u64);
            for (number, (labels, exemplar)) in (first..).zip(ring.iter()) {
                encoder.push(number, ExemplarSeries::Labelled(labels.clone()), exemplar);
                if encoder.byte_len() >= RECORD_BYTES {
                    let mut record = Vec::new();
                    encoder.finish(&mut record);
                    records.push(record);
                }
            }
        }
        let mut record = Vec::new();
        encoder.finish(&mut record);
        records.push(record);
        for record in records.iter().filter(|record| !record.is_empty()) {
            log.append(&[record])?;
        }
        Ok(())
    }
}
