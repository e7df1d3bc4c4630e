//! Clocks that go wrong and samples from far away: nothing is lost for it, nothing gets stuck.

use super::fixture::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;
use tsdb::fs::{Fs, SimFs};
use tsdb::{Db, Error, Options, TimeRange};
use tsdb_core::testing::ManualClock;
use tsdb_core::time::Clock;
use tsdb_core::write::SampleError;

const YEAR: i64 = 365 * 86_400_000;

/// A clock that can be set wrong while time goes on.
#[derive(Default)]
struct TwoHands {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl TwoHands {
    fn at(now: i64) -> Arc<Self> {
        Arc::new(Self { wall: AtomicI64::new(now), monotonic: AtomicI64::new(0) })
    }

    fn pass(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
        self.monotonic.fetch_add(ms, Ordering::SeqCst);
    }

    fn leap(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TwoHands {
    fn now(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn monotonic_ms(&self) -> i64 {
        self.monotonic.load(Ordering::SeqCst)
    }
}

fn open_at(fs: &SimFs, clock: &Arc<TwoHands>, retention_ms: Option<i64>) -> Db {
    let options = Options { retention_ms, clock: clock.clone(), ..options() };
    Db::open_on(Arc::new(fs.clone()), Path::new(DIR), options).unwrap()
}

/// A sample each 100 ms from `from` on, the clock going with them, and a round of maintenance each.
fn live(db: &Db, clock: &TwoHands, count: i64) {
    for _ in 0..count {
        append_all(db, &[(0, clock.now(), 1.0)]);
        db.maintain().unwrap();
        clock.pass(100);
    }
}

#[test]
fn a_clock_that_leaps_ahead_expires_nothing_and_refuses_nothing() {
    let fs = SimFs::new();
    let clock = TwoHands::at(0);
    let db = open_at(&fs, &clock, Some(5000));
    live(&db, &clock, 80);
    let before = contents(&db);
    assert!(before[&labels(0)].len() > 50);
    clock.leap(YEAR);
    for _ in 0..5 {
        db.maintain().unwrap();
        clock.pass(10);
    }
    assert_eq!(contents(&db), before);
    append_all(&db, &[(0, 8000, 1.0), (1, 8000, 1.0)]);
    clock.leap(-YEAR);
    append_all(&db, &[(0, clock.now(), 1.0)]);
}

#[test]
fn samples_that_leap_with_the_clock_expire_nothing_before_the_clock_has_been_steady_for_an_hour() {
    let fs = SimFs::new();
    let clock = TwoHands::at(0);
    let db = open_at(&fs, &clock, Some(5000));
    live(&db, &clock, 40);
    let old = TimeRange::new(0, 3999).unwrap();
    let before = part(&contents(&db), old, |_| true);
    db.flush().unwrap();
    clock.leap(YEAR);
    live(&db, &clock, 30);
    assert_eq!(part(&contents(&db), old, |_| true), before);
    clock.pass(3_600_000);
    live(&db, &clock, 3);
    assert_eq!(part(&contents(&db), old, |_| true), Contents::new());
}

#[test]
fn an_idle_head_is_cut_and_takes_the_next_sample_all_the_same() {
    let clock = TwoHands::at(200);
    let db = open_at(&SimFs::new(), &clock, None);
    append_all(&db, &[(0, 100, 1.0), (1, 200, 1.0)]);
    clock.pass(WINDOW);
    db.maintain().unwrap();
    assert_eq!((db.stats().blocks, db.stats().head_range), (1, None));
    append_all(&db, &[(0, 201, 1.0), (1, 999, 1.0)]);
}

#[test]
fn a_flush_leaves_what_is_ahead_of_the_clock_in_the_head() {
    let fs = SimFs::new();
    let clock = TwoHands::at(10_000);
    let db = open_at(&fs, &clock, None);
    append_all(&db, &[(0, 9000, 1.0), (1, 500_000, 1.0)]);
    db.flush().unwrap();
    assert_eq!(db.stats().block_samples, 1);
    append_all(&db, &[(0, 10_001, 1.0)]);
    drop(db);
    let db = open_at(&fs, &clock, None);
    append_all(&db, &[(0, 10_002, 1.0)]);
    assert_eq!(contents(&db)[&labels(1)].len(), 1);
}

#[test]
fn no_sample_is_taken_from_more_than_a_year_ahead() {
    let clock = TwoHands::at(10_000);
    let db = open_at(&SimFs::new(), &clock, None);
    let newest = 10_000 + YEAR;
    let report = append(&db, &[(0, newest, 1.0), (0, newest + 1, 1.0)]).unwrap();
    let reason = SampleError::TooFarInFuture { timestamp: newest + 1, newest };
    assert_eq!((report.accepted, report.refused[0].reason), (1, reason));
}

#[test]
fn windows_before_the_horizon_are_dropped_and_cost_no_block() {
    let fs = SimFs::new();
    let clock = TwoHands::at(1_000_000);
    let db = open_at(&fs, &clock, Some(5000));
    let samples: Vec<Sample> = (-500..=250).map(|k| (0, k * 4000, 1.0)).collect();
    append_all(&db, &samples);
    clock.pass(1);
    db.maintain().unwrap();
    let found = contents(&db);
    assert_eq!(found[&labels(0)].keys().copied().collect::<Vec<_>>(), [996_000, 1_000_000]);
    assert_eq!(db.stats().blocks, 1);
    let too_old = append(&db, &[(1, 994_000, 1.0), (1, 999_000, 1.0)]).unwrap();
    assert!(matches!(too_old.refused[0].reason, SampleError::TooOld { .. }), "{too_old:?}");
    assert_eq!(too_old.refused.len(), 1);
    drop(db);
    assert_eq!(contents(&open_at(&fs, &clock, None))[&labels(0)], found[&labels(0)]);
}

#[test]
fn samples_before_the_horizon_are_too_old() {
    let db = open_at(&SimFs::new(), &TwoHands::at(1_000_000), Some(5000));
    append_all(&db, &[(0, 999_000, 1.0)]);
    db.maintain().unwrap();
    let report = append(&db, &[(1, 993_999, 1.0), (1, 994_000, 1.0)]).unwrap();
    let reason = SampleError::TooOld { timestamp: 993_999, oldest: 994_000 };
    assert_eq!((report.accepted, report.refused[0].reason), (1, reason));
}

#[test]
fn one_round_cuts_so_many_windows_and_the_next_goes_on() {
    let db = open(&SimFs::new()).unwrap();
    let samples: Vec<Sample> = (0..150).map(|k| (0, k * 2000, 1.0)).collect();
    append_all(&db, &samples);
    let before = contents(&db);
    for blocks in [64, 128, 149] {
        db.maintain().unwrap();
        assert_eq!(db.stats().blocks, blocks);
        assert_eq!(contents(&db), before);
    }
}

#[test]
fn closing_waits_for_one_block_and_not_for_all() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let samples: Vec<Sample> = (0..150).map(|k| (0, k * 2000, 1.0)).collect();
    append_all(&db, &samples);
    let is_cutting = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_cutting);
    fs.before_sync(move || {
        seen.store(true, Ordering::SeqCst);
        thread::park_timeout(Duration::from_millis(2));
    });
    thread::scope(|scope| {
        let flush = scope.spawn(|| db.flush());
        while !is_cutting.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        db.close().unwrap();
        assert!(matches!(flush.join().unwrap(), Err(Error::Closed)));
    });
    assert!(db.stats().blocks < 150);
    drop(db);
    assert_eq!(contents(&open(&fs).unwrap())[&labels(0)].len(), 150);
}

#[test]
fn a_clock_set_back_loses_nothing() {
    let fs = SimFs::new();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let options = || Options { retention_ms: Some(5000), clock: clock.clone(), ..options() };
    let db = Db::open_on(Arc::new(fs.clone()), Path::new(DIR), options()).unwrap();
    append_all(&db, &[(0, 998_000, 1.0), (0, 999_000, 1.0)]);
    clock.set(0);
    db.maintain().unwrap();
    db.flush().unwrap();
    assert_eq!(contents(&db)[&labels(0)].len(), 2);
}

/// Blocks, and samples in the head, of the last 4 s before `clock`.
fn lived(fs: &SimFs, clock: &Arc<TwoHands>) -> Contents {
    let db = open_at(fs, clock, Some(5000));
    live(&db, clock, 40);
    let before = contents(&db);
    db.close().unwrap();
    before
}

/// What is found at the times before `end`.
fn before(db: &Db, end: i64) -> Contents {
    part(&contents(db), TimeRange::new(i64::MIN, end - 1).unwrap(), |_| true)
}

#[test]
fn a_server_that_starts_with_its_clock_a_year_ahead_expires_nothing_however_often_it_starts() {
    let fs = SimFs::new();
    let right = TwoHands::at(0);
    let all = lived(&fs, &right);
    // One that was killed did not look at the clock at the end.
    for fs in [fs.process_killed(), fs] {
        for start in 0..3 {
            let wrong = TwoHands::at(4000 + YEAR + start * 2_000_000);
            let db = open_at(&fs, &wrong, Some(5000));
            live(&db, &wrong, 12);
            wrong.pass(1_800_000);
            live(&db, &wrong, 12);
            assert_eq!(before(&db, 4000), all, "start {start}");
            db.close().unwrap();
        }
    }
}

#[test]
fn a_machine_that_was_off_for_a_year_deletes_what_is_old_after_an_hour() {
    let fs = SimFs::new();
    let all = lived(&fs, &TwoHands::at(0));
    let clock = TwoHands::at(YEAR);
    let db = open_at(&fs, &clock, Some(5000));
    live(&db, &clock, 40);
    assert_eq!(before(&db, 4000), all);
    clock.pass(3_600_000);
    live(&db, &clock, 70);
    assert_eq!(before(&db, 4000), Contents::new());
    db.close().unwrap();
    drop(db);
    // And the next start goes on at once.
    let db = open_at(&fs, &clock, Some(5000));
    live(&db, &clock, 70);
    assert_eq!(before(&db, clock.now() - 10_000), Contents::new());
}

#[test]
fn a_lost_or_damaged_file_with_the_time_costs_an_hour_and_no_sample() {
    for damage in [None, Some(&b"31536000000 00000000\n"[..]), Some(b"")] {
        let fs = SimFs::new();
        let all = lived(&fs, &TwoHands::at(0));
        let path = Path::new(DIR).join("clock");
        match damage {
            Some(bytes) => fs.overwrite(&path, bytes).unwrap(),
            None => fs.remove_file(&path).unwrap(),
        }
        let clock = TwoHands::at(YEAR);
        let db = open_at(&fs, &clock, Some(5000));
        live(&db, &clock, 20);
        assert_eq!(before(&db, 4000), all);
    }
}

const DAY: i64 = 86_400_000;

/// Opens the database at `at` for ten minutes, in which samples come.
fn visit(fs: &SimFs, at: i64) -> Contents {
    let clock = TwoHands::at(at);
    let db = open_at(fs, &clock, Some(2 * DAY));
    live(&db, &clock, 15);
    clock.pass(600_000);
    live(&db, &clock, 15);
    let found = contents(&db);
    db.close().unwrap();
    found
}

#[test]
fn a_database_that_is_open_for_minutes_a_day_deletes_what_is_old_some_days_late() {
    let fs = SimFs::new();
    for day in 0..20 {
        let found = visit(&fs, day * DAY);
        let oldest = *found[&labels(0)].first_key_value().unwrap().0 / DAY;
        // Seven sightings, the first of them on the second day, and two days of retention.
        assert_eq!(oldest, (day - 8).max(0), "day {day}");
    }
}

#[test]
fn a_clock_a_year_ahead_at_some_starts_deletes_nothing_of_a_database_that_is_open_for_minutes_a_day() {
    let fs = SimFs::new();
    let mut all = Contents::new();
    for day in 0..10 {
        all = visit(&fs, day * DAY);
    }
    for fs in [fs.process_killed(), fs] {
        for start in 0..6 {
            let found = visit(&fs, 10 * DAY + YEAR + start * 7_200_000);
            let found = part(&found, TimeRange::new(0, 10 * DAY).unwrap(), |_| true);
            // The tenth day was sighted rightly: what was past retention on the fourth may go.
            let kept = TimeRange::new(2 * DAY, 10 * DAY).unwrap();
            assert_eq!(part(&found, kept, |_| true), part(&all, kept, |_| true), "start {start}");
        }
    }
}
