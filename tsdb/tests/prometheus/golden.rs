//! Files that Prometheus wrote, and the samples in them: see `golden/v1/prometheus/README.md`.

use crate::blocks::import_into;
use crate::{dump, peers};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb::fs::{Fs, OsFs};
use tsdb::prometheus::{read_block, read_head};
use tsdb_core::Labels;
use tsdb_core::sample::SampleColumns;

const BLOCK: &str = "01M7YQ28WAFQEPZ6NZVKVRQG18";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/prometheus")
}

fn add(text: &mut String, labels: &Labels, columns: &SampleColumns) {
    for (position, time) in columns.timestamps.iter().enumerate() {
        match columns.histogram(position) {
            Some(histogram) => {
                writeln!(text, "{labels} {histogram} {:?} {time}", histogram.reset_hint()).unwrap();
            }
            None => writeln!(text, "{labels} {:?} {time}", columns.values[position]).unwrap(),
        }
    }
}

fn compare(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().zip(expected.lines()).zip(1..);
    for ((found, expected), number) in lines {
        assert_eq!(found, expected, "line {number} of {name}");
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "{name}");
}

#[test]
fn the_golden_block_has_the_samples_it_had() {
    let (fs, mut text): (Arc<dyn Fs>, _) = (Arc::new(OsFs), String::new());
    let findings = read_block(&fs, &folder().join(BLOCK), &mut |labels, columns| {
        add(&mut text, labels, columns);
    });
    assert_eq!(findings, []);
    compare(&format!("{BLOCK}.txt"), &text);
}

#[test]
fn the_golden_head_has_the_samples_it_had() {
    let (fs, mut text): (Arc<dyn Fs>, _) = (Arc::new(OsFs), String::new());
    let findings = read_head(&fs, &folder().join("head"), &mut |labels, columns| {
        add(&mut text, labels, columns);
    });
    assert_eq!(findings.unwrap(), []);
    compare("head.txt", &text);
}

#[test]
fn promtool_finds_the_same_samples_in_the_golden_files() {
    let Some(promtool) = peers::program("promtool") else { return };
    let temporary = tempfile::tempdir().unwrap();
    let (block, head) = (temporary.path().join("block"), temporary.path().join("head"));
    peers::copy(&folder().join(BLOCK), &block.join(BLOCK));
    std::fs::create_dir_all(block.join("wal")).unwrap();
    peers::copy(&folder().join("head"), &head);
    for (theirs, samples) in [(block, 2283), (head, 2574)] {
        let ours = theirs.with_extension("ours");
        assert_eq!(import_into(&theirs, &ours).findings, []);
        assert_eq!(dump::compare(&promtool, &theirs, &ours).samples, samples);
    }
}
