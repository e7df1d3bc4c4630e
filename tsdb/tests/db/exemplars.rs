//! Exemplars through the public face: kept, bounded in memory and in the log, there again after anything.

use super::fixture::*;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fault, Loss, SimFs};
use tsdb::{Appendable, Db, Options, TimeRange, Timestamp};
use tsdb_core::read::ExemplarQueryable;
use tsdb_core::{Exemplar, Labels};

fn open_with(fs: &SimFs, max_exemplars: usize) -> Db {
    Db::open_on(Arc::new(fs.clone()), Path::new(DIR), Options { max_exemplars, ..options() }).unwrap()
}

fn exemplar(timestamp: Timestamp) -> Exemplar {
    let labels = Labels::from_pairs([("trace_id", timestamp.to_string().as_str())]).unwrap();
    Exemplar { labels, timestamp, value: 0.5 }
}

/// Appends exemplars of series at times, without samples.
pub(crate) fn append_exemplars(db: &Db, exemplars: &[(usize, Timestamp)]) {
    let mut appender = db.appender();
    for (number, timestamp) in exemplars {
        let series = appender.series(&labels(*number)).unwrap();
        appender.append_exemplar(series, exemplar(*timestamp));
    }
    appender.commit().unwrap();
}

/// The times of all exemplars of each series.
pub(crate) fn kept(db: &Db) -> Vec<(Labels, Vec<Timestamp>)> {
    let found = db.exemplars(&[vec![]], TimeRange::ALL).unwrap();
    let times = |exemplars: Vec<Exemplar>| {
        exemplars.iter().for_each(|found| assert_eq!(*found, exemplar(found.timestamp)));
        exemplars.into_iter().map(|found| found.timestamp).collect()
    };
    found.into_iter().map(|of| (of.labels, times(of.exemplars))).collect()
}

fn segments(fs: &SimFs) -> usize {
    let numbers = fs.files().into_iter().filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        path.parent().is_some_and(|dir| dir.ends_with("wal")) && name.chars().all(|c| c.is_ascii_digit())
    });
    numbers.count()
}

#[test]
fn exemplars_are_found_by_series_and_time() {
    let db = open(&SimFs::new()).unwrap();
    append_exemplars(&db, &[(1, 10), (0, 20), (1, 30)]);
    assert_eq!(kept(&db), [(labels(0), vec![20]), (labels(1), vec![10, 30])]);
    let odd = tsdb::Matcher::new(tsdb_core::MatchOp::Equal, "parity", "odd").unwrap();
    let found = db.exemplars(&[vec![odd]], TimeRange::new(11, 30).unwrap()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].exemplars, [exemplar(30)]);
    assert_eq!(db.stats().exemplars, 3);
}

#[test]
fn exemplars_that_break_a_rule_are_counted_and_cost_the_batch_nothing() {
    let db = open(&SimFs::new()).unwrap();
    append_exemplars(&db, &[(0, 10), (0, 10), (0, 5), (0, i64::MAX)]);
    let stats = db.stats();
    assert_eq!((stats.exemplars_stored, stats.exemplars_refused, stats.failed_commits), (1, 2, 0));
    let none = open_with(&SimFs::new(), 0);
    append_exemplars(&none, &[(0, 10)]);
    assert_eq!(kept(&none), []);
}

#[test]
fn repeated_exemplars_are_not_logged_again() {
    let db = open(&SimFs::new()).unwrap();
    append_exemplars(&db, &[(0, 10), (1, 10)]);
    let before = db.stats().wal_bytes;
    for _ in 0..10 {
        append_exemplars(&db, &[(0, 10), (1, 10)]);
    }
    assert_eq!(db.stats().wal_bytes, before);
}

