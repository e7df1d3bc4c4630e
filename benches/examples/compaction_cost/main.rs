//! What compactions cost: CPU per sample and memory, with samples written anew and with frames copied.
//!
//! `cargo run --release -p benches --example compaction_cost -- [beside] [TARGETS] [SAMPLES] [BLOCKS]`
//!
//! Writes BLOCKS blocks that follow one another, each with SAMPLES samples for each of the 500 series of TARGETS targets,
//! and merges them twice, three by three, each time in a process of its own: first short chunks are written anew, then
//! long ones are copied. `beside` in front of the numbers tells how long batches and queries take meanwhile, and how long
//! they take without. Sixteen targets are generated; the others have the values of one of them, and times and labels
//! of their own.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

mod beside;

use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use benches::process;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use tsdb::block::{BlockSpec, BlockWriter};
use tsdb::fs::OsFs;
use tsdb::{Db, Labels, Options};
use tsdb_core::block::BlockId;

type Outcome<T> = Result<T, Box<dyn Error>>;

const INTERVAL_MS: i64 = 15_000;
const DISTINCT_TARGETS: u32 = 16;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("write") => write(Path::new(&arguments[1]), &numbers(&arguments[2..])?),
        Some("beside") => {
            let dir = tempfile::tempdir()?;
            beside::measure(dir.path(), &numbers(&arguments[1..])?)
        }
        Some("compact") => compact(Path::new(&arguments[1]), arguments[2].parse()?, arguments[3].parse()?),
        _ => measure(&numbers(&arguments)?),
    }
}

fn numbers(arguments: &[String]) -> Outcome<[u32; 3]> {
    let mut numbers = [200, 480, 9];
    for (number, argument) in numbers.iter_mut().zip(arguments) {
        *number = argument.parse()?;
    }
    Ok(numbers)
}

/// The length of a block, ms.
fn width([_, samples, _]: &[u32; 3]) -> i64 {
    i64::from(*samples) * INTERVAL_MS
}

/// Runs the parts in processes of their own.
fn measure(of: &[u32; 3]) -> Outcome<()> {
    let dir = std::env::temp_dir().join(format!("compaction_cost_{}", std::process::id()));
    let [targets, samples, blocks] = *of;
    let path = dir.to_string_lossy();
    run(&["write", &path, &targets.to_string(), &samples.to_string(), &blocks.to_string()])?;
    println!("{} series, {samples} samples in each of {blocks} blocks", targets * SERIES_PER_TARGET);
    println!("{:14} {:>10} {:>12} {:>12} {:>10}", "", "samples", "M/s of CPU", "B/sample", "peak MiB");
    for (what, factor) in [("written anew", 3), ("copied", 9)] {
        let (width, range) = (width(of).to_string(), (width(of) * factor).to_string());
        println!("{what:14} {}", run(&["compact", &path, &width, &range])?.trim_end());
    }
    #[expect(clippy::disallowed_methods, reason = "the directory is the benchmark's own")]
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn run(arguments: &[&str]) -> Outcome<String> {
    let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn write(dir: &Path, of: &[u32; 3]) -> Outcome<()> {
    let [targets, samples, blocks] = *of;
    std::fs::create_dir_all(dir)?;
    // The directory becomes a database.
    Db::open(dir, options(width(of)))?.close()?;
    let spec = Spec { targets, start_ms: 0, interval_ms: INTERVAL_MS };
    let mut generated: Vec<Target> =
        (0..targets.min(DISTINCT_TARGETS)).map(|number| Target::new(spec, number)).collect();
    let mut series: Vec<(Labels, u32, usize)> = Vec::new();
    for number in 0..targets {
        let target = Target::new(spec, number);
        series.extend(target.labels().enumerate().map(|(place, labels)| (labels.clone(), number, place)));
    }
    series.sort();
    for block in 0..blocks {
        let mut times = Vec::new();
        let mut values = Vec::new();
        for target in &mut generated {
            let mut columns = vec![Vec::with_capacity(samples as usize); SERIES_PER_TARGET as usize];
            let (mut at, mut row) = (Vec::new(), Vec::new());
            for _ in 0..samples {
                at.push(target.scrape(&mut row) % INTERVAL_MS % 8);
                columns.iter_mut().zip(&row).for_each(|(column, value)| column.push(*value));
            }
            times.push(at);
            values.push(columns);
        }
        let spec = BlockSpec::first_level(BlockId(u128::from(block + 1) << 80));
        let mut writer = BlockWriter::create(&OsFs, dir, spec)?;
        for (labels, number, place) in &series {
            let like = (number % DISTINCT_TARGETS) as usize;
            let start = i64::from(block) * width(of) + i64::from(number.wrapping_mul(2_654_435_761) % 14_000);
            let jitter = times[like].iter().enumerate();
            let timestamps: Vec<i64> =
                jitter.map(|(n, jitter)| start + n as i64 * INTERVAL_MS + jitter).collect();
            writer.add(labels, &timestamps, &values[like][*place])?;
        }
        writer.finish()?;
    }
    Ok(())
}

fn options(width_ms: i64) -> Options {
    Options {
        block_range_ms: width_ms,
        retention_ms: None,
        background: false,
        future_skew_ms: None,
        ..Options::default()
    }
}

/// Compacts blocks of `width_ms` up to ranges of `range_ms` and tells what it cost.
fn compact(dir: &Path, width_ms: i64, range_ms: i64) -> Outcome<()> {
    let db = Db::open(dir, Options { max_block_range_ms: Some(range_ms), ..options(width_ms) })?;
    let before = process::own().cpu;
    db.compact()?;
    let cpu = (process::own().cpu - before).as_secs_f64();
    let stats = db.stats();
    let samples = stats.block_samples as f64;
    if stats.compactions.done == 0 {
        return Err("nothing was compacted".into());
    }
    println!(
        "{:9.1}M {:12.1} {:12.3} {:10.0}   {} compactions, {:.1} s of CPU",
        samples / 1e6,
        samples / 1e6 / cpu,
        stats.block_bytes as f64 / samples,
        process::own().peak_rss_bytes >> 20,
        stats.compactions.done,
        cpu,
    );
    Ok(())
}
