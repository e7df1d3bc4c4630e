//! Memory from the log.
//!
//! Reads the newest checkpoint and then the segments from the one it names on. Samples before the bound that blocks
//! or the checkpoint state are skipped: they are in blocks. What is damaged is counted and named; the rest is taken.
//! Replay never refuses what was acknowledged: no limit on series, skew or order applies to it.

use super::checkpoint::{Checkpoint, log_options};
use super::exemplars::Kept;
use super::log::Log;
use super::memory::Memory;
use super::pages::{MAX_SERIES, page_number, slot};
use super::sealed::Sealer;
use super::series::Series;
use super::{Counters, Head, Place, Settings};
use crate::Error;
use crate::names;
use crate::record::{Decoded, ExemplarSeries, RecordSink, decode};
use crate::wal::{ReplayReport, Wal};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64};
use tsdb_core::metadata::Metadata;
use tsdb_core::{Exemplar, Labels, SeriesRef, Timestamp};

impl Head {
    /// Opens the log and rebuilds memory from it. Samples before `min_time` are in blocks. Returns what was found
    /// wrong as sentences.
    pub(crate) fn open(
        place: Place,
        settings: Settings,
        min_time: Timestamp,
    ) -> Result<(Self, Vec<String>), Error> {
        place.fs.create_dir_all(&place.wal_dir).map_err(|e| Error::io("create", &place.wal_dir, e))?;
        sweep(&place)?;
        let checkpoint = Checkpoint::list(&place)?.pop();
        let bound = checkpoint.as_ref().map_or(min_time, |found| found.min_time.max(min_time));
        let memory = Memory::new(bound, settings.metadata, settings.max_exemplars);
        let mut replay = Replay::new(&memory);
        let mut warnings = Vec::new();
        if let Some(checkpoint) = &checkpoint {
            let mut take = |_, record: &[u8]| replay.take(record);
            let (_, report) =
                Wal::open(place.fs.clone(), &checkpoint.path(&place), log_options(&place), &mut take)?;
            warn_of_damage("checkpoint", &report, &mut warnings);
        }
        let first_segment = checkpoint.as_ref().map_or(0, |found| found.first_segment);
        let mut take = |segment, record: &[u8]| {
            // Segments below that exist only if a crash kept them from being removed.
            if segment >= first_segment {
                replay.segment = segment;
                replay.take(record);
            }
        };
        let (wal, report) = Wal::open(place.fs.clone(), &place.wal_dir, place.wal_options, &mut take)?;
        warn_of_damage("log", &report, &mut warnings);
        let newest = replay.finish(&mut warnings);
        memory.finish_replay(wal.current_segment());
        memory.index.write().shrink();
        let head = Self {
            memory,
            log: Log::new(wal, newest),
            place,
            last_append: AtomicI64::new(settings.clock.monotonic_ms()),
            horizon: AtomicI64::new(Timestamp::MIN),
            settings,
            counters: Counters::default(),
            buffers: Mutex::default(),
            closed: AtomicBool::new(false),
            shrunk: Mutex::default(),
            estimate: Mutex::default(),
        };
        checkpoint.map_or(Ok(()), |checkpoint| head.finish_checkpoint(checkpoint))?;
        Ok((head, warnings))
    }
}

/// Removes checkpoints that were never finished.
fn sweep(place: &Place) -> Result<(), Error> {
    let entries = place.fs.list(&place.wal_dir).map_err(|e| Error::io("list", &place.wal_dir, e))?;
    for entry in entries.iter().filter(|entry| entry.is_dir && names::is_temporary(&entry.name)) {
        let path = place.wal_dir.join(&entry.name);
        place.fs.remove_dir_all(&path).map_err(|e| Error::io("remove", path, e))?;
    }
    Ok(())
}

fn warn_of_damage(what: &str, report: &ReplayReport, warnings: &mut Vec<String>) {
    warnings.extend(report.damage.iter().map(|damage| format!("{what}: {damage}")));
}

