//! Lanes that panic: nobody believes that memory is whole, and nothing on disk is harmed.
#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]

use super::*;
use crate::fs::{Fs, SimFs};
use crate::head::testing;
use crate::{Db, Error, Options, Replay};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use tsdb_core::TimeRange;
use tsdb_core::read::{Queryable, SampleColumns, SelectHints};
use tsdb_core::write::Appendable;

/// The number that the lanes panic at.
const FATAL: f64 = f64::from_bits(0x7ff8_0bad_0bad_0bad);
/// Series of three pages.
const SERIES: u32 = 700;

#[test]
fn nobody_believes_that_samples_are_in_memory_whose_lane_panicked() {
    let (head, is_settled) = (testing::open(0, 0).0, AtomicBool::new(false));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        std::thread::scope(|scope| {
            let mut lanes = Lanes::new(scope, &head);
            lanes.start();
            let (sender, jobs) = bounded(BATCHES_WAITING);
            let (answer, answers) = bounded(1);
            scope.spawn(move || {
                let _answer = answer;
                // Work is left in the queue.
                while jobs.len() < 2 {
                    std::thread::yield_now();
                }
                panic!("in a lane");
            });
            lanes.threads[0] = Helper { jobs: sender, answers };
            let mut batch = lanes.batch(None, Some(0));
            batch.push_run(SeriesRef(0), 1, &[[0; 8]; 3]);
            lanes.take(batch);
            lanes.settle();
            is_settled.store(true, Ordering::SeqCst);
        });
    }));
    assert!(outcome.is_err() && !is_settled.into_inner());
}

fn options(replay: Replay) -> Options {
    Options { replay, background: false, retention_ms: None, future_skew_ms: None, ..Options::default() }
}

fn open(fs: &SimFs, replay: Replay) -> Result<Db, Error> {
    Db::open_on(Arc::new(fs.clone()), "/data", options(replay))
}

/// One scrape of all series; the values are `number` and those behind it.
fn append(db: &Db, timestamp: Timestamp, value: f64) {
    let mut batch = db.appender();
    for number in 0..SERIES {
        let pairs = [("__name__", "m"), ("n", &*number.to_string())];
        let series = batch.series(&Labels::from_pairs(pairs).unwrap()).unwrap();
        batch.append(series, timestamp, if number == SERIES / 2 { value } else { f64::from(number) });
    }
    assert_eq!(batch.commit().unwrap().accepted, u64::from(SERIES));
}

/// A log that more than one thread replays.
fn logged() -> SimFs {
    let fs = SimFs::new();
    let db = open(&fs, Replay::BeforeOpen).unwrap();
    (1..40).for_each(|time| append(&db, time * 1_000, if time == 20 { FATAL } else { 1.0 }));
    db.close().unwrap();
    fs
}

/// How many samples there are at each time.
fn counts(db: &Db) -> BTreeMap<Timestamp, usize> {
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    let (mut counts, mut columns) = (BTreeMap::new(), SampleColumns::new());
    for index in 0..set.len() {
        set.read(index, &mut columns).unwrap();
        columns.timestamps.iter().for_each(|time| *counts.entry(*time).or_default() += 1);
    }
    counts
}

fn all(scrapes: i64) -> BTreeMap<Timestamp, usize> {
    (1..=scrapes).map(|time| (time * 1_000, SERIES as usize)).collect()
}

/// All files but the lock, which says who has it.
fn files(fs: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs.files().into_iter().filter(|path| !path.ends_with("LOCK"));
    paths.map(|path| (path.clone(), fs.read(&path).unwrap())).collect()
}

/// Both ways, one after the other: there is one number to panic at for all threads.
#[test]
fn a_lane_that_panics_is_an_error_of_opening_or_of_work_and_the_next_start_finds_everything() {
    let fs = logged();
    let before = files(&fs);
    testing::PANICS_AT.store(FATAL.to_bits(), Ordering::SeqCst);
    let error = open(&fs, Replay::BeforeOpen).err().unwrap();
    assert!(matches!(&error, Error::NotReplayed { path } if path.ends_with("wal")), "{error}");
    assert_eq!(files(&fs), before, "nothing on disk is touched");

    let db = open(&fs, Replay::Background).unwrap();
    db.wait_for_replay();
    let stats = db.stats();
    assert!(stats.unreplayed_bytes.is_some(), "it is not whole");
    assert!(stats.warnings.iter().any(|told| told.contains("was not replayed")), "{:?}", stats.warnings);
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    assert_ne!(set.warnings(), [""; 0], "answers say that they may be incomplete");
    append(&db, 40_000, 2.0);
    assert!(matches!(db.flush(), Err(Error::NotReplayed { .. })));
    assert!(matches!(db.compact(), Err(Error::NotReplayed { .. })));
    assert!(matches!(db.delete(&[], TimeRange::ALL), Err(Error::NotReplayed { .. })));
    db.maintain().unwrap();
    drop((set, querier));
    db.close().unwrap();
    drop(db);

    testing::PANICS_AT.store(0, Ordering::SeqCst);
    let db = open(&fs, Replay::BeforeOpen).unwrap();
    assert_eq!((counts(&db), db.stats().warnings), (all(40), vec![]));
    db.flush().unwrap();
    assert_eq!(counts(&db), all(40));
}
