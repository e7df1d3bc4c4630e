//! The codecs: appending to open chunks, sealing columns, and reading both, on a generated fleet.
//!
//! Before the measurements it prints the bytes per sample of every format, and where the packed bytes go. With `TSDB_CAPTURE` naming a text file of
//! real samples (what `promtool tsdb dump` prints, sorted) it prints and measures those too.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has nothing to report"
)]

use benches::fleet::{Random, Spec, Target};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use tsdb_core::chunk::xor::XorChunk;
use tsdb_core::pack::{RAW_TARGET_BYTES, Times, TimesWriter, Values, ValuesWriter};
use tsdb_core::sample::SampleColumns;

/// Targets of the fleet, and scrapes of each: two hours of one every 15 s.
const TARGETS: u32 = 20;
const SCRAPES: usize = 480;

/// Samples of a column of one kind, and how many such columns are read.
const COLUMN: usize = 4096;
const COLUMNS: usize = 32;

/// Samples in an open chunk.
const CHUNK_SAMPLES: usize = 120;

/// Series of one source, neighbours in order of metric name and labels.
struct Source {
    name: &'static str,
    /// The metric of each series.
    metrics: Vec<String>,
    series: Vec<SampleColumns>,
}

impl Source {
    /// From series sorted by metric and labels.
    fn new(name: &'static str, sorted: BTreeMap<(String, String), SampleColumns>) -> Self {
        let (metrics, series) = sorted.into_iter().map(|((metric, _), columns)| (metric, columns)).unzip();
        Self { name, metrics, series }
    }

    fn samples(&self) -> usize {
        self.series.iter().map(SampleColumns::len).sum()
    }

    /// The series of each metric.
    fn by_metric(&self) -> BTreeMap<&str, Vec<SampleColumns>> {
        let mut metrics: BTreeMap<&str, Vec<SampleColumns>> = BTreeMap::new();
        for (metric, columns) in self.metrics.iter().zip(&self.series) {
            metrics.entry(metric).or_default().push(columns.clone());
        }
        metrics
    }
}

fn fleet() -> Source {
    let spec = Spec { targets: TARGETS, start_ms: 1_775_643_330_000, interval_ms: 15_000 };
    let mut sorted = BTreeMap::new();
    for number in 0..TARGETS {
        let mut target = Target::new(spec, number);
        let keys: Vec<_> =
            target.labels().map(|labels| (labels.metric_name().to_owned(), labels.to_string())).collect();
        let mut columns = vec![SampleColumns::new(); keys.len()];
        let mut values = Vec::new();
        for _ in 0..SCRAPES {
            let at = target.scrape(&mut values);
            columns.iter_mut().zip(&values).for_each(|(columns, value)| columns.push(at, *value));
        }
        sorted.extend(keys.into_iter().zip(columns));
    }
    Source::new("fleet", sorted)
}

/// Reads lines such as `{__name__="up", job="a"} 1 1775643330000`.
fn capture(path: &str) -> Source {
    let mut sorted: BTreeMap<(String, String), SampleColumns> = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (labels, sample) = line.rsplit_once("} ").unwrap();
        let (value, timestamp) = sample.split_once(' ').unwrap();
        let (_, name) = labels.split_once("__name__=\"").unwrap();
        let (name, _) = name.split_once('"').unwrap();
        // The dump does not tell NaNs apart; those of a real server are stale markers.
        let value: f64 = value.parse().unwrap();
        let value = if value.is_nan() { tsdb_core::STALE_NAN } else { value };
        let columns = sorted.entry((name.to_owned(), labels.to_owned())).or_default();
        columns.push(timestamp.parse().unwrap(), value);
    }
    Source::new("capture", sorted)
}

fn sources() -> Vec<Source> {
    let captured = std::env::var("TSDB_CAPTURE").ok().map(|path| capture(&path));
    std::iter::once(fleet()).chain(captured).collect()
}

fn chunks(source: &Source) -> Vec<XorChunk> {
    let mut chunks = Vec::new();
    for series in &source.series {
        for (timestamps, values) in
            series.timestamps.chunks(CHUNK_SAMPLES).zip(series.values.chunks(CHUNK_SAMPLES))
        {
            let mut chunk = XorChunk::new();
            for (timestamp, value) in timestamps.iter().zip(values) {
                chunk.push(*timestamp, *value).unwrap();
            }
            chunks.push(chunk);
        }
    }
    chunks
}

/// The times of all series, and their values in frames.
struct Packed {
    times: Vec<u8>,
    values: Vec<Vec<u8>>,
}

impl Packed {
    fn new(series: &[SampleColumns]) -> Self {
        let (mut times, mut values) = (TimesWriter::new(), ValuesWriter::new());
        let mut frames = Vec::new();
        for series in series {
            let time = times.intern(&series.timestamps).unwrap();
            if values.raw_len() >= RAW_TARGET_BYTES {
                frames.push(values.finish());
            }
            values.push(time, &series.values).unwrap();
        }
        frames.push(values.finish());
        Self { times: times.finish(), values: frames }
    }

    fn compressed_len(&self) -> (usize, usize) {
        let times = Times::open(&self.times).unwrap();
        let values =
            self.values.iter().map(|frame| compress(frame, Values::open(frame).unwrap().cuts()).len());
        (compress(&self.times, times.cuts()).len(), values.sum())
    }
}

/// Compresses as the engine does: a new block at every cut.
fn compress(raw: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let mut at = 0;
    for cut in cuts.chain([raw.len()]) {
        encoder.write_all(&raw[at..cut]).unwrap();
        encoder.flush().unwrap();
        at = cut;
    }
    encoder.finish().unwrap()
}

