//! How long a batch takes while a block is cut: appenders at a steady rate, and maintenance beside them.
//!
//! `cargo run --release -p benches --example cut_latency -- [SERIES] [BATCHES_A_SECOND] [APPENDERS] [CUTS]`
//!
//! Each appender has its share of the series and commits batches of 2 000 samples. A batch is due at a fixed time; its
//! latency counts from there, so that one long wait counts for every batch that it holds up. Time in the data runs
//! faster than the clock: a scrape of all series is 15 s, a window 30 min. A batch belongs to the phase in which it
//! was due: while a round of maintenance cut a block, or before and after. The log is synced as often as a database does
//! in the background by default.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::plain::labels_of;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tsdb::{Appendable, Db, Options};
use tsdb_core::labels::write_wire;

const BATCH: usize = 2_000;
const INTERVAL_MS: i64 = 15_000;
const WINDOW_MS: i64 = 1_800_000;
const SYNC_EVERY: Duration = Duration::from_millis(200);

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let series = arguments.next().transpose()?.unwrap_or(200_000);
    let rate = arguments.next().transpose()?.unwrap_or(300);
    let appenders = arguments.next().transpose()?.unwrap_or(1).max(1);
    let cuts = arguments.next().transpose()?.unwrap_or(2) as u64;
    let dir = std::env::temp_dir().join(format!("cut_latency_{}", std::process::id()));
    let options = Options {
        block_range_ms: WINDOW_MS,
        future_skew_ms: None,
        retention_ms: None,
        background: false,
        ..Options::default()
    };
    let db = Db::open(&dir, options)?;
    let run = Run::new(&db, rate as f64 / appenders as f64, series / appenders / BATCH);
    let rounds = std::thread::scope(|scope| {
        let threads: Vec<_> = {
            let run = &run;
            (0..appenders).map(|appender| scope.spawn(move || run.append(appender))).collect()
        };
        let syncs = scope.spawn(|| run.keep_durable());
        let rounds = run.maintain(cuts);
        run.over.store(true, Ordering::Relaxed);
        syncs.join().map_err(|_| Failure::from("the thread that syncs panicked"))??;
        let batches: Result<Vec<_>, Failure> = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| Failure::from("an appender panicked"))?)
            .collect();
        Ok::<_, Failure>((rounds?, batches?.concat()))
    });
    let (rounds, batches) = rounds?;
    print(&rounds, &batches);
    println!("{} blocks, {} series", db.stats().blocks, db.stats().active_series);
    db.close()?;
    remove(&dir);
    Ok(())
}

struct Run<'a> {
    db: &'a Db,
    /// Time between two batches of one appender.
    every: Duration,
    batches_a_scrape: usize,
    begun: Instant,
    /// Time in the data before the first scrape.
    start_ms: i64,
    /// The newest scrape of any appender.
    newest_ms: AtomicI64,
    over: AtomicBool,
}

/// A round of maintenance that cut something: when it began and ended.
type Round = (Duration, Duration);

/// One batch.
#[derive(Debug, Clone, Copy)]
struct Taken {
    due: Duration,
    /// From when it was due to its acknowledgement.
    latency: Duration,
    /// From when it was begun.
    service: Duration,
}

