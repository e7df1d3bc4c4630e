//! What the head costs: CPU per sample and resident bytes per series, without network and decoding.
//!
//! `cargo run --release -p benches --example head_cost -- [SERIES] [SCRAPES] [BATCH]`
//!
//! Registers SERIES series, then appends SCRAPES samples to each, in batches of BATCH, recognising every series by
//! the wire form of its labels as the server does. Times are those of the appending thread on a CPU.

use std::hint::black_box;
use std::time::Instant;
use tsdb::{Appendable, Db, Labels, Options, Queryable, TimeRange};
use tsdb_core::labels::write_wire;
use tsdb_core::read::{SampleColumns, SelectHints};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let series = arguments.next().transpose()?.unwrap_or(1_000_000);
    let scrapes = arguments.next().transpose()?.unwrap_or(20);
    let batch = arguments.next().transpose()?.unwrap_or(10_000);
    let dir = std::env::temp_dir().join(format!("head_cost_{}", std::process::id()));
    let mut wires = Wires::new(series);
    let start_rss = resident_bytes();
    let options = Options { future_skew_ms: None, ..Options::default() };
    let db = Db::open(&dir, options.clone())?;

    let (before, wall) = (cpu_ns(), Instant::now());
    for from in (0..series).step_by(batch) {
        let mut appender = db.appender();
        for number in from..(from + batch).min(series) {
            let labels = labels_of(number);
            let reference = appender.series(&labels)?;
            appender.append(reference, 0, value(number, 0));
        }
        appender.commit()?;
    }
    report("new series (building their labels included)", series, before, wall);
    memory("after the first sample", series, start_rss);
    db.maintain()?;
    db.maintain()?;
    memory("after two rounds of maintenance", series, start_rss);

    for scrape in 1..=scrapes {
        let (before, wall) = (cpu_ns(), Instant::now());
        for from in (0..series).step_by(batch) {
            let mut appender = db.appender();
            for number in from..(from + batch).min(series) {
                let wire = wires.of(number);
                let reference = appender.lookup(wire).ok_or("a series got lost")?;
                appender.append(reference, scrape as i64 * 15_000, value(number, scrape));
            }
            let accepted = appender.commit()?;
            assert!(accepted.refused.is_empty());
        }
        if scrape.is_power_of_two() || scrape == scrapes {
            report(&format!("scrape {scrape}, known series"), series, before, wall);
            memory("", series, start_rss);
        }
    }

    let (before, wall) = (cpu_ns(), Instant::now());
    let set = db.querier(TimeRange::ALL)?.select(&[], &SelectHints::over(TimeRange::ALL))?;
    report("select of everything", set.len(), before, wall);
    let (before, wall) = (cpu_ns(), Instant::now());
    let mut columns = SampleColumns::new();
    let mut total = 0;
    for index in 0..set.len() {
        set.read(index, &mut columns)?;
        total += black_box(&columns).len();
    }
    report("read, samples", total, before, wall);
    drop(set);

    db.close()?;
    drop(db);
    println!("{:45} {:6} bytes per series at peak", "", (status("VmHWM:") - start_rss) / series as u64);
    let (before, wall) = (cpu_ns(), Instant::now());
    let db = Db::open(&dir, options)?;
    report("replay, samples", series * (scrapes + 1), before, wall);
    memory("after replay", series, start_rss);

    let (before, wall) = (cpu_ns(), Instant::now());
    db.flush()?;
    report("flush to a block, samples", series * (scrapes + 1), before, wall);
    memory("after the flush", series, start_rss);
    println!("{:45} {:6} bytes per series at peak", "", (status("VmHWM:") - start_rss) / series as u64);
    println!("{:#?}", db.stats());
    drop(db);
    remove(&dir);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the directory is this program's own")]
fn remove(dir: &std::path::Path) {
    drop(std::fs::remove_dir_all(dir));
}

fn value(number: usize, scrape: usize) -> f64 {
    match number % 3 {
        0 => 1.0,
        1 => (number % 1000 * scrape) as f64,
        _ => ((number * 31 + scrape * 17) % 10_007) as f64 / 8.0,
    }
}

fn labels_of(number: usize) -> Labels {
    let metric = format!("app_metric_{:03}_total", number / 4 % 250);
    let instance = format!("host-{:05}.example.net:9100", number / 1000);
    let status = ["200", "301", "404", "500"][number % 4];
    let pairs = [
        ("__name__", metric.as_str()),
        ("cluster", "eu-west-1a"),
        ("instance", &instance),
        ("job", "node"),
        ("method", "GET"),
        ("status", status),
    ];
    Labels::from_sorted_pairs(pairs).unwrap_or_default()
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

fn report(what: &str, count: usize, cpu_before: u64, wall: Instant) {
    let (cpu, wall) = (cpu_ns() - cpu_before, wall.elapsed().as_nanos() as u64);
    let count = count.max(1) as u64;
    println!("{what:45} {:6} ns CPU each, {:6} ns wall", cpu / count, wall / count);
}

fn memory(what: &str, series: usize, start: u64) {
    let bytes = resident_bytes().saturating_sub(start);
    println!("{what:45} {:6} resident bytes per series", bytes / series as u64);
}

/// Time this thread has run, in ns.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn resident_bytes() -> u64 {
    status("VmRSS:")
}

/// A size of this process that the kernel knows, in bytes.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
