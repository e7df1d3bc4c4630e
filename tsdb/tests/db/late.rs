//! Samples that come late or twice: taken, seen at once, kept through cuts and crashes, or refused for a named reason.

use super::fixture::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb::fs::{Fs, Loss, SimFs};
use tsdb::{Appendable, Db, DuplicatePolicy, Options, Queryable, TimeRange};
use tsdb_core::histogram::{FloatHistogram, FloatParts};
use tsdb_core::read::{SampleColumns, SelectHints};
use tsdb_core::write::SampleError;

const LATE_WINDOW: i64 = 5000;

fn late_options() -> Options {
    Options { out_of_order_window_ms: LATE_WINDOW, ..options() }
}

fn open_late(fs: &SimFs) -> Db {
    open_with(fs, late_options()).unwrap()
}

fn keep_last(fs: &SimFs) -> Db {
    open_with(fs, Options { duplicates: DuplicatePolicy::KeepLast, ..late_options() }).unwrap()
}

fn values(db: &Db, series: usize) -> Vec<(i64, f64)> {
    let found = contents(db).remove(&labels(series)).unwrap_or_default();
    found.into_iter().map(|(timestamp, bits)| (timestamp, f64::from_bits(bits))).collect()
}

fn reason(db: &Db, sample: Sample) -> SampleError {
    append(db, &[sample]).unwrap().refused[0].reason
}

#[test]
fn a_late_sample_is_seen_at_once_and_after_a_restart_a_cut_and_a_power_cut() {
    let fs = SimFs::new();
    let db = open_late(&fs);
    append_all(&db, &[(0, 100, 1.0), (0, 900, 9.0)]);
    append_all(&db, &[(0, 500, 5.0), (0, 50, 0.5), (1, 40, 4.0)]);
    let expected = contents(&db);
    assert_eq!(values(&db, 0), [(50, 0.5), (100, 1.0), (500, 5.0), (900, 9.0)]);
    assert_eq!((db.stats().samples_late, db.stats().samples_appended), (2, 5));
    let db = {
        drop(db);
        open_late(&fs)
    };
    assert_eq!(contents(&db), expected);
    db.flush().unwrap();
    assert_eq!(contents(&db), expected);
    assert_eq!(db.stats().blocks, 1, "late samples of a window that is being cut go along");
    assert_eq!(contents(&open_late(&fs.after_power_cut(Loss::Everything))), expected);
}

#[test]
fn the_window_of_late_samples_changes_while_the_database_is_open() {
    let fs = SimFs::new();
    let db = open_late(&fs);
    append_all(&db, &[(0, 9_000, 9.0), (0, 8_000, 8.0)]);
    db.set_out_of_order_window(500);
    assert!(matches!(reason(&db, (0, 8_499, 1.0)), SampleError::TooOld { .. }));
    append_all(&db, &[(0, 8_500, 8.5)]);
    db.set_out_of_order_window(0);
    assert!(matches!(reason(&db, (0, 8_900, 1.0)), SampleError::OutOfOrder { .. }));
    append_all(&db, &[(1, 8_900, 1.0), (0, 9_001, 9.1)]);
    db.set_out_of_order_window(LATE_WINDOW);
    append_all(&db, &[(0, 4_001, 4.0)]);
    let kept = [(4_001, 4.0), (8_000, 8.0), (8_500, 8.5), (9_000, 9.0), (9_001, 9.1)];
    assert_eq!(values(&db, 0), kept);
    drop(db);
    let db = open_with(&fs, Options { out_of_order_window_ms: 0, ..options() }).unwrap();
    assert_eq!(values(&db, 0), kept, "what was taken stays, however narrow the window is now");
}

