//! Tests that cannot run where they are.

use std::format;
use std::fs::OpenOptions;
use std::io::Write;

/// Says that the test that calls this is skipped, and `why`: what is absent, and how to get it.
///
/// It is written to standard error past the test runner, which holds back what tests print if they pass; and as a line to
/// the file that the variable `TSDB_SKIPPED` names, if it is set, from which `scripts/test` repeats it at its end.
pub fn skipped(why: &str) {
    let line = format!("SKIPPED: {why}\n");
    // There is nobody to tell that telling failed.
    drop(std::io::stderr().write_all(line.as_bytes()));
    let Some(path) = std::env::var_os("TSDB_SKIPPED") else { return };
    drop(
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes())),
    );
}
