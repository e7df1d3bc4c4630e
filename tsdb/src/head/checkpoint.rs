//! Checkpoints: what the log needs so that its beginning can be dropped.
//!
//! A checkpoint is a folder beside the segments, in the form of a log of its own: a record of what is in blocks,
//! records of all series, of their samples (see [`contents`](super::contents)), all metadata, and all exemplars. Its name
//! says the first segment still needed and the time before which samples are in blocks (see [`names`]). It is written
//! under a temporary name, synced and renamed, so it exists whole or not at all; the segments below it and older
//! checkpoints are removed afterwards. Replay reads the newest checkpoint and the segments from the one it names on.
//!
//! One is written after a block was cut, and when the log behind the last one has grown longer than it: so a restart reads
//! about twice what the head holds at most, and all checkpoints together are about as long as the log.
//!
//! Series and samples may come while a checkpoint is written: they are in the segments that stay. None goes meanwhile.

use super::log::{RECORD_BYTES, is_full};
use super::{Head, Place};
use crate::Error;
use crate::fs::{Fs, publish_dir};
use crate::names;
use crate::record::{
    Border, ExemplarSeries, ExemplarsEncoder, SeriesEncoder, encode_border, encode_metadata,
};
use crate::wal::{Wal, WalOptions};
use parking_lot::RwLockReadGuard;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use tsdb_core::{SeriesRef, Timestamp};
use tsdb_index::RoaringBitmap;

/// Series that are read before those get their turn who wait to add some.
const SERIES_AT_ONCE: usize = 512;

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
    /// Closes the current segment. Everything acknowledged so far is durable in segments below the number returned.
    pub(crate) fn seal_log(&self) -> Result<u64, Error> {
        self.log.sync()?;
        Ok(self.log.rotate()?)
    }

    /// Is the log behind the checkpoint longer than `bytes`, and than the checkpoint? Replay takes longer for it.
    pub(crate) fn is_log_longer(&self, bytes: u64) -> bool {
        let checkpoint = self.checkpoint_bytes.load(Ordering::Relaxed);
        self.log.wal().stats().bytes > bytes.max(checkpoint)
    }

    /// Writes a checkpoint of all that is in memory on this side of `border`, the other of which must be in blocks, and drops
    /// the log before it.
    pub(crate) fn checkpoint(&self, border: Border) -> Result<(), Error> {
        // Nothing was logged, so nothing could come back.
        if self.segments()?.is_empty() {
            return Ok(());
        }
        // ORDER: what is logged in this segment and behind it stays, what was logged before is in memory when it is written.
        let first_segment = self.log.rotate()?;
        // There is a segment at any time, because the numbering of later ones goes on from it.
        self.log.add_newest(self.memory.newest().unwrap_or(Timestamp::MIN))?;
        let resting = self.memory.ids.lock().resting();
        let checkpoint = Checkpoint { first_segment, min_time: border.from };
        self.publish_checkpoint(&checkpoint, border)?;
        // ORDER: the checkpoint is durable; now, and not before, the old segments may go.
        self.log.drop_below(first_segment)?;
        checkpoint.remove_others(&self.place)?;
        self.memory.ids.lock().checkpointed(resting, first_segment);
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

    /// Sees to it that the checkpoint is there for good.
    fn publish_checkpoint(&self, checkpoint: &Checkpoint, border: Border) -> Result<(), Error> {
        let fs: &dyn Fs = &*self.place.fs;
        let path = checkpoint.path(&self.place);
        let exists = |path: &PathBuf| fs.exists(path).map_err(|e| Error::io("inspect", path, e));
        if exists(&path)? {
            // A checkpoint that has its name is whole, and the log before it may be gone already: it must stay. What came
            // since then is in the segments behind it.
            let wal_dir = &self.place.wal_dir;
            fs.sync_dir(wal_dir).map_err(|e| Error::io("sync", wal_dir, e))?;
            return Ok(());
        }
        let unfinished = names::temporary(&path);
        if exists(&unfinished)? {
            fs.remove_dir_all(&unfinished).map_err(|e| Error::io("remove", &unfinished, e))?;
        }
        let bytes = self.write_checkpoint(&unfinished, border).inspect_err(|_| {
            // On a full disk it would be in the way. What cannot be removed now is removed by the next one.
            drop(fs.remove_dir_all(&unfinished));
        })?;
        publish_dir(fs, &unfinished, &path).map_err(|e| Error::io("publish", path, e))?;
        self.checkpoint_bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Writes all that is in memory into the folder `path`, and returns how many bytes that took.
    fn write_checkpoint(&self, path: &Path, border: Border) -> Result<u64, Error> {
        let options = log_options(&self.place);
        let (log, _) = Wal::open(self.place.fs.clone(), path, options, &mut |_, _| {})?;
        let mut record = Vec::new();
        encode_border(border, &mut record);
        log.append(&[&record])?;
        // A series that comes later, and all of its samples, are in the segments that stay.
        let series = self.memory.index.read().all().clone();
        self.write_series(&log, &series)?;
        self.write_contents(&log, &series, border, path)?;
        self.write_metadata(&log)?;
        self.write_exemplars(&log)?;
        log.sync()?;
        Ok(log.stats().bytes)
    }

    fn write_series(&self, log: &Wal, series: &RoaringBitmap) -> Result<(), Error> {
        let mut encoder = SeriesEncoder::new();
        let mut record = Vec::new();
        let mut rest = series.iter().map(SeriesRef).peekable();
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
