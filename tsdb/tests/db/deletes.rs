//! Deletes: gone at once, wherever the samples are; gone after anything; and what comes later is not concerned.

use super::fixture::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb::block::{Block, FrameCache};
use tsdb::fs::{Fault, Fs, Loss, SimFs};
use tsdb::{
    Appendable, Db, DuplicatePolicy, Error, Labels, Matcher, Options, Queryable, Replay, TimeRange, Timestamp,
};
use tsdb_core::read::ExemplarQueryable;
use tsdb_core::{Exemplar, MatchOp};

fn options() -> Options {
    Options { out_of_order_window_ms: 100_000, ..super::fixture::options() }
}

fn open(fs: &SimFs) -> Db {
    open_with(fs, options()).unwrap()
}

fn series(number: usize) -> Vec<Matcher> {
    vec![Matcher::new(MatchOp::Equal, "series", number.to_string()).unwrap()]
}

fn range(start: Timestamp, end: Timestamp) -> TimeRange {
    TimeRange::new(start, end).unwrap()
}

/// The times of the samples of a series.
fn times(db: &Db, number: usize) -> Vec<Timestamp> {
    contents(db).get(&labels(number)).map(|samples| samples.keys().copied().collect()).unwrap_or_default()
}

/// Samples of series 0 and 1 in two blocks, in a block of late ones, in the head, and late ones in the head.
fn everywhere(fs: &SimFs) -> Db {
    let db = open(fs);
    for time in (0..2000).step_by(100) {
        append_all(&db, &[(0, time, 1.0), (1, time, 1.0)]);
    }
    db.flush().unwrap();
    append_all(&db, &[(0, 150, 2.0), (1, 150, 2.0)]);
    db.flush().unwrap();
    for time in (2000..3000).step_by(100) {
        append_all(&db, &[(0, time, 1.0), (1, time, 1.0)]);
    }
    append_all(&db, &[(0, 1150, 2.0), (0, 2150, 2.0), (1, 1150, 2.0), (1, 2150, 2.0)]);
    assert_eq!(db.stats().blocks, 3);
    db
}

/// Every copy of the tombstones on the disk.
fn tombstones(fs: &SimFs) -> Vec<PathBuf> {
    let is_one =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tombst"));
    fs.files().into_iter().filter(is_one).collect()
}

#[test]
fn deleted_samples_are_gone_at_once_and_after_a_restart_a_cut_and_a_power_cut() {
    let fs = SimFs::new();
    let db = everywhere(&fs);
    let mut expected = contents(&db);
    for (number, deleted) in [(0, range(100, 160)), (1, range(900, 2200)), (0, range(2850, 9999))] {
        db.delete(&series(number), deleted).unwrap();
        take_out(&mut expected, deleted, |of| *of == labels(number));
        assert_eq!(contents(&db), expected);
    }
    assert_eq!(contents(&open(&fs.after_power_cut(Loss::Everything))), expected);
    db.flush().unwrap();
    assert_eq!(contents(&db), expected);
    drop(db);
    assert_eq!(contents(&open(&fs)), expected);
}

#[test]
fn a_series_of_which_all_is_deleted_is_in_no_answer() {
    let fs = SimFs::new();
    let db = everywhere(&fs);
    db.delete(&series(1), TimeRange::ALL).unwrap();
    for db in [db.clone(), open(&fs.process_killed())] {
        let querier = db.querier(TimeRange::ALL).unwrap();
        assert_eq!(querier.label_values("series", &[]).unwrap(), ["0"]);
        assert_eq!(querier.label_values("parity", &series(1)).unwrap(), [""; 0]);
        assert_eq!(querier.label_names(&series(1)).unwrap(), [""; 0]);
        assert_eq!(contents(&db).len(), 1);
    }
    assert_eq!(db.stats().active_series, 1, "the head holds it no longer");
}

