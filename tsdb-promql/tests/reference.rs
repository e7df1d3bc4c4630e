//! The engine against the second referee: a naive evaluator, on Prometheus' scripts and on random queries over random
//! data.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "random/data.rs"]
mod data;
mod random;
mod scripts;

use data::Data;
use random::{Queries, SERIES, STEP_MS, store};
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::testing::MemStore;
use tsdb_promql::testing::reference::UNKNOWN;
use tsdb_promql::testing::{Evaluator, Reference, Script, run, test_options};
use tsdb_promql::{Engine, EngineOptions, QueryError, SeriesPoints, Value, VectorSample, parse};

#[test]
fn the_referee_itself_passes_most_of_the_scripts_that_expect_values() {
    let Some(scripts) = scripts::all() else { return };
    let referee = Reference { delayed_name_removal: true, ..Reference::default() };
    let (mut passed, mut total, mut table) = (0, 0, String::new());
    for (name, text) in scripts {
        let script = Script::parse(&text).unwrap();
        let report = run(&script, &referee, &|| Box::new(MemStore::new()));
        passed += report.passed();
        total += report.cases.len();
        table.push_str(&format!("{name}: {} of {}\n{report}", report.passed(), report.cases.len()));
    }
    if let Some(path) = std::env::var_os("TSDB_REFERENCE_REPORT") {
        std::fs::write(path, &table).unwrap();
    }
    // What it leaves out on purpose are annotations and the parts that its documentation names.
    assert!(passed >= 1560, "{passed} of {total} pass");
}

/// `TSDB_REFERENCE_ROUNDS` times as many as usual.
fn rounds(usual: u64) -> u64 {
    let factor = std::env::var("TSDB_REFERENCE_ROUNDS").map_or(1, |factor| factor.parse().unwrap());
    usual * factor
}

fn wide(seed: u64) -> Queries {
    let mut queries = Queries::new(seed);
    queries.wide = true;
    queries
}

fn engine(delayed_name_removal: bool) -> Engine {
    let mut options = EngineOptions::default();
    options.delayed_name_removal = delayed_name_removal;
    options.parse = test_options();
    Engine::new(options)
}

#[test]
fn random_queries_over_random_data_answer_what_the_referee_answers() {
    let mut queries = wide(7);
    let (mut compared, mut failures, mut elements) = (0, 0, 0);
    let mut differences = Vec::new();
    for round in 0..rounds(60) {
        let data = Data::new(round);
        let store = data.store();
        let delayed = round % 3 == 2;
        let engine = engine(delayed);
        let referee = Reference { delayed_name_removal: delayed, ..Reference::default() };
        for _ in 0..40 {
            let query = queries.next();
            let Ok(expr) = parse(&query, &test_options()) else { continue };
            let at = queries.one(&[0, 30_000, 300_000, 615_000, 777_000, 1_000_000, 1_230_000]);
            let ours = Evaluator::instant(&engine, &store, &expr, at).map(|result| result.value);
            let theirs = referee.instant(&store, &expr, at).map(|result| result.value);
            let place = format!("seed {round}, delayed {delayed}: {query} at {at}");
            match (&ours, &theirs) {
                (Ok(Value::Vector(ours)), Ok(Value::Vector(theirs))) => {
                    elements += ours.len();
                    differences.extend(compare_vectors(&place, ours, theirs));
                }
                (Ok(Value::Scalar(ours)), Ok(Value::Scalar(theirs))) => {
                    let same = near(ours.value, theirs.value, tolerance(&query));
                    differences.extend((!same).then(|| format!("{place}: {ours:?}, referee {theirs:?}")));
                }
                (Err(ours), Err(theirs)) => {
                    failures += 1;
                    let (ours, theirs) = (reason(ours), reason(theirs));
                    // Of a subquery, the steps and series are not tried in the same order.
                    let same = ours == theirs || query.contains("m:");
                    differences.extend((!same).then(|| format!("{place}: {ours}, referee {theirs}")));
                }
                _ => differences.push(format!("{place}: {ours:?}, referee {theirs:?}")),
            }
            compared += 1;
        }
    }
    println!("{compared} queries, {elements} elements, {failures} failures");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(compared > 2000 && elements > 1500, "{compared} queries, {elements} elements");
}

