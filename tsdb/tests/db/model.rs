//! Random histories against a map.

use super::fixture::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tsdb::fs::{Loss, SimFs};
use tsdb::{Db, DuplicatePolicy, Matcher, Options, Queryable, TimeRange, Timestamp};
use tsdb_core::MatchOp;
use tsdb_core::read::SelectHints;
use tsdb_core::write::{AppendReport, SampleError};

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Sample>),
    Flush,
    Maintain,
    Clean,
    Compact,
    /// Of one series, or of all that are odd, or of all; from a time on, for a while.
    Delete(usize, i64, i64),
    Reopen,
    PowerCut(u64),
}

fn sample() -> impl Strategy<Value = (usize, i64, f64)> {
    let value = prop_oneof![Just(1.0), Just(f64::NAN), Just(-0.0), any::<f64>()];
    (0..6_usize, prop_oneof![8 => -150..300_i64, 1 => -3000..0_i64], value)
}

/// Samples carry times relative to how far the history has come.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(sample(), 0..30).prop_map(Step::Append),
        1 => Just(Step::Flush),
        3 => Just(Step::Maintain),
        1 => Just(Step::Clean),
        1 => Just(Step::Compact),
        2 => (0..8_usize, -1500..100_i64, 0..900_i64).prop_map(|(which, from, len)| Step::Delete(which, from, len)),
        1 => Just(Step::Reopen),
        1 => any::<u64>().prop_map(Step::PowerCut),
    ]
}

/// How late samples may be, and which of several values at a time is kept.
type Rules = (i64, DuplicatePolicy);

/// The map, and what the rules say about a sample.
struct Model {
    rules: Rules,
    contents: Contents,
    /// Values taken though another, which stays, had moved into a block: a late sample is compared with the head alone.
    beaten: Contents,
    /// No sample at or after this time may be called too old.
    flushed: Timestamp,
    /// The newest time that any sample had, deleted ones included.
    end: Timestamp,
}

impl Model {
    fn check(&mut self, samples: &[Sample], report: &AppendReport) {
        let mut refused: BTreeMap<_, _> = report.refused.iter().map(|r| (r.position, r.reason)).collect();
        for (position, (series, timestamp, value)) in samples.iter().enumerate() {
            let known = self.contents.entry(labels(*series)).or_default();
            let newest = known.keys().last().copied();
            let stored = known.get(timestamp).copied();
            match refused.remove(&position) {
                None => {
                    self.end = self.end.max(*timestamp);
                    let repeated = stored == Some(value.to_bits());
                    let in_order = newest.is_none_or(|newest| *timestamp > newest);
                    assert!(repeated || in_order || self.rules.0 > 0, "{timestamp} {newest:?}");
                    match self.rules.1 {
                        DuplicatePolicy::KeepLast => drop(known.insert(*timestamp, value.to_bits())),
                        _ if stored.is_some() && !repeated => {
                            assert!(self.rules.0 > 0, "{timestamp} {stored:?}");
                            let beaten = self.beaten.entry(labels(*series)).or_default();
                            beaten.insert(*timestamp, value.to_bits());
                        }
                        _ => drop(known.entry(*timestamp).or_insert(value.to_bits())),
                    }
                }
                Some(SampleError::Duplicate { .. }) => {
                    let beaten = self.beaten.get(&labels(*series)).and_then(|beaten| beaten.get(timestamp));
                    let mut others = stored.iter().chain(beaten);
                    assert!(others.any(|bits| *bits != value.to_bits()), "{timestamp} {stored:?} {beaten:?}");
                    assert_eq!(self.rules.1, DuplicatePolicy::KeepFirst);
                }
                Some(SampleError::OutOfOrder { .. }) => {
                    assert_eq!((stored, self.rules.0), (None, 0));
                    assert!(newest.is_some_and(|newest| *timestamp < newest));
                }
                Some(SampleError::TooOld { oldest, .. }) => {
                    assert!(*timestamp < oldest && oldest <= self.flushed.max(self.end) + 1);
                    assert!(self.rules.0 == 0 || oldest <= self.end - self.rules.0);
                }
                // So many came since the last round of maintenance.
                Some(SampleError::TooManyLate { .. }) => {
                    assert!(self.rules.0 > 0 && newest.is_some_and(|newest| *timestamp < newest));
                }
                Some(other) => panic!("{other}"),
            }
        }
        self.contents.retain(|_, samples| !samples.is_empty());
    }
}

