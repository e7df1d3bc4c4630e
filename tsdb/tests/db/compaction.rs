//! Compactions change no answer, whatever happens meanwhile; what cannot be read stays and is named.

use super::fixture::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb::fs::{Fault, Fs, Loss, SimFs};
use tsdb::{Db, DuplicatePolicy, Error, Matcher, Options, Queryable, TimeRange};
use tsdb_core::MatchOp;

fn with_late() -> Options {
    Options { out_of_order_window_ms: 1_000_000, ..options() }
}

/// Fills `windows` windows with two series each and cuts them, late samples into blocks of their own.
fn fill(db: &Db, windows: i64, contents: &mut Contents) {
    for window in 0..windows {
        let at = window * WINDOW;
        let samples: Vec<Sample> =
            (0..4).flat_map(|k| (0..3).map(move |n| (n, at + k * 250 + n as i64, k as f64))).collect();
        note(contents, &samples, &append(db, &samples).unwrap());
        db.flush().unwrap();
        if window % 3 == 2 {
            let late: Vec<Sample> = (0..2).map(|n| (n, at - 100 * n as i64 - 60, -1.0)).collect();
            note(contents, &late, &append(db, &late).unwrap());
            db.flush().unwrap();
        }
    }
}

fn block_dirs(fs: &SimFs) -> Vec<PathBuf> {
    let is_block = |entry: &tsdb::fs::DirEntry| tsdb::block::Block::parse_dir_name(&entry.name).is_some();
    let entries = fs.list(Path::new(DIR)).unwrap();
    entries.iter().filter(|entry| is_block(entry)).map(|entry| Path::new(DIR).join(&entry.name)).collect()
}

fn assert_sound(fs: &SimFs) {
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    for dir in block_dirs(fs) {
        assert_eq!(tsdb::block::verify(&shared, &dir).unwrap(), []);
    }
}

#[test]
fn many_blocks_become_few_and_answers_stay() {
    let fs = SimFs::new();
    let db = open_with(&fs, with_late()).unwrap();
    let mut expected = Contents::new();
    fill(&db, 10, &mut expected);
    assert!(block_dirs(&fs).len() > 10);
    let open_before = db.querier(TimeRange::ALL).unwrap();
    db.compact().unwrap();
    assert_eq!(contents(&db), expected);
    let stats = db.stats();
    assert_eq!((stats.blocks, stats.compactions.failed, stats.compactions.running), (1, 0, None));
    assert!(stats.compactions.done > 0 && stats.compactions.bytes_written > 0);
    // Whoever asked before still reads the old blocks; then they go.
    assert_eq!(contents_of(&*open_before, &[], TimeRange::ALL), expected);
    assert!(block_dirs(&fs).len() > 1);
    drop(open_before);
    db.maintain().unwrap();
    assert_eq!(block_dirs(&fs).len(), 1);
    assert_sound(&fs);
    drop(db);
    let db = open_with(&fs, with_late()).unwrap();
    assert_eq!((contents(&db), db.stats().blocks, db.stats().warnings), (expected, 1, vec![]));
    let bytes = db.stats().compactions.bytes_written;
    db.compact().unwrap();
    assert_eq!(db.stats().compactions.bytes_written, bytes, "there is nothing more to do");
}

#[test]
fn the_policy_for_duplicates_holds_through_compactions() {
    for (duplicates, seen) in [(DuplicatePolicy::KeepFirst, 1.0), (DuplicatePolicy::KeepLast, 2.0)] {
        let fs = SimFs::new();
        let db = open_with(&fs, Options { duplicates, ..with_late() }).unwrap();
        append_all(&db, &[(0, 100, 1.0), (0, 5_000, 1.0)]);
        db.flush().unwrap();
        append(&db, &[(0, 100, 2.0), (0, 200, 2.0)]).unwrap();
        db.flush().unwrap();
        let before = contents(&db);
        assert_eq!(before[&labels(0)][&100], f64::to_bits(seen));
        db.compact().unwrap();
        assert!(db.stats().compactions.done > 0);
        assert_eq!(contents(&db), before);
    }
}