impl<'a> Run<'a> {
    fn new(db: &'a Db, rate: f64, batches_a_scrape: usize) -> Self {
        Self {
            db,
            every: Duration::from_secs_f64(1.0 / rate),
            batches_a_scrape: batches_a_scrape.max(1),
            begun: Instant::now(),
            start_ms: 1_700_000_100_000 / WINDOW_MS * WINDOW_MS,
            newest_ms: AtomicI64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// The wire forms of the series of an appender, a batch at a time.
    fn wires(&self, appender: usize) -> Vec<Vec<Vec<u8>>> {
        let first = appender * self.batches_a_scrape * BATCH;
        let numbers: Vec<usize> = (first..first + self.batches_a_scrape * BATCH).collect();
        let wire = |number: &usize| {
            let mut wire = Vec::new();
            write_wire(&labels_of(*number), &mut wire);
            wire
        };
        numbers.chunks(BATCH).map(|batch| batch.iter().map(wire).collect()).collect()
    }

    fn append(&self, appender: usize) -> Result<Vec<Taken>, Failure> {
        let batches = self.wires(appender);
        let first = appender * batches.len() * BATCH;
        let (mut taken, mut number) = (Vec::new(), 0_usize);
        let begun = Instant::now();
        let shift = begun - self.begun;
        while !self.over.load(Ordering::Relaxed) {
            let due = self.every * number as u32;
            if let Some(early) = due.checked_sub(begun.elapsed()) {
                std::thread::park_timeout(early);
                continue;
            }
            let (scrape, batch) = (number / batches.len(), number % batches.len());
            let at = self.start_ms + scrape as i64 * INTERVAL_MS;
            let started = begun.elapsed();
            self.commit(&batches[batch], first + batch * BATCH, at)?;
            let done = begun.elapsed();
            self.newest_ms.fetch_max(at, Ordering::Relaxed);
            taken.push(Taken { due: shift + due, latency: done - due, service: done - started });
            number += 1;
        }
        Ok(taken)
    }

    fn commit(&self, wires: &[Vec<u8>], first: usize, at: i64) -> Result<(), Failure> {
        let mut appender = self.db.appender();
        for (number, wire) in (first..).zip(wires) {
            let series = match appender.lookup(wire) {
                Some(series) => series,
                None => appender.series(&labels_of(number))?,
            };
            appender.append(series, at, (number as i64 * at / INTERVAL_MS % 1009) as f64);
        }
        assert_eq!(appender.commit()?.refused, []);
        Ok(())
    }

    fn keep_durable(&self) -> Result<(), Failure> {
        while !self.over.load(Ordering::Relaxed) {
            std::thread::park_timeout(SYNC_EVERY);
            self.db.sync()?;
        }
        Ok(())
    }

    /// Rounds of maintenance until there are `cuts` blocks, and a while longer.
    fn maintain(&self, cuts: u64) -> Result<Vec<Round>, Failure> {
        let mut rounds = Vec::new();
        while (rounds.len() as u64) < cuts {
            std::thread::park_timeout(Duration::from_millis(500));
            let (before, began) = (self.db.stats().blocks_cut, self.begun.elapsed());
            self.db.maintain()?;
            if self.db.stats().blocks_cut > before {
                rounds.push((began, self.begun.elapsed()));
            }
        }
        std::thread::park_timeout(Duration::from_secs(3));
        Ok(rounds)
    }
}

fn print(rounds: &[Round], batches: &[Taken]) {
    for (from, to) in rounds {
        println!("a cut from {:.1} s to {:.1} s", from.as_secs_f64(), to.as_secs_f64());
    }
    let first = rounds.first().map_or(Duration::MAX, |round| round.0);
    let last = rounds.last().map_or(Duration::ZERO, |round| round.1);
    let is_during = |due: Duration| rounds.iter().any(|(from, to)| (*from..=*to).contains(&due));
    let warm = Duration::from_secs(3);
    let phases: [(&str, &dyn Fn(Duration) -> bool); 4] = [
        ("registering", &|due| due < warm),
        ("before the cuts", &|due| due >= warm && due < first),
        ("during the cuts", &is_during),
        ("between and after", &|due| due >= first && !is_during(due) || due > last),
    ];
    println!("ms: {:28} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "batches", "p50", "p99", "p99.9", "longest");
    for (name, is_in) in phases {
        let within: Vec<&Taken> = batches.iter().filter(|taken| is_in(taken.due)).collect();
        report(&format!("{name}, from due"), within.iter().map(|taken| taken.latency).collect());
        report(&format!("{name}, from begun"), within.iter().map(|taken| taken.service).collect());
    }
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let (count, p50, p99, p999) = (times.len(), at(0.5), at(0.99), at(0.999));
    println!("{name:32} {count:8} {p50:8.2} {p99:8.2} {p999:8.2} {:8.2}", at(1.0));
}

#[expect(clippy::disallowed_methods, reason = "the directory is this program's own")]
fn remove(dir: &std::path::Path) {
    drop(std::fs::remove_dir_all(dir));
}