#[test]
fn samples_before_a_cut_go_into_blocks_that_overlap() {
    let fs = SimFs::new();
    let db = open_late(&fs);
    append_all(&db, &[(0, 100, 1.0), (0, 1100, 1.0), (0, 2600, 1.0)]);
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 2);
    append_all(&db, &[(0, 200, 2.0), (1, 1200, 3.0), (0, 2500, 4.0)]);
    assert_eq!(values(&db, 0), [(100, 1.0), (200, 2.0), (1100, 1.0), (2500, 4.0), (2600, 1.0)]);
    let before = contents(&db);
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    db.flush().unwrap();
    let stats = db.stats();
    assert_eq!((stats.blocks, stats.late_blocks, stats.block_samples), (5, 2, 6));
    assert_eq!((contents(&db), read(&*set)), (before.clone(), before.clone()));
    drop((set, querier));
    db.maintain().unwrap();
    assert_eq!((db.stats().late_bytes, db.stats().active_series), (0, 0));
    assert_eq!(contents(&open_late(&fs.after_power_cut(Loss::Everything))), before);
}

#[test]
fn every_reason_to_refuse_a_sample_has_its_name() {
    let db = open_late(&SimFs::new());
    append_all(&db, &[(0, 9000, 1.0), (1, 9000, 1.0)]);
    assert_eq!(reason(&db, (0, 3999, 1.0)), SampleError::TooOld { timestamp: 3999, oldest: 4000 });
    assert_eq!(reason(&db, (0, 9000, 2.0)), SampleError::Duplicate { timestamp: 9000 });
    append_all(&db, &[(0, 4000, 1.0), (0, 4000, 1.0), (0, 9000, 1.0)]);
    assert_eq!(reason(&db, (0, 4000, 2.0)), SampleError::Duplicate { timestamp: 4000 });
    let newest = 1_000_000 + 365 * 86_400_000;
    let too_far = SampleError::TooFarInFuture { timestamp: newest + 1, newest };
    assert_eq!(reason(&db, (0, newest + 1, 2.0)), too_far);
    let stats = db.stats();
    let refused = stats.samples_refused;
    assert_eq!(
        (refused.too_old, refused.duplicate, refused.too_far_in_future, refused.total()),
        (1, 2, 1, 4)
    );
    assert_eq!((stats.samples_late, stats.samples_repeated), (1, 2));
}

#[test]
fn a_sample_from_the_future_does_not_close_the_window() {
    let db = open_late(&SimFs::new());
    append_all(&db, &[(0, 1_000_000, 1.0), (1, 50_000_000, 1.0)]);
    append_all(&db, &[(0, 995_000, 1.0)]);
    let too_old = SampleError::TooOld { timestamp: 994_999, oldest: 995_000 };
    assert_eq!(reason(&db, (0, 994_999, 1.0)), too_old);
}

#[test]
fn late_samples_are_refused_when_they_take_too_much_memory_and_taken_again_when_they_are_in_blocks() {
    let fs = SimFs::new();
    let limited = || Options { max_late_bytes: 40_000, out_of_order_window_ms: 1_000_000, ..options() };
    let db = open_with(&fs, limited()).unwrap();
    append_all(&db, &[(0, 100_000, 0.0)]);
    let samples: Vec<Sample> = (0..50_000).map(|k| (0, 99_999 - k, k as f64)).collect();
    let report = append(&db, &samples).unwrap();
    let is_full = |reason| matches!(reason, SampleError::TooManyLate { allowed: 80_000, .. });
    assert!(report.refused.iter().all(|refused| is_full(refused.reason)), "{:?}", report.refused[0]);
    let refused = report.refused.len() as u64;
    assert!(refused > 10_000 && report.accepted > 5_000, "{} accepted", report.accepted);
    assert_eq!(db.stats().samples_refused.too_many_late, refused);
    assert!(db.stats().late_bytes < 160_000, "{:?}", db.stats());
    db.maintain().unwrap();
    let stats = db.stats();
    assert_eq!((stats.late_bytes, stats.block_samples), (0, report.accepted));
    append_all(&db, &[(0, 99_999 - 49_999, 1.0)]);
    assert_eq!(values(&db, 0).len() as u64, report.accepted + 2);
    drop(db);
    assert_eq!(values(&open_with(&fs, limited()).unwrap(), 0).len() as u64, report.accepted + 2);
}