#[test]
fn exemplars_survive_the_samples_of_their_series_the_log_and_restarts() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    append_exemplars(&db, &[(5, 100), (7, 200)]);
    append_all(&db, &[(5, 100, 1.0), (7, 200, 1.0)]);
    db.flush().unwrap();
    append_all(&db, &[(7, 2 * WINDOW, 1.0)]);
    db.flush().unwrap();
    append_exemplars(&db, &[(7, 300)]);
    assert_eq!(segments(&fs), 1, "the log begins anew");
    let expected = [(labels(5), vec![100]), (labels(7), vec![200, 300])];
    assert_eq!(kept(&db), expected);
    drop(db);
    for loss in [Loss::Nothing, Loss::Everything] {
        assert_eq!(kept(&open(&fs.after_power_cut(loss)).unwrap()), expected);
    }
    // A series whose number another one had.
    let db = open(&fs).unwrap();
    append_exemplars(&db, &[(9, 400)]);
    assert_eq!(kept(&db)[2], (labels(9), vec![400]));
}

#[test]
fn the_ring_is_the_same_after_a_restart_whatever_was_overwritten() {
    let fs = SimFs::new();
    let mut db = open_with(&fs, 4);
    let mut newest = Vec::new();
    for round in 0..12_i64 {
        let batch = [(round as usize % 3, round * 500), (3, round * 500 + 7)];
        append_exemplars(&db, &batch);
        append_all(&db, &[(0, round * 500, 1.0)]);
        newest.extend(batch);
        db.maintain().unwrap();
        let mut model = std::collections::BTreeMap::<_, Vec<_>>::new();
        newest.iter().rev().take(4).rev().for_each(|(s, t)| model.entry(labels(*s)).or_default().push(*t));
        let model: Vec<_> = model.into_iter().collect();
        assert_eq!(kept(&db), model, "round {round}");
        drop(db);
        db = open_with(&fs, 4);
        assert_eq!(kept(&db), model, "round {round} after a restart");
    }
}

#[test]
fn a_log_of_exemplars_alone_is_dropped_too() {
    let fs = SimFs::new();
    let open = || {
        super::fixture::open_with(&fs, Options { checkpoint_log_bytes: 0, max_exemplars: 8, ..options() })
            .unwrap()
    };
    for round in 0..40 {
        let db = open();
        append_exemplars(&db, &[(0, round)]);
        db.maintain().unwrap();
        // Not at once: what is written for checkpoints is no more than the log itself.
        assert!(segments(&fs) < 12, "{:?}", fs.files());
    }
    assert_eq!(kept(&open()), [(labels(0), (32..40).collect::<Vec<_>>())]);
}

#[test]
fn acknowledged_exemplars_survive_a_power_cut_at_every_operation() {
    let live = |fs: &SimFs, acknowledged: &mut Vec<Timestamp>| -> Result<(), Box<dyn std::error::Error>> {
        let mut db = open(fs)?;
        for round in 0..8_i64 {
            let mut appender = db.appender();
            let series = appender.series(&labels(1))?;
            appender.append(series, round * 400, 1.0);
            appender.append_exemplar(series, exemplar(round * 400));
            appender.commit()?;
            acknowledged.push(round * 400);
            db.maintain()?;
            if round == 5 {
                db.close()?;
                db = open(fs)?;
            }
        }
        db.close()?;
        Ok(())
    };
    let fs = SimFs::new();
    live(&fs, &mut Vec::new()).unwrap();
    for stop in 0..fs.op_count() {
        let fs = SimFs::new();
        fs.inject(stop, Fault::Crash);
        let mut acknowledged = Vec::new();
        live(&fs, &mut acknowledged).unwrap_err();
        for loss in [Loss::Everything, Loss::Nothing, Loss::Random(stop as u64)] {
            let found = kept(&open(&fs.after_power_cut(loss)).unwrap());
            let found = found.into_iter().next().map(|(_, times)| times).unwrap_or_default();
            assert!(found.starts_with(&acknowledged), "stopped at {stop}: {found:?} {acknowledged:?}");
            assert!(found.len() <= acknowledged.len() + 1);
        }
    }
}