#[test]
fn what_is_deleted_goes_from_the_disk() {
    let fs = SimFs::new();
    let db = open_with(&fs, with_late()).unwrap();
    let mut expected = Contents::new();
    fill(&db, 4, &mut expected);
    db.compact().unwrap();
    let even = [Matcher::new(MatchOp::Equal, "parity", "even").unwrap()];
    db.delete(&even, TimeRange::new(500, 2_400).unwrap()).unwrap();
    db.delete(&[Matcher::new(MatchOp::Equal, "series", "1").unwrap()], TimeRange::ALL).unwrap();
    let expected = contents(&db);
    let samples: usize = expected.values().map(BTreeMap::len).sum();
    assert!(db.stats().block_samples > samples as u64);
    db.clean_tombstones().unwrap();
    assert_eq!(contents(&db), expected);
    assert_eq!(db.stats().block_samples, samples as u64, "they are gone");
    assert_sound(&fs);
    db.delete(&[], TimeRange::ALL).unwrap();
    db.clean_tombstones().unwrap();
    assert_eq!((contents(&db), db.stats().blocks), (Contents::new(), 0));
    assert_eq!(block_dirs(&fs).len(), 0);
}

/// Flips a byte in the middle of the samples of the block in `dir`.
fn damage(fs: &SimFs, dir: &Path) {
    let path = dir.join("chunks/000001");
    let mut bytes = fs.read(&path).unwrap();
    bytes[40] ^= 1;
    fs.remove_file(&path).unwrap();
    fs.create_new(&path).unwrap().append(&bytes).unwrap();
}

#[test]
fn a_block_that_cannot_be_read_is_named_and_the_others_are_compacted() {
    let fs = SimFs::new();
    let mut expected = Contents::new();
    let db = open_with(&fs, with_late()).unwrap();
    fill(&db, 7, &mut expected);
    drop(db);
    let damaged = block_dirs(&fs)[1].clone();
    damage(&fs, &damaged);
    let db = open_with(&fs, with_late()).unwrap();
    db.compact().unwrap();
    let stats = db.stats();
    assert_eq!((stats.compactions.failed, stats.compactions.done > 0), (1, true));
    let name = damaged.file_name().unwrap().to_str().unwrap();
    let named = |warning: &&String| warning.contains(name) && warning.contains("left out of compactions");
    assert_eq!(stats.warnings.iter().filter(named).count(), 1, "{:?}", stats.warnings);
    assert!(damaged_still_there(&fs, &damaged));
    assert!(stats.blocks < 9, "{stats:?}");
    // The others are as they were.
    let later = TimeRange::new(2 * WINDOW, 20 * WINDOW).unwrap();
    let found = contents_of(&*db.querier(later).unwrap(), &[], later);
    assert_eq!(found, part(&expected, later, |_| true));
}

fn damaged_still_there(fs: &SimFs, dir: &Path) -> bool {
    block_dirs(fs).iter().any(|block| block == dir)
}

/// A database with blocks to compact, and what is in it.
fn uncompacted() -> (SimFs, Contents) {
    let fs = SimFs::new();
    let mut expected = Contents::new();
    let db = open_with(&fs, with_late()).unwrap();
    fill(&db, 4, &mut expected);
    db.delete(&[Matcher::new(MatchOp::Equal, "series", "1").unwrap()], TimeRange::new(0, 1_500).unwrap())
        .unwrap();
    let expected = contents(&db);
    db.close().unwrap();
    (fs.after_power_cut(Loss::Nothing), expected)
}

fn compact(fs: &SimFs) -> Result<Db, Error> {
    let db = open_with(fs, with_late())?;
    db.compact()?;
    db.clean_tombstones()?;
    db.maintain()?;
    Ok(db)
}

