//! Snapshots: taken while writers write, each opens and holds of every writer all batches up to one.

use super::fixture::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tsdb::fs::{Fault, Loss, SimFs};
use tsdb::{Appendable, Db, Options, TimeRange};
use tsdb_core::Exemplar;
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::read::ExemplarQueryable;

const WRITERS: usize = 2;
/// Series of each writer.
const SERIES: usize = 3;

fn batch(writer: usize, number: i64) -> Vec<Sample> {
    (0..SERIES).map(|series| (writer * SERIES + series, number, number as f64)).collect()
}

/// How many batches of `writer` are in `found`: all from 0 up to one, each whole.
fn batches(found: &Contents, writer: usize) -> i64 {
    let counts = (0..SERIES).map(|series| {
        let samples = found.get(&labels(writer * SERIES + series)).cloned().unwrap_or_default();
        let wanted = (0..samples.len() as i64).map(|n| (n, (n as f64).to_bits())).collect();
        assert_eq!(samples, wanted, "writer {writer} has a hole");
        samples.len() as i64
    });
    let counts: Vec<i64> = counts.collect();
    assert!(counts.iter().all(|count| *count == counts[0]), "half a batch of {writer}: {counts:?}");
    counts[0]
}

#[test]
fn snapshots_under_two_writers_hold_all_that_was_acknowledged_before_and_whole_batches_only() {
    let dir = tempfile::tempdir().unwrap();
    let slow = Options { durability: tsdb::Durability::Lazy, ..options() };
    let db = Db::open(dir.path().join("data"), slow).unwrap();
    let acknowledged: [AtomicI64; WRITERS] = Default::default();
    let attempted: [AtomicI64; WRITERS] = Default::default();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (db, acknowledged, attempted, stop) = (&db, &acknowledged[writer], &attempted[writer], &stop);
            scope.spawn(move || {
                for number in 0..3000 {
                    attempted.store(number + 1, Ordering::SeqCst);
                    append_all(db, &batch(writer, number));
                    acknowledged.store(number + 1, Ordering::SeqCst);
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for round in 0..6 {
            let floor: Vec<i64> = acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect();
            let to = db.snapshots_dir().join(format!("s{round}"));
            db.snapshot(&to).unwrap();
            let ceiling: Vec<i64> = attempted.iter().map(|count| count.load(Ordering::SeqCst)).collect();
            let copy = Db::open(&to, options()).unwrap();
            let found = contents(&copy);
            for writer in 0..WRITERS {
                let held = batches(&found, writer);
                assert!((floor[writer]..=ceiling[writer]).contains(&held), "round {round}: {held}");
            }
            assert_eq!(copy.stats().warnings, [""; 0]);
            // Writing to the copy does not touch the original.
            append_all(&copy, &[(999, 1, 1.0)]);
            copy.flush().unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    });
    let all = contents(&db);
    assert!(!all.contains_key(&labels(999)));
    assert_eq!(batches(&all, 0), acknowledged[0].load(Ordering::SeqCst));
    db.flush().unwrap();
    db.close().unwrap();
    assert_eq!(contents(&Db::open(dir.path().join("data"), options()).unwrap()), all);
}

/// A database with a block, a checkpoint and a head.
fn filled(fs: &SimFs) -> Db {
    let db = open(fs).unwrap();
    append_all(&db, &[(0, 1, 1.0), (1, 2, 2.0)]);
    db.flush().unwrap();
    append_all(&db, &[(0, 1500, 3.0), (2, 1600, 4.0)]);
    db
}

fn open_snapshot(fs: &SimFs, dir: &Path) -> Db {
    Db::open_on(Arc::new(fs.clone()), dir, options()).unwrap()
}

#[test]
fn a_snapshot_outlives_what_it_was_made_of() {
    let fs = SimFs::new();
    let db = filled(&fs);
    let all = contents(&db);
    db.snapshot("/copies/whole").unwrap();
    db.snapshot_of_blocks("/copies/blocks").unwrap();
    assert!(db.snapshot("/copies/whole").is_err(), "the name is taken");
    drop(db);
    tsdb::fs::Fs::remove_dir_all(&fs, Path::new(DIR)).unwrap();
    let fs = fs.after_power_cut(Loss::Everything);
    assert_eq!(contents(&open_snapshot(&fs, Path::new("/copies/whole"))), all);
    let blocks = contents(&open_snapshot(&fs, Path::new("/copies/blocks")));
    assert_eq!(blocks.values().map(|samples| samples.len()).sum::<usize>(), 2);
}

#[test]
fn a_snapshot_holds_samples_of_every_kind_late_ones_exemplars_and_descriptions() {
    let fs = SimFs::new();
    let late = || Options { out_of_order_window_ms: 100_000, ..options() };
    let db = open_with(&fs, late()).unwrap();
    let every_kind = |from: i64| -> Vec<Sample> {
        (0..6)
            .flat_map(|series| (0..5).map(move |k| (series, from + k * 200, (from + k) as f64 * 1.3)))
            .collect()
    };
    append_all(&db, &every_kind(3000));
    db.flush().unwrap();
    append_all(&db, &every_kind(5000));
    // Late ones before and behind the cut, some of them in a block of their own.
    append_all(&db, &every_kind(1001));
    db.maintain().unwrap();
    append_all(&db, &every_kind(4901));
    let mut batch = db.appender();
    for number in 0..3 {
        let series = batch.series(&labels(number)).unwrap();
        let exemplar = Exemplar { labels: labels(7), timestamp: 5000 + number as i64, value: 0.5 };
        batch.append_exemplar(series, exemplar);
    }
    let help = Metadata { metric_type: MetricType::Histogram, help: "Takes long.".into(), unit: "s".into() };
    batch.set_metadata("metric", help);
    batch.commit().unwrap();
    let exemplars = |db: &Db| db.exemplars(&[vec![]], TimeRange::ALL).unwrap();
    let expected = (contents(&db), exemplars(&db), db.metadata());
    assert_eq!((expected.1.len(), expected.2.len()), (3, 1));
    db.snapshot("/copies/one").unwrap();
    append_all(&db, &[(0, 9000, 1.0)]);
    db.flush().unwrap();
    let fs = fs.after_power_cut(Loss::Everything);
    let copy = Db::open_on(Arc::new(fs), Path::new("/copies/one"), late()).unwrap();
    assert_eq!((contents(&copy), exemplars(&copy), copy.metadata()), expected);
    assert_eq!(copy.stats().warnings, [""; 0]);
    copy.flush().unwrap();
    assert_eq!((contents(&copy), exemplars(&copy), copy.metadata()), expected);
}

#[test]
fn a_power_cut_or_an_error_at_any_step_leaves_a_whole_snapshot_or_none_and_no_harm() {
    let operations = |fs: &SimFs| {
        let db = filled(fs);
        let before = fs.op_count();
        (before, db)
    };
    let fs = SimFs::new();
    let (first, db) = operations(&fs);
    let all = contents(&db);
    let to = db.snapshots_dir().join("one");
    db.snapshot(&to).unwrap();
    let last = fs.op_count();
    assert!(last - first > 12, "{first} to {last}");
    for at in first..last {
        for fault in [Fault::Crash, Fault::Io, Fault::OutOfSpace] {
            let fs = SimFs::new();
            let (_, db) = operations(&fs);
            fs.inject(at, fault);
            let made = db.snapshot(&to);
            if fault != Fault::Crash {
                assert_eq!(contents(&db), all, "{fault:?} at {at}");
                append_all(&db, &[(0, 1700, 9.0)]);
            }
            drop(db);
            for loss in [Loss::Everything, Loss::Nothing, Loss::Random(at as u64)] {
                let fs = fs.after_power_cut(loss);
                let copied = tsdb::fs::Fs::exists(&fs, &to).unwrap();
                assert!(copied || made.is_err(), "{fault:?} at {at}, {loss:?}");
                if copied {
                    assert_eq!(contents(&open_snapshot(&fs, &to)), all, "{fault:?} at {at}, {loss:?}");
                }
                let db = open(&fs).unwrap();
                assert_between(&contents(&db), &all, &with_late(&all), "the original");
                let left = tsdb::fs::Fs::exists(&fs, &to.with_extension("tmp")).unwrap();
                assert!(!left, "{fault:?} at {at}, {loss:?}: swept");
            }
        }
    }
}

fn with_late(all: &Contents) -> Contents {
    let mut all = all.clone();
    all.entry(labels(0)).or_default().insert(1700, 9.0_f64.to_bits());
    all
}
