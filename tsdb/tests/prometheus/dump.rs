//! What a database holds, compared line by line with what `promtool tsdb dump` says.

use crate::peers;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use tsdb::{Db, Labels, Options, Queryable, TimeRange};
use tsdb_core::read::{SampleColumns, SelectHints};

/// How much was compared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) series: usize,
    pub(crate) samples: usize,
    pub(crate) histograms: usize,
}

/// Opens `dir` to be read.
pub(crate) fn open(dir: &Path) -> Db {
    Db::open(dir, Options { retention_ms: None, background: false, ..Options::default() }).unwrap()
}

/// Fails unless the database in `ours` holds what `promtool` dumps of the data directory `theirs`.
pub(crate) fn compare(promtool: &Path, theirs: &Path, ours: &Path) -> Compared {
    let db = open(ours);
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    assert_eq!(set.warnings(), Vec::<String>::new());
    let mut unseen: HashMap<String, usize> =
        (0..set.len()).map(|index| (text(&set.labels(index)), index)).collect();
    let sandbox = tempfile::tempdir().unwrap();
    let sandbox = format!("--sandbox-dir-root={}", sandbox.path().display());
    let mut dump = peers::promtool(promtool, &["dump", &sandbox, theirs.to_str().unwrap()]).spawn().unwrap();
    let (mut compared, mut columns) = (Compared::default(), SampleColumns::new());
    let mut lines = BufReader::new(dump.stdout.take().unwrap()).lines().map(Result::unwrap).peekable();
    while let Some(line) = lines.peek() {
        let series = split(line).0.to_owned();
        let mut printed = Vec::new();
        while let Some(line) = lines.next_if(|line| split(line).0 == series) {
            printed.push(line);
        }
        let index = unseen.remove(&series).unwrap_or_else(|| panic!("{series} is missing, or comes twice"));
        set.read(index, &mut columns).unwrap();
        let forms = [false, true].map(|floats| compare_series(&columns, &printed, floats));
        if let (Err(one), Err(_)) = (&forms[0], &forms[1]) {
            panic!("{one}");
        }
        compared.series += 1;
        compared.samples += columns.len();
        compared.histograms += columns.histograms.iter().flatten().count();
    }
    assert!(dump.wait().unwrap().success());
    // Of a series of one histogram, or two, no line is printed.
    unseen.retain(|_, index| {
        set.read(*index, &mut columns).unwrap();
        compare_series(&columns, &[], false).is_err()
    });
    assert!(
        unseen.is_empty(),
        "{} series are only here, one of them {:?}",
        unseen.len(),
        unseen.keys().next()
    );
    compared
}

/// Compares the samples of a series with the lines that were printed of it. `floats` says whether its histograms are
/// taken for histograms of floats.
fn compare_series(columns: &SampleColumns, printed: &[String], floats: bool) -> Result<(), String> {
    let expected = printed_positions(columns, floats);
    if expected.len() != printed.len() {
        return Err(format!("{} samples of {} here, {:?}", expected.len(), printed.len(), printed.first()));
    }
    for (position, line) in expected.into_iter().zip(printed) {
        let (_, value, time) = split(line);
        let is_same = match columns.histogram(position) {
            Some(histogram) => histogram.to_string() == value,
            None => value.parse().is_ok_and(|expected: f64| {
                let found = columns.values[position];
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan())
            }),
        };
        if columns.timestamps[position] != time || !is_same {
            return Err(format!("{line}: position {position} differs here"));
        }
    }
    Ok(())
}

/// The positions of the samples that the tool prints. Up to version 3.5 it walks over numbers, then over histograms of
/// floats, then over those of integers, and loses the sample at which each walk ends.
fn printed_positions(columns: &SampleColumns, floats: bool) -> Vec<usize> {
    let is_histogram = |position: usize| columns.histogram(position).is_some();
    if columns.histograms.is_empty() {
        return (0..columns.len()).collect();
    }
    let (mut position, mut printed) = (0, Vec::new());
    let walks: [&dyn Fn(usize) -> bool; 3] =
        [&|position| !is_histogram(position), &|position| floats && is_histogram(position), &|position| {
            !floats && is_histogram(position)
        }];
    for walk in walks {
        while position < columns.len() && walk(position) {
            printed.push(position);
            position += 1;
        }
        position += 1;
    }
    printed
}

/// Fails unless both databases hold the same samples, bit by bit.
pub(crate) fn compare_databases(one: &Path, other: &Path) {
    let (one, other) = (open(one), open(other));
    let read = |db: &Db| {
        let querier = db.querier(TimeRange::ALL).unwrap();
        let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
        let mut columns = SampleColumns::new();
        let all = (0..set.len()).map(|index| {
            set.read(index, &mut columns).unwrap();
            let values: Vec<u64> = columns.values.iter().map(|value| value.to_bits()).collect();
            let histograms = format!("{:?}", columns.histograms);
            (set.labels(index).to_string(), columns.timestamps.clone(), values, histograms)
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    };
    let (one, other) = (read(&one), read(&other));
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert!(one == other, "{} differs from {}", one.0, other.0);
    }
}

/// Series, value and time of a line.
fn split(line: &str) -> (&str, &str, i64) {
    // A brace within a value of a label stands between quotes, and a histogram begins with one of its own.
    let mut is_quoted = false;
    let mut is_escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return *c == '}' && !is_quoted,
        }
        false
    });
    let (series, rest) = line.split_at(end.unwrap().0 + 1);
    let (value, time) = rest.trim_start().rsplit_once(' ').unwrap();
    (series, value, time.parse().unwrap())
}

/// A series as Prometheus prints it. Source: `model/labels`, `Labels.String`.
fn text(labels: &Labels) -> String {
    let mut text = String::from("{");
    for (number, (name, value)) in labels.iter().enumerate() {
        text.push_str(if number > 0 { ", " } else { "" });
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        text.push_str(&if is_plain { name.to_owned() } else { format!("{name:?}") });
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(text, "=\"{value}\"").unwrap();
    }
    text + "}"
}
