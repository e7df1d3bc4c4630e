//! What windows take and what they save: bytes beside the samples that they cover, and a panel over the whole time from
//! windows and from samples.
//!
//! `cargo run --release -p benches --example rollup_cost -- [TARGETS] [DAYS] [INTERVAL]`
//!
//! Writes a block for each of DAYS days, with a sample every INTERVAL seconds for each of the 500 series of TARGETS
//! targets, makes windows of 5 min and 1 h of them, and asks both.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::block::{BlockSpec, BlockWriter};
use tsdb::fs::OsFs;
use tsdb::{Db, Labels, Options, RollupLevel};
use tsdb_core::block::BlockId;
use tsdb_core::testing::ManualClock;
use tsdb_promql::{Engine, EngineOptions, Value};

type Outcome<T> = Result<T, Box<dyn Error>>;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// Steps of a panel.
const STEPS: i64 = 1_460;
const REPETITIONS: usize = 5;
/// Panels, asked over all the time; `STEP` is that of the panel.
const PANELS: [&str; 4] = [
    "sum(rate(http_requests_total[STEP]))",
    "sum by (instance) (increase(node_cpu_seconds_total[STEP]))",
    "max by (instance) (max_over_time(queue_depth[STEP]))",
    "avg(avg_over_time(queue_memory_bytes[STEP]))",
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, usual: i64| arguments.get(index).map_or(Ok(usual), |text| text.parse());
    let (targets, days, interval_ms) = (number(0, 2)?, number(1, 365)?, number(2, 60)? * 1_000);
    let dir = tempfile::tempdir()?;
    let levels = vec![RollupLevel::new(300_000, 0, None), RollupLevel::new(3_600_000, 0, None)];
    Db::open(dir.path(), options(days, Vec::new()))?.close()?;
    let started = Instant::now();
    write(dir.path(), u32::try_from(targets)?, days, interval_ms)?;
    println!("written in {:.1} s", started.elapsed().as_secs_f64());
    let raw = Db::open(dir.path(), options(days, Vec::new()))?;
    let (samples, bytes) = (raw.stats().block_samples, raw.stats().block_bytes);
    println!("{samples} samples in {bytes} bytes: {:.3} a sample", bytes as f64 / samples as f64);
    let from_samples = panels(&raw, days)?;
    raw.close()?;
    let started = Instant::now();
    let db = Db::open(dir.path(), options(days, levels))?;
    let mut made = u64::MAX;
    while made != db.stats().rollups_made {
        made = db.stats().rollups_made;
        db.maintain()?;
    }
    println!(
        "{made} blocks of windows in {:.1} s; they take {:.1} % of the samples",
        started.elapsed().as_secs_f64(),
        (db.stats().block_bytes - bytes) as f64 / bytes as f64 * 100.0,
    );
    let from_windows = panels(&db, days)?;
    println!("{:70} {:>12} {:>12} {:>8}", "panel", "samples, ms", "windows, ms", "times");
    for ((panel, slow), fast) in PANELS.iter().zip(from_samples).zip(from_windows) {
        let (slow, fast) = (slow.as_secs_f64() * 1e3, fast.as_secs_f64() * 1e3);
        println!("{panel:70} {slow:12.1} {fast:12.1} {:8.1}", slow / fast);
    }
    Ok(())
}

fn options(days: i64, rollups: Vec<RollupLevel>) -> Options {
    Options {
        rollups,
        block_range_ms: DAY_MS,
        retention_ms: None,
        background: false,
        compaction: false,
        future_skew_ms: None,
        clock: Arc::new(ManualClock::at((days + 60) * DAY_MS)),
        ..Options::default()
    }
}

fn write(dir: &Path, targets: u32, days: i64, interval_ms: i64) -> Outcome<()> {
    let spec = Spec { targets, start_ms: 0, interval_ms };
    let mut fleet: Vec<Target> = (0..targets).map(|number| Target::new(spec, number)).collect();
    let mut series: Vec<(Labels, usize, usize)> = Vec::new();
    for (number, target) in fleet.iter().enumerate() {
        series.extend(target.labels().enumerate().map(|(place, labels)| (labels.clone(), number, place)));
    }
    series.sort();
    let scrapes = usize::try_from(DAY_MS / interval_ms)?;
    for day in 0..days {
        let mut scraped = Vec::new();
        for target in &mut fleet {
            let mut columns = vec![Vec::with_capacity(scrapes); SERIES_PER_TARGET as usize];
            let (mut times, mut row) = (Vec::with_capacity(scrapes), Vec::new());
            for _ in 0..scrapes {
                times.push(target.scrape(&mut row));
                columns.iter_mut().zip(&row).for_each(|(column, value)| column.push(*value));
            }
            scraped.push((times, columns));
        }
        let spec = BlockSpec::first_level(BlockId(u128::from(day.unsigned_abs() + 1) << 80));
        let mut writer = BlockWriter::create(&OsFs, dir, spec)?;
        for (labels, target, place) in &series {
            let (times, columns) = &scraped[*target];
            writer.add(labels, times, &columns[*place])?;
        }
        writer.finish()?;
    }
    Ok(())
}

/// The fastest of several answers to each panel.
fn panels(db: &Db, days: i64) -> Outcome<Vec<Duration>> {
    let mut options = EngineOptions::default();
    (options.timeout, options.max_samples) = (None, u64::MAX);
    let engine = Engine::new(options);
    let end = days * DAY_MS;
    let step_ms = (end / STEPS / HOUR_MS * HOUR_MS).max(HOUR_MS);
    let ask = |panel: &&str| {
        let text = panel.replace("STEP", &format!("{}s", step_ms / 1_000));
        let mut best = Duration::MAX;
        for _ in 0..REPETITIONS {
            let started = Instant::now();
            let answer = engine.range(db, &text, step_ms, end, step_ms)?;
            best = best.min(started.elapsed());
            if !matches!(&answer.value, Value::Matrix(rows) if !rows.is_empty()) {
                return Err(format!("{text} gave nothing").into());
            }
        }
        Ok(best)
    };
    PANELS.iter().map(ask).collect()
}