fn print_sizes(source: &Source) {
    let samples = source.samples() as f64;
    let per_sample = |bytes: usize| bytes as f64 / samples;
    let chunks = chunks(source);
    let packed = Packed::new(&source.series);
    let (times, values) = packed.compressed_len();
    println!("{}: {} series, {samples} samples; bytes per sample:", source.name, source.series.len());
    println!("  open chunks      {:.3}", per_sample(chunks.iter().map(|chunk| chunk.byte_len()).sum()));
    println!("  their memory     {:.3}", per_sample(chunks.iter().map(XorChunk::heap_bytes).sum()));
    println!(
        "  packed           {:.4}",
        per_sample(packed.times.len() + packed.values.iter().map(Vec::len).sum::<usize>())
    );
    println!(
        "  and compressed   {:.4} ({:.4} of it timestamps)",
        per_sample(times + values),
        per_sample(times)
    );
}

/// Metrics that are printed of a source: those with the most bytes.
const PRINTED: usize = 20;

/// Prints what the series of each metric take when they are packed by themselves.
fn print_metrics(source: &Source) {
    let mut metrics = Vec::new();
    for (metric, series) in source.by_metric() {
        let samples: usize = series.iter().map(SampleColumns::len).sum();
        let (_, values) = Packed::new(&series).compressed_len();
        metrics.push((values, samples, metric));
    }
    metrics.sort_unstable();
    let all = metrics.iter().map(|(values, ..)| values).sum::<usize>() as f64;
    for (values, samples, metric) in metrics.iter().rev().take(PRINTED) {
        let share = |part: usize, all: f64| 100.0 * part as f64 / all;
        println!(
            "  {:5.1} % of the bytes, {:5.1} % of the samples, {:.4} bytes per sample: {metric}",
            share(*values, all),
            share(*samples, source.samples() as f64),
            *values as f64 / *samples as f64
        );
    }
}

fn open_chunks(c: &mut Criterion, source: &Source) {
    let mut group = c.benchmark_group("chunk");
    group.throughput(Throughput::Elements(source.samples() as u64)).sample_size(10);
    group.bench_function(BenchmarkId::new("push", source.name), |b| b.iter(|| chunks(source)));
    let chunks = chunks(source);
    let mut into = SampleColumns::new();
    group.bench_function(BenchmarkId::new("decode", source.name), |b| {
        b.iter(|| {
            for chunk in &chunks {
                into.clear();
                chunk.decode(&mut into).unwrap();
                black_box(&into);
            }
        });
    });
}

fn packed_columns(c: &mut Criterion, source: &Source) {
    let mut group = c.benchmark_group("pack");
    group.throughput(Throughput::Elements(source.samples() as u64)).sample_size(10);
    group.bench_function(BenchmarkId::new("write", source.name), |b| b.iter(|| Packed::new(&source.series)));
    let packed = Packed::new(&source.series);
    let times = Times::open(&packed.times).unwrap();
    let mut into = SampleColumns::new();
    for with_times in [true, false] {
        let id = BenchmarkId::new(if with_times { "read" } else { "read values" }, source.name);
        group.bench_function(id, |b| {
            b.iter(|| {
                for frame in &packed.values {
                    let values = Values::open(frame).unwrap();
                    for slot in 0..u32::try_from(values.len()).unwrap() {
                        into.clear();
                        if with_times {
                            times.read(values.time(slot).unwrap(), &mut into.timestamps).unwrap();
                        }
                        values.read(slot, &mut into.values).unwrap();
                        black_box(&into);
                    }
                }
            });
        });
    }
}

fn codecs(c: &mut Criterion) {
    for source in sources() {
        print_sizes(&source);
        print_metrics(&source);
        open_chunks(c, &source);
        packed_columns(c, &source);
    }
    column_kinds(c);
}

/// Reading long columns of one kind each, all in one frame that a first-level cache does not hold.
fn column_kinds(c: &mut Criterion) {
    let mut random = Random::new(7);
    let mut sum = 1e6;
    let mut counter = || {
        sum += f64::from(random.below(90));
        sum
    };
    let counters: Vec<f64> = (0..COLUMN).map(|_| counter()).collect();
    let decimals: Vec<f64> = (0..COLUMN).map(|_| f64::from(random.below(5000)) / 100.0).collect();
    let mut level = 5e7;
    let mut step = || {
        level += if random.below(2) == 0 { f64::from(random.below(1 << 20)) - 524_288.0 } else { 0.0 };
        level
    };
    let levels: Vec<f64> = (0..COLUMN).map(|_| step()).collect();
    let ratios: Vec<f64> = (0..COLUMN).map(|_| random.unit()).collect();
    let kinds = [
        ("constant", vec![0.1; COLUMN]),
        ("counter", counters),
        ("gauge with decimals", decimals),
        ("gauge that often stands still", levels),
        ("full precision", ratios),
    ];
    let mut group = c.benchmark_group("pack/column");
    group.throughput(Throughput::Elements((COLUMN * COLUMNS) as u64));
    for (name, values) in kinds {
        let mut writer = ValuesWriter::new();
        for _ in 0..COLUMNS {
            writer.push(0, &values).unwrap();
        }
        let frame = writer.finish();
        let mut into = Vec::with_capacity(COLUMN);
        group.bench_function(name, |b| {
            b.iter(|| {
                let values = Values::open(&frame).unwrap();
                for slot in 0..COLUMNS {
                    into.clear();
                    values.read(u32::try_from(slot).unwrap(), &mut into).unwrap();
                    black_box(&into);
                }
            });
        });
    }
}

criterion_group!(kernels, codecs);
criterion_main!(kernels);
