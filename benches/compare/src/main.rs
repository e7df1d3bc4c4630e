//! Runs the metrics server beside Prometheus and VictoriaMetrics on the same generated input, one after the other,
//! and prints what each needs and the ratios. See `benches/README.md` for how to run it and what the figures mean.
#![expect(clippy::print_stdout, reason = "a command-line program prints its results")]

mod engine;
mod floor;
mod load;
mod plot;
mod queries;
mod report;

use clap::Parser;
use engine::{Kind, Running};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to run. Defaults give a first impression in a few minutes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Engines to run, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    engines: Vec<Kind>,
    /// Active series; rounded down to whole targets of 500 series. Several numbers make a run each.
    #[arg(long, value_delimiter = ',', default_value = "50000")]
    series: Vec<u32>,
    /// Further series, one a customer: a label with that many values.
    #[arg(long, default_value_t = 0)]
    customers: u32,
    /// Scrapes of every target, 15 s apart.
    #[arg(long, default_value_t = 480)]
    scrapes: u32,
    /// Redeploy every target after this many scrapes, so that all its series are replaced; 0 for never.
    #[arg(long, default_value_t = 0)]
    churn: u32,
    /// Samples in one remote-write request.
    #[arg(long, default_value_t = 2_000)]
    batch: usize,
    /// Concurrent senders.
    #[arg(long, default_value_t = 2)]
    senders: u32,
    /// Samples offered a second; default: as fast as the server takes them.
    #[arg(long)]
    rate: Option<u64>,
    /// Milliseconds between the scrapes of a target.
    #[arg(long, default_value_t = 15_000)]
    interval: u32,
    /// Draw the cost over the number of series into this SVG file.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Repetitions of each query; 0 leaves the queries out.
    #[arg(long, default_value_t = 7)]
    repetitions: u32,
    /// Ask only the queries whose name contains this.
    #[arg(long, default_value = "")]
    query: String,
    /// Folder of the peers' installation; their programs are in `usr/bin` below it.
    #[arg(long, env = "TSDB_PEERS_DIR")]
    peers_dir: Option<PathBuf>,
    /// The metrics server's program.
    #[arg(long, default_value = "target/release/metrics-server")]
    server: PathBuf,
    /// Folder for the engines' data; default: a temporary folder.
    #[arg(long)]
    work_dir: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut runs = Vec::new();
    for series in &arguments.series {
        let mut results = Vec::new();
        for kind in &arguments.engines {
            eprintln!("{}, {series} series ...", kind.name());
            results.push(measure(*kind, *series, &arguments)?);
        }
        println!(
            "\n{series} series of the fleet, {} of customers, {} scrapes",
            arguments.customers, arguments.scrapes
        );
        print!("{}", report::markdown(&results));
        println!("\n{}", floor::measure(*series, &arguments)?);
        runs.push(results);
    }
    if let Some(file) = &arguments.plot {
        plot::draw(&runs, file)?;
    }
    Ok(())
}

/// Everything measured of one engine.
#[derive(Debug)]
struct Measured {
    engine: &'static str,
    samples: u64,
    first_scrape: load::Phase,
    steady: load::Phase,
    peak_rss: u64,
    settled_rss: u64,
    series: u64,
    disk: engine::DiskUse,
    takes_writes_after_kill: Duration,
    ready_after_kill: Duration,
    queries: Vec<queries::Timing>,
}

fn measure(kind: Kind, series: u32, arguments: &Arguments) -> Result<Measured, Box<dyn Error>> {
    let folder = match &arguments.work_dir {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let programs = engine::Programs::new(arguments.server.clone(), arguments.peers_dir.clone());
    let mut running = Running::start(kind, &programs, folder.path())?;
    let plan = load::Plan::new(series, arguments);
    let mut fleet = load::Fleet::new(&plan);
    let first_scrape = fleet.send(&running, 1)?;
    let steady = fleet.send(&running, arguments.scrapes.saturating_sub(1))?;
    let peak_rss = running.process()?.peak_rss_bytes;
    running.settle_before_kill(first_scrape.samples + steady.samples)?;
    let killed = Instant::now();
    running.kill();
    running = Running::start(kind, &programs, folder.path())?;
    let takes_writes_after_kill = killed.elapsed();
    running.wait_for_answer(plan.end_ms())?;
    let ready_after_kill = killed.elapsed();
    let queries = queries::run(&running, &plan, series, arguments)?;
    let disk = running.flush_and_measure_disk()?;
    let settled_rss = running.process()?.rss_bytes;
    Ok(Measured {
        engine: kind.name(),
        samples: first_scrape.samples + steady.samples,
        series: first_scrape.samples,
        first_scrape,
        steady,
        peak_rss,
        settled_rss,
        disk,
        takes_writes_after_kill,
        ready_after_kill,
        queries,
    })
}
