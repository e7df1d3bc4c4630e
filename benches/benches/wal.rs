//! The write-ahead log: encoding a batch of known series, appending it, replaying it, and one durable commit.
//!
//! A batch is 2 000 samples of series registered one after the other, at one time or at a hundred.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to report")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::OsFs;
use tsdb::record::{RecordSink, SamplesEncoder, decode};
use tsdb::wal::{Wal, WalOptions};
use tsdb_core::{SeriesRef, Timestamp};

const BATCH: u32 = 2_000;
const BATCHES: u32 = 500;

/// A batch whose timestamps come in `groups` of neighbours.
fn encode(groups: u32, encoder: &mut SamplesEncoder, out: &mut Vec<u8>) {
    for series in 0..BATCH {
        let timestamp = 1_775_643_330_000 + i64::from(series * groups / BATCH) * 37;
        encoder.push(SeriesRef(series), timestamp, f64::from(series) * 1.5);
    }
    encoder.finish(out);
}

fn record() -> Vec<u8> {
    let mut record = Vec::new();
    encode(100, &mut SamplesEncoder::new(), &mut record);
    record
}

#[derive(Default)]
struct Sum(f64);

impl RecordSink for Sum {
    fn sample(&mut self, _series: SeriesRef, _timestamp: Timestamp, value: f64) {
        self.0 += value;
    }
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(BATCH.into()));
    for groups in [1, 100, BATCH] {
        group.bench_function(BenchmarkId::new("encode", groups), |bencher| {
            let (mut encoder, mut out) = (SamplesEncoder::new(), Vec::new());
            bencher.iter(|| {
                out.clear();
                encode(black_box(groups), &mut encoder, &mut out);
            });
        });
    }
    let record = record();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let mut sum = Sum::default();
            decode(black_box(&record), &mut sum).unwrap();
            sum.0
        });
    });
    group.finish();
}

fn open(dir: &Path) -> Wal {
    Wal::open(Arc::new(OsFs), dir, WalOptions::default(), &mut |_, _| ()).unwrap().0
}

fn log(criterion: &mut Criterion) {
    let record = record();
    let dir = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("wal");
    group.sample_size(20);
    group.throughput(Throughput::Elements(BATCH.into()));
    group.bench_function("append", |bencher| {
        let wal = open(&dir.path().join("append"));
        bencher.iter(|| {
            wal.append(&[&record]).unwrap();
            // Keeps the disk from filling up; the cost of it shows once in a thousand batches.
            if wal.size_bytes() > 32 << 20 {
                let next = wal.rotate().unwrap();
                wal.drop_segments_below(next).unwrap();
            }
        });
    });
    group.bench_function("append and sync", |bencher| {
        let wal = open(&dir.path().join("sync"));
        bencher.iter(|| wal.sync_to(wal.append(&[&record]).unwrap()).unwrap());
    });
    group.throughput(Throughput::Elements(u64::from(BATCH) * u64::from(BATCHES)));
    group.bench_function("replay", |bencher| {
        let path = dir.path().join("replay");
        let wal = open(&path);
        for _ in 0..BATCHES {
            wal.append(&[&record]).unwrap();
        }
        bencher.iter(|| {
            let mut sum = Sum::default();
            let mut on_record = |_, record: &[u8]| {
                decode(record, &mut sum).unwrap();
            };
            let opened = Wal::open(Arc::new(OsFs), &path, WalOptions::default(), &mut on_record);
            (opened.unwrap().1.records, sum.0)
        });
    });
    group.finish();
}

criterion_group!(benches, records, log);
criterion_main!(benches);
