//! The head: a batch of known series recognised by the wire form of their labels, at three durabilities; new series;
//! and reading.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to report")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use tempfile::TempDir;
use tsdb::{Appendable, Db, Durability, Labels, Options, Queryable, TimeRange};
use tsdb_core::labels::write_wire;
use tsdb_core::read::{SampleColumns, SelectHints};

const BATCH: usize = 10_000;
const SERIES: usize = 100_000;

fn labels(number: usize) -> Labels {
    let (metric, instance) =
        (format!("metric_{:03}", number % 200), format!("host-{:05}:9100", number / 200));
    let pairs = [("__name__", metric.as_str()), ("instance", &instance), ("job", "node"), ("zone", "a")];
    Labels::from_sorted_pairs(pairs).unwrap()
}

fn wires() -> Vec<Vec<u8>> {
    let wire = |number| {
        let mut wire = Vec::new();
        write_wire(&labels(number), &mut wire);
        wire
    };
    (0..SERIES).map(wire).collect()
}

/// A database that knows all series.
fn filled(durability: Durability) -> (TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is cut while it is measured.
    let options = Options { durability, future_skew_ms: None, background: false, ..Options::default() };
    let db = Db::open(dir.path(), options).unwrap();
    let mut appender = db.appender();
    for number in 0..SERIES {
        let series = appender.series(&labels(number)).unwrap();
        appender.append(series, 0, 0.0);
    }
    appender.commit().unwrap();
    (dir, db)
}

fn append_batch(db: &Db, wires: &[Vec<u8>], timestamp: i64) {
    let mut appender = db.appender();
    for (number, wire) in wires.iter().enumerate() {
        let series = appender.lookup(wire).unwrap();
        appender.append(series, timestamp, (number as i64 * timestamp / 1000) as f64);
    }
    assert_eq!(appender.commit().unwrap().accepted, wires.len() as u64);
}

fn known_series(criterion: &mut Criterion) {
    let wires = wires();
    let mut group = criterion.benchmark_group("append_known");
    group.throughput(Throughput::Elements(BATCH as u64));
    let durabilities = [
        ("lazy", Durability::Lazy),
        ("interval", Durability::Interval(Duration::from_millis(200))),
        ("every_commit", Durability::EveryCommit),
    ];
    for (name, durability) in durabilities {
        let (_dir, db) = filled(durability);
        let mut batches = (0_usize..).map(|n| (n / (SERIES / BATCH), n % (SERIES / BATCH)));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let (scrape, part) = batches.next().unwrap();
                append_batch(&db, &wires[part * BATCH..(part + 1) * BATCH], (scrape as i64 + 1) * 15_000);
            });
        });
    }
    group.finish();
}

fn new_series(criterion: &mut Criterion) {
    let all: Vec<Labels> = (0..BATCH).map(labels).collect();
    let mut group = criterion.benchmark_group("append_new");
    group.throughput(Throughput::Elements(BATCH as u64));
    let empty = || {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path(), Options { background: false, ..Options::default() }).unwrap();
        (dir, db)
    };
    let register = |(dir, db): (TempDir, Db)| {
        let mut appender = db.appender();
        for labels in &all {
            let series = appender.series(labels).unwrap();
            appender.append(series, 0, 1.0);
        }
        appender.commit().unwrap();
        (dir, db)
    };
    group.bench_function("10k", |bencher| bencher.iter_batched(empty, register, BatchSize::PerIteration));
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let wires = wires();
    let (_dir, db) = filled(Durability::Lazy);
    (1..=100).for_each(|scrape| append_batch(&db, &wires, scrape * 15_000));
    let mut group = criterion.benchmark_group("read_head");
    group.throughput(Throughput::Elements(101 * SERIES as u64));
    group.sample_size(10);
    group.bench_function("everything", |bencher| {
        let mut columns = SampleColumns::new();
        bencher.iter(|| {
            let querier = db.querier(TimeRange::ALL).unwrap();
            let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
            for index in 0..set.len() {
                set.read(index, &mut columns).unwrap();
                black_box(&columns);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, known_series, new_series, read);
criterion_main!(benches);
