//! What the head costs: CPU per sample and resident bytes per series, without network and decoding.
//!
//! `cargo run --release -p benches --example head_cost -- [SERIES] [SCRAPES] [BATCH] [STARTS]`
//!
//! If STARTS is 1 every sample has a start timestamp, as from senders of remote write 2.0: that of its target.
//! Registers SERIES series, then appends SCRAPES samples to each, in batches of BATCH, recognising every series by
//! the wire form of its labels as the server does. Times are those of the appending thread on a CPU.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::plain::{labels_of, value};
use benches::process::{self, thread_cpu};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tsdb::{Appendable, Db, Options, Queryable, TimeRange};
use tsdb_core::labels::write_wire;
use tsdb_core::read::{SampleColumns, SelectHints};
use tsdb_core::write::Appender;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let series = arguments.next().transpose()?.unwrap_or(1_000_000);
    let scrapes = arguments.next().transpose()?.unwrap_or(20);
    let batch = arguments.next().transpose()?.unwrap_or(10_000);
    let dir = std::env::temp_dir().join(format!("head_cost_{}", std::process::id()));
    let mut wires = Wires::new(series);
    let starts = arguments.next().transpose()?.unwrap_or(0) > 0;
    let run = Run { series, scrapes, batch, starts, start_rss: process::own().rss_bytes };
    let open = || Db::open(&dir, Options { future_skew_ms: None, ..Options::default() });

    let db = open()?;
    run.register(&db)?;
    run.scrape(&db, &mut wires)?;
    run.read(&db)?;
    db.close()?;
    drop(db);

    let clock = Stopwatch::start();
    let db = open()?;
    clock.report("replay, samples", series * (scrapes + 1));
    run.memory("after replay");
    let clock = Stopwatch::start();
    db.flush()?;
    clock.report("flush to a block, samples", series * (scrapes + 1));
    run.memory("after the flush");
    println!("{:#?}", db.stats());
    drop(db);
    remove(&dir);
    Ok(())
}

struct Run {
    series: usize,
    scrapes: usize,
    batch: usize,
    starts: bool,
    start_rss: u64,
}

impl Run {
    fn batches(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        (0..self.series).step_by(self.batch).map(|from| from..(from + self.batch).min(self.series))
    }

    fn start(&self, appender: &mut dyn Appender, number: usize) {
        if self.starts {
            appender.set_start(-1 - number as i64 / 500);
        }
    }

    fn register(&self, db: &Db) -> Result<(), Box<dyn Error>> {
        let clock = Stopwatch::start();
        for batch in self.batches() {
            let mut appender = db.appender();
            for number in batch {
                let reference = appender.series(&labels_of(number))?;
                appender.append(reference, 0, value(number, 0));
                self.start(&mut *appender, number);
            }
            appender.commit()?;
        }
        clock.report("new series (building their labels included)", self.series);
        self.memory("after the first sample");
        Ok(())
    }

    fn scrape(&self, db: &Db, wires: &mut Wires) -> Result<(), Box<dyn Error>> {
        for scrape in 1..=self.scrapes {
            let clock = Stopwatch::start();
            for batch in self.batches() {
                let mut appender = db.appender();
                for number in batch {
                    let reference = appender.lookup(wires.of(number)).ok_or("a series got lost")?;
                    appender.append(reference, scrape as i64 * 15_000, value(number, scrape));
                    self.start(&mut *appender, number);
                }
                assert_eq!(appender.commit()?.refused, []);
            }
            if scrape.is_power_of_two() || scrape == self.scrapes {
                clock.report(&format!("scrape {scrape}, known series"), self.series);
                self.memory("");
            }
        }
        Ok(())
    }

    fn read(&self, db: &Db) -> Result<(), Box<dyn Error>> {
        let clock = Stopwatch::start();
        let set = db.querier(TimeRange::ALL)?.select(&[], &SelectHints::over(TimeRange::ALL))?;
        clock.report("select of everything, series", set.len());
        let clock = Stopwatch::start();
        let (mut columns, mut total) = (SampleColumns::new(), 0);
        for index in 0..set.len() {
            set.read(index, &mut columns)?;
            total += black_box(&columns).len();
        }
        clock.report("read, samples", total);
        Ok(())
    }

    fn memory(&self, what: &str) {
        let per_series = |bytes: u64| bytes.saturating_sub(self.start_rss) / self.series as u64;
        let reading = process::own();
        let (now, peak) = (per_series(reading.rss_bytes), per_series(reading.peak_rss_bytes));
        println!("{what:45} {now:6} resident bytes per series, {peak:6} at peak");
    }
}

#[expect(clippy::disallowed_methods, reason = "the directory is this program's own")]
fn remove(dir: &std::path::Path) {
    drop(std::fs::remove_dir_all(dir));
}

/// The wire forms of all series in one allocation, as a sender holds them.
struct Wires {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Wires {
    fn new(series: usize) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for number in 0..series {
            write_wire(&labels_of(number), &mut bytes);
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    fn of(&mut self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }
}

struct Stopwatch {
    cpu: Duration,
    wall: Instant,
}

impl Stopwatch {
    fn start() -> Self {
        Self { cpu: thread_cpu(), wall: Instant::now() }
    }

    fn report(&self, what: &str, count: usize) {
        let (cpu, wall) = ((thread_cpu() - self.cpu).as_nanos(), self.wall.elapsed().as_nanos());
        let count = count.max(1) as u128;
        println!("{what:45} {:6} ns CPU each, {:6} ns wall", cpu / count, wall / count);
    }
}
