//! Scripts of our own, beside Prometheus': what its scripts leave open. Where a script says what Prometheus answers,
//! it was asked.

use tsdb_core::testing::MemStore;
use tsdb_promql::testing::{Script, run, test_engine};

#[test]
fn every_evaluation_of_our_scripts_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/ours");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let (engine, mut faults) = (test_engine(), String::new());
    for path in paths {
        let script = Script::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let report = run(&script, &engine, &|| Box::new(MemStore::new()));
        if report.passed() < script.evals().count() {
            faults.push_str(&format!("{}\n{report}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
