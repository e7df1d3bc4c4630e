//! What a database does on its own disk for the sake of object storage fails at every operation: the copy of the manifest,
//! the number of the database, the list of dropped blocks, local copies that go, the cache, the scratch of a merge.

use super::fixture::*;
use super::tier::{far, tier, with};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fault, Fs, Loss, SimFs};
use tsdb::tier::SimStore;
use tsdb::{Db, Options, TimeRange};
use tsdb_core::testing::ManualClock;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A disk, a store, and what is known of what is on them.
struct World {
    fs: SimFs,
    store: Arc<SimStore>,
    /// How often what fails is tried.
    tries: usize,
    acknowledged: Contents,
    /// What may be there or not: sent and not acknowledged, or deleted and not acknowledged.
    attempted: Contents,
}

impl World {
    fn new(tries: usize) -> Self {
        let (acknowledged, attempted) = Default::default();
        Self { fs: SimFs::new(), store: Arc::new(SimStore::new()), tries, acknowledged, attempted }
    }

    /// The same store, beside another disk.
    fn beside(self, fs: SimFs) -> Self {
        Self { fs, tries: 1, ..self }
    }

    fn insist<T, E: Into<Box<dyn Error>>>(&self, mut step: impl FnMut() -> Result<T, E>) -> Outcome<T> {
        let mut outcome = step();
        for _ in 1..self.tries {
            if outcome.is_ok() {
                break;
            }
            outcome = step();
        }
        outcome.map_err(Into::into)
    }

    /// A database that keeps blocks on the disk for so long, at this time, with a cache on the same disk.
    fn open(&self, keep_local_ms: i64, now: i64) -> Outcome<Db> {
        self.insist(|| -> Outcome<Db> {
            let cached = Arc::new(self.fs.clone());
            let mut tier = tier(&self.store).with_disk_cache(cached, Path::new("/cache"), 1 << 20)?;
            tier.keep_local_ms = keep_local_ms;
            let clock = Arc::new(ManualClock::at(now));
            Ok(open_with(&self.fs, Options { clock, checkpoint_log_bytes: 1_000, ..with(tier) })?)
        })
    }

    /// Appends a batch for each window from `from` to `to`.
    fn fill(&mut self, db: &Db, windows: std::ops::Range<i64>) -> Outcome<()> {
        for window in windows {
            let times = (window * WINDOW..(window + 1) * WINDOW).step_by(250);
            let batch: Vec<Sample> =
                times.flat_map(|t| [(0, t, t as f64), (1, t, -t as f64), (2, t, 0.5)]).collect();
            match self.insist(|| append(db, &batch)) {
                Ok(report) => note(&mut self.acknowledged, &batch, &report),
                Err(error) => {
                    for (series, timestamp, value) in batch {
                        self.attempted.entry(labels(series)).or_default().insert(timestamp, value.to_bits());
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn delete(&mut self, db: &Db, range: TimeRange) -> Outcome<()> {
        let gone = take_out(&mut self.acknowledged, range, |_| true);
        let deleted = self.insist(|| db.delete(&[], range));
        if deleted.is_err() {
            for (labels, samples) in gone {
                self.attempted.entry(labels).or_default().extend(samples);
            }
        }
        deleted
    }

    /// Blocks are uploaded and kept, one of them is emptied and dropped; then all are let go and merged, and what is far
    /// away is read. Ends early when the machine stops.
    fn live(&mut self) -> Outcome<()> {
        let db = self.open(1 << 40, 1_000_000)?;
        self.fill(&db, 0..2)?;
        self.insist(|| db.maintain())?;
        self.insist(|| db.ship())?;
        self.delete(&db, TimeRange::new(0, WINDOW - 1).unwrap())?;
        self.insist(|| db.clean_tombstones())?;
        self.insist(|| db.ship())?;
        self.insist(|| db.close())?;
        drop(db);
        let db = self.open(0, 1_000_001)?;
        self.fill(&db, 2..7)?;
        self.insist(|| db.maintain())?;
        (0..2).try_for_each(|_| self.insist(|| db.ship()))?;
        let blocks = far(&db).blocks;
        self.insist(|| db.compact_far())?;
        self.insist(|| db.ship())?;
        assert!(far(&db).blocks < blocks, "the life has a merge in it");
        let found = contents(&db);
        if self.tries > 1 {
            assert_eq!(found, self.acknowledged);
        }
        self.insist(|| db.close())
    }

    /// Opens what is left, checks it, has it go on and checks it again.
    fn recover(&self, what: &str) {
        // The lease of who is gone is over by then.
        let open = || self.open(0, 2_000_000).unwrap_or_else(|error| panic!("{what}: {error}"));
        let db = open();
        let found = contents(&db);
        assert_between(&found, &self.acknowledged, &self.attempted, what);
        db.maintain().unwrap();
        (0..3).for_each(|_| db.ship().unwrap());
        db.compact_far().unwrap();
        db.ship().unwrap();
        assert_eq!((contents(&db), far(&db).backlog_blocks), (found.clone(), 0), "{what}");
        db.close().unwrap();
        drop(db);
        let db = open();
        assert_eq!(contents(&db), found, "{what}");
        let mut warnings = db.stats().warnings;
        warnings.retain(|warning| !warning.starts_with("log: log segment"));
        assert_eq!(warnings, [""; 0], "{what}");
        let left = self.fs.files().into_iter().filter(|path| path.to_string_lossy().contains(".tmp"));
        assert_eq!(left.count(), 0, "{what}");
    }
}

/// Operations of a life on the disk.
fn operations() -> usize {
    let mut world = World::new(1);
    world.live().unwrap();
    for name in ["manifest-copy", "owner", "dropped"] {
        assert!(world.fs.exists(&Path::new(DIR).join(name)).unwrap(), "the life writes {name}");
    }
    assert!(world.fs.files().iter().any(|path| path.starts_with("/cache/000001")), "and into the cache");
    let operations = world.fs.op_count();
    world.recover("no fault");
    operations
}

#[test]
fn a_power_cut_at_any_local_operation_of_a_database_on_object_storage_loses_nothing() {
    for stop in 0..operations() {
        let mut world = World::new(1);
        world.fs.inject(stop, Fault::Crash);
        let ended = world.live();
        let loss = match stop % 3 {
            0 => Loss::Everything,
            1 => Loss::Nothing,
            _ => Loss::Random(stop as u64),
        };
        // What need not be done to the end may fail unseen.
        let what = format!("stopped at {stop} ({}), {loss:?}", ended.is_ok());
        let disk = world.fs.after_power_cut(loss);
        world.beside(disk).recover(&what);
    }
}

#[test]
fn an_error_of_the_disk_at_any_local_operation_of_a_database_on_object_storage_costs_a_repetition() {
    let operations = operations();
    for at in 0..operations {
        for fault in [Fault::OutOfSpace, Fault::Io] {
            let mut world = World::new(4);
            world.fs.inject(at, fault);
            let what = format!("{fault:?} at operation {at}");
            world.live().unwrap_or_else(|error| panic!("{what}: {error}"));
            let disk = world.fs.after_power_cut(Loss::Everything);
            world.beside(disk).recover(&what);
        }
    }
}
