//! How many series a database takes: exactly as many as its limits say, and what is refused leaves no trace.

use super::fixture::*;
use super::replay::Door;
use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread;
use tsdb::fs::SimFs;
use tsdb::{Appendable, Db, Labels, MetricRule, Options, Replay, SeriesLimits};
use tsdb_core::testing::ManualClock;
use tsdb_core::write::{Exceeded, Origin, SampleError, SeriesError, SeriesLimit};

fn active(max: u64) -> Arc<SeriesLimits> {
    Arc::new(SeriesLimits { max_active: Some(max), ..SeriesLimits::default() })
}

fn open_limited(fs: &SimFs, limits: Arc<SeriesLimits>) -> Db {
    open_with(fs, Options { series_limits: limits, ..options() }).unwrap()
}

fn open_in_background(fs: &SimFs, limits: Arc<SeriesLimits>) -> Db {
    open_with(fs, Options { series_limits: limits, replay: Replay::Background, ..options() }).unwrap()
}

fn refusal(limit: SeriesLimit, allowed: u64, series: Labels) -> Result<tsdb::SeriesRef, SeriesError> {
    Err(SeriesError::Limit { exceeded: Exceeded { limit, allowed, found: allowed }, series })
}

#[test]
fn new_series_beyond_the_limit_are_refused_and_known_ones_keep_flowing() {
    let fs = SimFs::new();
    let db = open_limited(&fs, active(3));
    append_all(&db, &[(0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0)]);
    let log = db.stats().wal_bytes;
    assert_eq!(db.appender().series(&labels(3)), refusal(SeriesLimit::Active, 3, labels(3)));
    let mut batch = db.appender();
    let exceeded = Exceeded { limit: SeriesLimit::Active, allowed: 3, found: 3 };
    assert_eq!((batch.closed(), batch.closed()), (Some(exceeded), Some(exceeded)));
    batch.note_refused();
    batch.note_refused();
    drop(batch);
    let stats = db.stats();
    assert_eq!((stats.active_series, stats.series_created, stats.wal_bytes), (3, 3, log));
    assert_eq!((stats.series_refused.active, stats.series_refused.total()), (3, 3));
    assert_eq!(db.cardinality(10).label_pairs, 6, "a metric, two parities, three numbers");
    append_all(&db, &[(0, 2, 1.0), (2, 2, 1.0)]);
    drop(db);
    assert!(!contents(&open_limited(&fs, active(3))).contains_key(&labels(3)));
}

#[test]
fn replay_never_refuses_but_counts() {
    let fs = SimFs::new();
    append_all(&open_limited(&fs, active(3)), &[(0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0)]);
    let db = open_limited(&fs, active(1));
    assert_eq!((contents(&db).len(), db.stats().active_series), (3, 3));
    assert_eq!((db.cardinality(1).series, db.cardinality(1).top_metrics[0].count), (3, 3));
    append_all(&db, &[(0, 2, 1.0), (1, 2, 1.0)]);
    let exceeded = Exceeded { limit: SeriesLimit::Active, allowed: 1, found: 3 };
    assert_eq!(db.appender().series(&labels(3)), Err(SeriesError::Limit { exceeded, series: labels(3) }));
}

#[test]
fn series_over_a_limit_in_a_batch_begun_during_replay_and_committed_after_it_are_refused_for_it() {
    let fs = SimFs::new();
    append_all(&open_limited(&fs, active(2)), &[(0, 1, 1.0), (1, 1, 1.0)]);
    let door = Door::shut(&fs);
    let db = open_in_background(&fs, active(3));
    let mut appender = db.appender();
    for number in [7, 8, 0, 8, 9, 7] {
        let series = appender.series(&labels(number)).unwrap();
        appender.append(series, 5, 1.0);
    }
    door.open();
    db.wait_for_replay();
    let report = appender.commit().unwrap();
    let exceeded = Exceeded { limit: SeriesLimit::Active, allowed: 3, found: 3 };
    let refused: Vec<_> = report.refused.iter().map(|refused| (refused.position, refused.reason)).collect();
    assert_eq!(refused, [1, 3, 4].map(|position| (position, SampleError::SeriesLimit { exceeded })));
    let stats = db.stats();
    assert_eq!((report.accepted, stats.active_series), (3, 3));
    assert_eq!((stats.series_refused.active, stats.samples_refused.unknown_series), (3, 0));
}

