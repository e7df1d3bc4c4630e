//! Writers, readers and cuts at the same time, on a real disk.

use super::fixture::*;
use super::kinds;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;
use tsdb::{Appendable, Db, Durability, Options, Queryable, TimeRange};
use tsdb_core::labels::write_wire;
use tsdb_core::write::SampleError;

const WRITERS: usize = 3;
const SERIES: usize = 40;
const STEPS: i64 = 400;
const STEP_MS: i64 = 20;

/// Appends a sample to each of the writer's series at each step, known series by their wire form, and says how far
/// it has come.
fn write(db: &Db, writer: usize, done: &AtomicI64, lockstep: &Barrier) {
    let own = |k: usize| labels(writer * SERIES + k);
    let wires: Vec<Vec<u8>> = (0..SERIES)
        .map(|k| {
            let mut wire = Vec::new();
            write_wire(&own(k), &mut wire);
            wire
        })
        .collect();
    for step in 0..STEPS {
        // Writers keep near each other, as scrapes do, so that no cut leaves one behind.
        if step % 5 == 0 {
            lockstep.wait();
        }
        let mut appender = db.appender();
        for (k, wire) in wires.iter().enumerate() {
            // A third of the series pauses now and then for longer than a cut takes.
            if k % 3 == 0 && step / 100 % 2 == 1 {
                continue;
            }
            let series = match appender.lookup(wire) {
                Some(series) => series,
                None => appender.series(&own(k)).unwrap(),
            };
            kinds::push(&mut *appender, series, writer * SERIES + k, step * STEP_MS, step as f64);
        }
        assert_eq!(appender.commit().unwrap().refused, []);
        done.store(step, Ordering::SeqCst);
    }
}

#[test]
fn readers_see_every_acknowledged_sample_once_while_blocks_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let background = Options {
        background: true,
        durability: Durability::Interval(Duration::from_millis(5)),
        maintenance_interval: Duration::from_millis(5),
        ..options()
    };
    let db = Db::open(dir.path(), background).unwrap();
    let done: [AtomicI64; WRITERS] = std::array::from_fn(|_| AtomicI64::new(-1));
    let finished = AtomicBool::new(false);
    let lockstep = Barrier::new(WRITERS);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (db, done, lockstep) = (&db, &done[writer], &lockstep);
                scope.spawn(move || write(db, writer, done, lockstep))
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while !finished.load(Ordering::SeqCst) {
                    read_once(&db, &done);
                }
            });
        }
        let results: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        finished.store(true, Ordering::SeqCst);
        results.into_iter().for_each(|result| result.unwrap());
    });
    read_once(&db, &done);
    db.maintain().unwrap();
    let before = contents(&db);
    let stats = db.stats();
    assert!(stats.blocks_cut >= 2, "{stats:?}");
    assert_eq!(stats.warnings, [""; 0]);
    drop(db);
    assert_eq!(contents(&Db::open(dir.path(), options()).unwrap()), before);
}

/// The samples of a series that never pauses and is never too late are those of all steps so far, without a hole.
fn read_once(db: &Db, done: &[AtomicI64; WRITERS]) {
    let acknowledged: Vec<i64> = done.iter().map(|done| done.load(Ordering::SeqCst)).collect();
    let querier = db.querier(TimeRange::ALL).unwrap();
    let found = contents_of(&*querier, &[], TimeRange::ALL);
    for (writer, acknowledged) in acknowledged.into_iter().enumerate() {
        let Some(samples) = found.get(&labels(writer * SERIES + 1)) else {
            assert_eq!(acknowledged, -1);
            continue;
        };
        let steps: Vec<i64> = samples.keys().map(|timestamp| timestamp / STEP_MS).collect();
        let newest = steps.last().copied().unwrap_or(-1);
        assert!(newest >= acknowledged, "step {acknowledged} of writer {writer} is missing");
        assert_eq!(steps, (0..=newest).collect::<Vec<_>>(), "writer {writer}");
    }
}

/// Series come and go, numbers are freed and used again: no sample may end up under other labels.
#[test]
fn series_that_come_and_go_keep_their_samples_apart() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options { durability: Durability::Lazy, ..options() }).unwrap();
    let clock = AtomicI64::new(0);
    let finished = AtomicBool::new(false);
    let accepted = Mutex::new(Contents::new());
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (db, clock, accepted) = (&db, &clock, &accepted);
                scope.spawn(move || {
                    for round in 0..600 {
                        let now = clock.fetch_add(1, Ordering::SeqCst);
                        // Each series is written in a few rounds, with a value that tells whose it is.
                        let series = (0..5).map(|k| (round / 4 * 5 + k) * WRITERS + writer);
                        let samples: Vec<Sample> = series.map(|s| (s, now, s as f64)).collect();
                        let report = append(db, &samples).unwrap();
                        for refused in &report.refused {
                            assert!(
                                matches!(refused.reason, SampleError::TooOld { .. }),
                                "{}",
                                refused.reason
                            );
                        }
                        note(&mut accepted.lock().unwrap(), &samples, &report);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !finished.load(Ordering::SeqCst) {
                db.flush().unwrap();
                read_own(&db);
            }
        });
        let results: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        finished.store(true, Ordering::SeqCst);
        results.into_iter().for_each(|result| result.unwrap());
    });
    let accepted = accepted.into_inner().unwrap();
    assert_eq!(contents(&db), accepted);
    db.flush().unwrap();
    assert_eq!(contents(&db), accepted);
    assert!(db.stats().series_removed > 100, "{:?}", db.stats());
    drop(db);
    assert_eq!(contents(&Db::open(dir.path(), options()).unwrap()), accepted);
}

/// Every value that is read is that of the series it is read from.
fn read_own(db: &Db) {
    for (labels, samples) in contents(db) {
        let own: f64 = labels.get("series").unwrap().parse().unwrap();
        assert!(samples.values().all(|bits| *bits == own.to_bits()), "{labels}");
    }
}
