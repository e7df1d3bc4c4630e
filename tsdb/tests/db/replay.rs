//! Batches that come in while the log is being replayed.

use super::exemplars::{append_exemplars, kept};
use super::fixture::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use tsdb::fs::{Fault, Loss, SimFs};
use tsdb::{Appendable, Db, Matcher, Options, Queryable, Replay, TimeRange};
use tsdb_core::MatchOp;
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::read::SelectHints;
use tsdb_core::testing::ManualClock;
use tsdb_core::write::SampleError;

/// A door that replay stops at.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    /// Holds up the threads that replay a log of `fs`.
    pub(crate) fn shut(fs: &SimFs) -> Self {
        let door = Self::default();
        let held_up = door.clone();
        fs.before_read(move || {
            if std::thread::current().name() == Some("tsdb-replay") {
                let (is_open, opened) = &*held_up.0;
                drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
            }
        });
        door
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

fn in_background() -> Options {
    Options { replay: Replay::Background, checkpoint_log_bytes: 300, ..options() }
}

fn open_in_background(fs: &SimFs) -> Db {
    Db::open_on(Arc::new(fs.clone()), Path::new(DIR), in_background()).unwrap()
}

/// A disk with a log of series 0 and 1, and what is in it.
fn logged() -> (SimFs, Contents) {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let mut known = Contents::new();
    append_noting(&db, &[(0, 1, 1.0), (1, 1, 2.0), (0, 2, 3.0)], &mut known);
    (fs.process_killed(), known)
}

fn append_noting(db: &Db, samples: &[Sample], known: &mut Contents) {
    let report = append(db, samples).unwrap();
    assert_eq!(report.refused, vec![]);
    append_into(known, samples);
}

fn append_into(known: &mut Contents, samples: &[Sample]) {
    for (series, timestamp, value) in samples {
        // The sample written first stays.
        let series = known.entry(labels(*series)).or_default();
        series.entry(*timestamp).or_insert(value.to_bits());
    }
}

#[test]
fn a_batch_is_taken_at_once_and_seen_when_replay_has_come_to_it() {
    let (fs, mut known) = logged();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    append_noting(&db, &[(0, 3, 4.0), (7, 3, 5.0), (7, 4, 6.0)], &mut known);
    append_noting(&db, &[(1, 4, 7.0), (7, 5, 8.0)], &mut known);
    assert!(db.stats().unreplayed_bytes.is_some_and(|left| left > 0));
    door.open();
    db.wait_for_replay();
    assert_eq!(db.stats().unreplayed_bytes, None);
    assert_eq!(contents(&db), known);
    append_noting(&db, &[(0, 5, 9.0), (7, 6, 10.0), (8, 6, 11.0)], &mut known);
    assert_eq!(contents(&db), known);
    assert_eq!(db.stats().active_series, 4);
}

/// A log of more samples than one thread takes, of all kinds, with late ones and series that come and go, in several
/// segments. Its samples are in some blocks too.
#[test]
fn a_long_log_is_replayed_by_several_threads_while_queries_run() {
    let fs = SimFs::new();
    let options = || Options { out_of_order_window_ms: 2 * WINDOW, ..in_background() };
    let db = open_with(&fs, options()).unwrap();
    db.wait_for_replay();
    let mut known = Contents::new();
    for scrape in 0..40 {
        let time = scrape * 100;
        // Two pages of series, of which some come later and some end; every fifth has a late sample.
        let series = |number: &usize| (scrape as usize) < 25 + number % 20 && number / 40 <= scrape as usize;
        let mut batch: Vec<_> =
            (0..400).filter(series).map(|s| (s, time, (s as i64 + time) as f64)).collect();
        append_noting(&db, &batch, &mut known);
        batch.retain(|(number, ..)| number % 5 == 0 && scrape % 3 == 2);
        batch.iter_mut().for_each(|sample| sample.1 -= 50);
        append_noting(&db, &batch, &mut known);
        if scrape == 30 {
            db.maintain().unwrap();
        }
    }
    assert_eq!(contents(&db), known);
    drop(db);
    for _ in 0..2 {
        let db = open_with(&fs, options()).unwrap();
        let reader = Reader::start(&db);
        append_noting(&db, &[(399, 4000, 1.0), (500, 4000, 2.0)], &mut known);
        db.wait_for_replay();
        drop(reader);
        assert_eq!(contents(&db), known);
        assert_eq!(db.stats().warnings, Vec::<String>::new());
    }
}

#[test]
fn an_answer_says_that_it_may_be_incomplete_until_all_is_replayed() {
    let (fs, known) = logged();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    let select = || {
        let querier = db.querier(TimeRange::ALL).unwrap();
        querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap()
    };
    let before = select();
    assert_eq!(before.len(), 0);
    assert_eq!(before.warnings().len(), 1);
    assert!(before.warnings()[0].contains("still to be replayed"), "{:?}", before.warnings());
    door.open();
    db.wait_for_replay();
    assert_eq!((read(&*select()), select().warnings()), (known, vec![]));
}

#[test]
fn what_was_taken_during_replay_survives_a_crash_during_replay() {
    for loss in [Loss::Everything, Loss::Nothing] {
        let (mut fs, mut known) = logged();
        for round in 0..3 {
            let _door = Door::shut(&fs);
            let db = open_in_background(&fs);
            append_noting(&db, &[(0, 10 + round, 1.0), (7, 10 + round, 2.0)], &mut known);
            let after = fs.after_power_cut(loss);
            // The thread would wait for ever.
            _door.open();
            drop(db);
            fs = after;
        }
        assert_eq!(contents(&open(&fs).unwrap()), known, "{loss:?}");
    }
}

#[test]
fn a_series_first_seen_during_replay_keeps_its_samples_through_the_next_replay() {
    let (fs, mut known) = logged();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    append_noting(&db, &[(7, 3, 1.0), (0, 3, 2.0), (8, 3, 3.0)], &mut known);
    door.open();
    db.wait_for_replay();
    // Other series get numbers now, and those of before are logged under theirs.
    append_noting(&db, &[(9, 4, 4.0), (8, 4, 5.0), (7, 4, 6.0), (1, 4, 7.0)], &mut known);
    assert_eq!(contents(&db), known);
    let fs = fs.process_killed();
    assert_eq!(contents(&open(&fs).unwrap()), known);
    // And in the background, with more of the same.
    let fs = fs.process_killed();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    append_noting(&db, &[(9, 5, 8.0), (10, 5, 9.0)], &mut known);
    door.open();
    db.wait_for_replay();
    assert_eq!(contents(&db), known);
}

#[test]
fn of_two_samples_at_one_time_the_one_written_first_stays() {
    let (fs, known) = logged();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    let report = append(&db, &[(0, 1, 99.0), (0, 2, 3.0)]).unwrap();
    assert_eq!(report.accepted, 2);
    door.open();
    db.wait_for_replay();
    assert_eq!(contents(&db), known);
}

#[test]
fn what_can_be_judged_during_replay_is_refused_at_once() {
    let (fs, known) = logged();
    let db = open(&fs).unwrap();
    db.flush().unwrap();
    drop(db);
    let door = Door::shut(&fs);
    let skewed =
        Options { future_skew_ms: Some(1000), clock: Arc::new(ManualClock::at(5000)), ..in_background() };
    let db = Db::open_on(Arc::new(fs.clone()), Path::new(DIR), skewed).unwrap();
    let report = append(&db, &[(0, 1, 5.0), (0, 6001, 5.0), (0, 6000, 5.0)]).unwrap();
    assert_eq!(report.accepted, 1);
    let reasons: Vec<_> = report.refused.iter().map(|refused| (refused.position, refused.reason)).collect();
    let expected = [
        (0, SampleError::TooOld { timestamp: 1, oldest: 3 }),
        (1, SampleError::TooFarInFuture { timestamp: 6001, newest: 6000 }),
    ];
    assert_eq!(reasons, expected);
    door.open();
    db.wait_for_replay();
    let mut expected = known;
    expected.entry(labels(0)).or_default().insert(6000, 5.0_f64.to_bits());
    assert_eq!(contents(&db), expected);
}

#[test]
fn the_window_of_late_samples_is_that_of_all_the_log_during_replay() {
    for (window, oldest) in [(500, 3001), (2000, 2000)] {
        let fs = SimFs::new();
        let options = || Options { out_of_order_window_ms: window, ..in_background() };
        let db = open_with(&fs, options()).unwrap();
        let mut known = Contents::new();
        append_noting(&db, &(0..=30).map(|k| (0, k * 100, 1.0)).collect::<Vec<_>>(), &mut known);
        db.flush().unwrap();
        append_noting(&db, &(31..=40).map(|k| (0, k * 100, 1.0)).collect::<Vec<_>>(), &mut known);
        let fs = fs.process_killed();
        let door = Door::shut(&fs);
        let db = open_with(&fs, options()).unwrap();
        let batch = [(0, oldest - 1, 2.0), (0, oldest, 2.0), (0, 3350, 2.0)];
        let report = append(&db, &batch).unwrap();
        let refused: Vec<_> =
            report.refused.iter().map(|refused| (refused.position, refused.reason)).collect();
        assert_eq!(refused, [(0, SampleError::TooOld { timestamp: oldest - 1, oldest })]);
        door.open();
        db.wait_for_replay();
        append_into(&mut known, &batch[1..]);
        assert_eq!(contents(&db), known);
        db.flush().unwrap();
        assert_eq!(contents(&db), known);
        assert_eq!(contents(&open(&fs.process_killed()).unwrap()), known);
    }
}

#[test]
fn a_batch_begun_during_replay_and_committed_after_it_is_applied() {
    let (fs, mut known) = logged();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    let mut appender = db.appender();
    for (series, timestamp) in [(0, 5), (7, 5)] {
        let series = appender.series(&labels(series)).unwrap();
        appender.append(series, timestamp, 1.0);
    }
    door.open();
    db.wait_for_replay();
    assert_eq!(appender.commit().unwrap().accepted, 2);
    for series in [0, 7] {
        known.entry(labels(series)).or_default().insert(5, 1.0_f64.to_bits());
    }
    assert_eq!(contents(&db), known);
}

#[test]
fn metadata_told_during_replay_replaces_what_the_log_says() {
    let fs = SimFs::new();
    let tell = |db: &Db, help: &str| {
        let mut appender = db.appender();
        let help = Metadata { metric_type: MetricType::Gauge, help: help.into(), unit: String::new() };
        appender.set_metadata("metric", help);
        appender.commit().unwrap();
    };
    let db = open(&fs).unwrap();
    append_all(&db, &[(0, 1, 1.0)]);
    tell(&db, "old");
    let fs = fs.process_killed();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    tell(&db, "new");
    door.open();
    db.wait_for_replay();
    assert_eq!(db.metadata()[0].1.help, "new");
}

#[test]
fn exemplars_that_come_in_during_replay_are_kept_in_their_order() {
    let (fs, _) = logged();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    append_exemplars(&db, &[(7, 3), (0, 4), (7, 5)]);
    append_exemplars(&db, &[(7, 4), (7, 6), (0, 4)]);
    door.open();
    db.wait_for_replay();
    let expected = [(labels(0), vec![4]), (labels(7), vec![3, 5, 6])];
    assert_eq!(kept(&db), expected);
    // And through replays of what that one left.
    let fs = fs.process_killed();
    let db = open(&fs).unwrap();
    assert_eq!(kept(&db), expected);
    append_exemplars(&db, &[(0, 7), (9, 8)]);
    let expected = [(labels(0), vec![4, 7]), (labels(7), vec![3, 5, 6]), (labels(9), vec![8])];
    assert_eq!(kept(&db), expected);
    assert_eq!(kept(&open(&fs.process_killed()).unwrap()), expected);
}

#[test]
fn closing_during_replay_loses_nothing() {
    let (fs, mut known) = logged();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    append_noting(&db, &[(7, 3, 1.0)], &mut known);
    let closing = {
        let db = db.clone();
        std::thread::spawn(move || db.close())
    };
    door.open();
    closing.join().unwrap().unwrap();
    append(&db, &[(7, 4, 1.0)]).unwrap_err();
    drop(db);
    assert_eq!(contents(&open(&fs).unwrap()), known);
}

#[test]
fn a_flush_waits_for_replay() {
    let (fs, mut known) = logged();
    let door = Door::shut(&fs);
    let db = open_in_background(&fs);
    append_noting(&db, &[(7, 3, 1.0)], &mut known);
    db.maintain().unwrap();
    let flushing = {
        let db = db.clone();
        std::thread::spawn(move || db.flush())
    };
    door.open();
    flushing.join().unwrap().unwrap();
    assert_eq!(db.stats().blocks, 1);
    assert_eq!(contents(&db), known);
}

#[test]
fn writers_that_never_pause_are_caught_up_with() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let mut known = Contents::new();
    for time in 0..200 {
        append_noting(&db, &(0..20).map(|series| (series, time, 1.0)).collect::<Vec<_>>(), &mut known);
    }
    let fs = fs.process_killed();
    let db = open_in_background(&fs);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2_usize)
        .map(|writer| {
            let (db, stop) = (db.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut known = Contents::new();
                for time in 200.. {
                    // Each writer has series of its own, known and new.
                    let mine = (0..30_usize).filter(|series| series % 2 == writer);
                    append_noting(
                        &db,
                        &mine.map(|series| (series, time, 2.0)).collect::<Vec<_>>(),
                        &mut known,
                    );
                    if stop.load(Ordering::SeqCst) && time > 400 {
                        return known;
                    }
                }
                known
            })
        })
        .collect();
    db.wait_for_replay();
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        for (labels, samples) in writer.join().unwrap() {
            known.entry(labels).or_default().extend(samples);
        }
    }
    assert_eq!(contents(&db), known);
    assert_eq!(contents(&open(&fs.process_killed()).unwrap()), known);
}

