//! What a restart costs: time until writes are taken, time until answers are whole, CPU, memory.
//!
//! `cargo run --release -p benches --example restart_cost -- [SERIES] [SCRAPES] [REPEATS]`
//!
//! Writes SCRAPES samples for each of SERIES series, then opens what they left, a checkpoint and the log behind it, REPEATS
//! times, each time in a process of its own, which is killed in the end, and prints the least of each figure.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::plain::{labels_of, value};
use benches::process::{self, Reading};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tsdb::{Appendable, Db, Durability, Options, Replay};

type Outcome<T> = Result<T, Box<dyn Error>>;

const BATCH: usize = 10_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("write") => write(Path::new(&arguments[1]), arguments[2].parse()?, arguments[3].parse()?),
        Some("open") => open(Path::new(&arguments[1])),
        _ => compare(&arguments),
    }
}

/// Runs the two halves in processes of their own.
fn compare(arguments: &[String]) -> Outcome<()> {
    let argument =
        |index: usize, default: &str| arguments.get(index).map_or(default, String::as_str).to_owned();
    let (series, scrapes, repeats) = (argument(0, "1000000"), argument(1, "5"), argument(2, "3"));
    let samples = series.parse::<f64>()? * scrapes.parse::<f64>()?;
    let dir = std::env::temp_dir().join(format!("restart_cost_{}", std::process::id()));
    let before = run(&["write", &dir.to_string_lossy(), &series, &scrapes])?;
    let mut least = [f64::INFINITY; FIGURES.len()];
    for _ in 0..repeats.parse::<u32>()? {
        let found = run(&["open", &dir.to_string_lossy()])?;
        for (least, found) in least.iter_mut().zip(found.split_whitespace()) {
            *least = least.min(found.parse()?);
        }
    }
    println!("{series} series, {samples} samples, {} MiB of log", size(&dir)? >> 20);
    for (what, figure) in FIGURES.iter().zip(least) {
        println!("{what:40} {figure:10.3}");
    }
    println!("{:40} {}", "resident before the restart, at peak, MiB", before.trim());
    println!("{:40} {:10.0}", "whole after, ns a sample", least[1] * 1e9 / samples);
    println!("{:40} {:10.0}", "CPU until then, ns a sample", least[2] * 1e9 / samples);
    remove(&dir);
    Ok(())
}

const FIGURES: [&str; 5] = [
    "first batch acknowledged after, s",
    "whole after, s",
    "CPU until then, s",
    "resident then, MiB",
    "resident at peak, MiB",
];

fn run(arguments: &[&str]) -> Outcome<String> {
    let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
    // The one that opens kills itself.
    let is_killed = output.status.code().is_none();
    match output.status.success() || is_killed {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

fn options() -> Options {
    let durability = Durability::Interval(Duration::from_secs(1));
    Options { future_skew_ms: None, replay: Replay::Background, durability, ..Options::default() }
}

fn write(dir: &Path, series: usize, scrapes: usize) -> Outcome<()> {
    let db = Db::open(dir, options())?;
    db.wait_for_replay();
    let mut references = Vec::new();
    for scrape in 0..scrapes {
        for from in (0..series).step_by(BATCH) {
            let mut appender = db.appender();
            for number in from..(from + BATCH).min(series) {
                if scrape == 0 {
                    references.push(appender.series(&labels_of(number))?);
                }
                appender.append(references[number], scrape as i64 * 15_000, value(number, scrape));
            }
            assert_eq!(appender.commit()?.refused, []);
        }
        // As in the time between two scrapes: a checkpoint is written when the log is long enough.
        db.maintain()?;
    }
    db.close()?;
    let reading = process::own();
    println!("{} {}", reading.rss_bytes >> 20, reading.peak_rss_bytes >> 20);
    Ok(())
}

fn open(dir: &Path) -> Outcome<()> {
    let clock = Instant::now();
    let db = Db::open(dir, options())?;
    let mut appender = db.appender();
    let series = appender.series(&labels_of(0))?;
    appender.append(series, i64::from(i32::MAX), 1.0);
    assert_eq!(appender.commit()?.accepted, 1);
    let ready = clock.elapsed();
    db.wait_for_replay();
    let whole = clock.elapsed();
    let (ready, whole) = (ready.as_secs_f64(), whole.as_secs_f64());
    let Reading { cpu, rss_bytes, peak_rss_bytes } = process::own();
    println!("{ready} {whole} {} {} {}", cpu.as_secs_f64(), rss_bytes >> 20, peak_rss_bytes >> 20);
    assert_eq!(db.stats().warnings, Vec::<String>::new());
    std::process::abort();
}

fn size(dir: &Path) -> Outcome<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        size +=
            if entry.file_type()?.is_dir() { self::size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(size)
}

#[expect(clippy::disallowed_methods, reason = "the directory is this program's own")]
fn remove(dir: &Path) {
    drop(std::fs::remove_dir_all(dir));
}
