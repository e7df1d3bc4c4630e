//! Checkpoints that hold samples: nobody can tell whether a database was read from one or from its log.

use super::fixture::*;
use super::replay::Door;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tsdb::fs::SimFs;
use tsdb::{Db, DuplicatePolicy, Matcher, Options, Replay, TimeRange};
use tsdb_core::MatchOp;

/// A window of late samples that some of them lie beyond, ms.
const NARROW: i64 = 700;

/// What a history keeps: which of several values at a time, and samples how late.
type Rules = (DuplicatePolicy, i64);

fn options_of((duplicates, out_of_order_window_ms): Rules, checkpoint_log_bytes: u64) -> Options {
    Options { duplicates, out_of_order_window_ms, checkpoint_log_bytes, ..options() }
}

fn checkpoints(fs: &SimFs) -> usize {
    let dirs = fs.files().into_iter().filter_map(|path| Some(path.parent()?.to_owned()));
    let dirs: std::collections::BTreeSet<_> = dirs.collect();
    dirs.iter().filter(|dir| dir.to_string_lossy().contains("checkpoint")).count()
}

fn of_series(which: usize) -> Vec<Matcher> {
    match which {
        0..6 => vec![Matcher::new(MatchOp::Equal, "series", which.to_string()).unwrap()],
        _ => Vec::new(),
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// At times relative to now.
    Append(Vec<Sample>),
    /// Of one series or of all; from a time relative to now, for a while.
    Delete(usize, i64, i64),
    Maintain,
    /// After a kill or not; these samples come in during replay.
    Reopen(bool, Vec<Sample>),
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let time = prop_oneof![6 => 0..300_i64, 3 => -1500..300_i64];
    let sample = (0..6_usize, time, (0..5_u8).prop_map(f64::from));
    prop::collection::vec(sample.prop_map(|(series, time, value)| (series, time / 10 * 10, value)), 0..20)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => samples().prop_map(Step::Append),
        2 => (0..8_usize, -900..300_i64, 0..900_i64).prop_map(|(which, from, len)| Step::Delete(which, from, len)),
        4 => Just(Step::Maintain),
        2 => (any::<bool>(), samples()).prop_map(|(kill, during)| Step::Reopen(kill, during)),
    ]
}

/// One of two databases to which the same happens.
struct Twin {
    fs: SimFs,
    db: Db,
    options: Box<dyn Fn() -> Options>,
}

impl Twin {
    fn new(rules: Rules, checkpoint_log_bytes: u64) -> Self {
        let options =
            move || Options { replay: Replay::Background, ..options_of(rules, checkpoint_log_bytes) };
        let fs = SimFs::new();
        let db = open_with(&fs, options()).unwrap();
        db.wait_for_replay();
        // Replay comes to the door of a log that has something in it.
        append_all(&db, &[(0, -5000, 1.0)]);
        Self { fs, db, options: Box::new(options) }
    }

