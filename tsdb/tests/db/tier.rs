//! Blocks on object storage: uploaded when they are sealed, gone from the disk when they are safe there, and read from
//! there as if nothing had happened.

use super::fixture::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tsdb::fs::{Fs, Loss, SimFs};
use tsdb::tier::{DirStore, Fate, ObjectStore, SimStore, Tier};
use tsdb::{Db, Error, Options, Queryable, TierStats, TimeRange};
use tsdb_core::read::SelectHints;
use tsdb_core::testing::ManualClock;

pub(crate) fn tier(store: &Arc<SimStore>) -> Tier {
    let mut tier = Tier::new(Arc::clone(store) as Arc<dyn ObjectStore>, 8 << 20).unwrap();
    tier.prefix = "fleet".into();
    tier.keep_local_ms = 0;
    tier.retry.attempts = 2;
    tier.retry.first = Duration::ZERO;
    tier.interval = Duration::from_millis(1);
    tier
}

pub(crate) fn with(tier: Tier) -> Options {
    Options { tier: Some(tier), ..options() }
}

fn fill(db: &Db, from: i64, to: i64) {
    for t in (from..to).step_by(100) {
        append_all(db, &[(0, t, t as f64), (1, t, -t as f64), (2, t, 0.5)]);
    }
}

pub(crate) fn far(db: &Db) -> TierStats {
    db.stats().tier.unwrap()
}

/// Names of the blocks on disk.
fn on_disk(fs: &SimFs) -> usize {
    let entries = fs.list(Path::new(DIR)).unwrap();
    entries.iter().filter(|entry| entry.is_dir && entry.name.len() == 26).count()
}

fn warnings(db: &Db) -> Vec<String> {
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    read(&*set);
    set.warnings()
}

#[test]
fn old_blocks_leave_the_disk_when_they_are_on_object_storage_and_are_read_from_there() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let db = open_with(&fs, with(tier(&store))).unwrap();
    fill(&db, 0, 5_000);
    db.maintain().unwrap();
    let expected = contents(&db);
    let before = db.querier(TimeRange::ALL).unwrap();
    let set = before.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    db.ship().unwrap();
    assert_eq!((far(&db).blocks, far(&db).backlog_blocks), (4, 0));
    assert_eq!(read(&*set), expected, "who selected before still reads the files");
    assert_eq!(contents(&db), expected);
    drop((set, before));
    db.maintain().unwrap();
    assert_eq!((on_disk(&fs), db.stats().blocks), (0, 0));
    assert_eq!(contents(&db), expected);
    assert_eq!(db.stats().range, TimeRange::new(0, 4_900));
    assert_eq!(warnings(&db), [""; 0]);
    // Nothing is sent twice.
    let uploaded = far(&db).uploaded_bytes;
    db.ship().unwrap();
    assert_eq!(far(&db).uploaded_bytes, uploaded);
    db.close().unwrap();
    drop(db);
    let db = open_with(&fs, with(tier(&store))).unwrap();
    assert_eq!(contents(&db), expected);
    assert_eq!(far(&db).blocks, 4);
}

#[test]
fn blocks_on_object_storage_are_asked_at_the_same_time() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let db = open_with(&fs, with(tier(&store))).unwrap();
    fill(&db, 0, 9_000);
    db.maintain().unwrap();
    let expected = contents(&db);
    db.ship().unwrap();
    db.close().unwrap();
    drop(db);
    let db = open_with(&fs, with(tier(&store))).unwrap();
    assert_eq!((far(&db).blocks, on_disk(&fs)), (8, 0));
    store.set_latency(Duration::from_millis(30));
    store.take_asked();
    assert_eq!(contents(&db), expected);
    // One after the other they take three steps each.
    let asked = store.take_asked();
    assert!(asked.in_a_row < 12, "{asked:?}");
}

