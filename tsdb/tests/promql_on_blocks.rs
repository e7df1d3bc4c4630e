//! Prometheus' own test scripts over the engine: in the head, in a block, and split between the two.
//!
//! The scripts are not part of this repository: see `tsdb-promql/tests/upstream.rs`, which runs them over the store in
//! memory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tsdb::fs::SimFs;
use tsdb::{Appendable, Appender, Db, Options, Querier, Queryable, TimeRange, Timestamp};
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::ReadError;
use tsdb_core::testing::{ManualClock, skipped};
use tsdb_core::write::{AppendReport, CommitError, SampleError, SeriesError};
use tsdb_core::{Labels, NO_START, SeriesRef};
use tsdb_promql::testing::{Outcome, Report, Script, run, test_engine};

/// Names and texts of the scripts, sorted by name; `None` if they are not there.
fn scripts() -> Option<BTreeMap<String, String>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/promqltest"));
    let folder = std::env::var_os("TSDB_PROMQLTEST_DIR").map_or_else(beside, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let advice = "set TSDB_PROMQLTEST_DIR to the folder with Prometheus' promqltest *.test files";
        skipped(&format!("there are no upstream scripts in {}; {advice}", folder.display()));
        return None;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let scripts = paths.filter(|path| path.extension().is_some_and(|extension| extension == "test"));
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    Some(scripts.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect())
}

/// Where the engine has the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    Block,
    /// Samples up to the middle of the time between the first and the last in a block, the others in the head.
    Split,
}

/// Whose result a sample is, when, what, and since when.
type Loaded = BTreeMap<(Timestamp, Labels), (Value, Timestamp)>;

/// One of them.
type Entry<'a> = (&'a (Timestamp, Labels), &'a (Value, Timestamp));

#[derive(Debug, Clone)]
enum Value {
    Float(f64),
    Histogram(FloatHistogram),
}

/// A database that is made anew when something was loaded, because scripts load samples in any order.
struct Store {
    place: Place,
    loaded: Mutex<Loaded>,
    db: Mutex<Option<Db>>,
}

impl Store {
    fn new(place: Place) -> Self {
        Self { place, loaded: Mutex::default(), db: Mutex::new(None) }
    }

    fn build(&self) -> Db {
        let loaded = self.loaded.lock().unwrap();
        let ends = loaded.first_key_value().zip(loaded.last_key_value());
        let (first, last) = ends.map_or((0, 0), |(((first, _), _), ((last, _), _))| (*first, *last));
        let options = Options {
            block_range_ms: 40 * 86_400_000,
            retention_ms: None,
            background: false,
            clock: Arc::new(ManualClock::at(last)),
            ..Options::default()
        };
        let db = Db::open_on(Arc::new(SimFs::new()), "/data", options).unwrap();
        let border = match self.place {
            Place::Head => Timestamp::MIN,
            Place::Split => first + (last - first) / 2,
            Place::Block => last,
        };
        let (old, new) = loaded.iter().partition::<Vec<_>, _>(|((timestamp, _), _)| *timestamp <= border);
        append(&db, &old);
        db.flush().unwrap();
        append(&db, &new);
        let stats = db.stats();
        assert_eq!(stats.blocks > 0, !old.is_empty());
        assert_eq!(stats.head_range.is_some(), !new.is_empty());
        db
    }
}

fn append(db: &Db, samples: &[Entry<'_>]) {
    let mut appender = db.appender();
    for ((timestamp, labels), (value, start)) in samples {
        let series = appender.series(labels).unwrap();
        match value {
            Value::Float(value) => appender.append(series, *timestamp, *value),
            Value::Histogram(histogram) => {
                appender.append_histogram(series, *timestamp, histogram.clone()).unwrap();
            }
        }
        appender.set_start(*start);
    }
    assert_eq!(appender.commit().unwrap().refused, []);
}

impl Queryable for Store {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        self.db.lock().unwrap().get_or_insert_with(|| self.build()).querier(range)
    }
}

impl Appendable for Store {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch { store: self, series: Vec::new(), samples: Vec::new() })
    }
}

struct Batch<'a> {
    store: &'a Store,
    series: Vec<Labels>,
    samples: Vec<(SeriesRef, Timestamp, Value, Timestamp)>,
}

impl Appender for Batch<'_> {
    fn lookup(&mut self, _wire: &[u8]) -> Option<SeriesRef> {
        None
    }

    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, SeriesError> {
        self.series.push(labels.clone());
        Ok(SeriesRef(self.series.len() as u32 - 1))
    }

    fn append(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.samples.push((series, timestamp, Value::Float(value), NO_START));
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        histogram: FloatHistogram,
    ) -> Result<(), SampleError> {
        self.samples.push((series, timestamp, Value::Histogram(histogram), NO_START));
        Ok(())
    }

    fn set_start(&mut self, start: Timestamp) {
        if let Some((.., last)) = self.samples.last_mut() {
            *last = start;
        }
    }

    fn set_metadata(&mut self, _metric: &str, _metadata: Metadata) {}

    fn commit(self: Box<Self>) -> Result<AppendReport, CommitError> {
        let mut loaded = self.store.loaded.lock().unwrap();
        let accepted = self.samples.len() as u64;
        for (series, timestamp, value, start) in self.samples {
            // A store keeps what it has.
            loaded.entry((timestamp, self.series[series.index()].clone())).or_insert((value, start));
        }
        *self.store.db.lock().unwrap() = None;
        Ok(AppendReport { accepted, refused: Vec::new() })
    }
}

/// Cases that do not pass, one line each.
fn failures(name: &str, report: &Report) -> String {
    let mut failures =
        report.error.as_ref().map_or(String::new(), |error| format!("{name} stopped: {error}\n"));
    for case in &report.cases {
        if let Outcome::Failed { reason } = &case.outcome {
            failures.push_str(&format!("{name}:{}: {}: {reason}\n", case.line, case.expr));
        }
    }
    failures
}

fn all_pass_on(place: Place) {
    let Some(scripts) = scripts() else { return };
    let engine = test_engine();
    let (mut passed, mut failed) = (0, String::new());
    for (name, text) in &scripts {
        let script = Script::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = run(&script, &engine, &|| Box::new(Store::new(place)));
        passed += report.passed();
        failed.push_str(&failures(name, &report));
    }
    assert!(failed.is_empty(), "{place:?}:\n{failed}");
    assert!(passed >= 2_214, "only {passed} evaluations pass");
}

#[test]
fn upstream_scripts_pass_in_the_head() {
    all_pass_on(Place::Head);
}

#[test]
fn upstream_scripts_pass_in_a_block() {
    all_pass_on(Place::Block);
}

#[test]
fn upstream_scripts_pass_split_between_block_and_head() {
    all_pass_on(Place::Split);
}
