//! A check of a whole data directory: every byte of every file is read and everything in it decoded.
//!
//! Nothing is changed. What is damaged is listed with file, place and what it costs; what only looks unusual, such as
//! the torn end of a log after a crash, is not.

use crate::block::{self, Block, Loss};
use crate::fs::{DirLock, Fs, LockError};
use crate::head::{CheckpointName, newest_checkpoint};
use crate::record::{Border, Decoded, RecordSink, SeriesChunks, decode};
use crate::wal::{self, DamageKind};
use crate::{Error, engine, names, version};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{SeriesRef, Timestamp};
use tsdb_index::RoaringBitmap;

/// What a check of a data directory found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Blocks checked.
    pub blocks: u64,
    /// Segments of the log checked.
    pub log_segments: u64,
    /// Records of the log read.
    pub log_records: u64,
    /// What is damaged; empty if all is well.
    pub findings: Vec<Finding>,
    /// Ends of the log that look like the usual trace of a crash, which costs nothing that was acknowledged as
    /// durable. Damage to the last record of a log looks the same.
    pub torn: Vec<Finding>,
}

/// A damaged part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Where in it the damage begins, in bytes.
    pub offset: u64,
    /// What is wrong, as a sentence for people.
    pub what: String,
    /// What cannot be read because of it.
    pub lost: Loss,
    /// Is it of a version that this one does not know? Another version may read it, so a repair leaves it alone.
    pub is_foreign: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}; lost: {}", self.path.display(), self.offset, self.what, self.lost)
    }
}

/// How far a long work is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done now: a block, or the log.
    pub now: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Told how far a work is, from time to time.
pub type OnProgress<'p> = dyn FnMut(&Progress) + 'p;

/// Checks the data directory `dir`, which no database may have open.
///
/// # Errors
/// The directory is in use, of an unknown version, or cannot be listed.
pub fn verify(fs: &Arc<dyn Fs>, dir: &Path, on_progress: &mut OnProgress<'_>) -> Result<Verdict, Error> {
    let _lock = lock(&**fs, dir)?;
    check(fs, dir, on_progress)
}

/// Locks `dir`. A directory in which nothing can be written needs no lock.
pub(crate) fn lock(fs: &dyn Fs, dir: &Path) -> Result<Option<DirLock>, Error> {
    match DirLock::acquire(fs, dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(held @ LockError::Held { .. }) => Err(engine::lock_error(held)),
        Err(error) => match engine::lock_error(error) {
            Error::Permission { .. } => Ok(None),
            other => Err(other),
        },
    }
}

/// [`verify`] by the one who holds the lock.
pub(crate) fn check(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    on_progress: &mut OnProgress<'_>,
) -> Result<Verdict, Error> {
    version::require(&**fs, dir)?;
    let mut verdict = Verdict::default();
    let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let blocks = entries.iter().filter(|entry| entry.is_dir && Block::parse_dir_name(&entry.name).is_some());
    let mut parts: Vec<(String, u64)> = Vec::new();
    for name in blocks.map(|entry| entry.name.as_str()).chain([names::WAL_DIR]) {
        // A directory that cannot be sized is checked all the same.
        parts.push((name.to_owned(), crate::blocks::size(&**fs, &dir.join(name)).unwrap_or(0)));
    }
    let mut progress = Progress { now: String::new(), done: 0, total: parts.iter().map(|part| part.1).sum() };
    for (name, bytes) in parts {
        progress.now.clone_from(&name);
        on_progress(&progress);
        let path = dir.join(&name);
        if name == names::WAL_DIR {
            check_log(fs, &path, &mut verdict)?;
        } else {
            verdict.blocks += 1;
            check_block(fs, &path, &mut verdict.findings);
        }
        progress.done += bytes;
        on_progress(&progress);
    }
    Ok(verdict)
}

fn check_block(fs: &Arc<dyn Fs>, dir: &Path, findings: &mut Vec<Finding>) {
    match block::verify(fs, dir) {
        Ok(damage) => findings.extend(damage.into_iter().map(|damage| Finding {
            path: damage.path,
            offset: damage.what.offset as u64,
            what: damage.what.to_string(),
            lost: damage.lost,
            is_foreign: false,
        })),
        Err(error) => {
            let is_foreign = matches!(error, block::BlockError::UnknownVersion { .. });
            let (path, what) = (dir.to_owned(), error.to_string());
            findings.push(Finding { path, offset: 0, what, lost: Loss::Block, is_foreign });
        }
    }
}