/// The series that a delete means: as matchers, and as a rule.
fn meant(which: usize) -> (Vec<Matcher>, impl Fn(&tsdb::Labels) -> bool) {
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    let matchers = match which {
        0..6 => vec![
            matcher(MatchOp::Equal, "__name__", "metric"),
            matcher(MatchOp::Equal, "series", &which.to_string()),
        ],
        6 => vec![matcher(MatchOp::Regex, "parity", "o.+"), matcher(MatchOp::Equal, "nobody", "")],
        _ => Vec::new(),
    };
    let is_meant = move |of: &tsdb::Labels| match which {
        0..6 => *of == labels(which),
        6 => of.get("parity") == Some("odd"),
        _ => true,
    };
    (matchers, is_meant)
}

fn run(steps: Vec<Step>, rules: Rules) {
    let (out_of_order_window_ms, duplicates) = rules;
    // So little memory for late samples that they move into blocks now and then.
    let max_late_bytes = 16_384;
    let open = |fs: &SimFs| {
        let options = Options {
            out_of_order_window_ms,
            duplicates,
            max_late_bytes,
            checkpoint_log_bytes: 1000,
            ..options()
        };
        open_with(fs, options).unwrap()
    };
    let mut fs = SimFs::new();
    let mut db = open(&fs);
    let (contents, beaten) = (Contents::new(), Contents::new());
    let mut model = Model { rules, contents, beaten, flushed: 0, end: i64::MIN + 10_000 };
    let mut now = 0;
    for step in steps {
        match step {
            Step::Append(samples) => {
                let samples: Vec<_> = samples.into_iter().map(|(s, t, v)| (s, now + t, v)).collect();
                let report = append(&db, &samples).unwrap();
                model.check(&samples, &report);
                now += 120;
            }
            Step::Flush => {
                db.flush().unwrap();
                model.flushed = model.flushed.max(model.end);
            }
            Step::Maintain => db.maintain().unwrap(),
            Step::Clean => {
                db.clean_tombstones().unwrap();
                let is_tombstones =
                    |path: &std::path::PathBuf| path.to_string_lossy().contains("/tombstones");
                assert!(!fs.files().iter().any(is_tombstones));
            }
            Step::Compact => db.compact().unwrap(),
            Step::Delete(which, from, len) => {
                let (matchers, is_meant) = meant(which);
                let range = TimeRange::new(now + from, now + from + len).unwrap();
                db.delete(&matchers, range).unwrap();
                take_out(&mut model.contents, range, &is_meant);
                take_out(&mut model.beaten, range, is_meant);
            }
            Step::Reopen => {
                db.close().unwrap();
                drop(db);
                db = open(&fs);
            }
            Step::PowerCut(seed) => {
                let disk = fs.after_power_cut(Loss::Random(seed));
                drop(db);
                fs = disk;
                db = open(&fs);
            }
        }
        compare(&db, &model.contents);
    }
}

fn compare(db: &Db, expected: &Contents) {
    let found = contents(db);
    for (labels, samples) in expected {
        assert_eq!(found.get(labels), Some(samples), "{labels}");
    }
    assert_eq!(found.len(), expected.len());
    let end = expected.values().filter_map(|samples| samples.keys().last()).max().copied().unwrap_or(0);
    let range = TimeRange::new(end / 3, end / 3 + 700).unwrap();
    let querier = db.querier(range).unwrap();
    let odd = Matcher::new(MatchOp::Equal, "parity", "odd").unwrap();
    let is_odd = |labels: &tsdb::Labels| labels.get("parity") == Some("odd");
    let found = contents_of(&*querier, std::slice::from_ref(&odd), TimeRange::ALL);
    assert_eq!(found, part(expected, range, is_odd));
    let set = querier.select(&[], &SelectHints::over(range)).unwrap();
    let total: usize = read(&*set).values().map(BTreeMap::len).sum();
    assert!(set.estimated_samples() >= total as u64);
    let values = db.querier(TimeRange::ALL).unwrap().label_values("series", &[odd]).unwrap();
    let wanted: Vec<_> =
        expected.keys().filter(|labels| is_odd(labels)).filter_map(|labels| labels.get("series")).collect();
    assert_eq!(values, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_history_answers_like_a_map(steps in prop::collection::vec(step(), 1..60)) {
        run(steps, (0, DuplicatePolicy::KeepFirst));
    }

    #[test]
    fn late_samples_are_like_others_and_the_first_value_stays(steps in prop::collection::vec(step(), 1..60)) {
        run(steps, (400, DuplicatePolicy::KeepFirst));
    }

    #[test]
    fn late_samples_are_like_others_and_the_last_value_stays(steps in prop::collection::vec(step(), 1..60)) {
        run(steps, (2500, DuplicatePolicy::KeepLast));
    }
}