#[test]
fn a_new_database_has_nothing_to_replay_and_asks_its_limits_from_the_first_batch_on() {
    for _ in 0..50 {
        let db = open_in_background(&SimFs::new(), active(0));
        assert_eq!(db.stats().unreplayed_bytes, None);
        assert_eq!(db.appender().series(&labels(0)), refusal(SeriesLimit::Active, 0, labels(0)));
    }
}

#[test]
fn limits_change_while_the_database_is_open() {
    let db = open_limited(&SimFs::new(), active(1));
    append_all(&db, &[(0, 1, 1.0)]);
    assert!(db.appender().series(&labels(1)).is_err());
    db.set_series_limits(&active(2));
    append_all(&db, &[(1, 1, 1.0)]);
    db.set_series_limits(&active(1));
    assert_eq!(*db.series_limits(), *active(1));
    append_all(&db, &[(0, 2, 1.0), (1, 2, 1.0)]);
    assert!(db.appender().series(&labels(2)).is_err());
    db.set_series_limits(&Arc::default());
    append_all(&db, &[(2, 3, 1.0)]);
}

#[test]
fn room_is_made_when_series_end() {
    let db = open_limited(&SimFs::new(), active(1));
    append_all(&db, &[(0, 1, 1.0)]);
    assert!(db.appender().series(&labels(1)).is_err());
    db.flush().unwrap();
    append_all(&db, &[(1, 2, 1.0)]);
}

#[test]
fn series_that_never_get_a_sample_make_room_in_time() {
    let db = open_limited(&SimFs::new(), active(1));
    db.appender().series(&labels(0)).unwrap();
    assert!(db.appender().series(&labels(1)).is_err());
    (0..16).for_each(|_| db.maintain().unwrap());
    append_all(&db, &[(1, 1, 1.0)]);
}

#[test]
fn series_that_stopped_make_room_once_others_are_refused() {
    let limited = Options {
        block_range_ms: 60_000,
        idle_series_ms: 1000,
        min_idle_series: 1000,
        series_limits: active(4),
        ..options()
    };
    let db = open_with(&SimFs::new(), limited).unwrap();
    append_all(&db, &[(0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0), (3, 1, 1.0)]);
    append_all(&db, &[(0, 5000, 1.0), (1, 5000, 1.0)]);
    let maintain = || (0..4).for_each(|_| db.maintain().unwrap());
    maintain();
    let stats = db.stats();
    assert_eq!((stats.active_series, stats.idle_series), (4, 2), "two idle series are not worth a block");
    assert!(db.appender().series(&labels(4)).is_err());
    maintain();
    assert_eq!(db.stats().active_series, 2);
    append_all(&db, &[(4, 5000, 1.0), (5, 5000, 1.0)]);
    assert_eq!(contents(&db).len(), 6);
}

#[test]
fn new_series_of_a_minute_are_counted_apart_for_each_way_in() {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let limits = SeriesLimits {
        max_new_per_minute: BTreeMap::from([(Origin::Push, 2), (Origin::Rule, 1)]),
        ..SeriesLimits::default()
    };
    let limited = Options { series_limits: Arc::new(limits), clock: clock.clone(), ..options() };
    let db = open_with(&SimFs::new(), limited).unwrap();
    let register = |origin, series| {
        let mut batch = db.appender();
        batch.set_origin(origin);
        batch.series(&labels(series)).map(drop)
    };
    assert_eq!((register(Origin::Push, 0), register(Origin::Push, 1)), (Ok(()), Ok(())));
    assert_eq!(register(Origin::Push, 0), Ok(()), "known series do not count");
    let refused = |allowed, series| refusal(SeriesLimit::NewPerMinute, allowed, labels(series)).map(drop);
    assert_eq!(register(Origin::Push, 2), refused(2, 2));
    assert_eq!(register(Origin::Rule, 3), Ok(()));
    assert_eq!(register(Origin::Rule, 4), refused(1, 4));
    (5..10).for_each(|series| assert_eq!(register(Origin::Embedded, series), Ok(())));
    let stats = db.stats();
    assert_eq!((stats.series_created_last_minute, stats.series_refused.new_per_minute), (8, 2));
    clock.set(1_060_000);
    assert_eq!(register(Origin::Push, 2), refused(2, 2), "within a minute and the rest of a second");
    clock.set(1_061_000);
    assert_eq!((register(Origin::Push, 2), register(Origin::Push, 4)), (Ok(()), Ok(())));
    assert_eq!(register(Origin::Push, 11), refused(2, 11));
}

