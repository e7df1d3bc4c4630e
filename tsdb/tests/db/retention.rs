//! What is kept may change while the database is open, and nothing is deleted before it is known.

use super::fixture::*;
use std::sync::Arc;
use std::time::Duration;
use tsdb::fs::SimFs;
use tsdb::tier::{ObjectStore, SimStore, Tier};
use tsdb::{Db, Options, Retention, RollupLevel};

/// 40 blocks of a window each.
fn filled(fs: &SimFs, options: Options) -> Db {
    let db = open_with(fs, options).unwrap();
    for t in (0..41 * WINDOW).step_by(200) {
        append_all(&db, &[(0, t, t as f64), (1, t, 1.0)]);
    }
    db.maintain().unwrap();
    db
}

fn samples_of(windows: i64) -> Arc<Retention> {
    Arc::new(Retention { samples_ms: Some(windows * WINDOW), ..keeping() })
}

fn keeping() -> Retention {
    Retention { samples_ms: None, rollups: Vec::new(), ..Retention::default() }
}

fn rounds(db: &Db) {
    (0..3).for_each(|_| db.maintain().unwrap());
}

#[test]
fn nothing_expires_and_nothing_is_rolled_up_before_the_retention_is_known() {
    let fs = SimFs::new();
    let rollups = vec![RollupLevel::new(WINDOW, 0, None)];
    let db =
        filled(&fs, Options { retention_ms: Some(2 * WINDOW), rollups, awaits_retention: true, ..options() });
    let before = contents(&db);
    rounds(&db);
    assert_eq!((contents(&db), db.stats().rollups_made), (before, 0));
    assert!(db.retention_plan().unwrap().steps.is_empty());
    // Samples that are older are taken, as far as they are not too late.
    let kept = Retention { rollups: vec![RollupLevel::new(WINDOW, 0, None)], ..(*samples_of(20)).clone() };
    db.set_retention(&Arc::new(kept)).unwrap();
    (0..40).for_each(|_| db.maintain().unwrap());
    let oldest = *contents(&db)[&labels(0)].keys().next().unwrap();
    assert!((19 * WINDOW..=21 * WINDOW).contains(&oldest), "{oldest}");
    assert!(db.stats().rollups_made > 0);
}

#[test]
fn a_retention_that_changes_is_acted_on_in_the_next_rounds() {
    let fs = SimFs::new();
    let db = filled(&fs, Options { rollups: Vec::new(), ..options() });
    let all = db.stats();
    assert_eq!(all.blocks, 40);
    let dry = db.retention_plan_of(&samples_of(30)).unwrap();
    assert!(dry.steps.len() >= 9 && !dry.is_refused, "{dry:?}");
    assert!(db.retention_plan().unwrap().steps.is_empty(), "that was only asked");
    db.set_retention(&samples_of(30)).unwrap();
    assert_eq!(db.retention_plan().unwrap(), dry);
    rounds(&db);
    let left = db.stats();
    assert_eq!(left.blocks, 40 - dry.steps.len() as u64);
    // By size, and what is older than the samples that are left comes in no more.
    let half = Retention { max_bytes: Some(left.block_bytes / 2), ..keeping() };
    let dry = db.retention_plan_of(&half).unwrap();
    assert!(dry.steps.iter().all(|step| !step.is_past) && dry.bytes() >= left.block_bytes / 2);
    db.set_retention(&Arc::new(half)).unwrap();
    rounds(&db);
    assert!(db.stats().block_bytes <= left.block_bytes / 2);
}

#[test]
fn a_retention_that_makes_no_sense_leaves_the_one_in_force() {
    let fs = SimFs::new();
    let db = filled(&fs, Options { rollups: Vec::new(), ..options() });
    db.set_retention(&samples_of(30)).unwrap();
    let mistyped = Arc::new(Retention { samples_ms: Some(1), ..keeping() });
    assert!(db.set_retention(&mistyped).unwrap_err().to_string().contains("retention_ms has the value 1"));
    db.set_retention(&mistyped).unwrap();
    let windows = vec![RollupLevel::new(2 * WINDOW, 0, None), RollupLevel::new(WINDOW, 0, None)];
    let error = db.set_retention(&Arc::new(Retention { rollups: windows, ..keeping() })).unwrap_err();
    assert!(error.to_string().contains("rollups"), "{error}");
    rounds(&db);
    let left = db.stats().blocks;
    assert!((30..=31).contains(&left), "{left}");
    // One that would delete nearly everything is put in force, and deletes nothing.
    db.set_retention(&samples_of(2)).unwrap();
    assert!((0..3).all(|_| db.maintain().is_err()));
    assert_eq!(db.stats().blocks, left);
    db.set_retention(&Arc::new(Retention { max_expired_percent: 100, ..(*samples_of(2)).clone() })).unwrap();
    rounds(&db);
    assert!(db.stats().blocks <= 3);
}

