//! Everything that a database does, in any order, against a map: samples come in and are deleted, blocks are cut, merged,
//! condensed and cleaned, series stop and return, snapshots are made, and the machine fails in the middle of it.

use super::fixture::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fault, Fs, Loss, SimFs};
use tsdb::{Db, DuplicatePolicy, Error, Matcher, Options, Queryable, Replay, RollupLevel, TimeRange};
use tsdb_core::MatchOp;
use tsdb_core::read::Querier;
use tsdb_core::write::SampleError;

/// Width of blocks; windows of a second are made of samples in spans of 288 seconds.
const WIDTH: i64 = 20_000;
/// Between two batches.
const PACE: i64 = 7000;
/// All samples lie after this.
const START: i64 = 300_000;

/// What changes no answer.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Cuts, moves late samples, retires, condenses.
    Maintain,
    Flush,
    Compact,
    Clean,
    Snapshot,
}

#[derive(Debug, Clone)]
enum Step {
    /// Samples of some series at times relative to now.
    Append(Vec<Sample>),
    /// A sample a second of one series for a while.
    Scrape(usize, u8),
    /// Nothing comes in.
    Pass(i64),
    /// Of one series, of all that are odd, or of all: from a time relative to now, for a while.
    Delete(usize, i64, i64),
    Work(Work),
    /// A querier is opened, and asked when the next one is.
    Hold,
    Reopen,
    /// The power fails; during replay these samples come in.
    Crash(u64, Vec<Sample>),
    /// The power fails after so many operations of some work.
    CrashIn(Work, usize, u64),
}

fn samples(most: usize) -> impl Strategy<Value = Vec<Sample>> {
    let time = prop_oneof![6 => 0..PACE, 2 => -3 * WIDTH..PACE, 1 => -200_000..0_i64];
    // Few values and coarse times, so that samples meet.
    let sample = (0..8_usize, time, prop_oneof![1 => Just(f64::NAN), 9 => (0..9_u8).prop_map(f64::from)]);
    prop::collection::vec(sample.prop_map(|(series, time, value)| (series, time / 500 * 500, value)), 0..most)
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        6 => Just(Work::Maintain),
        2 => Just(Work::Flush),
        3 => Just(Work::Compact),
        1 => Just(Work::Clean),
        1 => Just(Work::Snapshot),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => samples(20).prop_map(Step::Append),
        3 => (0..8_usize, 1..60_u8).prop_map(|(series, count)| Step::Scrape(series, count)),
        2 => (1..8_i64).prop_map(|widths| Step::Pass(widths * WIDTH)),
        2 => (0..10_usize, -300_000..0_i64, 0..120_000_i64)
            .prop_map(|(which, from, len)| Step::Delete(which, from, len)),
        14 => work().prop_map(Step::Work),
        2 => Just(Step::Hold),
        1 => Just(Step::Reopen),
        2 => (any::<u64>(), samples(8)).prop_map(|(seed, meanwhile)| Step::Crash(seed, meanwhile)),
        3 => (work(), 0..60_usize, any::<u64>()).prop_map(|(work, at, seed)| Step::CrashIn(work, at, seed)),
    ]
}

fn options(duplicates: DuplicatePolicy) -> Options {
    Options {
        block_range_ms: WIDTH,
        out_of_order_window_ms: 1_000_000_000,
        max_late_bytes: 1 << 20,
        idle_series_ms: 3 * PACE,
        min_idle_series: 1,
        checkpoint_log_bytes: 500,
        duplicates,
        rollups: vec![RollupLevel::new(1000, 0, None), RollupLevel::new(4000, 0, None)],
        ..super::fixture::options()
    }
}

/// A database, and what must be in it.
struct History {
    duplicates: DuplicatePolicy,
    fs: SimFs,
    db: Db,
    expected: Contents,
    now: i64,
    /// A querier, and what it must find at least.
    held: Option<(Box<dyn Querier>, Contents)>,
    snapshots: usize,
}