#[test]
fn removed_series_of_a_minute_are_counted() {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let db = open_with(&SimFs::new(), Options { clock: clock.clone(), ..options() }).unwrap();
    append_all(&db, &[(0, 1, 1.0), (1, 1, 1.0)]);
    db.flush().unwrap();
    assert_eq!(db.stats().series_removed_last_minute, 2);
    clock.set(1_061_000);
    let stats = db.stats();
    assert_eq!(
        (stats.series_created_last_minute, stats.series_removed_last_minute, stats.series_removed),
        (0, 0, 2)
    );
}

#[test]
fn a_metric_that_is_declared_high_cardinality_needs_approval() {
    let limits = |approved| {
        let rule = MetricRule { approved, max_series: Some(2) };
        let high_cardinality = BTreeMap::from([("metric".to_owned(), rule)]);
        Arc::new(SeriesLimits { max_per_metric: Some(1), high_cardinality, ..SeriesLimits::default() })
    };
    let db = open_limited(&SimFs::new(), limits(false));
    assert_eq!(db.appender().series(&labels(0)), Err(SeriesError::NotApproved { series: labels(0) }));
    db.set_series_limits(&limits(true));
    append_all(&db, &[(0, 1, 1.0), (1, 1, 1.0)]);
    assert_eq!(db.appender().series(&labels(2)), refusal(SeriesLimit::PerMetric, 2, labels(2)));
    let refused = db.stats().series_refused;
    assert_eq!((refused.not_approved, refused.per_metric), (1, 1));
}

/// Series of the metrics `m0` and `m1`, the label `user` with a value for every other one.
fn crowd(number: usize) -> Labels {
    let pairs = [
        ("__name__", ["m0", "m1"][number % 2]),
        ("number", &number.to_string()),
        ("user", &(number / 4).to_string()),
    ];
    Labels::from_pairs(pairs).unwrap()
}

/// Has 8 threads register the same series in orders of their own, while other series come and go.
fn stampede(db: &Db, series: usize, time: i64) {
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for writer in 0..8 {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                for step in 0..series {
                    let number = (step * 7 + writer * series / 8) % series;
                    let mut batch = db.appender();
                    if let Ok(known) = batch.series(&crowd(number)) {
                        batch.append(known, time + writer as i64, 1.0);
                        batch.commit().unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn eight_writers_at_a_time_fill_a_limit_exactly() {
    const SERIES: usize = 1000;
    let count = |limits: SeriesLimits| {
        let db = open_limited(&SimFs::new(), Arc::new(limits));
        stampede(&db, SERIES, 1);
        let counts = db.cardinality(4);
        assert_eq!(counts.series, db.stats().active_series);
        assert_eq!(contents(&db).len() as u64, counts.series);
        assert_eq!(counts.series, db.stats().series_created);
        counts
    };
    let none = SeriesLimits::default;
    assert_eq!(count(none()).series, SERIES as u64);
    assert_eq!(count(SeriesLimits { max_active: Some(137), ..none() }).series, 137);
    let per_minute = BTreeMap::from([(Origin::Embedded, 211)]);
    assert_eq!(count(SeriesLimits { max_new_per_minute: per_minute, ..none() }).series, 211);
    let per_metric = count(SeriesLimits { max_per_metric: Some(99), ..none() });
    assert_eq!(per_metric.top_metrics.iter().map(|metric| metric.count).collect::<Vec<_>>(), [99, 99]);
    let values = count(SeriesLimits { max_label_values_per_metric: Some(50), ..none() });
    assert_eq!(values.top_metrics.iter().map(|metric| metric.count).collect::<Vec<_>>(), [50, 50]);
}

#[test]
fn a_limit_holds_while_series_come_and_go() {
    let limits = Arc::new(SeriesLimits {
        max_active: Some(100),
        max_per_metric: Some(60),
        max_label_values_per_metric: Some(40),
        ..SeriesLimits::default()
    });
    let db = open_limited(&SimFs::new(), limits);
    for round in 0..5 {
        stampede(&db, 300, 1 + round * WINDOW);
        let counts = db.cardinality(2);
        assert!(counts.series <= 100, "{counts:?}");
        assert!(counts.top_metrics.iter().all(|metric| metric.count <= 60), "{counts:?}");
        db.flush().unwrap();
        let left = db.cardinality(2);
        assert_eq!((left.series, left.label_pairs), (0, 0), "round {round}");
    }
}