#[test]
fn readers_that_care_for_what_is_near_ask_object_storage_for_nothing() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let db = open_with(&fs, with(tier(&store))).unwrap();
    fill(&db, 0, 5_000);
    db.maintain().unwrap();
    let all = contents(&db);
    db.ship().unwrap();
    db.maintain().unwrap();
    assert_eq!((far(&db).blocks, on_disk(&fs)), (4, 0));
    store.set_script(|_| Fate::Fails);
    let querier = db.querier(TimeRange::ALL).unwrap();
    let hints = SelectHints { near: true, ..SelectHints::over(TimeRange::ALL) };
    let set = querier.select(&[], &hints).unwrap();
    assert_eq!(read(&*set), part(&all, TimeRange::new(4_000, 4_900).unwrap(), |_| true));
    assert_eq!(set.warnings(), [""; 0]);
    assert_ne!(warnings(&db), [""; 0], "others are told that it is away");
}

#[test]
fn a_start_without_the_store_says_what_is_missing_and_recovers() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let db = open_with(&fs, with(tier(&store))).unwrap();
    fill(&db, 0, 3_000);
    db.maintain().unwrap();
    db.ship().unwrap();
    let expected = contents(&db);
    db.close().unwrap();
    drop(db);
    store.set_script(|_| Fate::Fails);
    let db = open_with(&fs, with(tier(&store))).unwrap();
    let told = db.stats().warnings.join("\n");
    assert!(told.contains("manifest on object storage cannot be read"), "{told}");
    // Known from the copy on disk: what cannot be read is named, the rest is answered.
    assert_eq!(far(&db).blocks, 2);
    let missing = warnings(&db).join("\n");
    assert!(missing.contains("fleet/blocks/"), "{missing}");
    append_all(&db, &[(0, 3_500, 1.0)]);
    store.clear_script();
    let now = contents(&db);
    assert_eq!(part(&now, TimeRange::new(0, 2_999).unwrap(), |_| true), expected);
}

#[test]
fn while_object_storage_is_down_ingest_goes_on_up_to_the_limit_and_resumes() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let mut limited = tier(&store);
    limited.max_backlog_bytes = Some(1_000);
    let db = open_with(&fs, with(limited)).unwrap();
    store.set_script(|_| Fate::Fails);
    fill(&db, 0, 2_000);
    db.maintain().unwrap();
    assert!(matches!(db.ship().unwrap_err(), Error::ObjectStorage { .. }));
    assert!(far(&db).backlog_blocks >= 1);
    let mut refused = None;
    for window in 2..100 {
        for t in (window * 1_000..(window + 1) * 1_000).step_by(100) {
            if let Err(error) = append(&db, &[(0, t, 1.0), (1, t, 2.0)]) {
                refused = Some((t, error));
                break;
            }
        }
        db.maintain().unwrap();
        drop(db.ship());
        if refused.is_some() {
            break;
        }
    }
    let (at, error) = refused.expect("the backlog is limited");
    assert!(error.temporary && error.to_string().contains("wait for their upload"), "{error}");
    assert!(far(&db).backlog_bytes > 1_000 && far(&db).failed_rounds > 1);
    assert!(contents(&db).len() >= 2, "queries go on");
    store.clear_script();
    db.ship().unwrap();
    append_all(&db, &[(0, at, 1.0)]);
    assert_eq!((far(&db).backlog_blocks, far(&db).failed_rounds > 1), (0, true));
}

#[test]
fn samples_past_retention_leave_object_storage_as_well() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let clock = Arc::new(ManualClock::at(1_000));
    let mut swept_soon = tier(&store);
    swept_soon.sweep_delay_ms = 0;
    let options = Options {
        retention_ms: Some(3_000),
        clock: Arc::clone(&clock) as Arc<dyn tsdb_core::time::Clock>,
        ..with(swept_soon)
    };
    let db = open_with(&fs, options).unwrap();
    let at = |now| {
        clock.set(now);
        db.maintain().unwrap();
        db.ship().unwrap();
    };
    fill(&db, 0, 2_600);
    (2_600..2_603).for_each(at);
    assert_eq!(far(&db).blocks, 2);
    fill(&db, 2_600, 7_000);
    (7_000..7_004).for_each(at);
    let kept = contents(&db);
    assert!(kept.values().all(|samples| *samples.first_key_value().unwrap().0 >= 3_000), "{kept:?}");
    let named = store.keys().iter().filter(|key| key.ends_with("index") || key.contains("index-")).count();
    assert!(named > far(&db).blocks as usize, "swept only after the delay");
}