#[test]
fn late_samples_that_no_cut_takes_along_move_into_a_block_in_time() {
    let clock = Arc::new(tsdb_core::testing::ManualClock::at(10_000));
    let db = open_with(&SimFs::new(), Options { clock: clock.clone(), ..late_options() }).unwrap();
    append_all(&db, &[(0, 9000, 1.0)]);
    db.flush().unwrap();
    append_all(&db, &[(0, 8000, 1.0)]);
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 1);
    clock.set(11_000);
    db.maintain().unwrap();
    assert_eq!((db.stats().blocks, db.stats().late_bytes), (2, 0));
    assert_eq!(values(&db, 0).len(), 2);
}

#[test]
fn the_last_value_written_is_seen_wherever_the_others_are() {
    let fs = SimFs::new();
    let db = keep_last(&fs);
    append_all(&db, &[(0, 100, 1.0), (0, 200, 1.0), (0, 200, 2.0)]);
    assert_eq!(values(&db, 0), [(100, 1.0), (200, 2.0)]);
    append_all(&db, &[(0, 200, 1.0), (0, 300, 1.0)]);
    assert_eq!(values(&db, 0), [(100, 1.0), (200, 1.0), (300, 1.0)]);
    // In a block, late in memory above it, late in a block above both, and in order again.
    for round in 3..9 {
        append_all(&db, &[(0, 100, f64::from(round)), (0, 300, -f64::from(round))]);
        let expected = [(100, f64::from(round)), (200, 1.0), (300, -f64::from(round))];
        assert_eq!(values(&db, 0), expected);
        assert_eq!(values(&keep_last(&fs.after_power_cut(Loss::Nothing)), 0), expected);
        if round % 2 == 0 {
            db.flush().unwrap();
            assert_eq!(values(&db, 0), expected);
        }
    }
    assert!(db.stats().blocks > 2);
}

#[test]
fn the_first_value_stays_though_a_late_one_could_not_be_compared_with_it() {
    let fs = SimFs::new();
    let db = open_late(&fs);
    append_all(&db, &[(0, 100, 1.0)]);
    db.flush().unwrap();
    append_all(&db, &[(0, 100, 2.0)]);
    assert_eq!(values(&db, 0), [(100, 1.0)]);
    db.flush().unwrap();
    assert_eq!(values(&db, 0), [(100, 1.0)]);
    drop(db);
    assert_eq!(values(&open_late(&fs), 0), [(100, 1.0)]);
}

#[test]
fn a_newer_block_put_there_hides_no_sample_of_the_log() {
    let other = SimFs::new();
    let db = open_late(&other);
    append_all(&db, &[(9, 50_000, 1.0)]);
    db.flush().unwrap();
    drop(db);
    let fs = SimFs::new();
    let db = open_late(&fs);
    append_all(&db, &[(0, 100, 1.0), (0, 2000, 1.0)]);
    db.maintain().unwrap();
    append_all(&db, &[(0, 2100, 1.0), (0, 50, 1.0)]);
    drop(db);
    copy_blocks(&other, &fs);
    let db = open_late(&fs);
    assert_eq!(values(&db, 0), [(50, 1.0), (100, 1.0), (2000, 1.0), (2100, 1.0)]);
    assert_eq!(values(&db, 9), [(50_000, 1.0)]);
    append_all(&db, &[(0, 2200, 1.0), (2, 2300, 1.0)]);
    assert_eq!(values(&db, 0).len(), 5);
}

/// Copies the blocks of one disk to another.
pub(crate) fn copy_blocks(from: &SimFs, to: &SimFs) {
    let is_of_block = |path: &&PathBuf| {
        let name = path.strip_prefix(DIR).unwrap().to_string_lossy().into_owned();
        name.contains('/') && !name.starts_with("wal")
    };
    for path in from.files().iter().filter(is_of_block) {
        to.create_dir_all(path.parent().unwrap()).unwrap();
        to.create_new(path).unwrap().append(&from.read(path).unwrap()).unwrap();
    }
    assert!(to.files().iter().any(|path| path.ends_with(Path::new("meta.json"))));
}

