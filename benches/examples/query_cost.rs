//! What queries cost in the engine, without network and JSON.
//!
//! `cargo run --release -p benches --example query_cost -- [SERIES] [SCRAPES] [REPETITIONS] [NAME]`
//!
//! Fills a store with SERIES series of the fleet and a quarter as many of customers, SCRAPES samples each; the first
//! half goes into a block, the rest stays in the head, as does everything if there are no more than 20. Then asks every query of the set whose name contains NAME and
//! prints the least of the repetitions: the CPU time on one thread, the time on a clock with all, and the
//! most memory that it held at a time on one thread. Last come the curves: how the cost of functions
//! over windows grows with the length of the window.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use benches::process::thread_cpu;
use benches::queries::SET;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::{Appendable, Db, Labels, Options};
use tsdb_core::labels::write_wire;
use tsdb_core::testing::CountingHeap;
use tsdb_promql::{Engine, EngineOptions, ScopedThreads, Value};

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();

const START_MS: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 15_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, usual: u32| arguments.get(index).map_or(Ok(usual), |text| text.parse());
    let (series, scrapes, repetitions) = (number(0, 20_000)?, number(1, 1_440)?, number(2, 5)?);
    let name = arguments.get(3).map_or("", String::as_str);
    let dir = tempfile::tempdir()?;
    let db = Db::open(dir.path(), Options { future_skew_ms: None, background: false, ..Options::default() })?;
    let started = Instant::now();
    fill(&db, series, scrapes)?;
    println!("filled in {:.1} s: {:?}", started.elapsed().as_secs_f64(), db.stats());
    let bench = Bench { db, end: START_MS + i64::from(scrapes) * INTERVAL_MS, repetitions };
    println!("\n| query | CPU ms, 1 thread | ms, all threads | KiB | series |\n|---|---|---|---|---|");
    for query in SET.iter().filter(|query| query.name.contains(name)) {
        bench.compare(query.name, query.text)?;
    }
    if name.is_empty() || name == "curve" {
        bench.curves()?;
    }
    Ok(())
}

fn fill(db: &Db, series: u32, scrapes: u32) -> Result<(), Box<dyn Error>> {
    let spec = Spec { targets: series / SERIES_PER_TARGET, start_ms: START_MS, interval_ms: INTERVAL_MS };
    let fleet = (0..spec.targets).map(|number| Target::new(spec, number));
    let customers = (0..spec.targets / 4).map(|number| Target::of_customers(spec, number));
    let mut targets: Vec<Target> = fleet.chain(customers).collect();
    let wire_of = |labels: &Labels| {
        let mut wire = Vec::new();
        write_wire(labels, &mut wire);
        wire
    };
    let wires: Vec<Vec<u8>> = targets.iter().flat_map(Target::labels).map(wire_of).collect();
    let mut values = Vec::new();
    for scrape in 0..scrapes {
        let mut appender = db.appender();
        let mut names = wires.iter();
        for target in &mut targets {
            let at = target.scrape(&mut values);
            for ((value, labels), wire) in values.iter().zip(target.labels()).zip(&mut names) {
                let known = appender.lookup(wire);
                let reference = known.map_or_else(|| appender.series(labels), Ok)?;
                appender.append(reference, at, *value);
            }
        }
        appender.commit()?;
        if scrapes > 20 && scrape == scrapes / 2 {
            db.flush()?;
        }
    }
    Ok(())
}

struct Bench {
    db: Db,
    end: i64,
    repetitions: u32,
}

impl Bench {
    fn compare(&self, name: &str, text: &str) -> Result<(), Box<dyn Error>> {
        let step_ms = ((self.end - START_MS) / 240).max(INTERVAL_MS);
        let rest = HEAP.reset_peak();
        let (alone, series) = self.time(text, START_MS + 30_000, step_ms, 1)?;
        let kib = HEAP.peak().saturating_sub(rest) / 1024;
        let (all, _) = self.time(text, START_MS + 30_000, step_ms, 0)?;
        println!("| {name} | {:.2} | {:.2} | {kib} | {series} |", ms(alone), ms(all));
        Ok(())
    }

    /// The fastest of the repetitions, and the series of the answer. No threads are as many as there are cores.
    fn time(
        &self,
        text: &str,
        start: i64,
        step_ms: i64,
        threads: usize,
    ) -> Result<(Duration, usize), Box<dyn Error>> {
        let mut options = EngineOptions::default();
        options.timeout = None;
        if threads > 0 {
            options.executor = Arc::new(ScopedThreads::new(threads));
        }
        let engine = Engine::new(options);
        let (mut best, mut series) = (Duration::MAX, 0);
        for _ in 0..=self.repetitions {
            let started = Stopwatch::start(threads == 1);
            let result = engine.range(&self.db, text, start, self.end, step_ms)?;
            best = best.min(started.elapsed());
            series = if let Value::Matrix(rows) = &result.value { rows.len() } else { 0 };
        }
        Ok((best, series))
    }

    /// The cost over the length of the window and over the number of steps, on one thread. What is read is the same
    /// in all rows but for one window.
    fn curves(&self) -> Result<(), Box<dyn Error>> {
        let functions = [
            "rate(http_requests_total[WINDOW])",
            "rate(queue_depth[WINDOW])",
            "avg_over_time(queue_depth[WINDOW])",
            "max_over_time(queue_depth[WINDOW])",
            "quantile_over_time(0.9, queue_depth[WINDOW])",
        ];
        println!("\n| window, steps |{}", functions.map(|f| format!(" {f}, ms |")).concat());
        println!("|---|{}", "---|".repeat(functions.len()));
        let start = START_MS + (self.end - START_MS) / 2;
        for (window, steps) in
            [("1m", 240), ("5m", 240), ("15m", 240), ("1h", 240), ("3h", 240), ("1h", 60), ("1h", 720)]
        {
            print!("| {window}, {steps} |");
            for function in functions {
                let text = function.replace("WINDOW", window);
                let (best, _) = self.time(&format!("sum({text})"), start, (self.end - start) / steps, 1)?;
                print!(" {:.2} |", ms(best));
            }
            println!();
        }
        Ok(())
    }
}

/// Measures the CPU time of this thread or, if that is not all there is, time.
struct Stopwatch {
    cpu: Option<Duration>,
    wall: Instant,
}

impl Stopwatch {
    fn start(alone: bool) -> Self {
        Self { cpu: alone.then(thread_cpu), wall: Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        self.cpu.map_or_else(|| self.wall.elapsed(), |before| thread_cpu().saturating_sub(before))
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
