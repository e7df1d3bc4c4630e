//! A database lives through anything: batches in any order of time, flushes, maintenance, snapshots, full disks, I/O
//! errors, killed processes and power cuts. What was acknowledged is found, once, bit by bit; what nobody sent is not.
//!
//! Each input is a list of steps. What a sample holds follows from its series and its time, so that samples sent twice
//! are the same and a model needs no policy.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fault, Loss, SimFs};
use tsdb::{Appendable, Db, Durability, Labels, Options, Queryable, TimeRange, Timestamp};
use tsdb_core::histogram::{FloatHistogram, FloatParts};
use tsdb_core::read::{SampleColumns, SelectHints};
use tsdb_core::testing::ManualClock;
use tsdb_fuzz::Input;

const DIR: &str = "/data";
/// Steps of one life; longer inputs end there.
const MAX_STEPS: usize = 200;
const SERIES: u8 = 7;

type Samples = BTreeSet<(u8, Timestamp)>;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mut life = Life::begin();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        life.step(&mut input);
    }
    life.end();
});

struct Life {
    fs: SimFs,
    db: Db,
    /// Acknowledged.
    certain: Samples,
    /// Sent, and neither acknowledged nor refused.
    possible: Samples,
    now: Timestamp,
    snapshots: u32,
}

impl Life {
    fn begin() -> Self {
        let fs = SimFs::new();
        let db = open(&fs, DIR);
        Self { fs, db, certain: Samples::new(), possible: Samples::new(), now: 0, snapshots: 0 }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..=6 => self.append(input),
            7 => drop(self.db.flush()),
            8 => drop(self.db.maintain()),
            9 => drop(self.db.sync()),
            10 => self.snapshot(),
            11 => self.become_disk(self.fs.process_killed()),
            12 => self.become_disk(self.fs.after_power_cut(loss(input))),
            13 => self.fs.inject(self.fs.op_count() + usize::from(input.byte() % 32), Fault::Io),
            14 => self.fs.inject(self.fs.op_count() + usize::from(input.byte() % 32), Fault::OutOfSpace),
            _ => self.crash(input),
        }
    }

    fn append(&mut self, input: &mut Input<'_>) {
        self.now += i64::from(input.byte()) * 8;
        let mut batch = Vec::new();
        for _ in 0..1 + input.byte() % 6 {
            let (series, back) = (input.byte(), i64::from(input.byte() % 64));
            // Most are newer than all others; some are late by up to several blocks.
            let late = if series & 0x80 == 0 { 0 } else { back * 97 };
            batch.push((series % SERIES, self.now + back - late));
        }
        let mut appender = self.db.appender();
        for (series, timestamp) in &batch {
            let reference = appender.series(&labels(*series)).expect("there is no limit");
            match histogram(*series, *timestamp) {
                Some(histogram) => appender
                    .append_histogram(reference, *timestamp, histogram)
                    .expect("the store keeps histograms"),
                None => appender.append(reference, *timestamp, number(*series, *timestamp)),
            }
        }
        match appender.commit() {
            Ok(report) => {
                let refused: BTreeSet<usize> =
                    report.refused.iter().map(|refused| refused.position).collect();
                let taken = batch.iter().enumerate().filter(|(position, _)| !refused.contains(position));
                self.certain.extend(taken.map(|(_, sample)| *sample));
            }
            Err(_) => self.possible.extend(batch),
        }
    }

    fn snapshot(&mut self) {
        self.snapshots += 1;
        let to = format!("/copies/{}", self.snapshots);
        if self.db.snapshot(&to).is_ok() {
            let copy = open(&self.fs.process_killed(), &to);
            self.check(&copy, "a snapshot");
        }
    }

    /// The machine stops in the middle of what comes next.
    fn crash(&mut self, input: &mut Input<'_>) {
        self.fs.inject(self.fs.op_count() + usize::from(input.byte() % 16), Fault::Crash);
        match input.byte() % 4 {
            0 => self.append(input),
            1 => drop(self.db.flush()),
            2 => self.snapshot(),
            _ => drop(self.db.maintain()),
        }
        self.become_disk(self.fs.after_power_cut(loss(input)));
    }

    fn become_disk(&mut self, fs: SimFs) {
        self.db = open(&fs, DIR);
        self.fs = fs;
        self.check(&self.db, "after a crash");
    }

    fn end(mut self) {
        self.check(&self.db, "at the end");
        self.become_disk(self.fs.process_killed());
        self.db.flush().expect("a disk without faults");
        self.check(&self.db, "in blocks");
        self.become_disk(self.fs.after_power_cut(Loss::Everything));
    }

    fn check(&self, db: &Db, when: &str) {
        let found = contents(db);
        if let Some(lost) = self.certain.difference(&found).next() {
            panic!("{when}: {lost:?} was acknowledged and is missing");
        }
        if let Some(invented) = found.iter().find(|s| !self.certain.contains(s) && !self.possible.contains(s))
        {
            panic!("{when}: nobody sent {invented:?}");
        }
    }
}

