//! What the first query costs that comes to a block on object storage: requests that depend on each other, bytes, time, and
//! what the block takes in memory when nobody asks.
//!
//! `cargo run --release -p benches --example cold_query -- [TARGETS] [INTERVAL] [LATENCY_MS]`
//!
//! Writes a block of a day with 500 series for each of TARGETS targets: `queue_depth` with a sample every INTERVAL seconds,
//! all others with a sample every six hours. The store is in memory and lets each answer wait for LATENCY_MS. Each query is
//! the first one of a database that was just opened.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use benches::process;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::block::{BlockSpec, BlockWriter};
use tsdb::fs::OsFs;
use tsdb::tier::{ObjectStore, SimStore, Tier};
use tsdb::{Db, Labels, Options};
use tsdb_core::block::BlockId;
use tsdb_core::testing::ManualClock;
use tsdb_promql::{Engine, EngineOptions, Value};

type Outcome<T> = Result<T, Box<dyn Error>>;

const DAY_MS: i64 = 86_400_000;
const RARE_MS: i64 = 6 * 3_600_000;
const DISTINCT_TARGETS: u32 = 16;
const METRIC: &str = "queue_depth";
/// What a database may keep of what it read.
const CACHE_BYTES: usize = 64 << 20;
/// Queries, each over a day in steps of five minutes: of about 1 000 series that are neighbours in the block, and of as many
/// of which none is next to another.
const QUERIES: [(&str, &str); 3] = [
    ("neighbours", "sum(max_over_time(queue_depth{instance=~\"10\\\\.0\\\\.0\\\\.[0-4]:9100\"}[5m]))"),
    (
        "scattered",
        "sum(max_over_time(queue_depth{job=\"checkout\",zone=\"eu-west-1a\",queue=~\"queue-[0-4][0-9]\"}[5m]))",
    ),
    ("one metric, all its series", "count(queue_depth)"),
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [write, dir, targets, interval] = &arguments[..]
        && write == "write"
    {
        return write_block(Path::new(dir), targets.parse()?, interval.parse::<i64>()? * 1_000);
    }
    let number = |index: usize, usual: u32| arguments.get(index).map_or(Ok(usual), |text| text.parse());
    let (targets, interval, latency) = (number(0, 2_000)?, number(1, 15)?, number(2, 30)?);
    let dir = tempfile::tempdir()?;
    // In a process of its own, whose memory is gone afterwards.
    let (path, of) = (dir.path().to_string_lossy(), [targets.to_string(), interval.to_string()]);
    let status = Command::new(std::env::current_exe()?).args(["write", &path, &of[0], &of[1]]).status()?;
    if !status.success() {
        return Err("the block could not be written".into());
    }
    let store = Arc::new(SimStore::new());
    let db = Db::open(dir.path(), options(&store)?)?;
    let stats = db.stats();
    println!(
        "{} series, {} samples in {:.1} MB; {latency} ms to the first byte",
        targets * SERIES_PER_TARGET,
        stats.block_samples,
        stats.block_bytes as f64 / 1e6
    );
    db.ship()?;
    db.ship()?;
    db.close()?;
    store.set_latency(Duration::from_millis(latency.into()));
    measure(dir.path(), &store)
}

fn options(store: &Arc<SimStore>) -> Outcome<Options> {
    let mut tier = Tier::new(Arc::clone(store) as Arc<dyn ObjectStore>, CACHE_BYTES)?;
    tier.keep_local_ms = 0;
    Ok(Options {
        block_range_ms: DAY_MS,
        retention_ms: None,
        rollups: Vec::new(),
        background: false,
        future_skew_ms: None,
        tier: Some(tier),
        clock: Arc::new(ManualClock::at(60 * DAY_MS)),
        ..Options::default()
    })
}

