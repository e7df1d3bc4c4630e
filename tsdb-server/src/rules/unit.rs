//! Unit tests of rules, in the files of `promtool test rules`: series go in, alerts and the answers of queries are
//! compared with what the file expects.
//!
//! Each test has a store in memory of its own. Rules are evaluated from the beginning of time at the interval of the
//! file; alerts are looked at after the last evaluation not behind the time that is asked about.
//!
//! Left out: `start_timestamp` and histograms among the expected samples are refused by name.

use super::group::{Group, Pass};
use super::world::StoreWorld;
use super::{AlertState, World, parse_file};
use crate::Period;
use crate::store::Store;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{Querier, Queryable, ReadError};
use tsdb_core::testing::MemStore;
use tsdb_core::write::{Appendable, Appender};
use tsdb_core::{Labels, TimeRange, Timestamp};
use tsdb_promql::testing::{SequenceValue, parse_series};
use tsdb_promql::{Engine, EngineOptions};

/// A file of tests that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleTestError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}", path = path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule_files: Vec<String>,
    evaluation_interval: Option<Period>,
    /// Numbers that differ by the last bit of the mantissa are the same.
    #[serde(default)]
    fuzzy_compare: bool,
    #[serde(default)]
    group_eval_order: Vec<String>,
    #[serde(default)]
    tests: Vec<Test>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    #[serde(default)]
    name: String,
    interval: Option<Period>,
    #[serde(default)]
    input_series: Vec<Input>,
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
    #[serde(default)]
    promql_expr_test: Vec<ExprTest>,
    #[serde(default)]
    external_labels: BTreeMap<String, String>,
    #[serde(default)]
    external_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    series: String,
    values: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertTest {
    eval_time: Period,
    alertname: String,
    #[serde(default)]
    exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedAlert {
    #[serde(default)]
    exp_labels: BTreeMap<String, String>,
    #[serde(default)]
    exp_annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExprTest {
    expr: String,
    eval_time: Period,
    #[serde(default)]
    exp_samples: Vec<ExpectedSample>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedSample {
    #[serde(default)]
    labels: String,
    value: f64,
}

/// Runs the tests of the file at `path` and returns what failed, test by test; nothing if all is as expected.
///
/// # Errors
/// A file that cannot be read or is not what it should be, the rule files it names among them.
pub fn test_rules(path: &Path) -> Result<Vec<String>, RuleTestError> {
    let wrong = |reason: String| RuleTestError::Wrong { path: path.to_owned(), reason };
    let file: File = serde_saphyr::from_str(&read(path)?).map_err(|error| wrong(error.to_string()))?;
    let interval = file.evaluation_interval.unwrap_or(Period::from_secs(60)).as_signed_ms();
    if interval == 0 {
        return Err(wrong("evaluation_interval must not be zero".to_owned()));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut failures = Vec::new();
    for test in &file.tests {
        let groups = load_groups(folder, &file)?;
        let sandbox = Sandbox::filled(test, interval).map_err(wrong)?;
        let same: Same = if file.fuzzy_compare { nearly_same } else { same };
        failures.extend(run(test, groups, interval, &sandbox, same).map_err(wrong)?);
    }
    Ok(failures)
}

fn read(path: &Path) -> Result<String, RuleTestError> {
    std::fs::read_to_string(path).map_err(|source| RuleTestError::Read { path: path.to_owned(), source })
}

/// The groups of all rule files, in the order in which they are evaluated.
fn load_groups(folder: &Path, file: &File) -> Result<Vec<Group>, RuleTestError> {
    let mut groups = Vec::new();
    for pattern in &file.rule_files {
        let pattern = folder.join(pattern);
        let wrong = |reason: String| RuleTestError::Wrong { path: pattern.clone(), reason };
        let paths = glob::glob(&pattern.display().to_string()).map_err(|error| wrong(error.to_string()))?;
        for path in paths.flatten() {
            let options = EngineOptions::default().parse;
            let parsed = parse_file(&path.display().to_string(), &read(&path)?, &options);
            groups.extend(parsed.map_err(|faults| {
                let reasons: Vec<_> = faults.iter().map(ToString::to_string).collect();
                RuleTestError::Wrong { path: path.clone(), reason: reasons.join("\n") }
            })?);
        }
    }
    let place = |group: &Group| file.group_eval_order.iter().position(|name| *name == group.settings().name);
    groups.sort_by_key(|group| place(group).unwrap_or(0));
    Ok(groups)
}

/// A store in memory with its engine.
struct Sandbox {
    store: MemStore,
    engine: Engine,
    external_labels: Labels,
    external_url: String,
}

impl Sandbox {
    fn filled(test: &Test, default_interval: i64) -> Result<Self, String> {
        let store = MemStore::new();
        let interval = test.interval.map_or(default_interval, Period::as_signed_ms);
        for input in &test.input_series {
            let line = format!("{} {}", input.series, input.values);
            let (labels, values) =
                parse_series(&line).map_err(|error| format!("{}: {error}", input.series))?;
            let mut appender = store.appender();
            let series = appender.series(&labels).map_err(|error| error.to_string())?;
            for (index, value) in (0..).zip(values) {
                match value {
                    SequenceValue::Missing => {}
                    SequenceValue::Float(value) => appender.append(series, interval * index, value),
                    SequenceValue::Histogram(value) => {
                        let histogram = value.histogram().map_err(|error| error.to_string())?;
                        appender
                            .append_histogram(series, interval * index, histogram)
                            .map_err(|error| error.to_string())?;
                    }
                }
            }
            appender.commit().map_err(|error| error.to_string())?;
        }
        let pairs = test.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut options = EngineOptions::default();
        options.default_subquery_step_ms = default_interval;
        Ok(Self {
            store,
            engine: Engine::new(options),
            external_labels: Labels::from_pairs(pairs).map_err(|error| error.to_string())?,
            external_url: test.external_url.trim_end_matches('/').to_owned(),
        })
    }

    fn world(&self) -> StoreWorld<'_> {
        StoreWorld {
            store: self,
            engine: &self.engine,
            external_labels: &self.external_labels,
            external_url: &self.external_url,
            started: Instant::now(),
        }
    }
}

impl Queryable for Sandbox {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        self.store.querier(range)
    }
}

impl Appendable for Sandbox {
    fn appender(&self) -> Box<dyn Appender + '_> {
        self.store.appender()
    }
}

impl Store for Sandbox {
    fn metadata(&self) -> Vec<(String, Metadata)> {
        Vec::new()
    }
}

/// Are two numbers the same?
type Same = fn(f64, f64) -> bool;

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// Those next to each other are the same too.
fn nearly_same(a: f64, b: f64) -> bool {
    same(a, b) || a.next_up() == b || b.next_up() == a
}

fn run(
    test: &Test,
    mut groups: Vec<Group>,
    interval: i64,
    sandbox: &Sandbox,
    same: Same,
) -> Result<Vec<String>, String> {
    let world = sandbox.world();
    let alert_times = test.alert_rule_test.iter().map(|test| test.eval_time);
    let times = alert_times.chain(test.promql_expr_test.iter().map(|test| test.eval_time));
    let last = times.map(Period::as_signed_ms).max().unwrap_or(0);
    let mut failures = Vec::new();
    let mut at: Timestamp = 0;
    while at <= last {
        for group in &mut groups {
            group.evaluate(Pass::current(at), &world);
        }
        let faults: Vec<_> = groups.iter().flat_map(|group| faults_of(group, at)).collect();
        if !faults.is_empty() {
            failures.extend(faults);
            return Ok(failures);
        }
        let due = |wanted: &&AlertTest| (at..at + interval).contains(&wanted.eval_time.as_signed_ms());
        for wanted in test.alert_rule_test.iter().filter(due) {
            failures.extend(compare_alerts(test, wanted, &groups)?);
        }
        at += interval;
    }
    for wanted in &test.promql_expr_test {
        failures.extend(compare_samples(test, wanted, &world, same)?);
    }
    Ok(failures)
}

fn faults_of(group: &Group, at: Timestamp) -> Vec<String> {
    let rules = group.rules().iter();
    let faults = rules.filter_map(|running| match running.health() {
        super::Health::Bad(reason) => {
            Some(format!("rule: {}, time: {}, err: {reason}", running.rule().name(), period(at)))
        }
        _ => None,
    });
    faults.collect()
}

fn period(ms: i64) -> Period {
    Period::from_ms(ms.unsigned_abs())
}

/// Labels and annotations of an alert.
type Told = (Labels, Vec<(String, String)>);

fn compare_alerts(test: &Test, wanted: &AlertTest, groups: &[Group]) -> Result<Option<String>, String> {
    let rules =
        groups.iter().flat_map(Group::rules).filter(|running| running.rule().name() == wanted.alertname);
    let firing =
        rules.flat_map(|running| running.alerts().iter()).filter(|alert| alert.state == AlertState::Firing);
    let mut got: Vec<Told> = firing.map(|alert| (alert.labels.clone(), alert.annotations.clone())).collect();
    let mut expected = Vec::new();
    for alert in &wanted.exp_alerts {
        let mut labels = alert.exp_labels.clone();
        labels.insert("alertname".to_owned(), wanted.alertname.clone());
        let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = Labels::from_pairs(pairs).map_err(|error| error.to_string())?;
        expected.push((labels, alert.exp_annotations.clone().into_iter().collect()));
    }
    got.sort();
    expected.sort();
    if got == expected {
        return Ok(None);
    }
    let head = format!("alertname: {}, time: {}", wanted.alertname, wanted.eval_time);
    Ok(Some(difference(&test.name, &head, &lines(&expected, told), &lines(&got, told))))
}

fn compare_samples(
    test: &Test,
    wanted: &ExprTest,
    world: &dyn World,
    same: Same,
) -> Result<Option<String>, String> {
    let head = format!("expr: {:?}, time: {}", wanted.expr, wanted.eval_time);
    let got = match world.query_text(&wanted.expr, wanted.eval_time.as_signed_ms()) {
        Ok(got) => got,
        Err(reason) => return Ok(Some(format!("{}{head}, err: {reason}", named(&test.name)))),
    };
    let mut got: Vec<_> = got.into_iter().map(|sample| (sample.labels, sample.value)).collect();
    let mut expected = Vec::new();
    for sample in &wanted.exp_samples {
        let labels = if sample.labels.is_empty() { "{}" } else { &sample.labels };
        let (labels, _) = parse_series(labels).map_err(|error| format!("labels {labels:?}: {error}"))?;
        expected.push((labels, sample.value));
    }
    got.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let same = |(a, b): (&(Labels, f64), &(Labels, f64))| a.0 == b.0 && same(a.1, b.1);
    if got.len() == expected.len() && got.iter().zip(&expected).all(same) {
        return Ok(None);
    }
    let sample = |(labels, value): &(Labels, f64)| format!("{labels} {value}");
    Ok(Some(difference(&test.name, &head, &lines(&expected, sample), &lines(&got, sample))))
}

fn told((labels, annotations): &Told) -> String {
    format!("labels {labels}, annotations {annotations:?}")
}

fn lines<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    let mut out = String::new();
    for item in items {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n        {}", write(item));
    }
    if items.is_empty() { " nothing".to_owned() } else { out }
}

fn difference(test: &str, head: &str, expected: &str, got: &str) -> String {
    format!("{}{head}\n    expected:{expected}\n    got:{got}", named(test))
}

fn named(test: &str) -> String {
    if test.is_empty() { String::new() } else { format!("name: {test}, ") }
}