#[test]
fn a_thousand_series_with_one_late_sample_each_cost_little_memory() {
    let db = open_late(&SimFs::new());
    let in_order: Vec<Sample> = (0..1000).map(|series| (series, 9000, 1.0)).collect();
    append_all(&db, &in_order);
    let late: Vec<Sample> = (0..1000).map(|series| (series, 8000, 2.0)).collect();
    append_all(&db, &late);
    let stats = db.stats();
    assert!(stats.late_bytes < 80 * 1000, "{} bytes", stats.late_bytes);
    assert_eq!(contents(&db).values().map(|samples| samples.len()).sum::<usize>(), 2000);
}

#[test]
fn histograms_and_start_timestamps_may_come_late_too() {
    let fs = SimFs::new();
    let db = open_late(&fs);
    let histogram =
        |count: f64| FloatHistogram::new(FloatParts { count, sum: count, ..FloatParts::default() });
    let append = |db: &Db, timestamp: i64, count: f64, start: i64| {
        let mut appender = db.appender();
        let series = appender.series(&labels(0)).unwrap();
        appender.append_histogram(series, timestamp, histogram(count).unwrap()).unwrap();
        appender.set_start(start);
        appender.append(series, timestamp + 10, count);
        appender.set_start(start);
        appender.commit().unwrap()
    };
    for (timestamp, count) in [(3000, 3.0), (1000, 1.0), (2000, 2.0)] {
        assert_eq!(append(&db, timestamp, count, 7).refused, []);
    }
    assert_eq!(db.stats().samples_late, 4);
    assert_eq!(append(&db, 1000, 1.0, 7).accepted, 2);
    let conflict = append(&db, 1000, 9.0, 7).refused;
    assert_eq!(conflict[0].reason, SampleError::Duplicate { timestamp: 1000 });
    let check = |db: &Db, what: &str| {
        let querier = db.querier(TimeRange::ALL).unwrap();
        let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
        let mut columns = SampleColumns::new();
        set.read(0, &mut columns).unwrap();
        assert_eq!(columns.timestamps, [1000, 1010, 2000, 2010, 3000, 3010], "{what}");
        let counts: Vec<_> = (0..6).map(|index| columns.histogram(index).map(|h| h.count())).collect();
        assert_eq!(counts, [Some(1.0), None, Some(2.0), None, Some(3.0), None], "{what}");
        assert_eq!(columns.starts, [7; 6], "{what}");
    };
    check(&db, "in memory");
    check(&open_late(&fs.after_power_cut(Loss::Everything)), "from the log");
    db.flush().unwrap();
    check(&db, "in blocks");
    drop(db);
    check(&open_late(&fs), "opened again");
}

#[test]
fn a_sample_behind_what_a_delete_left_still_meets_a_late_one_at_its_time() {
    let fs = SimFs::new();
    for duplicates in [DuplicatePolicy::KeepFirst, DuplicatePolicy::KeepLast] {
        let options = || Options { duplicates, out_of_order_window_ms: 1000, ..options() };
        let dir = format!("/{duplicates:?}");
        let mut db = Db::open_on(Arc::new(fs.clone()), &dir, options()).unwrap();
        append(&db, &[(4, 253, 1.0), (4, 90, 1.0)]).unwrap();
        db.delete(&[], TimeRange::new(200, 300).unwrap()).unwrap();
        for value in [2.0, 3.0] {
            let report = append(&db, &[(4, 90, value)]).unwrap();
            let (is_refused, stays) = match duplicates {
                DuplicatePolicy::KeepLast => (false, value),
                _ => (true, 1.0),
            };
            assert_eq!(report.refused.len(), usize::from(is_refused));
            assert_eq!(contents(&db), Contents::from([(labels(4), [(90, f64::to_bits(stays))].into())]));
            db.close().unwrap();
            db = Db::open_on(Arc::new(fs.clone()), &dir, options()).unwrap();
            assert_eq!(contents(&db), Contents::from([(labels(4), [(90, f64::to_bits(stays))].into())]));
        }
    }
}
