//! Reading blocks through a database: finding series, and their samples with nothing, with everything unpacked before.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to report")]

use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tempfile::TempDir;
use tsdb::fs::{Fs, OsFs};
use tsdb::{Appendable, Db, Matcher, Options, Queryable, TimeRange};
use tsdb_core::MatchOp;
use tsdb_core::read::{SampleColumns, SelectHints};

const TARGETS: u32 = 100;
const SCRAPES: usize = 240;

/// A directory with one block of a fleet.
fn block() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), options(0)).unwrap();
    let spec = Spec { targets: TARGETS, start_ms: 1_700_000_000_000, interval_ms: 15_000 };
    let mut values = Vec::new();
    for number in 0..TARGETS {
        let mut target = Target::new(spec, number);
        for _ in 0..SCRAPES {
            let at = target.scrape(&mut values);
            let mut appender = db.appender();
            for (labels, value) in target.labels().zip(&values) {
                let series = appender.series(labels).unwrap();
                appender.append(series, at, *value);
            }
            appender.commit().unwrap();
        }
    }
    db.flush().unwrap();
    db.close().unwrap();
    dir
}

fn options(block_cache_bytes: usize) -> Options {
    Options { block_cache_bytes, retention_ms: None, background: false, ..Options::default() }
}

fn read(db: &Db, matchers: &[Matcher], samples: bool) {
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(matchers, &SelectHints::over(TimeRange::ALL)).unwrap();
    let mut columns = SampleColumns::new();
    for index in 0..if samples { set.len() } else { 0 } {
        set.read(index, &mut columns).unwrap();
        black_box(&columns);
    }
    assert_eq!(set.warnings(), [""; 0]);
}

fn blocks(criterion: &mut Criterion) {
    let dir = block();
    let db = Db::open(dir.path(), options(64 << 20)).unwrap();
    let matcher = |name, op, value| [Matcher::new(op, name, value).unwrap()];
    let metric = matcher("__name__", MatchOp::Regex, "http_requests_total|node_.*");
    let mut group = criterion.benchmark_group("block_select");
    group.bench_function("everything", |bencher| bencher.iter(|| read(&db, &[], false)));
    group.bench_function("regex", |bencher| bencher.iter(|| read(&db, &metric, false)));
    group.finish();
    let mut group = criterion.benchmark_group("block_read");
    group.throughput(Throughput::Elements(TARGETS as u64 * SERIES_PER_TARGET as u64 * SCRAPES as u64));
    group.sample_size(10);
    group.bench_function("unpacked_before", |bencher| bencher.iter(|| read(&db, &[], true)));
    drop(db);
    group.bench_function("opened_anew", |bencher| {
        bencher.iter(|| read(&Db::open(dir.path(), options(64 << 20)).unwrap(), &[], true));
    });
    group.finish();
}

/// What it costs that files are opened and read by position for each frame: beside it, what copying the same bytes out of
/// memory costs, as from a mapping whose pages are there.
fn positioned(criterion: &mut Criterion) {
    const FILE_BYTES: usize = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment");
    let bytes: Vec<u8> = (0..FILE_BYTES).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let mut group = criterion.benchmark_group("frame_bytes");
    for frame in [8 << 10, 32 << 10, 128 << 10] {
        let mut into = vec![0; frame];
        let mut turn = 0_usize;
        let mut next = || {
            turn = turn.wrapping_add(1);
            turn.wrapping_mul(0x9e37_79b9) % (FILE_BYTES / frame) * frame
        };
        group.bench_function(format!("opened_and_read/{frame}"), |bencher| {
            bencher.iter(|| OsFs.read_at(&path, next() as u64, &mut into).unwrap());
        });
        group.bench_function(format!("copied_from_memory/{frame}"), |bencher| {
            bencher.iter(|| {
                let at = next();
                into.copy_from_slice(black_box(&bytes[at..at + frame]));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, blocks, positioned);
criterion_main!(benches);
