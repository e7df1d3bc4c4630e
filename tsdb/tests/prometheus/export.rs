//! What is exported Prometheus' tools read, and an import brings it back.

use crate::blocks::import_into;
use crate::{dump, peers};
use serde_json::Value;
use std::path::Path;
use tsdb::fs::OsFs;
use tsdb::prometheus::{Exported, export};
use tsdb::{Appendable, Db, Labels, Options, Queryable, TimeRange};
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::read::{SampleColumns, SelectHints};
use tsdb_core::sample::STALE_NAN;

pub(crate) fn export_all(db: &Db, target: &Path) -> Exported {
    let exported = export(db, &[], TimeRange::ALL, &OsFs, target, &mut |_| {}).unwrap();
    assert_eq!(exported.findings, []);
    // Without a log promtool takes it for no data directory.
    std::fs::create_dir_all(target.join("wal")).unwrap();
    exported
}

const START: i64 = 1_780_000_000_000;

fn histogram(n: i64, scale: f64, reset_hint: ResetHint) -> FloatHistogram {
    let counts: Vec<f64> = (0..5).map(|bucket| ((n + bucket) as f64) * scale).collect();
    FloatHistogram::new(FloatParts {
        reset_hint,
        schema: 2,
        zero_threshold: 0.001,
        zero_count: scale,
        count: scale + 1.5 * counts.iter().sum::<f64>(),
        sum: n as f64 * 0.3,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 3 }],
        negative_spans: vec![Span { offset: 1, length: 2 }],
        negative_counts: counts[..2].to_vec(),
        positive_counts: counts,
        ..FloatParts::default()
    })
    .unwrap()
}

fn custom(n: i64) -> FloatHistogram {
    FloatHistogram::new(FloatParts {
        schema: -53,
        count: (3 * n) as f64,
        sum: n as f64,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_counts: vec![n as f64; 3],
        bounds: [0.25, 0.1 + 0.2, 7.0].into(),
        ..FloatParts::default()
    })
    .unwrap()
}

/// A database with a series of every kind: numbers of all sorts, integer, float, gauge and custom histograms, mixtures.
fn every_kind(dir: &Path) -> Db {
    let options = Options {
        retention_ms: None,
        background: false,
        future_skew_ms: None,
        out_of_order_window_ms: i64::MAX,
        ..Options::default()
    };
    let db = Db::open(dir, options).unwrap();
    let mut batch = db.appender();
    let mut series = |name: &str, kind: &str| {
        let pairs = [("__name__", name), ("kind", kind), ("text", "a \"quote\", a }\\ and\na line")];
        batch.series(&Labels::from_pairs(pairs).unwrap())
    };
    let names = ["counter", "floats", "stale", "integers", "reals", "gauges", "custom", "mixed"];
    let all: Vec<_> = names.iter().map(|name| series(name, "test").unwrap()).collect();
    for n in 0..500_i64 {
        let time = START + n * 240_000 + n % 7;
        batch.append(all[0], time, (n * 3) as f64);
        batch.append(all[1], time, (n as f64 * 0.7).sin());
        batch.append(all[2], time, if n % 50 == 0 { STALE_NAN } else { f64::from_bits(n as u64) });
        let grown = if n % 90 < 45 { n } else { n + 1000 };
        batch.append_histogram(all[3], time, histogram(grown, 2.0, ResetHint::Unknown)).unwrap();
        batch.append_histogram(all[4], time, histogram(grown, 0.3, ResetHint::Unknown)).unwrap();
        batch.append_histogram(all[5], time, histogram(500 - n, 2.0, ResetHint::Gauge)).unwrap();
        batch.append_histogram(all[6], time, custom(n)).unwrap();
        if n % 20 < 10 {
            batch.append(all[7], time, n as f64);
        } else {
            batch.append_histogram(all[7], time, histogram(n, 2.0, ResetHint::Unknown)).unwrap();
        }
    }
    assert_eq!(batch.commit().unwrap().refused, []);
    db
}

