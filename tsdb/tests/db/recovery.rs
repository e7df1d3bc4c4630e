//! What goes wrong twice, or at a bad moment: a retry after a failure, a power cut after a kill.

use super::fixture::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb::fs::{Fault, Fs, Loss, Op, SimFs};
use tsdb::{Db, Options};
use tsdb_core::testing::ManualClock;

#[test]
fn what_a_killed_process_wrote_is_durable_once_its_repetition_is_acknowledged() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    append_all(&db, &[(0, 1, 1.0)]);
    // The process dies after the write and before the sync.
    fs.inject(fs.op_count() + 1, Fault::Crash);
    append(&db, &[(0, 2, 1.0)]).unwrap_err();
    let fs = fs.process_killed();
    let db = open(&fs).unwrap();
    append_all(&db, &[(0, 2, 1.0)]);
    let after = open(&fs.after_power_cut(Loss::Everything)).unwrap();
    assert_eq!(contents(&after)[&labels(0)].len(), 2);
}

#[test]
fn a_sync_covers_what_an_earlier_process_wrote() {
    let fs = SimFs::new();
    let lazy = || Options { durability: tsdb::Durability::Lazy, ..options() };
    let db = Db::open_on(Arc::new(fs.clone()), Path::new(DIR), lazy()).unwrap();
    append_all(&db, &[(0, 1, 1.0)]);
    let fs = fs.process_killed();
    let db = Db::open_on(Arc::new(fs.clone()), Path::new(DIR), lazy()).unwrap();
    db.sync().unwrap();
    let after = open(&fs.after_power_cut(Loss::Everything)).unwrap();
    assert_eq!(contents(&after)[&labels(0)].len(), 1);
}

/// A life with cuts and checkpoints in which all maintenance is tried again; ends when the machine stops.
fn live(fs: &SimFs, known: &mut Contents) {
    let Ok(db) = open(fs) else { return };
    for round in 0..6_i64 {
        let samples: Vec<Sample> = [0, 1, 10 + round as usize]
            .into_iter()
            .flat_map(|series| (0..3).map(move |k| (series, round * 500 + k * 100, round as f64)))
            .collect();
        let Some(report) = (0..3).find_map(|_| append(&db, &samples).ok()) else { return };
        note(known, &samples, &report);
        drop(db.maintain());
        drop(db.maintain());
    }
}

#[test]
fn a_checkpoint_that_is_tried_again_and_interrupted_loses_nothing() {
    let fs = SimFs::new();
    live(&fs, &mut Contents::new());
    let ops = fs.ops();
    let cleaning = ops.iter().enumerate().filter(|(_, op)| matches!(op, Op::Remove | Op::SyncDir));
    for (failing, _) in cleaning {
        for later in 1..16 {
            let fs = SimFs::new();
            fs.inject(failing, Fault::Io);
            fs.inject(failing + later, Fault::Crash);
            let mut known = Contents::new();
            live(&fs, &mut known);
            for loss in [Loss::Nothing, Loss::Everything] {
                let db = open(&fs.after_power_cut(loss)).unwrap();
                let found = contents(&db);
                let what = format!("an error at {failing}, a crash {later} operations later, {loss:?}");
                assert_between(&found, &known, &found, &what);
            }
        }
    }
}

#[test]
fn samples_whose_series_is_lost_never_appear_under_another() {
    let fs = SimFs::new();
    append_all(&open(&fs).unwrap(), &[(0, 0, 1.0)]);
    append_all(&open(&fs).unwrap(), &[(0, 3000, 1.0), (1, 3000, 111.0)]);
    let segment = Path::new("/data/wal/000002");
    let bytes = fs.read(segment).unwrap();
    let place = bytes.windows(3).position(|window| window == b"odd").unwrap();
    fs.flip(segment, place, 1).unwrap();
    for round in 0..4_i64 {
        let db = open(&fs).unwrap();
        // Each round brings a new series, which needs a number.
        append_all(&db, &[(20 + round as usize, 3001 + round, 222.0)]);
        db.maintain().unwrap();
        db.maintain().unwrap();
        drop(db);
        let found = contents(&open(&fs).unwrap());
        for (labels, samples) in &found {
            assert!(!samples.values().any(|bits| *bits == 111_f64.to_bits()), "round {round}: {labels}");
        }
    }
}

#[test]
fn a_database_opens_and_answers_on_a_full_disk() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    append_all(&db, &[(0, 1, 1.0)]);
    db.flush().unwrap();
    append_all(&db, &[(0, 2, 1.0)]);
    let before = contents(&db);
    drop(db);
    fs.set_capacity(Some(0));
    assert_eq!(contents(&open(&fs).unwrap()), before);
}

fn expiring(fs: &SimFs, clock: &Arc<ManualClock>) -> Db {
    let options = Options { retention_ms: Some(2000), clock: clock.clone(), ..options() };
    Db::open_on(Arc::new(fs.clone()), Path::new(DIR), options).unwrap()
}

/// A database with two blocks that are past retention, and a newer sample in the head.
fn with_expired_blocks(fs: &SimFs) -> Db {
    let clock = Arc::new(ManualClock::at(2000));
    let db = expiring(fs, &clock);
    append_all(&db, &[(0, 0, 1.0), (0, 1000, 1.0)]);
    db.flush().unwrap();
    clock.set(20_000);
    append_all(&db, &[(1, 20_000, 1.0)]);
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 2);
    db
}

#[test]
fn expired_samples_stay_away_after_a_restart() {
    let fs = SimFs::new();
    let db = with_expired_blocks(&fs);
    db.maintain().unwrap();
    assert_eq!(contents(&db).len(), 1);
    drop(db);
    assert_eq!(contents(&open(&fs).unwrap()).len(), 1);
}

#[test]
fn a_block_that_could_not_be_removed_is_removed_in_a_later_round() {
    let fs = SimFs::new();
    let db = with_expired_blocks(&fs);
    let before = fs.op_count();
    db.maintain().unwrap();
    let steps = fs.op_count() - before;
    drop(db);
    for failing in 0..steps {
        let fs = SimFs::new();
        let db = with_expired_blocks(&fs);
        fs.inject(fs.op_count() + failing, Fault::Io);
        drop(db.maintain());
        assert_eq!(db.stats().blocks, 0, "one failure does not keep the other block");
        db.maintain().unwrap();
        let is_block = |path: &&PathBuf| path.to_string_lossy().contains("chunks");
        let blocks: Vec<_> = fs.files();
        assert_eq!(blocks.iter().filter(is_block).count(), 0, "operation {failing}: {blocks:?}");
    }
}
