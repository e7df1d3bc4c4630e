//! The storm through the engine.

use crate::HEAP;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb_core::read::{Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::{Labels, Matcher, TimeRange};
use tsdb_promql::testing::HostileQueries;
use tsdb_promql::{Engine, EngineOptions, ParseOptions, QueryError, ScopedThreads};

const SERIES: usize = 1_000;
const SAMPLES: i64 = 60;

/// Samples that a query may hold.
const MAX_SAMPLES: u64 = 200_000;

/// What a query may take of the heap besides the samples on its account, bytes: the tree and the plan of a text of up to
/// 512 KiB, compiled patterns, the identities of series, the buffers of each thread.
const SLACK: usize = 64 << 20;

/// Series of which nothing is copied when they are selected.
#[derive(Debug, Clone)]
struct Field(Vec<Labels>);

impl Field {
    fn new() -> Self {
        let labels = |number: usize| {
            let (a, b) = (format!("value-{number}"), (number % 7).to_string());
            Labels::from_pairs([("__name__", "m"), ("a", a.as_str()), ("b", b.as_str())]).unwrap()
        };
        Self((0..SERIES).map(labels).collect())
    }
}

impl Queryable for Field {
    fn querier(&self, _range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Field {
    fn select(&self, matchers: &[Matcher], _hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        let matches =
            |labels: &&Labels| matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")));
        Ok(Box::new(Field(self.0.iter().filter(matches).cloned().collect())))
    }

    fn label_names(&self, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _name: &str, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

impl SeriesSet for Field {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.0[index].clone()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        for minute in 0..SAMPLES {
            into.push(minute * 60_000, (minute as f64).mul_add(index as f64, 0.1));
        }
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        self.0.len() as u64 * SAMPLES as u64
    }
}

/// Does the refusal say what was too much, or what is wrong?
fn is_named(error: &QueryError) -> bool {
    let text = error.to_string();
    let names = [
        "limit",
        "allowed",
        "overflows int64",
        "allows",
        "maximum",
        "timed out",
        "parse error",
        "labelset",
        "many-to-many",
        "multiple matches",
        "must",
        "expected",
        "NaN",
        "not supported",
        "label value",
        "invalid regular expression",
        "duplicate",
    ];
    !text.is_empty() && names.iter().any(|name| text.contains(name))
}

#[test]
fn a_thousand_hostile_queries_stay_within_their_memory() {
    let mut options = EngineOptions::default();
    options.max_samples = MAX_SAMPLES;
    options.timeout = Some(Duration::from_millis(100));
    options.parse = ParseOptions::all_features();
    options.executor = Arc::new(ScopedThreads::new(2));
    let (engine, field) = (Engine::new(options), Field::new());
    let mut unnamed = Vec::new();
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    let (mut worst, mut slowest) = ((0, String::new()), (Duration::ZERO, String::new()));
    for query in HostileQueries::new(0x5eed).take(1_000) {
        let (before, started) = (HEAP.reset_peak(), Instant::now());
        let outcome = engine.query(&field, &query.text, &query.params);
        let taken = HEAP.peak().saturating_sub(before);
        let excerpt = || format!("{:.150} ({} bytes) {:?}", query.text, query.text.len(), query.params);
        if taken > worst.0 {
            worst = (taken, excerpt());
        }
        if started.elapsed() > slowest.0 {
            slowest = (started.elapsed(), excerpt());
        }
        let name = match &outcome {
            Ok(result) => {
                assert!(result.stats.peak_samples <= MAX_SAMPLES, "{}", excerpt());
                "answered".to_owned()
            }
            Err(error) => {
                if !is_named(error) {
                    unnamed.push(format!("{error} for {}", excerpt()));
                }
                format!("{:?}", error.kind())
            }
        };
        *outcomes.entry(name).or_default() += 1;
    }
    eprintln!(
        "{outcomes:?}\nmost memory: {} bytes for {}\nslowest: {:?} for {}",
        worst.0, worst.1, slowest.0, slowest.1
    );
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    let bound = MAX_SAMPLES as usize * 16 + SLACK;
    assert!(worst.0 <= bound, "{} bytes, {bound} allowed, for {}", worst.0, worst.1);
    assert!(outcomes["answered"] > 0 && outcomes["BadData"] > 0 && outcomes["Execution"] > 0, "{outcomes:?}");
}
