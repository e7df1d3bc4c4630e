//! Where Prometheus' own test scripts are.
//!
//! They are not part of this repository. They are taken from the folder that `TSDB_PROMQLTEST_DIR` names, or from
//! `../shared/promqltest` beside the checkout. Where there is none, this says so loudly.

use std::path::PathBuf;
use tsdb_core::testing::skipped;

/// Names and texts of the scripts, sorted by name; `None` if they are not there.
pub(crate) fn all() -> Option<Vec<(String, String)>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/promqltest"));
    let folder = std::env::var_os("TSDB_PROMQLTEST_DIR").map_or_else(beside, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let place = folder.display();
        let advice = "set TSDB_PROMQLTEST_DIR to the folder with Prometheus' promqltest *.test files";
        skipped(&format!("there are no upstream scripts in {place}; {advice}"));
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