impl History {
    fn begin(duplicates: DuplicatePolicy) -> Self {
        let fs = SimFs::new();
        let db = open_with(&fs, options(duplicates)).unwrap();
        Self { duplicates, fs, db, expected: Contents::new(), now: START, held: None, snapshots: 0 }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(samples) => {
                let now = self.now;
                self.append(
                    samples.into_iter().map(|(series, time, value)| (series, now + time, value)).collect(),
                );
                self.now += PACE;
            }
            Step::Scrape(series, count) => {
                for second in 0..i64::from(count) {
                    self.append(vec![(series, self.now + second * 1000, second as f64)]);
                }
                self.now += i64::from(count) * 1000;
            }
            Step::Pass(ms) => self.now += ms,
            Step::Delete(which, from, len) => self.delete(which, from, len),
            Step::Work(work) => self.work(work).unwrap(),
            Step::Hold => {
                self.ask_held();
                self.held = Some((self.db.querier(TimeRange::ALL).unwrap(), self.expected.clone()));
            }
            Step::Reopen => {
                self.held = None;
                self.db.close().unwrap();
                self.db = self.open(Replay::BeforeOpen);
            }
            Step::Crash(seed, meanwhile) => {
                self.crash(seed);
                self.append_during_replay(meanwhile);
                self.db.wait_for_replay();
            }
            Step::CrashIn(work, at, seed) => {
                self.fs.inject(self.fs.op_count() + at, Fault::Crash);
                // It fails or not.
                drop(self.work(work));
                self.crash(seed);
                self.db.wait_for_replay();
            }
        }
    }

    fn open(&self, replay: Replay) -> Db {
        open_with(&self.fs, Options { replay, ..options(self.duplicates) }).unwrap()
    }

    fn crash(&mut self, seed: u64) {
        self.held = None;
        self.fs = self.fs.after_power_cut(Loss::Random(seed));
        self.db = self.open(Replay::Background);
    }

    fn append(&mut self, samples: Vec<Sample>) {
        let report = append(&self.db, &samples).unwrap();
        let refused: BTreeMap<_, _> = report.refused.iter().map(|it| (it.position, it.reason)).collect();
        for (position, (series, timestamp, value)) in samples.into_iter().enumerate() {
            let known = self.expected.entry(labels(series)).or_default();
            match refused.get(&position) {
                None if self.duplicates == DuplicatePolicy::KeepLast => {
                    known.insert(timestamp, value.to_bits());
                }
                None => {
                    known.entry(timestamp).or_insert(value.to_bits());
                }
                Some(reason) => {
                    assert_eq!(*reason, SampleError::Duplicate { timestamp });
                    assert_eq!(self.duplicates, DuplicatePolicy::KeepFirst);
                    // It differs from what is seen, or from one that goes unseen because the first is in a block.
                    assert!(known.contains_key(&timestamp));
                }
            }
        }
        self.expected.retain(|_, samples| !samples.is_empty());
    }

    /// Appends samples whose series nobody knows yet: a second one at its time is not refused, but goes unseen if the
    /// first stays.
    fn append_during_replay(&mut self, samples: Vec<Sample>) {
        let samples =
            samples.into_iter().map(|(series, time, value)| (series, self.now + time, value)).collect();
        self.append(samples);
    }

    fn delete(&mut self, which: usize, from: i64, len: i64) {
        // It may see them or not.
        self.held = None;
        let matcher = |name: &str, value: &str| Matcher::new(MatchOp::Equal, name, value).unwrap();
        let matchers = match which {
            0..8 => vec![matcher("series", &which.to_string())],
            8 => vec![matcher("parity", "odd")],
            _ => Vec::new(),
        };
        let range = TimeRange::new(self.now + from, self.now + from + len).unwrap();
        self.db.delete(&matchers, range).unwrap();
        take_out(&mut self.expected, range, |of| {
            matchers.iter().all(|it| it.matches(of.get(it.name()).unwrap_or("")))
        });
    }

    fn work(&mut self, work: Work) -> Result<(), Error> {
        match work {
            Work::Maintain => self.db.maintain(),
            Work::Flush => self.db.flush(),
            Work::Compact => self.db.compact(),
            Work::Clean => self.db.clean_tombstones(),
            Work::Snapshot => self.snapshot(),
        }
    }

    /// What is done to a snapshot is not done to the database.
    fn snapshot(&mut self) -> Result<(), Error> {
        self.snapshots += 1;
        let dir = format!("/snapshot{}", self.snapshots);
        self.db.snapshot(&dir)?;
        let snapshot = Db::open_on(Arc::new(self.fs.clone()), &dir, options(self.duplicates))?;
        assert_eq!(contents(&snapshot), self.expected, "snapshot");
        snapshot.compact()?;
        snapshot.maintain()?;
        assert_eq!(contents(&snapshot), self.expected, "snapshot after some work");
        snapshot.delete(&[], TimeRange::ALL)?;
        assert_eq!(contents(&snapshot), Contents::new());
        snapshot.flush()
    }

    fn ask_held(&mut self) {
        let Some((querier, before)) = self.held.take() else { return };
        let found = contents_of(&*querier, &[], TimeRange::ALL);
        for (labels, samples) in before {
            for (time, value) in samples {
                let now = found.get(&labels).and_then(|found| found.get(&time));
                let is_same = now == Some(&value) || self.duplicates == DuplicatePolicy::KeepLast;
                assert!(now.is_some() && is_same, "{labels} at {time}: {now:?}");
            }
        }
    }

    fn check(&self, after: &str) {
        let found = contents(&self.db);
        for (labels, samples) in &self.expected {
            assert_eq!(found.get(labels), Some(samples), "{labels} after {after}");
        }
        assert_eq!(found.len(), self.expected.len(), "after {after}");
        let names: BTreeSet<_> = self.expected.keys().filter_map(|labels| labels.get("series")).collect();
        let values = self.db.querier(TimeRange::ALL).unwrap().label_values("series", &[]).unwrap();
        assert_eq!(values, names.into_iter().collect::<Vec<_>>(), "after {after}");
        let mut stats = self.db.stats();
        assert!(stats.late_bytes < 1 << 20, "{} bytes of late samples after {after}", stats.late_bytes);
        // A power cut in the middle of a write; nothing that was acknowledged is missing.
        stats.warnings.retain(|warning| !warning.starts_with("log: log segment"));
        assert_eq!((stats.compactions.failed, stats.warnings), (0, vec![]), "after {after}");
    }

    /// Everything that is on disk is sound and in use.
    fn end(mut self) {
        self.ask_held();
        self.db.maintain().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(self.fs.clone());
        let entries = fs.list(Path::new(DIR)).unwrap();
        let names = entries.iter().map(|entry| &entry.name);
        let blocks: Vec<_> =
            names.filter(|name| tsdb::block::Block::parse_dir_name(name).is_some()).collect();
        for name in &blocks {
            assert_eq!(tsdb::block::verify(&fs, &Path::new(DIR).join(name)).unwrap(), []);
        }
        assert_eq!(self.db.stats().blocks, blocks.len() as u64);
    }
}

