//! What refusing new series costs: CPU and memory of each, and what it costs known series in the same batches.
//!
//! `cargo run --release -p benches --example admission_cost -- [SERIES] [ROUNDS]`
//!
//! Registers SERIES series, which is as many as are allowed. Then, in turns: each round appends a sample to every known
//! series; another round does the same with as many new series among them, all refused. Times are those of the thread on a
//! CPU, the least of ROUNDS. At last the largest metrics are asked for.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::plain::labels_of;
use benches::process::thread_cpu;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::{Appendable, Db, Options, SeriesLimits};
use tsdb_core::labels::write_wire;
use tsdb_core::testing::CountingHeap;
use tsdb_core::write::{Appender, Exceeded};

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();

/// Series in a batch.
const BATCH: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let series = arguments.next().transpose()?.unwrap_or(500_000);
    let rounds = arguments.next().transpose()?.unwrap_or(7);
    let dir = tempfile::tempdir()?;
    let limits = SeriesLimits { max_active: Some(series as u64), ..SeriesLimits::default() };
    let options = Options {
        future_skew_ms: None,
        series_limits: Arc::new(limits),
        background: false,
        ..Options::default()
    };
    let db = Db::open(dir.path(), options)?;
    let known = wires(0..series);
    let refused = wires(series..2 * series);
    let start = thread_cpu();
    for number in 0..series {
        db.appender().series(&labels_of(number))?;
    }
    report("register a series", start, series);
    append(&db, &known, None, 0)?;
    let (mut alone, mut flooded) = (Duration::MAX, Duration::MAX);
    let mut heap = 0;
    for round in 1..=rounds {
        let time = round as i64 * 30_000;
        let start = thread_cpu();
        append(&db, &known, None, time)?;
        alone = alone.min(thread_cpu() - start);
        let before = HEAP.live();
        let start = thread_cpu();
        append(&db, &known, Some(&refused), time + 15_000)?;
        flooded = flooded.min(thread_cpu() - start);
        heap = HEAP.live() as i64 - before as i64;
    }
    let each = |time: Duration| time.as_nanos() as f64 / series as f64;
    println!("{:45} {:8.1} ns CPU each", "sample of a known series", each(alone));
    println!("{:45} {:8.1} ns CPU each", "the same and a new series refused", each(flooded));
    println!("{:45} {:8.1} ns CPU each", "refusing a series", each(flooded.saturating_sub(alone)));
    println!(
        "{:45} {:8.3} bytes each",
        "memory of both, chunks that grew included",
        heap as f64 / series as f64
    );
    let before = HEAP.live();
    let start = thread_cpu();
    flood(&db, &refused);
    report("refusing a series, nothing else", start, series);
    println!("{:45} {:8} bytes in all", "memory of that", HEAP.live() as i64 - before as i64);
    let start = thread_cpu();
    for number in series..2 * series {
        drop(db.appender().series(&labels_of(number)));
    }
    report("refusing a series, labels and batch of its own", start, series);
    let clock = Instant::now();
    let top = db.cardinality(10);
    println!("{:45} {:8.3} ms", "top 10 of everything", clock.elapsed().as_secs_f64() * 1e3);
    println!("{top:#?}");
    db.close()?;
    Ok(())
}

/// The wire forms of these series.
fn wires(numbers: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    numbers
        .map(|number| {
            let mut wire = Vec::new();
            write_wire(&labels_of(number), &mut wire);
            wire
        })
        .collect()
}

/// Appends a sample to each known series, and refuses as many others.
fn append(db: &Db, known: &[Vec<u8>], others: Option<&[Vec<u8>]>, time: i64) -> Result<(), Box<dyn Error>> {
    for (number, batch) in known.chunks(BATCH).enumerate() {
        let mut appender = db.appender();
        for wire in batch {
            let series = appender.lookup(wire).ok_or("a series is gone")?;
            appender.append(series, time, 1.0);
        }
        let others = others.into_iter().flat_map(|others| others.iter().skip(number * BATCH).take(BATCH));
        for wire in others {
            refuse(&mut *appender, wire).ok_or("a series was let in")?;
        }
        appender.commit()?;
    }
    Ok(())
}

fn flood(db: &Db, others: &[Vec<u8>]) {
    for batch in others.chunks(BATCH) {
        let mut appender = db.appender();
        let refused = batch.iter().filter_map(|wire| refuse(&mut *appender, wire)).count();
        assert_eq!(refused, batch.len());
    }
}

/// What a server does with a series that nobody knows.
fn refuse(appender: &mut dyn Appender, wire: &[u8]) -> Option<Exceeded> {
    match appender.lookup(wire) {
        Some(_) => None,
        None => appender.closed().inspect(|_| appender.note_refused()),
    }
}

fn report(what: &str, start: Duration, count: usize) {
    let took = thread_cpu() - start;
    println!("{what:45} {:8.1} ns CPU each", took.as_nanos() as f64 / count as f64);
}
