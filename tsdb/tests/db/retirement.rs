//! Series that stop leave the head before the window ends, and nobody who reads or writes notices.

use super::fixture::*;
use tsdb::fs::{Loss, SimFs};
use tsdb::{Appendable, Db, Options, Queryable, TimeRange};
use tsdb_core::read::SelectHints;

/// A window of a minute; a series is idle after a second.
fn open(fs: &SimFs) -> Db {
    let options = Options {
        block_range_ms: 60_000,
        out_of_order_window_ms: 30_000,
        idle_series_ms: 1000,
        min_idle_series: 1,
        ..options()
    };
    open_with(fs, options).unwrap()
}

/// A sample of each series every 100 ms within the times given.
fn fill(db: &Db, expected: &mut Contents, series: std::ops::Range<usize>, times: std::ops::Range<i64>) {
    let samples: Vec<Sample> = times
        .step_by(100)
        .flat_map(|t| series.clone().map(move |number| (number, t, (t + number as i64) as f64)))
        .collect();
    let report = append(db, &samples).unwrap();
    assert_eq!(report.refused, []);
    note(expected, &samples, &report);
}

#[test]
fn series_that_stop_move_into_a_block_and_leave_the_head() {
    let fs = SimFs::new();
    let (db, mut expected) = (open(&fs), Contents::new());
    fill(&db, &mut expected, 0..10, 0..1000);
    fill(&db, &mut expected, 0..2, 1000..5000);
    for _ in 0..4 {
        db.maintain().unwrap();
        assert_eq!(contents(&db), expected);
    }
    let stats = db.stats();
    assert_eq!((stats.active_series, stats.series_removed, stats.blocks, stats.blocks_cut), (2, 8, 1, 0));
    assert_eq!(stats.block_samples, 80);
    let names = db.querier(TimeRange::ALL).unwrap().label_values("series", &[]).unwrap();
    assert_eq!(names.len(), 10);
    for _ in 0..4 {
        db.maintain().unwrap();
    }
    assert_eq!(db.stats().blocks, 1, "nothing more stops");
    fill(&db, &mut expected, 0..2, 60_000..95_000);
    db.maintain().unwrap();
    assert_eq!((contents(&db), db.stats().blocks_cut), (expected, 1));
}

#[test]
fn a_series_that_comes_back_is_found_whole() {
    let fs = SimFs::new();
    let (db, mut expected) = (open(&fs), Contents::new());
    for round in 0..6 {
        let at = round * 4000;
        fill(&db, &mut expected, 0..4, at..at + 1000);
        fill(&db, &mut expected, 0..1, at + 1000..at + 4000);
        db.maintain().unwrap();
        db.maintain().unwrap();
        assert_eq!(contents(&db), expected, "round {round}");
        assert_eq!(db.stats().active_series, 1, "round {round}");
        let killed = open(&fs.after_power_cut(Loss::Nothing));
        assert_eq!(contents(&killed), expected, "killed in round {round}");
    }
    // Late for a series that the head does not know any more.
    let late = [(2, 21_050, 0.5), (3, 20_000, 20_003.0)];
    note(&mut expected, &late, &append(&db, &late).unwrap());
    assert_eq!(contents(&db), expected);
    db.flush().unwrap();
    assert_eq!(contents(&db), expected);
}

#[test]
fn a_restart_finds_the_retired_series_in_blocks_alone() {
    let fs = SimFs::new();
    let (db, mut expected) = (open(&fs), Contents::new());
    fill(&db, &mut expected, 0..10, 0..1000);
    fill(&db, &mut expected, 0..2, 1000..60_000);
    // It closes the segment that names the series.
    db.snapshot("/snapshot").unwrap();
    fill(&db, &mut expected, 0..10, 60_000..61_000);
    fill(&db, &mut expected, 0..2, 61_000..70_000);
    db.maintain().unwrap();
    assert_eq!((db.stats().active_series, db.stats().blocks), (2, 2), "a block for each window");
    let check = |expected: &Contents, when: &str| {
        let db = open(&fs.after_power_cut(Loss::Nothing));
        assert_eq!(&contents(&db), expected, "{when}");
        let stats = db.stats();
        assert_eq!((stats.active_series, stats.warnings), (2, vec![]), "{when}");
    };
    check(&expected, "their records are in the log");
    fill(&db, &mut expected, 0..2, 70_000..95_000);
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks_cut, 1);
    check(&expected, "the log has samples of theirs, and their records are gone");
}

#[test]
fn whoever_reads_or_writes_an_idle_series_keeps_it() {
    let fs = SimFs::new();
    let (db, mut expected) = (open(&fs), Contents::new());
    fill(&db, &mut expected, 0..10, 0..1000);
    let range = TimeRange::new(0, 999).unwrap();
    let querier = db.querier(range).unwrap();
    let set = querier.select(&[], &SelectHints::over(range)).unwrap();
    let before = expected.clone();
    fill(&db, &mut expected, 0..2, 1000..5000);
    (0..4).for_each(|_| db.maintain().unwrap());
    assert_eq!((db.stats().active_series, db.stats().blocks), (10, 0), "the set may read them");
    assert_eq!(read(&*set), before);
    drop((set, querier));
    let mut appender = db.appender();
    let reference = appender.series(&labels(5)).unwrap();
    (0..4).for_each(|_| db.maintain().unwrap());
    assert_eq!(db.stats().active_series, 10, "the appender may write");
    appender.append(reference, 4000, 7.0);
    assert_eq!(appender.commit().unwrap().accepted, 1);
    expected.entry(labels(5)).or_default().insert(4000, 7.0_f64.to_bits());
    (0..4).for_each(|_| db.maintain().unwrap());
    assert_eq!((contents(&db), db.stats().active_series), (expected, 3));
}

#[test]
fn an_idle_series_that_is_asked_for_while_its_block_is_published_stays() {
    let fs = SimFs::new();
    let (db, mut expected) = (open(&fs), Contents::new());
    fill(&db, &mut expected, 0..10, 0..1000);
    fill(&db, &mut expected, 0..2, 1000..5000);
    let first = db.querier(TimeRange::ALL).unwrap();
    db.maintain().unwrap();
    // It does not hold up the writing of the block, as the first one does, but what comes after.
    let second = db.querier(TimeRange::ALL).unwrap();
    drop(first);
    db.maintain().unwrap();
    assert_eq!((db.stats().active_series, db.stats().blocks), (10, 1));
    assert_eq!(contents(&db), expected, "in the head and in the block");
    fill(&db, &mut expected, 5..6, 5000..5100);
    drop(second);
    db.maintain().unwrap();
    assert_eq!((contents(&db), db.stats().active_series), (expected.clone(), 3));
    fill(&db, &mut expected, 0..10, 6000..6100);
    assert_eq!(contents(&db), expected);
}