    /// What a step comes to, as far as anybody can tell.
    fn take(&mut self, step: &Step, now: i64) -> impl PartialEq + std::fmt::Debug + use<> {
        let at = |samples: &[Sample]| -> Vec<Sample> {
            samples.iter().map(|(series, time, value)| (*series, now + time, *value)).collect()
        };
        let mut refused = Vec::new();
        match step {
            Step::Append(samples) => refused = append(&self.db, &at(samples)).unwrap().refused,
            Step::Delete(which, from, len) => {
                let range = TimeRange::new(now + from, now + from + len).unwrap();
                self.db.delete(&of_series(*which), range).unwrap();
            }
            Step::Maintain => self.db.maintain().unwrap(),
            Step::Reopen(kill, during) => {
                if *kill {
                    self.fs = self.fs.process_killed();
                }
                self.db.close().unwrap();
                let door = Door::shut(&self.fs);
                self.db = open_with(&self.fs, (self.options)()).unwrap();
                refused = append(&self.db, &at(during)).unwrap().refused;
                door.open();
                self.db.wait_for_replay();
            }
        }
        let stats = self.db.stats();
        (refused, contents(&self.db), stats.warnings)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_database_with_checkpoints_answers_and_refuses_as_one_without(
        steps in prop::collection::vec(step(), 1..40),
        keeps_last in any::<bool>(),
        window in prop_oneof![Just(0), Just(NARROW), Just(1_000_000)],
    ) {
        let duplicates = if keeps_last { DuplicatePolicy::KeepLast } else { DuplicatePolicy::KeepFirst };
        let mut twins = [0, u64::MAX].map(|bytes| Twin::new((duplicates, window), bytes));
        let mut now = 0;
        for mut step in steps {
            if let Step::Reopen(_, during) = &mut step && window == NARROW {
                // During replay the window counts from what the last segment tells, which need not be the same.
                during.clear();
            }
            let [with, without] = twins.each_mut().map(|twin| twin.take(&step, now));
            prop_assert_eq!(with, without, "{:?}", step);
            now += 100;
        }
    }
}

#[test]
fn samples_of_all_kinds_come_back_from_a_checkpoint_bit_by_bit() {
    let fs = SimFs::new();
    let options =
        || Options { block_range_ms: 1_000_000, ..options_of((DuplicatePolicy::KeepFirst, 5000), 0) };
    let db = open_with(&fs, options()).unwrap();
    for k in 0..300_i64 {
        let samples: Vec<Sample> =
            (0..300).map(|series| (series, k * 50, (k + series as i64) as f64)).collect();
        let late: Vec<Sample> = (0..12).map(|series| (series, k * 50 - 1234, -1.0)).collect();
        append(&db, &samples).unwrap();
        append(&db, &late).unwrap();
    }
    let expected = contents(&db);
    let log = db.stats().wal_bytes;
    db.maintain().unwrap();
    assert_eq!(checkpoints(&fs), 1);
    assert!(db.stats().wal_bytes < log / 100 && db.stats().blocks == 0);
    for _ in 0..2 {
        let again = open_with(&fs.process_killed(), options()).unwrap();
        assert_eq!(contents(&again), expected);
        assert_eq!(again.stats().warnings, Vec::<String>::new());
        assert!(again.stats().late_bytes > 0);
    }
}

#[test]
fn the_window_of_late_samples_counts_from_the_newest_one_though_that_was_deleted() {
    let fs = SimFs::new();
    let open = || open_with(&fs, options_of((DuplicatePolicy::KeepFirst, 500), 0)).unwrap();
    let db = open();
    append_all(&db, &[(0, 395, 1.0), (0, 900, 1.0)]);
    db.delete(&[], TimeRange::new(800, 1000).unwrap()).unwrap();
    db.maintain().unwrap();
    assert_eq!(checkpoints(&fs), 1);
    // Further segments: what tells the time is not in the last one any more.
    db.snapshot("/a").unwrap();
    append_all(&db, &[(1, 800, 1.0)]);
    db.snapshot("/b").unwrap();
    drop(db);
    let db = open();
    assert_eq!(append(&db, &[(0, 390, 1.0)]).unwrap().refused.len(), 1);
    append_all(&db, &[(0, 410, 1.0)]);
}

#[test]
fn a_checkpoint_written_while_samples_come_and_go_holds_neither_more_nor_less() {
    const WRITERS: usize = 3;
    for duplicates in [DuplicatePolicy::KeepFirst, DuplicatePolicy::KeepLast] {
        let fs = SimFs::new();
        let options = || Options { block_range_ms: 40_000, ..options_of((duplicates, 1_000_000), 0) };
        let db = open_with(&fs, options()).unwrap();
        let is_over = AtomicBool::new(false);
        let mut checkpoints_seen = std::collections::BTreeSet::new();
        thread::scope(|scope| {
            let write = |writer: usize| {
                for k in 0..250_i64 {
                    // In order, late, and again at times that were deleted or had another value.
                    let times = [k * 100, k * 37 % 20_000, k * 61 % 9000];
                    let samples: Vec<Sample> = (0..30)
                        .flat_map(|series| {
                            times.map(|time| (writer * 100 + series * 3, time, (k % 7) as f64))
                        })
                        .collect();
                    append(&db, &samples).unwrap();
                }
            };
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
            scope.spawn(|| {
                for round in 0.. {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let range = TimeRange::new(round * 331 % 9000, round * 331 % 9000 + 2500).unwrap();
                    db.delete(&of_series((round % 8) as usize), range).unwrap();
                    db.maintain().unwrap();
                    let files = fs.files().into_iter();
                    checkpoints_seen
                        .extend(files.filter(|path| path.to_string_lossy().contains("checkpoint")));
                }
            });
            let results: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            is_over.store(true, Ordering::SeqCst);
            results.into_iter().for_each(|result| result.unwrap());
        });
        assert!(checkpoints_seen.len() > 2, "{checkpoints_seen:?}");
        let expected = contents(&db);
        let again = open_with(&fs.process_killed(), options()).unwrap();
        assert_eq!(contents(&again), expected);
        assert_eq!(again.stats().warnings, Vec::<String>::new());
    }
}