/// The series that Prometheus is asked about too. Two numbers of 1e300 lie outside of what exact sums are for.
#[test]
fn random_queries_over_the_series_of_the_differential_test_answer_what_the_referee_answers() {
    let (store, engine, referee) = (store(), engine(false), Reference::default());
    let mut queries = Queries::new(9);
    let last = i64::try_from(SERIES.len()).unwrap() * 2 * STEP_MS;
    let (mut compared, mut differences) = (0, Vec::new());
    while compared < 400 * usize::try_from(rounds(1)).unwrap() {
        let (query, at) = (queries.next(), queries.one(&[0, 30_000, 300_000, 777_000, 1_200_000, last]));
        if query.contains("neg") {
            continue;
        }
        let expr = parse(&query, &test_options()).unwrap();
        let ours = Evaluator::instant(&engine, &store, &expr, at).map(|result| result.value);
        let theirs = referee.instant(&store, &expr, at).map(|result| result.value);
        let place = format!("{query} at {at}");
        match (ours, theirs) {
            (Ok(Value::Vector(ours)), Ok(Value::Vector(theirs))) => {
                differences.extend(compare_vectors(&place, &ours, &theirs));
            }
            (Err(ours), Err(theirs)) if reason(&ours) == reason(&theirs) || query.contains("m:") => {}
            (ours, theirs) => differences.push(format!("{place}: {ours:?}, referee {theirs:?}")),
        }
        compared += 1;
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn random_range_queries_answer_what_the_referee_answers_step_by_step() {
    let mut queries = wide(8);
    let (mut compared, mut differences) = (0, Vec::new());
    for round in 1000..1000 + rounds(25) {
        let data = Data::new(round);
        let (store, engine, referee) = (data.store(), engine(false), Reference::default());
        for _ in 0..20 {
            let query = queries.next();
            let Ok(expr) = parse(&query, &test_options()) else { continue };
            let step = queries.one(&[30_000, 77_000, 1000, 15_000]);
            let start = queries.one(&[0, -60_000, 300_000, 615_000, 1_100_000]);
            let end = start + step * queries.one(&[3, 10, 20]);
            let ours = Evaluator::range(&engine, &store, &expr, start, end, step).map(|result| result.value);
            let theirs = referee.range(&store, &expr, start, end, step).map(|result| result.value);
            let place = format!("seed {round}: {query} from {start} to {end} every {step}");
            match (ours, theirs) {
                (Ok(Value::Matrix(ours)), Ok(Value::Matrix(theirs))) => {
                    differences.extend(compare_matrices(&place, &ours, &theirs));
                    compared += 1;
                }
                // Series that become equal without their names are an error even if they never meet.
                (Err(ours), Ok(_)) if reason(&ours).contains("same labelset") => {}
                (Err(_), Err(_)) => {}
                (ours, theirs) => differences.push(format!("{place}: {ours:?}, referee {theirs:?}")),
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(compared > 300, "{compared}");
}

/// A message up to what it says about particular series.
fn reason(error: &QueryError) -> String {
    let message = error.to_string();
    assert!(!message.starts_with(UNKNOWN), "{message}");
    message.split(['{', ':']).next().unwrap_or("").to_owned()
}

/// How much of a number may differ. The line through points is computed in ways that lose different digits.
fn tolerance(query: &str) -> f64 {
    if ["deriv", "predict_linear"].iter().any(|name| query.contains(name)) { 1e-9 } else { 1e-12 }
}

fn near(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1e-3)
}

fn nearly_same(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    a.nearly_equals(b, 1e-9)
}

fn compare_vectors(place: &str, ours: &[VectorSample], theirs: &[VectorSample]) -> Option<String> {
    let sorted = |vector: &[VectorSample]| {
        let mut sorted: Vec<_> = vector.to_vec();
        sorted.sort_by(|a, b| a.labels.cmp(&b.labels));
        sorted
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    let same = |(a, b): (&VectorSample, &VectorSample)| {
        a.labels == b.labels
            && match (&a.histogram, &b.histogram) {
                (Some(a), Some(b)) => nearly_same(a, b),
                (None, None) => near(a.value, b.value, tolerance(place)),
                _ => false,
            }
    };
    let equal = ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same);
    (!equal).then(|| format!("{place}\n  ours    {ours:?}\n  referee {theirs:?}"))
}

fn compare_matrices(place: &str, ours: &[SeriesPoints], theirs: &[SeriesPoints]) -> Option<String> {
    let same = |(a, b): (&SeriesPoints, &SeriesPoints)| {
        a.labels == b.labels
            && a.timestamps == b.timestamps
            && a.values.iter().zip(&b.values).all(|(a, b)| near(*a, *b, tolerance(place)))
            && a.histograms.len() == b.histograms.len()
            && a.histograms
                .iter()
                .zip(&b.histograms)
                .all(|(a, b)| a.timestamp == b.timestamp && nearly_same(&a.histogram, &b.histogram))
    };
    let equal = ours.len() == theirs.len() && ours.iter().zip(theirs).all(same);
    let differing = ours.iter().zip(theirs).find(|pair| !same(*pair));
    let lengths = (ours.len(), theirs.len());
    (!equal).then(|| format!("{place}\n  {lengths:?} {differing:?}"))
}
