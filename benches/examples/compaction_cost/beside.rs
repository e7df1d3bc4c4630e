//! How long batches and queries take while blocks are compacted in the background, and while they are not.

use super::{INTERVAL_MS, Outcome, options, width, write};
use benches::plain::labels_of;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tsdb::{Appendable, Db, Options, SeriesRef};
use tsdb_promql::{Engine, EngineOptions};

/// Samples of a batch, and batches a second.
const BATCH: usize = 2_000;
const BATCHES_A_SECOND: u32 = 50;
const QUERIES_A_SECOND: u32 = 10;
/// Series that batches are of.
const SERIES: usize = 20_000;
const PHASE: Duration = Duration::from_secs(20);
/// Phases of each kind, by turns: what else the machine does meets both.
const TURNS: usize = 3;

/// Times of what was done in the phases of one kind.
#[derive(Default)]
struct Times {
    batches: Vec<Duration>,
    queries: Vec<Duration>,
    /// Bytes that compactions wrote, and how long that took.
    written: u64,
    took: Duration,
}

/// Writes blocks below `dir`, for each turn new ones, and measures with and without their compaction in turn.
pub(super) fn measure(dir: &Path, of: &[u32; 3]) -> Outcome<()> {
    let (mut quiet, mut beside) = (Times::default(), Times::default());
    for turn in 0..TURNS {
        let dir = dir.join(turn.to_string());
        write(&dir, of)?;
        phase(&dir, of, false, &mut quiet)?;
        phase(&dir, of, true, &mut beside)?;
    }
    println!("{:34} {:>8} {:>8} {:>8} {:>8}", "ms (p50, p99, p99.9, longest)", "", "", "", "");
    for (name, times) in [("no compaction", &mut quiet), ("beside a compaction", &mut beside)] {
        row(&format!("batches of {BATCH}, {name}"), &mut times.batches);
        row(&format!("queries, {name}"), &mut times.queries);
    }
    let (megabytes, seconds) = (beside.written as f64 / 1e6, beside.took.as_secs_f64());
    println!("compactions wrote {:.1} MB/s for {seconds:.0} s", megabytes / seconds);
    Ok(())
}

fn row(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1));
    let ms = |share| at(share).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!("{name:34} {:8.2} {:8.2} {:8.2} {:8.2}", ms(0.5), ms(0.99), ms(0.999), ms(1.0));
}

/// Sends and asks for the length of a phase, beside a compaction if `compacts`.
fn phase(dir: &Path, of: &[u32; 3], compacts: bool, times: &mut Times) -> Outcome<()> {
    let db = Db::open(
        dir,
        Options {
            background: true,
            compaction: compacts,
            rollups: Vec::new(),
            max_block_range_ms: Some(width(of) * 9),
            maintenance_interval: Duration::from_millis(200),
            ..options(width(of))
        },
    )?;
    let begun = Instant::now();
    while compacts && db.stats().compactions.running.is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("there is nothing to compact: give more blocks".into());
        }
        thread::park_timeout(Duration::from_millis(10));
    }
    let before = db.stats().compactions.bytes_written;
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    let (batches, queries) = thread::scope(|scope| {
        let sender = scope.spawn(|| send(&db, of, &over));
        let asker = scope.spawn(|| ask(&db, of, &over));
        let is_under_way = || !compacts || db.stats().compactions.running.is_some();
        while begun.elapsed() < PHASE && is_under_way() {
            thread::park_timeout(Duration::from_millis(50));
        }
        over.store(true, Ordering::Relaxed);
        (sender.join(), asker.join())
    });
    times.took += begun.elapsed();
    times.batches.extend(batches.map_err(|_| "the sender failed")?.map_err(|error| error.to_string())?);
    times.queries.extend(queries.map_err(|_| "the asker failed")?.map_err(|error| error.to_string())?);
    let stats = db.stats().compactions;
    let under_way = stats.running.map_or(0, |running| running.bytes_written);
    times.written += (stats.bytes_written + under_way).saturating_sub(before);
    Ok(db.close()?)
}

/// Times of what `work` does so many times a second, counted from when it was due.
fn paced<E>(
    a_second: u32,
    over: &AtomicBool,
    mut work: impl FnMut(u32) -> Result<(), E>,
) -> Result<Vec<Duration>, E> {
    let (begun, every) = (Instant::now(), Duration::from_secs(1) / a_second);
    let mut times = Vec::new();
    for number in 0.. {
        let due = every * number;
        while let Some(early) = due.checked_sub(begun.elapsed()) {
            thread::park_timeout(early);
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
        work(number)?;
        times.push(begun.elapsed().saturating_sub(due));
    }
    Ok(times)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn send(db: &Db, of: &[u32; 3], over: &AtomicBool) -> Result<Vec<Duration>, Failure> {
    let mut appender = db.appender();
    let known: Result<Vec<SeriesRef>, _> = (0..SERIES).map(|n| appender.series(&labels_of(n))).collect();
    let known = known?;
    drop(appender);
    let first = db.stats().range.map_or(width(of) * i64::from(of[2]), |range| range.end()) + INTERVAL_MS;
    paced(BATCHES_A_SECOND, over, |number| {
        let (scrape, part) = (number as usize * BATCH / SERIES, number as usize * BATCH % SERIES);
        let mut appender = db.appender();
        for (place, series) in known.iter().enumerate().skip(part).take(BATCH) {
            appender.append(*series, first + scrape as i64 * INTERVAL_MS, place as f64);
        }
        appender.commit().map(drop).map_err(Failure::from)
    })
}

fn ask(db: &Db, of: &[u32; 3], over: &AtomicBool) -> Result<Vec<Duration>, Failure> {
    let mut limits = EngineOptions::default();
    (limits.timeout, limits.max_samples) = (None, u64::MAX);
    let engine = Engine::new(limits);
    let end = width(of) * i64::from(of[2]);
    paced(QUERIES_A_SECOND, over, |number| {
        let host = number % of[0] / 4;
        let query = format!(
            "sum by (status) (rate(http_requests_total{{instance=\"10.0.{}.{}:9100\"}}[5m]))",
            host >> 8,
            host & 255
        );
        engine.range(db, &query, end - 3_600_000, end, 60_000).map(drop).map_err(Failure::from)
    })
}