/// Checks the log in `dir`. Which of its samples are in blocks is told by the checkpoint and the records of borders, as
/// replay has it.
fn check_log(fs: &Arc<dyn Fs>, dir: &Path, verdict: &mut Verdict) -> Result<(), Error> {
    if !fs.exists(dir).map_err(|e| Error::io("inspect", dir, e))? {
        return Ok(());
    }
    let mut records = Records::new();
    let checkpoint = newest_checkpoint(&**fs, dir)?;
    if let Some(CheckpointName { path, min_time }) = checkpoint {
        records.border.from = min_time;
        read_log(fs, &path, &mut records, verdict)?;
    }
    read_log(fs, dir, &mut records, verdict)?;
    let mut say = |what, lost| {
        let path = dir.to_owned();
        verdict.findings.push(Finding { path, offset: 0, what, lost, is_foreign: false });
    };
    if let Some(first) = records.first_damage {
        say(
            format!("{} records do not decode; the first: {first}", records.damaged),
            Loss::Records { bytes: 0 },
        );
    }
    if records.homeless > 0 {
        let lost = Loss::Samples { chunks: 0, samples: records.homeless };
        say("the record of a series is lost, so its samples have no labels".to_owned(), lost);
    }
    Ok(())
}

fn read_log(fs: &Arc<dyn Fs>, dir: &Path, records: &mut Records, verdict: &mut Verdict) -> Result<(), Error> {
    let report = wal::read(fs, dir, &mut |_, record| records.take(record))?;
    verdict.log_segments += report.segments;
    verdict.log_records += report.records;
    for damage in &report.damage {
        let lost = match damage.kind {
            DamageKind::Header => Loss::Nothing,
            _ => Loss::Records { bytes: damage.bytes.end - damage.bytes.start },
        };
        let path = dir.join(names::numbered(damage.segment));
        let (offset, what) = (damage.bytes.start, damage.to_string());
        let list = match damage.kind.is_expected_after_crash() {
            true => &mut verdict.torn,
            false => &mut verdict.findings,
        };
        list.push(Finding { path, offset, what, lost, is_foreign: false });
    }
    Ok(())
}

/// Decodes records and keeps what it must know to tell whether they make sense together.
struct Records {
    border: Border,
    /// The generation of the late samples that are being handed out.
    late: Option<u64>,
    series: RoaringBitmap,
    homeless: u64,
    damaged: u64,
    first_damage: Option<String>,
}

impl Records {
    fn new() -> Self {
        Self {
            border: Border::NOTHING,
            late: None,
            series: RoaringBitmap::new(),
            homeless: 0,
            damaged: 0,
            first_damage: None,
        }
    }

    fn take(&mut self, record: &[u8]) {
        match decode(record, self) {
            Ok(Decoded::UnknownTag(tag)) => self.damage(format!("the kind {tag} is unknown")),
            Ok(_) => {}
            Err(damage) => self.damage(damage.to_string()),
        }
    }

    fn damage(&mut self, what: String) {
        self.damaged += 1;
        self.first_damage.get_or_insert(what);
    }

    fn sample_of(&mut self, series: SeriesRef, timestamp: Timestamp) {
        let from = self.late.map_or(Some(self.border.from), |generation| self.border.late_from(generation));
        let is_needed = from.is_some_and(|from| timestamp >= from);
        self.homeless += u64::from(is_needed && !self.series.contains(series.0));
    }
}

impl RecordSink for Records {
    fn series(&mut self, series: SeriesRef, _labels: &[(&str, &str)]) {
        self.series.insert(series.0);
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, _value: f64) {
        self.sample_of(series, timestamp);
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, _start: Timestamp, _value: f64) {
        self.sample_of(series, timestamp);
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        _start: Timestamp,
        _histogram: FloatHistogram,
    ) {
        self.sample_of(series, timestamp);
    }

    fn chunks(&mut self, chunks: SeriesChunks) {
        let mut columns = SampleColumns::new();
        if let Err(damage) = chunks.decode(&mut columns) {
            self.damage(damage.to_string());
        }
        columns.timestamps.iter().for_each(|timestamp| self.sample_of(chunks.series, *timestamp));
    }

    fn late(&mut self, generation: Option<u64>) {
        self.late = generation;
    }

    fn retired(&mut self, series: SeriesRef) {
        // What the log still has of it is in blocks. In a checkpoint it stands without its labels.
        self.series.insert(series.0);
    }

    fn border(&mut self, border: Border) {
        self.border = self.border.or_later(border);
    }

    fn named_batch(&mut self, records: &[&[u8]]) {
        // Their numbers of series mean something only within the batch.
        for damage in records.iter().filter_map(|record| decode(record, &mut Decodes).err()) {
            self.damage(damage.to_string());
        }
    }
}

/// Looks at nothing but whether records decode.
struct Decodes;

impl RecordSink for Decodes {}