fn run(steps: Vec<Step>, duplicates: DuplicatePolicy) {
    let mut history = History::begin(duplicates);
    for (number, step) in steps.into_iter().enumerate() {
        let what = format!("step {number}, {step:?}");
        history.take(step);
        history.check(&what);
    }
    history.end();
}

#[test]
fn a_value_that_waited_for_its_series_beats_no_later_one() {
    let waits = Step::Crash(0, vec![(6, 4500, 0.0), (6, 5000, 0.0), (6, 5000, 1.0)]);
    let later = Step::Append(vec![(6, 4500, 2.0)]);
    for between in
        [Vec::new(), vec![Step::Work(Work::Flush)], vec![Step::Pass(90_000), Step::Work(Work::Maintain)]]
    {
        let mut steps = vec![Step::Pass(20_000), waits.clone(), later.clone()];
        steps.extend(between);
        steps.extend([Step::Reopen, Step::Crash(0, Vec::new())]);
        run(steps, DuplicatePolicy::KeepLast);
    }
}

#[test]
fn a_first_value_that_waited_for_its_series_stays_before_one_that_did_not_wait() {
    let waits = |value| Step::Crash(0, vec![(6, 4500, value)]);
    // The number of the series stands between the two.
    let names = Step::Append(vec![(6, 5000, 3.0)]);
    let again = Step::Crash(0, vec![(6, -2500, 2.0)]);
    for between in [Vec::new(), vec![Step::Pass(90_000), Step::Work(Work::Maintain), Step::Pass(-90_000)]] {
        let mut steps = vec![Step::Pass(20_000), waits(1.0), names.clone(), again.clone()];
        steps.extend(between);
        steps.extend([Step::Work(Work::Snapshot), Step::Reopen, Step::Crash(0, Vec::new())]);
        run(steps, DuplicatePolicy::KeepFirst);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_the_first_value_stays(steps in prop::collection::vec(step(), 1..60)) {
        run(steps, DuplicatePolicy::KeepFirst);
    }

    #[test]
    fn whatever_is_done_the_last_value_stays(steps in prop::collection::vec(step(), 1..60)) {
        run(steps, DuplicatePolicy::KeepLast);
    }
}