#[test]
fn samples_that_come_after_the_delete_are_seen_whatever_their_time() {
    let fs = SimFs::new();
    let db = everywhere(&fs);
    db.delete(&series(0), TimeRange::ALL).unwrap();
    // In the window of a block, of late samples in a block, and of the head; other values than before.
    let again =
        [(0, 100, 5.0), (0, 150, 5.0), (0, 1000, 5.0), (0, 2500, 5.0), (0, 2150, 5.0), (0, 2900, 5.0)];
    append_all(&db, &again);
    let mut expected = contents(&db);
    let found = expected.remove(&labels(0)).unwrap();
    let five = |time: &Timestamp| (*time, 5.0_f64.to_bits());
    assert_eq!(found, [100, 150, 1000, 2150, 2500, 2900].iter().map(five).collect());
    for flushes in [false, true] {
        if flushes {
            db.flush().unwrap();
        }
        let db = open(&fs.process_killed());
        assert_eq!(contents(&db).get(&labels(0)), Some(&found));
        assert_eq!(contents(&db).get(&labels(1)), expected.get(&labels(1)));
    }
}

#[test]
fn a_repeated_batch_brings_back_what_was_deleted() {
    let db = open(&SimFs::new());
    append_all(&db, &[(0, 1, 1.0), (0, 2, 1.0)]);
    db.delete(&series(0), TimeRange::instant(1)).unwrap();
    append_all(&db, &[(0, 1, 1.0), (0, 2, 1.0)]);
    assert_eq!(times(&db, 0), [1, 2]);
}

#[test]
fn deletes_of_all_kinds_of_samples_leave_series_that_go_on() {
    let fs = SimFs::new();
    let db = open(&fs);
    let at = |time: Timestamp| (0..6).map(|number| (number, time, time as f64)).collect::<Vec<Sample>>();
    (0..300).for_each(|k| append_all(&db, &at(k * 10)));
    let mut expected = contents(&db);
    for deleted in [range(500, 890), range(2995, 2995), range(2000, 2990)] {
        db.delete(&[], deleted).unwrap();
        take_out(&mut expected, deleted, |_| true);
    }
    append_all(&db, &at(2500));
    expected.values_mut().for_each(|samples| assert_eq!(samples.insert(2500, 2500.0_f64.to_bits()), None));
    assert_eq!(contents(&db), expected);
    assert_eq!(contents(&open(&fs.process_killed())), expected);
    db.flush().unwrap();
    assert_eq!(contents(&db), expected);
}

/// Holds up the threads that replay a log of `fs` until it is true.
fn door(fs: &SimFs) -> Arc<AtomicBool> {
    let is_open = Arc::new(AtomicBool::new(false));
    let door = Arc::clone(&is_open);
    fs.before_read(move || {
        while std::thread::current().name() == Some("tsdb-replay") && !door.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    });
    is_open
}

#[test]
fn a_delete_during_replay_waits_and_concerns_what_came_in_meanwhile() {
    let fs = SimFs::new();
    append_all(&open(&fs), &[(0, 1, 1.0), (1, 1, 1.0)]);
    let fs = fs.process_killed();
    let is_open = door(&fs);
    let db = open_with(&fs, Options { replay: Replay::Background, ..options() }).unwrap();
    append_all(&db, &[(0, 2, 1.0), (7, 2, 1.0)]);
    std::thread::scope(|scope| {
        let delete = scope.spawn(|| db.delete(&[], range(1, 2)));
        assert!(!delete.is_finished());
        is_open.store(true, Ordering::SeqCst);
        delete.join().unwrap().unwrap();
    });
    assert_eq!(contents(&db), Contents::new());
    append_all(&db, &[(7, 3, 1.0)]);
    assert_eq!(contents(&open(&fs.process_killed())).len(), 1);
}

#[test]
fn a_series_first_seen_during_replay_stays_deleted_through_the_next_replay() {
    let fs = SimFs::new();
    append_all(&open(&fs), &[(0, 1, 1.0)]);
    let fs = fs.process_killed();
    let is_open = door(&fs);
    let db = open_with(&fs, Options { replay: Replay::Background, ..options() }).unwrap();
    append_all(&db, &[(7, 10, 1.0), (8, 10, 1.0), (7, 20, 1.0)]);
    is_open.store(true, Ordering::SeqCst);
    db.wait_for_replay();
    db.delete(&series(7), range(5, 15)).unwrap();
    append_all(&db, &[(7, 12, 3.0), (8, 12, 3.0)]);
    let expected = contents(&db);
    assert_eq!((times(&db, 7), times(&db, 8)), (vec![12, 20], vec![10, 12]));
    let mut fs = fs.process_killed();
    for _ in 0..2 {
        assert_eq!(contents(&open(&fs)), expected);
        fs = fs.process_killed();
    }
}

