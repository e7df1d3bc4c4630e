//! Scripts of our own for an engine with default settings: Prometheus' scripts all run with delayed name removal.

use std::sync::Arc;
use tsdb_core::testing::MemStore;
use tsdb_promql::testing::{Script, run, test_options};
use tsdb_promql::{Engine, EngineOptions, ScopedThreads};

fn engine(threads: usize) -> Engine {
    let mut options = EngineOptions::default();
    options.parse = test_options();
    options.executor = Arc::new(ScopedThreads::new(threads));
    Engine::new(options)
}

#[test]
fn every_evaluation_of_the_plain_scripts_passes_on_any_number_of_threads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/ours_plain");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut faults = String::new();
    for (path, threads) in paths.iter().flat_map(|path| [(path, 1), (path, 3)]) {
        let script = Script::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        let report = run(&script, &engine(threads), &|| Box::new(MemStore::new()));
        if report.passed() < script.evals().count() {
            faults.push_str(&format!("{} on {threads} threads\n{report}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