fn operations() -> usize {
    let (fs, expected) = uncompacted();
    let before = fs.op_count();
    let db = compact(&fs).unwrap();
    assert_eq!(contents(&db), expected);
    drop(db);
    assert_eq!(before, 0);
    fs.op_count()
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_old_blocks_or_the_new_one() {
    let operations = operations();
    assert!(operations > 60, "{operations}");
    for stop in 0..operations {
        let (fs, expected) = uncompacted();
        fs.inject(stop, Fault::Crash);
        drop(compact(&fs));
        for loss in [Loss::Everything, Loss::Nothing, Loss::Random(stop as u64), Loss::Random(!stop as u64)] {
            let what = format!("stopped at operation {stop}, {loss:?}");
            let disk = fs.after_power_cut(loss);
            let db = open_with(&disk, with_late()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(contents(&db), expected, "{what}");
            assert_eq!(db.stats().warnings, [""; 0], "{what}");
            db.compact().unwrap();
            db.clean_tombstones().unwrap();
            db.maintain().unwrap();
            assert_eq!(contents(&db), expected, "{what}");
            assert_eq!(db.stats().blocks, block_dirs(&disk).len() as u64, "{what}: nothing is left over");
            assert_sound(&disk);
        }
    }
}

#[test]
fn an_operation_that_fails_leaves_the_answers_and_the_next_try_succeeds() {
    for stop in 0..operations() {
        for fault in [Fault::OutOfSpace, Fault::Io] {
            let (fs, expected) = uncompacted();
            fs.inject(stop, fault);
            let what = format!("{fault:?} at operation {stop}");
            let Ok(db) = open_with(&fs, with_late()) else { continue };
            let outcome = db.compact().and_then(|()| db.clean_tombstones()).and_then(|()| db.maintain());
            assert_eq!(contents(&db), expected, "{what}: {outcome:?}");
            drop(db);
            let db = compact(&fs).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(contents(&db), expected, "{what}");
            assert_eq!(db.stats().blocks, block_dirs(&fs).len() as u64, "{what}: nothing is left over");
        }
    }
}

#[test]
fn a_closed_database_compacts_nothing() {
    let (fs, _) = uncompacted();
    let db = open_with(&fs, with_late()).unwrap();
    db.close().unwrap();
    assert!(matches!(db.compact(), Err(Error::Closed)));
}

#[test]
fn snapshots_hold_the_blocks_before_or_after() {
    let (fs, expected) = uncompacted();
    let db = open_with(&fs, with_late()).unwrap();
    let old = db.querier(TimeRange::ALL).unwrap();
    db.compact().unwrap();
    // The sources are still on disk, but no part of the database any more.
    db.snapshot("/snapshot").unwrap();
    drop(old);
    let snapshot = Db::open_on(Arc::new(fs.clone()), "/snapshot", with_late()).unwrap();
    assert_eq!((contents(&snapshot), snapshot.stats().blocks), (expected, db.stats().blocks));
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(usize, i64)>),
    Flush,
    Compact,
    Delete(usize, i64, i64),
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..6_usize, 0..2_500_i64), 1..20).prop_map(Step::Append),
        3 => Just(Step::Flush),
        2 => Just(Step::Compact),
        1 => (0..6_usize, 0..20_000_i64, 0..3_000_i64).prop_map(|(n, from, len)| Step::Delete(n, from, from + len)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn compactions_change_no_answer(steps in prop::collection::vec(any_step(), 1..40)) {
        let fs = SimFs::new();
        let mut db = open_with(&fs, with_late()).unwrap();
        let mut now = 0;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(samples) => {
                    let samples: Vec<Sample> =
                        samples.into_iter().map(|(n, at)| (n, now + at, number as f64)).collect();
                    append(&db, &samples).unwrap();
                    now += 700;
                }
                Step::Flush => db.flush().unwrap(),
                Step::Delete(n, from, to) => {
                    let series = [Matcher::new(MatchOp::Equal, "series", n.to_string()).unwrap()];
                    db.delete(&series, TimeRange::new(from, to).unwrap()).unwrap();
                }
                Step::Compact | Step::Reopen => {
                    let before = contents(&db);
                    if matches!(step, Step::Compact) {
                        db.compact().unwrap();
                    } else {
                        drop(db);
                        db = open_with(&fs, with_late()).unwrap();
                    }
                    prop_assert_eq!(contents(&db), before);
                    prop_assert_eq!(db.stats().compactions.failed, 0);
                }
            }
        }
        db.maintain().unwrap();
        prop_assert_eq!(db.stats().blocks, block_dirs(&fs).len() as u64);
        assert_sound(&fs);
    }
}
