//! Prometheus' own test scripts.
//!
//! The scripts are not part of this repository. They are taken from the folder that `TSDB_PROMQLTEST_DIR` names, or
//! from `../shared/promqltest` beside the checkout. Where there is none, these tests say so loudly and pass.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that reports")]

use std::path::PathBuf;
use tsdb_promql::testing::{Script, test_options};
use tsdb_promql::{ast, parse};

/// Names and texts of the scripts, sorted by name; `None` if they are not there.
fn scripts() -> Option<Vec<(String, String)>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/promqltest"));
    let folder = std::env::var_os("TSDB_PROMQLTEST_DIR").map_or_else(beside, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("SKIPPED: there are no upstream scripts in {}.", folder.display());
        println!("SKIPPED: set TSDB_PROMQLTEST_DIR to the folder with Prometheus' promqltest *.test files.");
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