/// Asks a database for all it has, again and again until it is dropped.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Reader {
    fn start(db: &Db) -> Self {
        let (db, stop) = (db.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let read = move || {
            while !stopped.load(Ordering::SeqCst) {
                drop((contents(&db), db.stats()));
            }
        };
        Self { stop, thread: Some(std::thread::spawn(read)) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Sample>),
    Maintain,
    /// Of one series, from so long ago on, for a while.
    Delete(usize, i64, i64),
    Reopen {
        kill: bool,
        during: Vec<Vec<Sample>>,
        finishes: bool,
    },
}

fn batch() -> impl Strategy<Value = Vec<Sample>> {
    let sample = (0..8_usize, 0..40_i64, prop_oneof![Just(1.0), Just(f64::NAN), any::<f64>()]);
    prop::collection::vec(sample, 0..12).prop_map(|mut samples| {
        // In order of time and no time twice, so that nothing is refused.
        samples.sort_by_key(|(series, time, _)| (*series, *time));
        samples.dedup_by_key(|(series, time, _)| (*series, *time));
        samples
    })
}

fn step() -> impl Strategy<Value = Step> {
    let during = prop::collection::vec(batch(), 0..4);
    let reopen = (any::<bool>(), during, any::<bool>()).prop_map(|(kill, during, finishes)| Step::Reopen {
        kill,
        during,
        finishes,
    });
    let delete =
        (0..8_usize, 0..160_i64, 0..100_i64).prop_map(|(which, ago, len)| Step::Delete(which, ago, len));
    prop_oneof![4 => batch().prop_map(Step::Append), 1 => Just(Step::Maintain), 2 => delete, 2 => reopen]
}

/// The samples of `batch` at times that nothing has had so far.
fn later(batch: &[Sample], time: &mut i64) -> Vec<Sample> {
    let start = *time;
    *time += 50;
    batch.iter().map(|(series, offset, value)| (*series, start + offset, *value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_histories_with_batches_during_replay_lose_and_invent_nothing(
        steps in prop::collection::vec(step(), 1..14)
    ) {
        // With nothing to read, replay would come to the door only when batches wait for it.
        let (mut fs, mut known) = logged();
        let mut db = open(&fs).unwrap();
        let mut time = 10;
        let mut exemplars = BTreeMap::<_, Vec<_>>::new();
        for step in steps {
            match step {
                Step::Append(batch) => append_noting(&db, &later(&batch, &mut time), &mut known),
                Step::Maintain => db.maintain().unwrap(),
                Step::Delete(which, ago, len) => {
                    let range = TimeRange::new(time - ago, time - ago + len).unwrap();
                    let series = Matcher::new(MatchOp::Equal, "series", which.to_string()).unwrap();
                    db.delete(&[series], range).unwrap();
                    take_out(&mut known, range, |of| *of == labels(which));
                    exemplars.entry(labels(which)).or_default().retain(|at| !range.contains(*at));
                    exemplars.retain(|_, times| !times.is_empty());
                }
                Step::Reopen { kill, during, finishes } => {
                    if kill {
                        fs = fs.process_killed();
                    }
                    drop(db);
                    let door = Door::shut(&fs);
                    db = open_in_background(&fs);
                    for batch in during {
                        let batch = later(&batch, &mut time);
                        append_noting(&db, &batch, &mut known);
                        let times = batch.iter().map(|(series, timestamp, _)| (*series, *timestamp));
                        append_exemplars(&db, &times.clone().collect::<Vec<_>>());
                        for (series, timestamp) in times {
                            exemplars.entry(labels(series)).or_default().push(timestamp);
                        }
                    }
                    let reader = Reader::start(&db);
                    if !finishes {
                        // Killed in the middle of it.
                        let killed = fs.process_killed();
                        door.open();
                        drop(db);
                        fs = killed;
                        db = open(&fs).unwrap();
                    }
                    door.open();
                    db.wait_for_replay();
                    drop(reader);
                }
            }
            prop_assert_eq!(&contents(&db), &known);
            prop_assert_eq!(kept(&db), exemplars.clone().into_iter().collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn late_samples_before_during_and_after_replay_are_there_once(
        steps in prop::collection::vec(step(), 1..14)
    ) {
        let options = || Options { out_of_order_window_ms: 1_000_000, ..in_background() };
        let (mut fs, mut known) = logged();
        let mut db = open_with(&fs, options()).unwrap();
        // Anywhere in time. What a series has at a time is always the same, so that nothing is refused.
        let anywhere = |batch: Vec<Sample>| -> Vec<Sample> {
            let placed = batch.into_iter().map(|(series, time, value)| {
                let time = 10 + time * 97 % 2500 + (value.to_bits() % 7) as i64 * 400;
                (series, time, (series as i64 * 10_000 + time) as f64)
            });
            placed.collect()
        };
        for step in steps {
            match step {
                Step::Append(batch) => append_noting(&db, &anywhere(batch), &mut known),
                Step::Maintain => db.flush().unwrap(),
                Step::Delete(which, from, len) => {
                    let range = TimeRange::new(from * 20, (from + len) * 20).unwrap();
                    let series = Matcher::new(MatchOp::Equal, "series", which.to_string()).unwrap();
                    db.delete(&[series], range).unwrap();
                    take_out(&mut known, range, |of| *of == labels(which));
                }
                Step::Reopen { kill, during, finishes } => {
                    if kill {
                        fs = fs.process_killed();
                    }
                    drop(db);
                    let door = Door::shut(&fs);
                    db = open_with(&fs, options()).unwrap();
                    for batch in during {
                        append_noting(&db, &anywhere(batch), &mut known);
                    }
                    if !finishes {
                        let killed = fs.process_killed();
                        door.open();
                        drop(db);
                        fs = killed;
                        db = open_with(&fs, options()).unwrap();
                    }
                    door.open();
                    db.wait_for_replay();
                }
            }
            db.wait_for_replay();
            prop_assert_eq!(&contents(&db), &known);
        }
    }
}

#[test]
fn a_machine_that_stops_at_any_operation_during_replay_loses_nothing_acknowledged() {
    let (logged, before) = logged();
    for failing in 0..40 {
        for fault in [Fault::Crash, Fault::Io, Fault::OutOfSpace] {
            let fs = logged.process_killed();
            fs.inject(fs.op_count() + failing, fault);
            let mut known = before.clone();
            if let Ok(db) = Db::open_on(Arc::new(fs.clone()), Path::new(DIR), in_background()) {
                for round in 0..8 {
                    let batch = [(0, 10 + round, 1.0), (5 + round as usize, 10, 2.0)];
                    if let Ok(report) = append(&db, &batch) {
                        note(&mut known, &batch, &report);
                    }
                }
            }
            for loss in [Loss::Nothing, Loss::Everything] {
                let found = contents(&open(&fs.after_power_cut(loss)).unwrap());
                assert_between(&found, &known, &found, &format!("{fault:?} at {failing}, {loss:?}"));
            }
        }
    }
}