#[test]
fn a_crash_at_any_moment_of_an_upload_loses_nothing() {
    for operation in 0..60 {
        let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
        let db = open_with(&fs, with(tier(&store))).unwrap();
        fill(&db, 0, 3_000);
        db.maintain().unwrap();
        let expected = contents(&db);
        // The process dies at a call of the store: it takes effect or not, and nothing after it happens.
        let calls = std::sync::atomic::AtomicUsize::new(0);
        store.set_script(move |_| match calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            call if call < operation / 2 => Fate::Succeeds,
            call if call == operation / 2 && operation % 2 == 0 => Fate::FailsAfterwards,
            _ => Fate::Fails,
        });
        drop(db.ship());
        let fs = fs.after_power_cut(Loss::Everything);
        drop(db);
        store.clear_script();
        let db = open_with(&fs, with(tier(&store))).unwrap();
        assert_eq!(contents(&db), expected, "after call {operation}");
        db.ship().unwrap();
        assert_eq!(contents(&db), expected, "after call {operation}");
        assert_eq!((far(&db).blocks, far(&db).backlog_blocks), (2, 0));
    }
}

#[test]
fn a_directory_is_an_object_store() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(DirStore::open(dir.path()).unwrap());
    let mut tier = Tier::new(store, 8 << 20).unwrap();
    tier.keep_local_ms = 0;
    let fs = SimFs::new();
    let db = open_with(&fs, with(tier.clone())).unwrap();
    fill(&db, 0, 3_000);
    db.maintain().unwrap();
    let expected = contents(&db);
    db.ship().unwrap();
    assert_eq!((contents(&db), on_disk(&fs)), (expected.clone(), 0));
    let restarted = open_with(&SimFs::new(), with(tier)).unwrap();
    assert_eq!(
        part(&contents(&restarted), TimeRange::new(0, 1_999).unwrap(), |_| true).len(),
        expected.len()
    );
}

#[test]
fn what_was_read_once_is_read_from_the_disk_after_a_restart() {
    let (fs, store, cache) = (SimFs::new(), Arc::new(SimStore::new()), Path::new("/cache"));
    let with_cache = || tier(&store).with_disk_cache(Arc::new(fs.clone()), cache, 1 << 20).unwrap();
    let db = open_with(&fs, with(with_cache())).unwrap();
    fill(&db, 0, 5_000);
    db.maintain().unwrap();
    db.ship().unwrap();
    let expected = contents(&db);
    assert!(far(&db).cached_on_disk_bytes > 0);
    db.close().unwrap();
    drop(db);
    store.set_script(|call| if call.key.contains("/blocks/") { Fate::Fails } else { Fate::Succeeds });
    let db = open_with(&fs, with(with_cache())).unwrap();
    assert_eq!((contents(&db), warnings(&db)), (expected, vec![]), "no block is asked for");
}

#[test]
fn a_snapshot_names_the_blocks_that_lie_on_object_storage_and_so_does_whoever_opens_it_without() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let db = open_with(&fs, with(tier(&store))).unwrap();
    fill(&db, 0, 3_000);
    db.maintain().unwrap();
    db.ship().unwrap();
    fill(&db, 3_000, 3_500);
    let to = db.snapshots_dir().join("s");
    let made = db.snapshot(&to).unwrap();
    assert_eq!((made.far_away.len(), made.unreadable), (2, vec![]));
    let times = made.far_away.iter().map(|far| far.range).reduce(|a, b| a.union(&b)).unwrap();
    assert!(times.start() == 0 && times.end() >= 1_900, "{times:?}");
    for dir in [&to, Path::new(DIR)] {
        assert_eq!(tsdb::far_away(&fs, dir).unwrap(), made.far_away);
    }
    db.close().unwrap();
    drop(db);
    for dir in [&to, Path::new(DIR)] {
        let alone = Db::open_on(Arc::new(fs.clone()), dir, options()).unwrap();
        // One sentence for all of them, with the first.
        for told in [alone.stats().warnings, warnings(&alone), alone.left_out(TimeRange::ALL)] {
            assert!(
                told.len() == 1 && told[0].starts_with("2 blocks on object storage are missing"),
                "{told:?}"
            );
            assert!(told[0].contains(&made.far_away[0].block), "{told:?}");
        }
        for far in &made.far_away {
            assert!(alone.left_out(far.range).iter().any(|told| told.contains(&far.block)));
        }
        let later = TimeRange::new(3_200, 3_400).unwrap();
        assert_eq!(alone.left_out(later), [""; 0]);
    }
    let path = Path::new(DIR).join("manifest-copy");
    fs.flip(&path, 30, 1).unwrap();
    assert!(tsdb::far_away(&fs, Path::new(DIR)).is_err());
    let told = Db::open_on(Arc::new(fs.clone()), Path::new(DIR), options()).unwrap().stats().warnings;
    assert!(told.iter().any(|told| told.contains("may be missing")), "{told:?}");
}

