//! Random queries: a range query answers what instant queries at its steps answer, and both answer what Prometheus
//! answers.
#![expect(clippy::unwrap_used, reason = "a test")]

mod random;

use random::{Queries, SERIES, STEP_MS, store};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use tsdb_core::Labels;
use tsdb_core::testing::{MemStore, skipped};
use tsdb_promql::{Engine, Value};

#[test]
fn a_range_query_answers_what_instant_queries_at_its_steps_answer() {
    let (store, engine, mut queries) = (store(), Engine::default(), Queries::new(1));
    let mut compared = 0;
    while compared < 400 {
        let query = queries.next();
        let step = queries.one(&[30_000, 77_000, 1000, 15_000]);
        let start = queries.one(&[0, -60_000, 300_000, 615_000, 1_100_000]);
        let steps = queries.one(&[3, 10, 30]);
        let Ok(result) = engine.range(&store, &query, start, start + steps * step, step) else { continue };
        let Value::Matrix(matrix) = result.value else { continue };
        for at in (0..=steps).map(|index| start + index * step) {
            let point = |series: &tsdb_promql::SeriesPoints| {
                let index = series.timestamps.iter().position(|t| *t == at)?;
                Some((series.labels.clone(), series.values[index]))
            };
            let ranged: Vec<_> = matrix.iter().filter_map(point).collect();
            let single =
                instant(&engine, &store, &query, at).unwrap_or_else(|| panic!("{query} fails at {at} alone"));
            assert!(equal(&ranged, &single), "{query} at {at}: {ranged:?} in a range, {single:?} alone");
        }
        compared += 1;
    }
}

/// The elements of an instant vector.
type Elements = Vec<(Labels, f64)>;

/// The vector that a query answers at `at`, sorted by labels; `None` if it fails.
fn instant(engine: &Engine, store: &MemStore, query: &str, at: i64) -> Option<Elements> {
    let Value::Vector(vector) = engine.instant(store, query, at).ok()?.value else { return None };
    let mut elements: Vec<_> = vector.into_iter().map(|sample| (sample.labels, sample.value)).collect();
    elements.sort_by(|a, b| a.0.cmp(&b.0));
    Some(elements)
}

fn equal(a: &[(Labels, f64)], b: &[(Labels, f64)]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1))
}

/// Equal but for the last digits: sums may be taken in another order.
fn almost_equal(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// `promtool`, from the folder of peers that `TSDB_PEERS_DIR` names or the usual one.
fn promtool() -> Option<PathBuf> {
    let usual = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/tsdb-peers"));
    let folder = std::env::var_os("TSDB_PEERS_DIR").map(PathBuf::from).or_else(usual)?;
    Some(folder.join("usr/bin/promtool")).filter(|path| path.exists())
}

#[test]
fn random_queries_answer_what_prometheus_answers() {
    let Some(promtool) = promtool() else {
        skipped("promtool is not installed; install it with scripts/peers or set TSDB_PEERS_DIR");
        return;
    };
    let (store, engine, mut queries) = (store(), Engine::default(), Queries::new(2));
    let mut asked = Vec::new();
    while asked.len() < 1000 {
        let (query, at) = (queries.next(), queries.one(&[0, 30, 300, 315, 600, 777, 900, 1200, 1230]));
        if let Some(answer) = instant(&engine, &store, &query, at * 1000) {
            asked.push((query, at, answer));
        }
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("random_queries.yml");
    std::fs::write(&path, test_file(&asked)).unwrap();
    let output = Command::new(promtool).args(["test", "rules"]).arg(&path).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.contains("SUCCESS") || output.contains("got:"), "{output}");
    let differences = differences(&output);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A test of `promtool test rules` that expects our answers.
fn test_file(asked: &[(String, i64, Elements)]) -> String {
    // promtool loads samples up to the last multiple of this interval.
    let mut text =
        format!("evaluation_interval: 30s\ntests:\n  - interval: {STEP_MS}ms\n    input_series:\n");
    for line in SERIES {
        let (series, values) = line.split_once(' ').unwrap();
        writeln!(text, "      - series: {series:?}\n        values: {values:?}").unwrap();
    }
    text.push_str("    promql_expr_test:\n");
    for (query, at, answer) in asked {
        writeln!(text, "      - expr: {query:?}\n        eval_time: {at}s\n        exp_samples:").unwrap();
        for (labels, value) in answer {
            let value = match value {
                value if value.is_nan() => ".nan".into(),
                value if value.is_infinite() => if *value > 0.0 { ".inf" } else { "-.inf" }.into(),
                value => format!("{value:e}"),
            };
            writeln!(text, "          - labels: {:?}\n            value: {value}", labels.to_string())
                .unwrap();
        }
    }
    text
}

/// What promtool reports, without what differs only because NaN equals nothing, or in the last digits.
fn differences(output: &str) -> Vec<String> {
    let mut differences = Vec::new();
    let mut expr = "";
    let mut expected = "";
    for line in output.lines().map(str::trim) {
        if line.starts_with("expr:") {
            expr = line;
            if line.contains(", err: ") {
                differences.push(line.into());
            }
        } else if let Some(samples) = line.strip_prefix("exp:") {
            expected = samples;
        } else if let Some(samples) = line.strip_prefix("got:")
            && !same_samples(expected, samples)
        {
            differences.push(format!("{expr}\n  ours {expected}\n  theirs {samples}"));
        }
    }
    differences
}

/// Compares lists such as `{a="b"} 1E+00, {a="c"} NaN`.
fn same_samples(a: &str, b: &str) -> bool {
    let parsed = |list: &str| -> Vec<(String, f64)> {
        let mut samples: Vec<_> = list
            .split(", {")
            .filter_map(|sample| sample.trim().trim_start_matches('{').rsplit_once("} "))
            .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
            .collect();
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        samples
    };
    let (a, b) = (parsed(a), parsed(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1))
}