/// Takes records into memory.
struct Replay<'a> {
    memory: &'a Memory,
    min_time: Timestamp,
    page: Option<(usize, MutexGuard<'a, Vec<Series>>)>,
    segment: u64,
    newest: BTreeMap<u64, Timestamp>,
    /// The highest number that a sample has: no number up to it may be given out, whether its series is known or lost.
    highest: Option<SeriesRef>,
    /// Exemplars below this number that are in the log are in the checkpoint too, as far as they are kept.
    exemplars_from: u64,
    homeless: u64,
    damaged: u64,
    first_damage: Option<String>,
    unknown_tags: u64,
    sealer: Sealer,
}

impl<'a> Replay<'a> {
    fn new(memory: &'a Memory) -> Self {
        Self {
            memory,
            min_time: memory.min_time(),
            page: None,
            segment: 0,
            newest: BTreeMap::new(),
            highest: None,
            exemplars_from: 0,
            homeless: 0,
            damaged: 0,
            first_damage: None,
            unknown_tags: 0,
            sealer: Sealer::default(),
        }
    }

    fn take(&mut self, record: &[u8]) {
        match decode(record, self) {
            Ok(Decoded::UnknownTag(_)) => self.unknown_tags += 1,
            Ok(_) => {}
            Err(damage) => {
                self.damaged += 1;
                self.first_damage.get_or_insert_with(|| damage.to_string());
            }
        }
    }

    /// Names what went wrong and returns the newest timestamp of each segment.
    fn finish(self, warnings: &mut Vec<String>) -> BTreeMap<u64, Timestamp> {
        if let Some(highest) = self.highest.filter(|highest| highest.0 < MAX_SERIES) {
            self.memory.ids.lock().seen(highest);
        }
        if let Some(first) = self.first_damage {
            warnings.push(format!("log: {} records are damaged; the first: {first}", self.damaged));
        }
        if self.homeless > 0 {
            warnings.push(format!("log: {} samples are of series whose record is lost", self.homeless));
        }
        if self.unknown_tags > 0 {
            warnings.push(format!("log: {} records of unknown kinds were skipped", self.unknown_tags));
        }
        self.newest
    }
}

impl RecordSink for Replay<'_> {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        // The page is locked again to register.
        self.page = None;
        match Labels::from_sorted_pairs(labels.iter().copied()).filter(|labels| !labels.is_empty()) {
            Some(labels) => self.memory.replay_series(series, &labels),
            None => {
                self.damaged += 1;
                self.first_damage.get_or_insert_with(|| format!("labels of series {} are invalid", series.0));
            }
        }
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        let newest = self.newest.entry(self.segment).or_insert(timestamp);
        *newest = timestamp.max(*newest);
        self.highest = self.highest.max(Some(series));
        if timestamp < self.min_time {
            return;
        }
        if self.page.as_ref().is_none_or(|(number, _)| *number != page_number(series)) {
            self.page = None;
            self.page = self.memory.pages.page(series).map(|page| (page_number(series), page.lock()));
        }
        let place = self.page.as_mut().and_then(|(_, all)| all.get_mut(slot(series)));
        match place.filter(|state| state.is_live()) {
            Some(state) => {
                state.insert(timestamp, value, &mut self.sealer);
                self.memory.widen(timestamp, timestamp);
            }
            None => self.homeless += 1,
        }
    }

    fn exemplar(&mut self, number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        let mut ring = self.memory.exemplars.write();
        match series {
            ExemplarSeries::Labelled(labels) => {
                let _: Kept = ring.push_labelled(labels, exemplar);
                self.exemplars_from = number.saturating_add(1);
            }
            // One that came in before the checkpoint stands in it, or was overwritten before.
            ExemplarSeries::Registered(series) if number >= self.exemplars_from => {
                self.highest = self.highest.max(Some(*series));
                let _: Kept = ring.push(*series, || self.memory.labels(*series), exemplar);
            }
            ExemplarSeries::Registered(_) => {}
        }
        ring.skip_numbers_below(number.saturating_add(1));
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.memory.metadata.write().insert(metric, metadata);
    }
}