#[test]
fn samples_of_every_kind_are_exported_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let db = every_kind(&ours);
    let exported = export_all(&db, &theirs);
    assert_eq!((exported.samples, exported.without_start), (8 * 500, 0));
    assert!(exported.blocks.len() >= 2, "{exported:?}");
    db.close().unwrap();
    let back = folder.path().join("back");
    let imported = import_into(&theirs, &back);
    assert_eq!((imported.findings, imported.samples), (Vec::new(), exported.samples - imported.ahead));
    dump::compare_databases(&ours, &back);
    let Some(promtool) = peers::program("promtool") else { return };
    let compared = dump::compare(&promtool, &theirs, &ours);
    assert_eq!((compared.series, compared.samples, compared.histograms), (8, 4000, 2250));
}

/// What Prometheus answers of a sample: its time in ms, its value or the counts of its histogram.
fn sample(json: &Value) -> (i64, Vec<f64>) {
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let time = (json[0].as_f64().unwrap() * 1000.0).round() as i64;
    let Some(histogram) = json[1].as_object() else { return (time, vec![number(&json[1])]) };
    let buckets = histogram.get("buckets").and_then(Value::as_array);
    let counts = buckets.into_iter().flatten().map(|bucket| number(&bucket[3]));
    (time, [number(&histogram["count"]), number(&histogram["sum"])].into_iter().chain(counts).collect())
}

/// The same of ours.
fn samples(columns: &SampleColumns) -> Vec<(i64, Vec<f64>)> {
    let of = |position: usize| match columns.histogram(position) {
        None => vec![columns.values[position]],
        Some(histogram) => {
            let negative = histogram.negative_counts().iter().rev();
            let zero = histogram.zero_count();
            let all = negative.chain(std::iter::once(&zero)).chain(histogram.positive_counts());
            let totals = [histogram.count(), histogram.sum()];
            totals.into_iter().chain(all.copied().filter(|count| *count != 0.0)).collect()
        }
    };
    columns.timestamps.iter().enumerate().map(|(position, time)| (*time, of(position))).collect()
}

#[test]
fn prometheus_answers_with_all_that_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let db = every_kind(&folder.path().join("ours"));
    let exported = export_all(&db, &folder.path().join("theirs"));
    let Some(server) = peers::Server::on_data(folder.path()) else { return };
    let end = START / 1000 + 500 * 240;
    let query = "%7B__name__=~%22.%2B%22%7D%5B3d%5D";
    let answer = server.get(&format!("/api/v1/query?time={end}&query={query}"));
    let answer: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    let (mut columns, mut compared) = (SampleColumns::new(), 0);
    for index in 0..set.len() {
        let labels = set.labels(index);
        set.read(index, &mut columns).unwrap();
        let is_ours = |series: &&Value| series["metric"]["__name__"] == *labels.metric_name();
        let theirs = answer["data"]["result"].as_array().unwrap().iter().find(is_ours).unwrap();
        for (name, value) in labels.iter() {
            assert_eq!(theirs["metric"][name], *value);
        }
        let list = |name| theirs.get(name).and_then(Value::as_array).into_iter().flatten().map(sample);
        let mut theirs: Vec<_> = list("values").chain(list("histograms")).collect();
        theirs.sort_by_key(|sample| sample.0);
        // Stale markers are no answers.
        let mut ours = samples(&columns);
        ours.retain(|(_, counts)| !tsdb_core::is_stale_nan(counts[0]));
        assert_eq!(format!("{theirs:?}"), format!("{ours:?}"), "{labels}");
        compared += theirs.len();
    }
    assert_eq!(compared as u64, exported.samples - 10);
}

#[test]
fn promtool_lists_and_analyzes_what_is_exported() {
    let Some(promtool) = peers::program("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let exported = export_all(&every_kind(&ours), &theirs);
    for arguments in [&["list"][..], &["analyze"], &["analyze", "--extended"]] {
        let output =
            peers::promtool(&promtool, &[arguments, &[theirs.to_str().unwrap()]].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.contains("rror"), "{arguments:?}: {text}");
        let expected = if arguments == ["list"] { exported.blocks.len() + 1 } else { 10 };
        assert!(text.lines().count() >= expected, "{text}");
    }
}

#[test]
fn a_real_capture_survives_the_way_through_our_blocks_and_back() {
    let (Some(capture), Some(promtool)) = (peers::capture(), peers::program("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    import_into(&capture, &ours);
    let exported = export_all(&dump::open(&ours), &theirs);
    assert_eq!(exported.samples, 3_603_622);
    let compared = dump::compare(&promtool, &theirs, &ours);
    assert_eq!(compared.samples, 3_603_622);
}
