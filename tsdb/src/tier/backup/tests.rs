//! Backups: whole or not at all, each byte sent once, damage named.

use super::*;
use crate::fs::{Loss, SimFs};
use crate::tier::{Fate, SimStore, golden};
use crate::{Db, Options};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tsdb_core::read::{Queryable, SampleColumns, SelectHints};
use tsdb_core::write::Appendable;
use tsdb_core::{Labels, TimeRange};

const DIR: &str = "/data";

fn options() -> Options {
    Options {
        background: false,
        future_skew_ms: None,
        retention_ms: None,
        block_range_ms: 1000,
        ..Options::default()
    }
}

fn backups(store: &Arc<SimStore>) -> Backups {
    let retry = Retry { attempts: 3, first: Duration::ZERO, most: Duration::ZERO };
    Backups::new(Arc::clone(store) as Arc<dyn ObjectStore>, "site").with_retry(retry)
}

/// Adds samples to the database in `DIR`, some of which move into blocks.
fn fill(fs: &SimFs, from: i64, to: i64) {
    let db = Db::open_on(Arc::new(fs.clone()), DIR, options()).unwrap();
    let mut batch = db.appender();
    let series = batch.series(&Labels::from_pairs([("__name__", "m")]).unwrap()).unwrap();
    (from..to).step_by(10).for_each(|t| batch.append(series, t, t as f64));
    batch.commit().unwrap();
    db.maintain().unwrap();
    db.close().unwrap();
}

fn samples(fs: &SimFs, dir: &str) -> Vec<i64> {
    let db = Db::open_on(Arc::new(fs.clone()), dir, options()).unwrap();
    let set = db.querier(TimeRange::ALL).unwrap().select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    let mut columns = SampleColumns::new();
    set.read(0, &mut columns).unwrap();
    columns.timestamps
}

#[test]
fn a_backup_sends_what_is_new_and_comes_back() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let backups = backups(&store);
    fill(&fs, 0, 5_000);
    let first = backups.back_up(&fs, Path::new(DIR), "monday", &mut |_| {}).unwrap();
    assert_eq!((first.files, first.bytes), (first.sent_files, first.sent_bytes));
    fill(&fs, 5_000, 6_000);
    let second = backups.back_up(&fs, Path::new(DIR), "tuesday", &mut |_| {}).unwrap();
    assert!(second.sent_files * 2 < second.files, "{second:?}");
    assert_eq!(backups.list().unwrap(), ["monday", "tuesday"]);
    assert_eq!(backups.verify("monday", &mut |_| {}).unwrap().bytes, first.bytes);
    backups.restore(&fs, "monday", Path::new("/monday"), &mut |_| {}).unwrap();
    backups.restore(&fs, "tuesday", Path::new("/tuesday"), &mut |_| {}).unwrap();
    assert_eq!(samples(&fs, "/monday"), (0..5_000).step_by(10).collect::<Vec<_>>());
    assert_eq!(samples(&fs, "/tuesday"), (0..6_000).step_by(10).collect::<Vec<_>>());
    assert!(backups.back_up(&fs, Path::new(DIR), "monday", &mut |_| {}).is_err(), "no backup is overwritten");
    assert!(
        backups.restore(&fs, "monday", Path::new("/tuesday"), &mut |_| {}).is_err(),
        "no directory is overwritten"
    );
    assert!(backups.restore(&fs, "sunday", Path::new("/sunday"), &mut |_| {}).is_err());
}

#[test]
fn damage_is_named_and_leaves_no_directory() {
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let backups = backups(&store);
    fill(&fs, 0, 3_000);
    backups.back_up(&fs, Path::new(DIR), "monday", &mut |_| {}).unwrap();
    for key in store.keys() {
        let bytes = store.get(&key, 0..store.head(&key).unwrap().size, None).unwrap();
        if bytes.is_empty() {
            continue;
        }
        store.tamper(&key, true, |bytes| bytes[0] ^= 1);
        assert!(backups.verify("monday", &mut |_| {}).is_err(), "{key}");
        assert!(backups.restore(&fs, "monday", Path::new("/monday"), &mut |_| {}).is_err(), "{key}");
        assert!(!fs.exists(Path::new("/monday")).unwrap());
        store.tamper(&key, true, |now| now.clone_from(&bytes));
    }
    backups.restore(&fs, "monday", Path::new("/monday"), &mut |_| {}).unwrap();
}

fn file(path: &str) -> Saved {
    Saved { path: path.into(), size: 70_000, checksum: u128::MAX / 7 }
}

#[test]
fn the_golden_list_is_read_and_written_the_same() {
    let files = vec![file("01K800000028T5CY4TQKFF04HM/index"), file("VERSION"), file("wal/000001")];
    let written = render(&files);
    let golden = golden::stored("backup", &written);
    assert_eq!(parse(&golden).unwrap(), files);
    assert_eq!(golden, written, "this version writes other bytes than before");
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_list_is_refused() {
    let files = vec![file("VERSION"), file("wal/000001")];
    let bytes = render(&files);
    assert_eq!(parse(&bytes).unwrap(), files);
    for at in 0..bytes.len() {
        assert!(parse(&bytes[..at]).is_err());
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(parse(&changed).is_err(), "bit {bit} of byte {at}");
        }
    }
    assert!(parse(&render(&[file("../passwd")])).is_err());
}

#[test]
fn a_process_that_dies_at_any_call_leaves_no_backup_or_a_whole_one() {
    for dies_at in 0..60 {
        let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
        fill(&fs, 0, 2_000);
        let calls = AtomicUsize::new(0);
        store.set_script(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
            call if call < dies_at => Fate::Succeeds,
            _ => Fate::Fails,
        });
        let made = backups(&store).back_up(&fs, Path::new(DIR), "monday", &mut |_| {});
        store.clear_script();
        let there = backups(&store).list().unwrap();
        assert_eq!(there.len(), usize::from(made.is_ok()));
        let restored = fs.after_power_cut(Loss::Everything);
        let again = backups(&store);
        if made.is_err() {
            again.back_up(&restored, Path::new(DIR), "monday", &mut |_| {}).unwrap();
        }
        again.restore(&restored, "monday", Path::new("/monday"), &mut |_| {}).unwrap();
        assert_eq!(samples(&restored, "/monday").len(), 200);
        if made.is_ok() {
            break;
        }
    }
}