#[test]
fn a_block_that_was_dropped_is_missed_by_nobody_and_comes_back_with_no_snapshot() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let mut keeping = tier(&store);
    keeping.keep_local_ms = 10_000_000;
    let db = open_with(&fs, with(keeping.clone())).unwrap();
    fill(&db, 0, 5_000);
    db.maintain().unwrap();
    db.ship().unwrap();
    db.delete(&[], TimeRange::new(0, 1_999).unwrap()).unwrap();
    db.clean_tombstones().unwrap();
    let expected = contents(&db);
    assert_eq!((on_disk(&fs), far(&db).blocks), (2, 0), "the manifest still names four");
    let to = db.snapshots_dir().join("s");
    assert_eq!(db.snapshot(&to).unwrap().far_away, []);
    db.close().unwrap();
    drop(db);
    for dir in [&to, Path::new(DIR)] {
        assert_eq!(tsdb::far_away(&fs, dir).unwrap(), []);
        let alone = Db::open_on(Arc::new(fs.clone()), dir, options()).unwrap();
        assert_eq!((contents(&alone), alone.left_out(TimeRange::ALL)), (expected.clone(), vec![]));
        assert_eq!(alone.stats().warnings, [""; 0]);
    }
    let moved = Db::open_on(Arc::new(fs.process_killed()), &to, with(keeping)).unwrap();
    assert_eq!(contents(&moved), expected, "with object storage either");
}

#[test]
fn a_second_database_below_one_prefix_is_refused_until_it_takes_over_and_then_the_first_one_is() {
    let store = Arc::new(SimStore::new());
    let (first_fs, second_fs) = (SimFs::new(), SimFs::new());
    let first = open_with(&first_fs, with(tier(&store))).unwrap();
    fill(&first, 0, 3_000);
    first.maintain().unwrap();
    first.ship().unwrap();
    let expected = contents(&first);
    let second = open_with(&second_fs, with(tier(&store))).unwrap();
    append_all(&second, &[(0, 7_000, 1.0)]);
    second.flush().unwrap();
    let before = store.keys();
    for _ in 0..3 {
        let told = second.ship().unwrap_err().to_string();
        assert!(told.contains("another database") && told.contains("take_over"), "{told}");
    }
    assert_eq!(store.keys(), before);
    first.ship().unwrap();
    assert_eq!(contents(&first), expected);
    second.close().unwrap();
    drop(second);
    // On purpose.
    let mut over = tier(&store);
    over.take_over = true;
    let second = open_with(&second_fs, with(over)).unwrap();
    second.ship().unwrap();
    let all = contents(&second);
    assert_eq!(part(&all, TimeRange::new(0, 1_999).unwrap(), |_| true).len(), 3);
    append_all(&first, &[(0, 9_000, 1.0)]);
    first.flush().unwrap();
    assert!(first.ship().is_err());
    second.close().unwrap();
    drop(second);
    let second = open_with(&second_fs, with(tier(&store))).unwrap();
    second.ship().unwrap();
    assert_eq!(contents(&second), all);
}

#[test]
fn a_directory_that_moves_and_a_snapshot_of_it_are_the_same_database() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let db = open_with(&fs, with(tier(&store))).unwrap();
    fill(&db, 0, 3_000);
    db.maintain().unwrap();
    db.ship().unwrap();
    let to = db.snapshots_dir().join("s");
    db.snapshot(&to).unwrap();
    db.close().unwrap();
    drop(db);
    for dir in [&to, Path::new(DIR)] {
        let moved = Db::open_on(Arc::new(fs.process_killed()), dir, with(tier(&store))).unwrap();
        append_all(&moved, &[(0, 8_000, 1.0)]);
        moved.flush().unwrap();
        moved.ship().unwrap();
    }
}