fn open(fs: &SimFs, dir: &str) -> Db {
    let options = Options {
        durability: Durability::EveryCommit,
        block_range_ms: 1000,
        retention_ms: None,
        future_skew_ms: None,
        out_of_order_window_ms: 100_000,
        background: false,
        clock: Arc::new(ManualClock::at(1_000_000)),
        ..Options::default()
    };
    // An injected error may hit any operation of the opening, once.
    let mut attempts = (0..4).map(|_| Db::open_on(Arc::new(fs.clone()), Path::new(dir), options.clone()));
    attempts.find_map(Result::ok).expect("a database opens after anything")
}

fn contents(db: &Db) -> Samples {
    let querier = db.querier(TimeRange::ALL).expect("the database is open");
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).expect("nothing is damaged");
    let known: BTreeMap<Labels, u8> = (0..SERIES).map(|series| (labels(series), series)).collect();
    let (mut found, mut columns) = (Samples::new(), SampleColumns::new());
    for index in 0..set.len() {
        set.read(index, &mut columns).expect("nothing is damaged");
        let series = known[&set.labels(index)];
        assert!(columns.timestamps.is_sorted_by(|one, next| one < next));
        for (place, timestamp) in columns.timestamps.iter().enumerate() {
            match (columns.histogram(place), histogram(series, *timestamp)) {
                (Some(found), Some(sent)) => assert!(found.same_data(&sent)),
                (None, None) => {
                    assert_eq!(columns.values[place].to_bits(), number(series, *timestamp).to_bits());
                }
                _ => panic!("a number became a histogram, or the other way round"),
            }
            assert!(found.insert((series, *timestamp)), "a series comes twice");
        }
    }
    assert_eq!(set.warnings(), [""; 0]);
    found
}

fn labels(series: u8) -> Labels {
    let number = series.to_string();
    Labels::from_pairs([("__name__", "metric"), ("series", number.as_str())]).expect("labels in order")
}

/// Counters, constants, and any bits at all.
fn number(series: u8, timestamp: Timestamp) -> f64 {
    let mixed = timestamp.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match series % 3 {
        0 => timestamp as f64 * 0.5,
        1 => 1.0,
        _ => f64::from_bits(mixed),
    }
}

fn histogram(series: u8, timestamp: Timestamp) -> Option<FloatHistogram> {
    let is_histogram = series == 5 || (series == 6 && timestamp / 64 % 2 == 1);
    let parts = FloatParts {
        sum: timestamp as f64,
        count: (timestamp.unsigned_abs() % 9) as f64,
        ..FloatParts::default()
    };
    is_histogram.then(|| FloatHistogram::new(parts).expect("parts of a histogram"))
}

fn loss(input: &mut Input<'_>) -> Loss {
    match input.byte() {
        0 => Loss::Everything,
        1 => Loss::Nothing,
        seed => Loss::Random(u64::from(seed)),
    }
}
