//! A data directory that version 1 wrote, with a checkpoint and the log behind it: every later version reads it and goes on
//! with it.
//!
//! It is written once, with `UPDATE_GOLDEN=1` in the environment and only if it is not there yet.

use super::exemplars::{append_exemplars, kept};
use super::fixture::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tsdb::fs::{Fs, SimFs};
use tsdb::{Appendable, Db, Matcher, Options, TimeRange, Timestamp};
use tsdb_core::MatchOp;
use tsdb_core::metadata::{Metadata, MetricType};

/// Everything in one window, and a checkpoint whenever maintenance looks.
fn one_window() -> Options {
    let (block_range_ms, out_of_order_window_ms) = (1_000_000, 100_000);
    Options {
        block_range_ms,
        out_of_order_window_ms,
        checkpoint_log_bytes: 1,
        max_exemplars: 10,
        ..options()
    }
}

/// What is in the directory.
#[derive(Debug, Default, PartialEq)]
struct Known {
    samples: Contents,
    exemplars: Vec<(tsdb::Labels, Vec<Timestamp>)>,
    metadata: Vec<(String, Metadata)>,
}

/// A life whose bytes are always the same: series of all kinds with sealed chunks and open ones, late samples, deletes,
/// exemplars and metadata, in the checkpoint and behind it.
fn live(fs: &SimFs) -> Known {
    let db = open_with(fs, one_window()).unwrap();
    let mut samples = Contents::new();
    for scrape in 0..130 {
        scrape_all(&db, scrape, 8, &mut samples);
    }
    set_metadata(&db, "metric", MetricType::Gauge, "Before the checkpoint.");
    append_exemplars(&db, &[(1, 2_000), (0, 2_100), (1, 2_200)]);
    take(&db, &[(1, 1_050, 9.25), (5, 1_075, 9.5), (0, 1_060, -1.0)], &mut samples);
    delete(&db, ("series", "6"), (3_000, 5_000), &mut samples);
    db.maintain().unwrap();
    for scrape in 130..140 {
        scrape_all(&db, scrape, 9, &mut samples);
    }
    set_metadata(&db, "other", MetricType::Counter, "Behind it.");
    append_exemplars(&db, &[(8, 21_000)]);
    take(&db, &[(2, 1_055, 0.125), (4, 1_075, 9.5)], &mut samples);
    delete(&db, ("parity", "odd"), (19_000, 19_500), &mut samples);
    db.close().unwrap();
    let of = |metric_type, help: &str| Metadata { metric_type, help: help.into(), unit: "seconds".into() };
    Known {
        samples,
        exemplars: vec![(labels(0), vec![2_100]), (labels(8), vec![21_000]), (labels(1), vec![2_000, 2_200])],
        metadata: vec![
            ("metric".into(), of(MetricType::Gauge, "Before the checkpoint.")),
            ("other".into(), of(MetricType::Counter, "Behind it.")),
        ],
    }
}

fn scrape_all(db: &Db, scrape: i64, series: usize, known: &mut Contents) {
    let value = |series: usize| (scrape * (series as i64 + 1)) as f64 / 4.0;
    let batch: Vec<Sample> =
        (0..series).map(|series| (series, 1_000 + scrape * 150, value(series))).collect();
    take(db, &batch, known);
}

fn take(db: &Db, batch: &[Sample], known: &mut Contents) {
    append_all(db, batch);
    for (series, timestamp, value) in batch {
        known.entry(labels(*series)).or_default().insert(*timestamp, value.to_bits());
    }
}

fn set_metadata(db: &Db, metric: &str, metric_type: MetricType, help: &str) {
    let mut appender = db.appender();
    appender.set_metadata(metric, Metadata { metric_type, help: help.into(), unit: "seconds".into() });
    appender.commit().unwrap();
}

fn delete(db: &Db, (name, value): (&str, &str), (start, end): (i64, i64), known: &mut Contents) {
    let range = TimeRange::new(start, end).unwrap();
    db.delete(&[Matcher::new(MatchOp::Equal, name, value).unwrap()], range).unwrap();
    take_out(known, range, |labels| labels.get(name) == Some(value));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/data")
}

/// The files of the database, by their paths within it. The lock holds the number of a process.
fn files(fs: &SimFs) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs.files().into_iter().filter(|path| !path.ends_with("LOCK"));
    paths.map(|path| (path.strip_prefix(DIR).unwrap().to_owned(), fs.read(&path).unwrap())).collect()
}

/// The golden files, by their paths.
fn golden() -> BTreeMap<PathBuf, Vec<u8>> {
    if !folder().exists() && std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        let fs = SimFs::new();
        live(&fs);
        for (path, bytes) in files(&fs) {
            std::fs::create_dir_all(folder().join(&path).parent().unwrap()).unwrap();
            std::fs::write(folder().join(path), bytes).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    let mut dirs = vec![folder()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.insert(path.strip_prefix(folder()).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A disk with the golden files.
fn disk() -> SimFs {
    let fs = SimFs::new();
    for (path, bytes) in golden() {
        let path = Path::new(DIR).join(path);
        fs.create_dir_all(path.parent().unwrap()).unwrap();
        fs.create_new(&path).unwrap().append(&bytes).unwrap();
    }
    fs
}

fn found(db: &Db) -> Known {
    assert_eq!(db.stats().warnings, [""; 0]);
    Known { samples: contents(db), exemplars: kept(db), metadata: db.metadata() }
}

#[test]
fn a_directory_that_version_1_wrote_is_read_and_goes_on() {
    let mut expected = live(&SimFs::new());
    let fs = disk();
    let is_of_checkpoint = |path: &PathBuf| path.to_string_lossy().contains("checkpoint-");
    assert!(fs.files().iter().any(is_of_checkpoint), "there is a checkpoint");
    for _ in 0..2 {
        let db = open_with(&fs, one_window()).unwrap();
        assert_eq!(found(&db), expected);
        db.close().unwrap();
    }
    // With new data, in a new checkpoint and in blocks.
    for moves in [Db::maintain as fn(&Db) -> Result<(), tsdb::Error>, Db::flush] {
        let db = open_with(&fs, one_window()).unwrap();
        let last = expected.samples[&labels(0)].last_key_value().map_or(0, |(time, _)| *time);
        scrape_all(&db, (last - 1_000) / 150 + 1, 10, &mut expected.samples);
        moves(&db).unwrap();
        assert_eq!(found(&db), expected);
        db.close().unwrap();
    }
    let db = open_with(&fs, one_window()).unwrap();
    assert_eq!(found(&db), expected);
    assert!(db.stats().blocks > 0);
}

#[test]
fn the_same_directory_is_written_today() {
    let fs = SimFs::new();
    live(&fs);
    let (golden, today) = (golden(), files(&fs));
    assert_eq!(golden.keys().collect::<Vec<_>>(), today.keys().collect::<Vec<_>>());
    for (path, bytes) in &golden {
        assert!(today[path] == *bytes, "{}: this version writes other bytes than before", path.display());
    }
}