fn measure(dir: &Path, store: &Arc<SimStore>) -> Outcome<()> {
    println!(
        "{:28} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8}",
        "", "series", "in a row", "requests", "MB", "ms", "CPU ms"
    );
    let mut engine = EngineOptions::default();
    (engine.timeout, engine.max_samples) = (None, u64::MAX);
    let engine = Engine::new(engine);
    for (name, query) in QUERIES {
        let db = Db::open(dir, options(store)?)?;
        store.take_asked();
        let before = process::own();
        let started = Instant::now();
        let answer = match name.starts_with("one metric") {
            true => engine.instant(&db, query, DAY_MS / 2)?,
            false => engine.range(&db, query, 300_000, DAY_MS, 300_000)?,
        };
        let (took, asked) = (started.elapsed(), store.take_asked());
        let cpu = process::own().cpu.saturating_sub(before.cpu);
        if !matches!(&answer.value, Value::Matrix(rows) if !rows.is_empty())
            && !matches!(&answer.value, Value::Vector(rows) if !rows.is_empty())
        {
            return Err(format!("{query} gave nothing").into());
        }
        println!(
            "{name:28} {:7} {:9} {:9} {:9.2} {:8.0} {:8.0}",
            answer.stats.series_selected,
            asked.in_a_row,
            asked.calls,
            asked.bytes as f64 / 1e6,
            took.as_secs_f64() * 1e3,
            cpu.as_secs_f64() * 1e3,
        );
        db.close()?;
    }
    idle(dir, store)
}

/// What a block takes that was asked once, when nobody has asked for two rounds of maintenance.
fn idle(dir: &Path, store: &Arc<SimStore>) -> Outcome<()> {
    let db = Db::open(dir, options(store)?)?;
    let opened = process::own().rss_bytes;
    let cached = |db: &Db| db.stats().tier.map_or(0, |tier| tier.cached_bytes);
    println!("opened: {} bytes of the block in memory", cached(&db));
    let engine = Engine::new(EngineOptions::default());
    engine.instant(&db, "count(queue_depth{instance=\"10.0.0.1:9100\"})", DAY_MS / 2)?;
    let asked = process::own().rss_bytes;
    println!(
        "asked once: {} bytes cached, {} KiB more resident",
        cached(&db),
        asked.saturating_sub(opened) >> 10
    );
    db.ship()?;
    db.ship()?;
    println!(
        "idle: {} KiB more resident than before the query",
        process::own().rss_bytes.saturating_sub(opened) >> 10
    );
    Ok(db.close()?)
}

fn write_block(dir: &Path, targets: u32, interval_ms: i64) -> Outcome<()> {
    Db::open(dir, Options { background: false, ..Options::default() })?.close()?;
    let (often, rarely) = (columns(targets, interval_ms), columns(targets, RARE_MS));
    let spec = Spec { targets, start_ms: 0, interval_ms };
    let mut series: Vec<(Labels, u32, usize)> = Vec::new();
    for number in 0..targets {
        let target = Target::new(spec, number);
        series.extend(target.labels().enumerate().map(|(place, labels)| (labels.clone(), number, place)));
    }
    series.sort_unstable();
    let mut writer = BlockWriter::create(&OsFs, dir, BlockSpec::first_level(BlockId(1 << 80)))?;
    let mut times = Vec::new();
    for (labels, number, place) in &series {
        let (all, interval_ms) = match labels.metric_name() == METRIC {
            true => (&often, interval_ms),
            false => (&rarely, RARE_MS),
        };
        let (jitter, values) = &all[(number % DISTINCT_TARGETS) as usize];
        let start = i64::from(number.wrapping_mul(2_654_435_761) % 14_000);
        times.clear();
        times.extend(jitter.iter().zip(0..).map(|(jitter, n)| start + n * interval_ms + jitter));
        writer.add(labels, &times, &values[*place])?;
    }
    writer.finish()?;
    Ok(())
}

/// Of each of the first targets the jitter of its scrapes within a day, and the values of each series.
type Columns = Vec<(Vec<i64>, Vec<Vec<f64>>)>;

fn columns(targets: u32, interval_ms: i64) -> Columns {
    let spec = Spec { targets, start_ms: 0, interval_ms };
    let of_target = |number| {
        let mut target = Target::new(spec, number);
        let (mut jitter, mut row) = (Vec::new(), Vec::new());
        let mut columns = vec![Vec::new(); SERIES_PER_TARGET as usize];
        for _ in 0..DAY_MS / interval_ms {
            jitter.push(target.scrape(&mut row) % interval_ms % 8);
            columns.iter_mut().zip(&row).for_each(|(column, value)| column.push(*value));
        }
        (jitter, columns)
    };
    (0..targets.min(DISTINCT_TARGETS)).map(of_target).collect()
}
