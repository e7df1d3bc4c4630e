//! Blocks are cut, the head and the log forget, blocks expire; queries never notice.

use super::fixture::*;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Loss, SimFs};
use tsdb::{Appendable, Db, Options, Queryable, SeriesRef, TimeRange};
use tsdb_core::read::SelectHints;
use tsdb_core::testing::ManualClock;
use tsdb_core::write::SampleError;

/// Appends a sample of `series` every 100 ms within the times given.
fn fill(db: &Db, series: usize, from: i64, to: i64) {
    let samples: Vec<Sample> = (from..to).step_by(100).map(|t| (series, t, t as f64)).collect();
    append_all(db, &samples);
}

#[test]
fn windows_become_blocks_once_the_head_is_half_a_window_past_them() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    fill(&db, 0, 0, 1400);
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 0);
    fill(&db, 0, 1400, 3200);
    db.maintain().unwrap();
    let stats = db.stats();
    assert_eq!((stats.blocks, stats.blocks_cut, stats.block_samples), (2, 2, 20));
    assert_eq!(stats.head_range, TimeRange::new(2000, 3100));
    assert_eq!(stats.range, TimeRange::new(0, 3100));
    assert_eq!(contents(&db)[&labels(0)].len(), 32);
}

#[test]
fn a_set_selected_before_a_cut_reads_the_same_after_it() {
    let db = open(&SimFs::new()).unwrap();
    fill(&db, 0, 0, 5000);
    fill(&db, 1, 0, 1000);
    let before = contents(&db);
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    db.maintain().unwrap();
    db.flush().unwrap();
    fill(&db, 2, 5000, 9000);
    db.maintain().unwrap();
    assert!(db.stats().blocks >= 5);
    assert_eq!(read(&*set), before);
    assert_eq!(db.stats().series_removed, 0, "the set still needs them");
    drop((set, querier));
    db.maintain().unwrap();
    assert_eq!(db.stats().series_removed, 2);
    assert_eq!(part(&contents(&db), TimeRange::new(0, 4999).unwrap(), |_| true), before);
}

#[test]
fn series_that_ended_leave_the_head_and_come_back_as_themselves() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let mut expected = Contents::new();
    for round in 0..20 {
        // Each series lives for two rounds, so numbers are used again.
        let samples: Vec<Sample> =
            (0..4).flat_map(|k| [(round + k, (round * 1000 + 10) as i64, k as f64)]).collect();
        let report = append(&db, &samples).unwrap();
        assert_eq!(report.refused, []);
        note(&mut expected, &samples, &report);
        db.maintain().unwrap();
        assert_eq!(contents(&db), expected, "round {round}");
        let killed = open(&fs.after_power_cut(Loss::Nothing)).unwrap();
        assert_eq!(contents(&killed), expected, "killed in round {round}");
    }
    let stats = db.stats();
    assert!(stats.series_removed > 8 && stats.active_series < 12, "{stats:?}");
    fill(&db, 0, 20_500, 21_000);
    assert_eq!(contents(&db)[&labels(0)].len(), 6);
}

#[test]
fn an_appender_keeps_its_series_through_any_number_of_cuts() {
    let db = open(&SimFs::new()).unwrap();
    fill(&db, 0, 0, 500);
    let mut appender = db.appender();
    let held = appender.series(&labels(0)).unwrap();
    let fresh = appender.series(&labels(7)).unwrap();
    fill(&db, 1, 0, 9000);
    for _ in 0..3 {
        db.flush().unwrap();
        db.maintain().unwrap();
    }
    appender.append(held, 9500, 1.0);
    appender.append(fresh, 9500, 2.0);
    assert_eq!(appender.commit().unwrap().accepted, 2);
    let found = contents(&db);
    assert_eq!((found[&labels(0)].len(), found[&labels(7)].len()), (6, 1));
}

#[test]
fn references_of_series_that_are_gone_are_refused() {
    let db = open(&SimFs::new()).unwrap();
    fill(&db, 0, 0, 500);
    let stale = db.appender().series(&labels(0)).unwrap();
    db.flush().unwrap();
    assert_eq!(db.stats().series_removed, 1);
    for series in [stale, SeriesRef(77), SeriesRef(u32::MAX)] {
        let mut appender = db.appender();
        appender.append(series, 9000, 1.0);
        let report = appender.commit().unwrap();
        assert_eq!(report.refused[0].reason, SampleError::UnknownSeries { series });
    }
    assert_eq!(db.stats().samples_refused.unknown_series, 3);
}

