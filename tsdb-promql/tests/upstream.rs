//! Prometheus' own test scripts.
//!
//! Where the scripts are missing, these tests say so loudly and pass.
#![expect(clippy::unwrap_used, reason = "a test that reports")]

mod scripts;

use tsdb_core::testing::MemStore;
use tsdb_promql::testing::{Outcome, Report, Script, run, test_engine, test_options};
use tsdb_promql::{Engine, Pass, Passes, ast, parse};

#[test]
fn every_expression_parses_and_prints_to_itself() {
    let Some(scripts) = scripts::all() else { return };
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

/// How many evaluations each script has. All of them pass, and there is no other outcome.
const EVALUATIONS: [(&str, usize); 21] = [
    ("aggregators", 160),
    ("at_modifier", 78),
    ("collision", 2),
    ("duration_expression", 59),
    ("extended_vectors", 169),
    ("fill-modifier", 46),
    ("functions", 431),
    ("histograms", 185),
    ("info", 53),
    ("limit", 37),
    ("literals", 25),
    ("name_label_dropping", 30),
    ("native_histograms", 522),
    ("operators", 214),
    ("range_queries", 18),
    ("selectors", 31),
    ("staleness", 17),
    ("start_timestamps", 26),
    ("subquery", 34),
    ("trig_functions", 19),
    ("type_and_unit", 58),
];

#[test]
fn every_evaluation_passes() {
    assert_eq!(EVALUATIONS.iter().map(|(_, count)| count).sum::<usize>(), 2214);
    let Some(scripts) = scripts::all() else { return };
    let engine = test_engine();
    let (mut details, mut table, mut worse) = (String::new(), String::new(), String::new());
    for (name, _) in EVALUATIONS.iter().filter(|(known, _)| !scripts.iter().any(|(name, _)| name == known)) {
        worse.push_str(&format!("{name}: the script is missing\n"));
    }
    for (name, text) in scripts {
        let script = Script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = run(&script, &engine, &|| Box::new(MemStore::new()));
        table.push_str(&row(&name, &script, &report));
        details.push_str(&format!("== {name}\n{report}"));
        worse.push_str(&shortfall(&name, &report));
    }
    println!("{table}");
    if let Some(path) = std::env::var_os("TSDB_PROMQLTEST_REPORT") {
        std::fs::write(path, format!("{table}\n{details}")).unwrap();
    }
    assert!(worse.is_empty(), "{worse}{table}");
}

#[test]
fn what_passes_with_all_passes_of_the_planner_passes_without_each_of_them() {
    let Some(scripts) = scripts::all() else { return };
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
            let regressions = shortfall(name, &report);
            worse.push_str(
                &regressions.lines().map(|line| format!("{switches}: {line}\n")).collect::<String>(),
            );
        }
    }
    assert!(worse.is_empty(), "{worse}");
}

fn row(name: &str, script: &Script, report: &Report) -> String {
    format!(
        "{name:22} {:4} evaluations: {:4} passed, {:3} failed{}\n",
        script.evals().count(),
        report.passed(),
        report.failed(),
        report.error.as_ref().map_or(String::new(), |error| format!(", stopped: {error}")),
    )
}

/// Everything in which a report falls behind the table, one line each.
fn shortfall(name: &str, report: &Report) -> String {
    let mut worse = String::new();
    let count = EVALUATIONS.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count);
    if report.passed() < count {
        worse.push_str(&format!("{name}: {} of {count} passed\n", report.passed()));
    }
    if let Some(error) = &report.error {
        worse.push_str(&format!("{name} stopped: {error}\n"));
    }
    for case in &report.cases {
        if let Outcome::Failed { reason } = &case.outcome {
            worse.push_str(&format!("{name}:{}: {}: {reason}\n", case.line, case.expr));
        }
    }
    worse
}
