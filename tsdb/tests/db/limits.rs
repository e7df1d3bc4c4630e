//! What is refused, why, and that it leaves no trace.

use super::fixture::*;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::SimFs;
use tsdb::{Appendable, Db, Labels, Options};
use tsdb_core::STALE_NAN;
use tsdb_core::labels::write_wire;
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::testing::ManualClock;
use tsdb_core::write::{SampleError, SeriesError};

fn open_with(fs: &SimFs, options: Options) -> Db {
    Db::open_on(Arc::new(fs.clone()), Path::new(DIR), options).unwrap()
}

#[test]
fn a_series_without_labels_is_none() {
    let db = open(&SimFs::new()).unwrap();
    assert_eq!(db.appender().series(&Labels::empty()), Err(SeriesError::NoLabels));
    assert_eq!(db.stats().active_series, 0);
}

#[test]
fn samples_too_far_ahead_of_the_clock_are_refused() {
    let clock = Arc::new(ManualClock::at(5000));
    let db =
        open_with(&SimFs::new(), Options { future_skew_ms: Some(100), clock: clock.clone(), ..options() });
    let report = append(&db, &[(0, 5100, 1.0), (0, 5101, 1.0), (1, i64::MAX, 1.0)]).unwrap();
    let reasons: Vec<_> = report.refused.iter().map(|r| (r.position, r.reason)).collect();
    let too_far = |timestamp| SampleError::TooFarInFuture { timestamp, newest: 5100 };
    assert_eq!((report.accepted, reasons), (1, vec![(1, too_far(5101)), (2, too_far(i64::MAX))]));
    clock.set(5001);
    append_all(&db, &[(0, 5101, 1.0)]);
    assert_eq!(db.stats().samples_refused.too_far_in_future, 2);
}

#[test]
fn one_bad_sample_costs_itself_and_is_named_by_its_position() {
    let db = open(&SimFs::new()).unwrap();
    let batch = [(0, 10, 1.0), (0, 10, 1.0), (0, 10, 2.0), (0, 5, 1.0), (1, 10, f64::NAN), (1, 10, f64::NAN)];
    let report = append(&db, &batch).unwrap();
    let reasons: Vec<_> = report.refused.iter().map(|r| (r.position, r.reason)).collect();
    let expected = [
        (2, SampleError::Duplicate { timestamp: 10 }),
        (3, SampleError::OutOfOrder { timestamp: 5, newest: 10 }),
    ];
    assert_eq!((report.accepted, &reasons[..]), (4, &expected[..]));
    let refused = db.stats().samples_refused;
    assert_eq!((refused.duplicate, refused.out_of_order, refused.total()), (1, 1, 2));
}

#[test]
fn values_come_back_bit_by_bit_from_memory_log_and_block() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let odd = f64::from_bits(0xfff0_0000_0000_0001);
    let values = [STALE_NAN, odd, f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX];
    let samples: Vec<Sample> = values.iter().enumerate().map(|(t, value)| (0, t as i64, *value)).collect();
    append_all(&db, &samples);
    let expected: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
    let stored = |db: &Db| -> Vec<u64> { contents(db)[&labels(0)].values().copied().collect() };
    assert_eq!(stored(&db), expected);
    drop(db);
    let db = open(&fs).unwrap();
    assert_eq!(stored(&db), expected);
    db.flush().unwrap();
    assert_eq!(stored(&db), expected);
}

#[test]
fn a_known_series_is_recognised_by_its_wire_form_alone() {
    let db = open(&SimFs::new()).unwrap();
    append_all(&db, &[(0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0)]);
    let mut appender = db.appender();
    for round in 0..3 {
        for series in [0, 2, 1] {
            let mut wire = Vec::new();
            write_wire(&labels(series), &mut wire);
            let by_wire = appender.lookup(&wire);
            assert_eq!(by_wire, appender.series(&labels(series)).ok(), "round {round}");
            assert_eq!(appender.lookup(&wire[1..]), None);
        }
    }
    assert_eq!(appender.lookup(b""), None);
    let mut unknown = Vec::new();
    write_wire(&labels(9), &mut unknown);
    assert_eq!(appender.lookup(&unknown), None);
}

#[test]
fn a_batch_that_is_dropped_leaves_no_samples() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let mut appender = db.appender();
    let series = appender.series(&labels(0)).unwrap();
    appender.append(series, 1, 1.0);
    drop(appender);
    append_all(&db, &[(1, 1, 1.0)]);
    assert_eq!(contents(&db).len(), 1);
    drop(db);
    assert_eq!(contents(&open(&fs).unwrap()).len(), 1);
}

#[test]
fn metadata_survives_restarts_and_checkpoints() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let counter = Metadata { metric_type: MetricType::Counter, unit: "bytes".into(), help: "Sent.".into() };
    for (metric, help) in [("b_total", "Sent."), ("a_total", "Old."), ("a_total", "Sent.")] {
        let mut appender = db.appender();
        appender.set_metadata(metric, Metadata { help: help.into(), ..counter.clone() });
        appender.commit().unwrap();
    }
    let expected = vec![("a_total".to_owned(), counter.clone()), ("b_total".to_owned(), counter)];
    assert_eq!(db.metadata(), expected);
    for time in 1..4 {
        append_all(&db, &[(0, time * 1000, 1.0)]);
        db.flush().unwrap();
    }
    drop(db);
    assert_eq!(open(&fs).unwrap().metadata(), expected);
}

#[test]
fn metadata_beyond_a_limit_is_ignored_and_counted() {
    let fs = SimFs::new();
    let limited = || Options { max_metadata_metrics: 3, max_metadata_bytes: 6000, ..options() };
    let db = open_with(&fs, limited());
    let help = |help: String| Metadata { help, ..Metadata::default() };
    let say = |metric: &str, text: String| {
        let mut appender = db.appender();
        appender.set_metadata(metric, help(text));
        appender.commit().unwrap();
    };
    say("long", "\u{e9}".repeat(5000));
    say("too_much", "x".repeat(3000));
    ["a", "b", "one_too_many"].into_iter().for_each(|metric| say(metric, "Short.".into()));
    say("a", "Other.".into());
    let known = db.metadata();
    let names: Vec<_> = known.iter().map(|(metric, _)| metric.as_str()).collect();
    assert_eq!((names, known[2].1.help.len()), (vec!["a", "b", "long"], 4096));
    assert_eq!(known[0].1.help, "Other.");
    assert_eq!((db.stats().metadata_metrics, db.stats().metadata_refused), (3, 2));
    drop(db);
    assert_eq!(open_with(&fs, limited()).metadata(), known);
}
