//! Data of Prometheus in and out: a fleet is exported and imported; a capture of real data, in
//! `$TSDB_PROMETHEUS_DATA_DIR`, is imported if it is there.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to report")]

use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tsdb::fs::{Fs, OsFs};
use tsdb::prometheus::{Imported, export, import};
use tsdb::{Appendable, Db, Options, TimeRange};

const TARGETS: u32 = 100;
const SCRAPES: usize = 480;

fn options() -> Options {
    Options { retention_ms: None, background: false, ..Options::default() }
}

/// A database with a fleet.
fn fleet() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), options()).unwrap();
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

fn import_anew(from: &Path) -> Imported {
    let (fs, to): (Arc<dyn Fs>, _) = (Arc::new(OsFs), tempfile::tempdir().unwrap());
    import(&fs, from, to.path(), &mut |_| {}).unwrap()
}

fn prometheus(criterion: &mut Criterion) {
    let ours = fleet();
    let theirs = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("prometheus");
    group.sample_size(10);
    group.throughput(Throughput::Elements(TARGETS as u64 * SERIES_PER_TARGET as u64 * SCRAPES as u64));
    let db = Db::open(ours.path(), options()).unwrap();
    group.bench_function("export_fleet", |bencher| {
        bencher.iter(|| {
            let to = tempfile::tempdir().unwrap();
            export(&db, &[], TimeRange::ALL, &OsFs, to.path(), &mut |_| {}).unwrap()
        });
    });
    export(&db, &[], TimeRange::ALL, &OsFs, theirs.path(), &mut |_| {}).unwrap();
    group.bench_function("import_fleet", |bencher| bencher.iter(|| import_anew(theirs.path())));
    let imported = import_anew(theirs.path());
    let ratio = |imported: &Imported| imported.block_bytes as f64 / imported.source_bytes as f64;
    let mut ratios = vec![("fleet", ratio(&imported))];
    if let Some(capture) = std::env::var_os("TSDB_PROMETHEUS_DATA_DIR") {
        let imported = import_anew(Path::new(&capture));
        ratios.push(("capture", ratio(&imported)));
        group.throughput(Throughput::Elements(imported.samples));
        group.bench_function("import_capture", |bencher| bencher.iter(|| import_anew(Path::new(&capture))));
    }
    group.finish();
    for (name, ratio) in ratios {
        eprintln!("{name}: imported, {ratio:.3} of the bytes of the original");
    }
}

criterion_group!(benches, prometheus);
criterion_main!(benches);