#[test]
fn what_is_seen_beside_appends_is_what_a_restart_finds() {
    let fs = SimFs::new();
    let db = open(&fs);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3_usize {
            let (db, is_over) = (&db, &is_over);
            scope.spawn(move || {
                for time in 0.. {
                    let samples: Vec<Sample> = (0..40).map(|k| (writer + 3 * k, time, time as f64)).collect();
                    append_all(db, &samples);
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for round in 0..30 {
            db.delete(&series(round), TimeRange::ALL).unwrap();
            let odd = Matcher::new(MatchOp::Equal, "parity", "odd").unwrap();
            db.delete(&[odd], range(round as i64, round as i64 * 3)).unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let found = contents(&db);
    assert_eq!(contents(&open(&fs.process_killed())), found);
    db.flush().unwrap();
    assert_eq!(contents(&db), found);
}

fn append_exemplars(db: &Db, exemplars: &[(usize, Timestamp)]) {
    let mut appender = db.appender();
    for (number, timestamp) in exemplars {
        let series = appender.series(&labels(*number)).unwrap();
        let labels = Labels::from_pairs([("trace_id", "a")]).unwrap();
        appender.append_exemplar(series, Exemplar { labels, timestamp: *timestamp, value: 0.5 });
    }
    appender.commit().unwrap();
}

fn exemplars(db: &Db) -> Vec<(Labels, Vec<Timestamp>)> {
    let found = db.exemplars(&[vec![]], TimeRange::ALL).unwrap().into_iter();
    found.map(|of| (of.labels, of.exemplars.iter().map(|exemplar| exemplar.timestamp).collect())).collect()
}

#[test]
fn exemplars_are_deleted_and_those_that_come_later_are_not_whenever_a_checkpoint_is_written() {
    for checkpoint_at in 0..4 {
        let fs = SimFs::new();
        let db = open(&fs);
        let mut step = 0;
        let mut pass = || {
            if step == checkpoint_at {
                append_all(&db, &[(9, 500, 1.0)]);
                db.flush().unwrap();
            }
            step += 1;
        };
        pass();
        append_exemplars(&db, &[(0, 10), (0, 20), (1, 20), (0, 30)]);
        append_all(&db, &[(9, 100_000, 1.0)]);
        pass();
        db.delete(&series(0), range(15, 40)).unwrap();
        pass();
        append_exemplars(&db, &[(0, 20)]);
        pass();
        let expected = [(labels(0), vec![10, 20]), (labels(1), vec![20])];
        assert_eq!(exemplars(&db), expected, "a checkpoint at {checkpoint_at}");
        assert_eq!(exemplars(&open(&fs.process_killed())), expected, "a checkpoint at {checkpoint_at}");
        db.delete(&[], TimeRange::ALL).unwrap();
        assert_eq!(exemplars(&open(&fs.process_killed())), []);
    }
}

#[test]
fn a_snapshot_has_the_deletes_of_before_and_none_of_later() {
    let fs = SimFs::new();
    let db = everywhere(&fs);
    db.delete(&series(0), range(0, 2500)).unwrap();
    let expected = contents(&db);
    db.snapshot(Path::new("/data/snapshots/one")).unwrap();
    db.delete(&[], TimeRange::ALL).unwrap();
    let snapshot = Db::open_on(Arc::new(fs.clone()), Path::new("/data/snapshots/one"), options()).unwrap();
    assert_eq!(contents(&snapshot), expected);
    snapshot.delete(&series(1), TimeRange::ALL).unwrap();
    assert_eq!(contents(&snapshot).len(), 1);
    assert_eq!(contents(&open(&fs.process_killed())), Contents::new());
}

#[test]
fn an_error_at_any_operation_is_told_and_the_delete_can_be_repeated() {
    let operations = {
        let fs = SimFs::new();
        let db = everywhere(&fs);
        let before = fs.op_count();
        db.delete(&series(0), range(50, 2550)).unwrap();
        fs.op_count() - before
    };
    assert!(operations > 15, "{operations}");
    for fault in [Fault::Io, Fault::OutOfSpace] {
        for index in 0..operations {
            let fs = SimFs::new();
            let db = everywhere(&fs);
            let before = contents(&db);
            let mut after = before.clone();
            take_out(&mut after, range(50, 2550), |of| *of == labels(0));
            fs.inject(fs.op_count() + index, fault);
            let what = format!("{fault:?} at operation {index}");
            match db.delete(&series(0), range(50, 2550)) {
                Ok(()) => assert_eq!(contents(&db), after, "{what}"),
                Err(_) => assert_between(&contents(&db), &after, &before, &what),
            }
            db.delete(&series(0), range(50, 2550)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(contents(&db), after, "{what}");
            append_all(&db, &[(0, 2600 + 400, 1.0)]);
            drop(db);
            let db = open(&fs.after_power_cut(Loss::Everything));
            db.delete(&series(0), range(2700, 9999)).unwrap();
            take_out(&mut after, range(2700, 9999), |of| *of == labels(0));
            assert_eq!(contents(&db), after, "{what}");
        }
    }
}

#[test]
fn one_damaged_copy_of_tombstones_is_made_anew_and_two_set_the_block_aside() {
    let fs = SimFs::new();
    let db = everywhere(&fs);
    db.delete(&series(0), range(0, 120)).unwrap();
    let expected = contents(&db);
    drop(db);
    let copies = tombstones(&fs);
    assert_eq!(copies.len(), 2);
    for copy in &copies {
        let whole = fs.read(copy).unwrap();
        for at in (0..whole.len()).step_by(5) {
            fs.flip(copy, at, 1).unwrap();
            let db = open(&fs);
            assert_eq!(contents(&db), expected);
            assert!(db.stats().warnings.iter().any(|warning| warning.contains("the other copy is used")));
            drop(db);
            assert_eq!(fs.read(copy).unwrap(), whole, "it was made anew");
        }
        fs.remove_file(copy).unwrap();
        drop(open(&fs));
        assert_eq!(fs.read(copy).unwrap(), whole);
    }
    copies.iter().for_each(|copy| fs.flip(copy, 40, 1).unwrap());
    let db = open(&fs);
    assert!(!times(&db, 0).contains(&0), "what was deleted does not come back");
    let warnings = db.querier(TimeRange::ALL).unwrap().warnings();
    assert!(warnings.iter().any(|warning| warning.contains("set aside")), "{warnings:?}");
    // Nobody knows what is in it.
    assert!(matches!(db.delete(&series(1), range(0, 10)), Err(Error::NotDeleted { .. })));
    db.delete(&series(1), range(2900, 2900)).unwrap();
}

#[test]
fn what_is_deleted_is_taken_off_the_disk() {
    let fs = SimFs::new();
    let db = everywhere(&fs);
    let samples = db.stats().block_samples;
    db.clean_tombstones().unwrap();
    assert_eq!(db.stats().block_samples, samples, "nothing is deleted yet");
    db.delete(&series(0), range(0, 120)).unwrap();
    db.delete(&[], range(1000, 1999)).unwrap();
    let expected = contents(&db);
    assert_eq!(db.stats().block_samples, samples);
    // A query that goes on reads on.
    let querier = db.querier(TimeRange::ALL).unwrap();
    let mut told = Vec::new();
    db.clean_tombstones_watched(&mut |progress| told.push((progress.done, progress.total))).unwrap();
    assert!(
        told.is_sorted() && told[0].0 == 0 && told.last().is_some_and(|(done, total)| done == total),
        "{told:?}"
    );
    assert_eq!(contents_of(&*querier, &[], TimeRange::ALL), expected);
    drop(querier);
    assert_eq!(contents(&db), expected);
    assert_eq!(db.stats().block_samples, samples - 2 - 20);
    db.maintain().unwrap();
    assert!(tombstones(&fs).is_empty());
    assert_eq!(contents(&open(&fs.after_power_cut(Loss::Everything))), expected);
    db.delete(&[], TimeRange::ALL).unwrap();
    db.clean_tombstones().unwrap();
    assert_eq!((db.stats().blocks, contents(&db)), (0, Contents::new()));
}

#[test]
fn verify_names_a_damaged_copy_and_repair_makes_it_anew() {
    let fs = SimFs::new();
    let db = everywhere(&fs);
    db.delete(&series(0), range(0, 120)).unwrap();
    let expected = contents(&db);
    drop(db);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let verify = || tsdb::verify::verify(&shared, Path::new(DIR), &mut |_| {}).unwrap().findings;
    assert_eq!(verify(), []);
    for copy in tombstones(&fs) {
        fs.flip(&copy, 44, 8).unwrap();
        assert!(verify().iter().map(|finding| &finding.path).eq([&copy]));
        let repair = tsdb::repair::repair(&shared, Path::new(DIR), &mut |_| {}).unwrap();
        assert_eq!(repair.steps.len(), 2, "{:?}", repair.steps);
        assert_eq!(verify(), []);
    }
    assert_eq!(contents(&open(&fs)), expected);
}

#[test]
fn a_block_that_is_rebuilt_holds_nothing_that_was_deleted() {
    let fs = SimFs::new();
    let db = everywhere(&fs);
    db.delete(&series(0), range(0, 120)).unwrap();
    drop(db);
    let segment = fs.files().into_iter().find(|path| path.to_string_lossy().contains("chunks")).unwrap();
    fs.flip(&segment, 40, 8).unwrap();
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    tsdb::repair::repair(&shared, Path::new(DIR), &mut |_| {}).unwrap();
    let found = times(&open(&fs), 0);
    assert!(found.iter().all(|time| *time > 120), "{found:?}");
}

#[test]
fn the_last_value_is_seen_after_a_delete_of_the_first_under_every_policy() {
    for duplicates in [DuplicatePolicy::KeepFirst, DuplicatePolicy::KeepLast] {
        let fs = SimFs::new();
        let open = || open_with(&fs, Options { duplicates, ..options() }).unwrap();
        let db = open();
        append_all(&db, &[(0, 100, 1.0), (0, 200, 1.0)]);
        db.flush().unwrap();
        append_all(&db, &[(0, 300, 1.0), (0, 400, 1.0)]);
        db.delete(&series(0), TimeRange::ALL).unwrap();
        append_all(&db, &[(0, 300, 2.0), (0, 100, 2.0)]);
        for _ in 0..2 {
            let two = |time| (time, 2.0_f64.to_bits());
            assert_eq!(contents(&db)[&labels(0)], [two(100), two(300)].into());
            db.flush().unwrap();
        }
    }
}

#[test]
fn what_is_deleted_while_windows_are_made_of_it_is_in_no_window() {
    let fs = SimFs::new();
    let with = |rollups| Options { rollups, block_range_ms: 20_000, ..options() };
    let db = open_with(&fs, with(Vec::new())).unwrap();
    (0..400).for_each(|n| append_all(&db, &[(0, n * 1000, 1.0), (1, n * 1000, 2.0)]));
    db.flush().unwrap();
    drop(db);
    let db = open_with(&fs, with(vec![tsdb::RollupLevel::new(1000, 0, None)])).unwrap();
    let (other, disk, is_done) = (db.clone(), fs.clone(), AtomicBool::new(false));
    fs.before_read(move || {
        // A block is begun: what is read now becomes windows.
        let is_begun = disk.list(Path::new(DIR)).unwrap().iter().any(|entry| entry.name.ends_with(".tmp"));
        if is_begun && !is_done.swap(true, Ordering::SeqCst) {
            other.delete(&series(1), TimeRange::ALL).unwrap();
        }
    });
    db.maintain().unwrap();
    fs.before_read(|| {});
    assert_eq!(contents(&db).into_keys().collect::<Vec<_>>(), [labels(0)]);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let names = fs.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name);
    let blocks = names.filter(|name| Block::parse_dir_name(name).is_some());
    let cache = || Arc::new(FrameCache::new(1 << 20));
    let blocks = blocks.map(|name| Block::open(&shared, &Path::new(DIR).join(name), cache()).unwrap());
    let windows: Vec<_> = blocks.filter(|block| !block.meta().is_raw()).collect();
    assert_eq!((windows.len() as u64, db.stats().rollups_made), (3, 3));
    for block in windows {
        assert_eq!(block.label_values("series", &[]).unwrap(), ["0"]);
    }
}