#[test]
fn after_a_flush_the_log_is_short_and_the_blocks_hold_everything() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    for series in 0..40 {
        fill(&db, series, 0, 3000);
    }
    let long = db.stats().wal_bytes;
    let before = contents(&db);
    db.flush().unwrap();
    fill(&db, 3, 3000, 3100);
    db.flush().unwrap();
    let stats = db.stats();
    assert!(stats.wal_bytes < long / 4, "{} of {long} bytes", stats.wal_bytes);
    assert_eq!((stats.head_range, stats.active_series), (None, 0));
    drop(db);
    let db = open(&fs).unwrap();
    assert_eq!(part(&contents(&db), TimeRange::new(0, 2999).unwrap(), |_| true), before);
    assert_eq!(db.stats().warnings, [""; 0]);
}

#[test]
fn samples_before_a_cut_are_too_old_and_keep_being_so() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    fill(&db, 0, 0, 2000);
    db.flush().unwrap();
    let refused = append(&db, &[(1, 1899, 1.0), (1, 1900, 1.0), (1, 1901, 1.0)]).unwrap().refused;
    let too_old = |timestamp| SampleError::TooOld { timestamp, oldest: 1901 };
    assert_eq!(refused.iter().map(|r| r.reason).collect::<Vec<_>>(), [too_old(1899), too_old(1900)]);
    drop(db);
    let db = open(&fs).unwrap();
    assert_eq!(append(&db, &[(2, 1900, 1.0)]).unwrap().refused[0].reason, too_old(1900));
}

#[test]
fn a_gap_of_years_costs_nothing() {
    let db = open(&SimFs::new()).unwrap();
    append_all(&db, &[(0, -4_000_000_000_000, 1.0), (0, 0, 2.0), (0, 990_000, 3.0), (1, 991_000, 4.0)]);
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 2);
    db.flush().unwrap();
    assert_eq!(contents(&db).values().map(|samples| samples.len()).sum::<usize>(), 4);
}

#[test]
fn the_ends_of_time_can_be_stored() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let last = 1_000_000 + 365 * 86_400_000;
    append_all(&db, &[(0, i64::MIN, 1.0), (0, last, 2.0), (1, i64::MIN + 1, 3.0)]);
    let expected = contents(&db);
    db.maintain().unwrap();
    assert_eq!(contents(&db), expected);
    db.flush().unwrap();
    assert_eq!(contents(&db), expected);
    drop(db);
    assert_eq!(contents(&open(&fs).unwrap()), expected);
}

#[test]
fn blocks_past_retention_go_in_the_second_round_that_finds_them_so() {
    let fs = SimFs::new();
    let clock = Arc::new(ManualClock::at(2950));
    let options = Options { retention_ms: Some(1950), clock: clock.clone(), ..options() };
    let db = Db::open_on(Arc::new(fs.clone()), Path::new(DIR), options).unwrap();
    fill(&db, 0, 0, 3000);
    db.flush().unwrap();
    assert_eq!(db.stats().blocks, 3);
    let querier = db.querier(TimeRange::ALL).unwrap();
    let all = contents_of(&*querier, &[], TimeRange::ALL);
    // A clock that leaps and comes back deletes nothing.
    for now in [1_000_000, 2950, 1_000_000, 2950] {
        clock.set(now);
        db.maintain().unwrap();
        assert!(db.stats().blocks >= 2, "at {now}");
    }
    db.maintain().unwrap();
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 2);
    assert_eq!(contents_of(&*querier, &[], TimeRange::ALL), all, "open queriers keep what they see");
    drop((querier, db));
    assert_eq!(contents(&open(&fs).unwrap()), part(&all, TimeRange::new(1000, 9000).unwrap(), |_| true));
}

#[test]
fn whether_there_may_be_histograms_is_known_in_the_head_in_blocks_and_after_a_restart() {
    let fs = SimFs::new();
    let mut db = open(&fs).unwrap();
    let may = |db: &Db| db.querier(TimeRange::ALL).unwrap().may_hold_histograms();
    // Series 0 has numbers, series 3 histograms.
    for (series, expected) in [(0, false), (3, true)] {
        append_all(&db, &[(series, 1 + 5000 * series as i64, 1.0)]);
        assert_eq!(may(&db), expected, "in the head");
        db = open(&fs.process_killed()).unwrap();
        assert_eq!(may(&db), expected, "after replay");
        drop(db);
        db = open(&fs).unwrap();
        db.flush().unwrap();
        assert_eq!(may(&db), expected, "in a block");
        drop(db);
        db = open(&fs).unwrap();
        assert_eq!(may(&db), expected, "in a block, after a restart");
    }
}
