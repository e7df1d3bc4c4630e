//! Prometheus' own test scripts.
//!
//! The scripts are not part of this repository. They are taken from the folder that `TSDB_PROMQLTEST_DIR` names, or
//! from `../shared/promqltest` beside the checkout. Where there is none, these tests say so loudly and pass.
#![expect(clippy::unwrap_used, reason = "a test that reports")]

use std::io::Write;
use std::path::PathBuf;
use tsdb_core::testing::MemStore;
use tsdb_promql::testing::{Outcome, Report, Script, run, test_engine, test_options};
use tsdb_promql::{Engine, Pass, Passes, ast, parse};

/// Names and texts of the scripts, sorted by name; `None` if they are not there.
fn scripts() -> Option<Vec<(String, String)>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/promqltest"));
    let folder = std::env::var_os("TSDB_PROMQLTEST_DIR").map_or_else(beside, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        // The test runner holds back what tests print, but not what they write to standard error themselves.
        let place = folder.display();
        let advice = "set TSDB_PROMQLTEST_DIR to the folder with Prometheus' promqltest *.test files";
        std::io::stderr()
            .write_all(format!("SKIPPED: there are no upstream scripts in {place}; {advice}\n").as_bytes())
            .unwrap();
        return None;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut scripts: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    scripts.sort();
    Some(scripts)
}

#[test]
fn every_expression_parses_and_prints_to_itself() {
    let Some(scripts) = scripts() else { return };
    let mut count = 0;
    for (name, text) in scripts {
        let script = Script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for eval in script.evals() {
            let place = format!("{name}:{} {}", eval.line, eval.expr);
            let expr = parse(&eval.expr, &test_options()).unwrap_or_else(|error| panic!("{place}: {error}"));
            let printed = expr.to_string();
            let again = parse(&printed, &test_options())
                .unwrap_or_else(|error| panic!("{place} as {printed}: {error}"));
            assert_eq!(ast::testing::shape(&expr), ast::testing::shape(&again), "{place} as {printed}");
            assert_eq!(printed, again.to_string(), "{place}");
            count += 1;
        }
    }
    println!("{count} expressions");
    assert!(count >= 2214, "only {count} expressions");
}

/// Evaluations of each script that pass. A number may only go up; a script in [`WHOLE`] must not fail at all.
const MINIMUM: [(&str, usize); 21] = [
    ("aggregators", 160),
    ("at_modifier", 78),
    ("collision", 2),
    ("duration_expression", 59),
    ("extended_vectors", 120),
    ("fill-modifier", 46),
    ("functions", 431),
    ("histograms", 185),
    ("info", 52),
    ("limit", 36),
    ("literals", 25),
    ("name_label_dropping", 30),
    ("native_histograms", 513),
    ("operators", 214),
    ("range_queries", 18),
    ("selectors", 31),
    ("staleness", 17),
    ("start_timestamps", 0),
    ("subquery", 34),
    ("trig_functions", 19),
    ("type_and_unit", 58),
];

/// Scripts in which every evaluation passes.
const WHOLE: [&str; 16] = [
    "aggregators",
    "at_modifier",
    "collision",
    "duration_expression",
    "fill-modifier",
    "functions",
    "histograms",
    "literals",
    "name_label_dropping",
    "operators",
    "range_queries",
    "selectors",
    "staleness",
    "subquery",
    "trig_functions",
    "type_and_unit",
];

#[test]
fn as_many_evaluations_pass_as_ever() {
    let Some(scripts) = scripts() else { return };
    let engine = test_engine();
    let (mut details, mut table, mut worse) = (String::new(), String::new(), String::new());
    for (name, _) in MINIMUM.iter().filter(|(known, _)| !scripts.iter().any(|(name, _)| name == known)) {
        worse.push_str(&format!("{name}: the script is missing\n"));
    }
    for (name, text) in scripts {
        let script = Script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = run(&script, &engine, &|| Box::new(MemStore::new()));
        table.push_str(&row(&name, &script, &report));
        details.push_str(&format!("== {name}\n{report}"));
        worse.push_str(&regressions(&name, &report));
    }
    println!("{table}");
    if let Some(path) = std::env::var_os("TSDB_PROMQLTEST_REPORT") {
        std::fs::write(path, format!("{table}\n{details}")).unwrap();
    }
    assert!(worse.is_empty(), "{worse}{table}");
}

#[test]
fn what_passes_with_all_passes_of_the_planner_passes_without_each_of_them() {
    let Some(scripts) = scripts() else { return };
    let without_one = Pass::ALL.map(|pass| (format!("without {pass:?}"), Passes::all().without(pass)));
    let none = ("without any pass".to_owned(), Passes::none());
    let mut worse = String::new();
    for (switches, passes) in without_one.into_iter().chain([none]) {
        let mut options = test_engine().options().clone();
        options.passes = passes;
        let engine = Engine::new(options);
        for (name, text) in &scripts {
            let script = Script::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let report = run(&script, &engine, &|| Box::new(MemStore::new()));
            let regressions = regressions(name, &report);
            worse.push_str(
                &regressions.lines().map(|line| format!("{switches}: {line}\n")).collect::<String>(),
            );
        }
    }
    assert!(worse.is_empty(), "{worse}");
}

fn row(name: &str, script: &Script, report: &Report) -> String {
    format!(
        "{name:22} {:4} evaluations: {:4} passed, {:3} failed, {:3} unsupported {:?}{}\n",
        script.evals().count(),
        report.passed(),
        report.failed(),
        report.unsupported(),
        report.missing(),
        report.error.as_ref().map_or(String::new(), |error| format!(", stopped: {error}")),
    )
}

/// Everything in which a report falls behind the tables, one line each.
fn regressions(name: &str, report: &Report) -> String {
    let mut worse = String::new();
    let minimum = MINIMUM.iter().find(|(known, _)| *known == name).map_or(0, |(_, minimum)| *minimum);
    if report.passed() < minimum {
        worse.push_str(&format!("{name}: {} passed, there were {minimum}\n", report.passed()));
    }
    if let Some(error) = &report.error {
        worse.push_str(&format!("{name} stopped: {error}\n"));
    }
    if !WHOLE.contains(&name) {
        return worse;
    }
    for case in &report.cases {
        let reason = match &case.outcome {
            Outcome::Passed => continue,
            Outcome::Unsupported { reason } | Outcome::Failed { reason } => reason,
        };
        worse.push_str(&format!("{name}:{}: {}: {reason}\n", case.line, case.expr));
    }
    worse
}