#[test]
fn blocks_on_object_storage_are_kept_as_long_and_are_as_safe_from_a_mistyped_retention() {
    let fs = SimFs::new();
    let store = Arc::new(SimStore::new());
    let mut tier = Tier::new(store as Arc<dyn ObjectStore>, 8 << 20).unwrap();
    tier.keep_local_ms = 0;
    tier.interval = Duration::from_millis(1);
    let db = filled(&fs, Options { rollups: Vec::new(), tier: Some(tier), ..options() });
    let ship = || (0..3).for_each(|_| db.ship().unwrap());
    ship();
    let far = || db.stats().tier.unwrap().blocks;
    assert_eq!((far(), db.stats().blocks), (40, 0));
    db.set_retention(&samples_of(2)).unwrap();
    assert!(db.retention_plan().unwrap().is_refused && db.maintain().is_err());
    ship();
    assert_eq!(far(), 40);
    let half = Retention { max_bytes: Some(db.retention_plan().unwrap().all_bytes / 2), ..keeping() };
    db.set_retention(&Arc::new(half)).unwrap();
    ship();
    assert!((18..=20).contains(&far()), "{}", far());
    db.set_retention(&samples_of(10)).unwrap();
    ship();
    assert!((10..=11).contains(&far()), "{}", far());
}

#[test]
fn the_first_retention_of_an_empty_store_is_acted_on_though_it_deletes_all_that_comes_then() {
    let db = open_with(&SimFs::new(), Options { awaits_retention: true, ..options() }).unwrap();
    db.set_retention(&samples_of(20)).unwrap();
    for t in (0..2 * WINDOW).step_by(200) {
        append_all(&db, &[(0, t, 1.0)]);
    }
    db.flush().unwrap();
    // Long past the retention before anybody looked.
    append_all(&db, &[(0, 60 * WINDOW, 1.0)]);
    rounds(&db);
    assert_eq!(contents(&db)[&labels(0)].len(), 1);
}

/// A store of `blocks` old windows, in blocks or in its head, and one new sample.
fn young(fs: &SimFs, blocks: i64, is_flushed: bool) -> (Db, Contents) {
    let db = open_with(fs, Options { rollups: Vec::new(), ..options() }).unwrap();
    for t in (0..blocks * WINDOW).step_by(200) {
        append_all(&db, &[(0, t, t as f64), (1, t, 1.0)]);
    }
    if is_flushed {
        db.flush().unwrap();
    }
    append_all(&db, &[(0, 60 * WINDOW, 1.0)]);
    let all = contents(&db);
    (db, all)
}

#[test]
fn a_mistyped_retention_empties_no_store_of_few_blocks() {
    let (db, all) = young(&SimFs::new(), 5, true);
    let small = Arc::new(Retention { max_bytes: Some(1), ..keeping() });
    for mistyped in [samples_of(2), small] {
        db.set_retention(&mistyped).unwrap();
        assert!(db.retention_plan().unwrap().is_refused);
        for _ in 0..3 {
            let error = db.maintain().unwrap_err().to_string();
            assert!(error.contains("max_expired_percent"), "{error}");
        }
        assert_eq!(contents(&db), all);
    }
    db.set_retention(&Arc::new(Retention { max_expired_percent: 100, ..(*samples_of(2)).clone() })).unwrap();
    rounds(&db);
    assert_eq!(contents(&db)[&labels(0)].len(), 1);
}

#[test]
fn a_mistyped_retention_does_not_empty_the_head() {
    for is_set_later in [true, false] {
        let fs = SimFs::new();
        let (mut db, all) = young(&fs, 1, false);
        match is_set_later {
            true => {
                db.maintain().unwrap();
                db.set_retention(&samples_of(2)).unwrap();
            }
            false => {
                db.close().unwrap();
                drop(db);
                let retention_ms = Some(2 * WINDOW);
                db = open_with(&fs, Options { rollups: Vec::new(), retention_ms, ..options() }).unwrap();
            }
        }
        (0..3).for_each(|_| drop(db.maintain()));
        assert_eq!(contents(&db), all, "set later: {is_set_later}");
        let told = db.maintain().unwrap_err().to_string();
        assert!(told.contains("max_expired_percent"), "{told}");
    }
}
