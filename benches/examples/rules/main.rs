//! What many alerting rules cost, whether they are evaluated in time whatever else the server has to do, and whether a
//! restart loses anything of them.
//!
//! `cargo run --release -p benches --example rules -- cost|storm|restart [NUMBERS]`
//!
//! The rules are those of [`benches::rules`], evaluated every 15 s in groups of fifty.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

mod cost;
mod restart;
mod storm;

use benches::plain::{labels_of, value};
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use tokio::runtime::Runtime;
use tsdb_server::{Config, Limit, Period, Server, Store};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Time between two samples of a series, and between two evaluations.
const INTERVAL_MS: i64 = 15_000;
const BATCH: usize = 10_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((what, others)) if what == "cost" => cost::run(others),
        Some((what, others)) if what == "storm" => storm::run(others),
        Some((what, others)) if what == "restart" => restart::run(others),
        _ => Err("one of: cost, storm, restart".into()),
    }
}

/// The argument at `position`.
fn number(arguments: &[String], position: usize, default: usize) -> Outcome<usize> {
    Ok(arguments.get(position).map_or(Ok(default), |argument| argument.parse())?)
}

fn settings(rules: &Path) -> Config {
    let mut config = Config { self_ingest_interval: Period::from_ms(0), ..Config::default() };
    config.rules.files = vec![rules.display().to_string()];
    config.rules.evaluation_interval = Period::from_ms(INTERVAL_MS.unsigned_abs());
    config.limits.cardinality.max_active_series = Limit::NONE;
    config
}

/// Lets `server` be spoken to; it is, until the process ends.
fn serve(runtime: &Runtime, server: Server) -> Outcome<SocketAddr> {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    drop(runtime.spawn(tsdb_server::serve(listener, server, std::future::pending())));
    Ok(address)
}

/// Gives each series its sample of the scrape `scrape`, at the time `at`.
fn feed(store: &dyn Store, series: usize, at: i64, scrape: usize) -> Outcome<()> {
    for first in (0..series).step_by(BATCH) {
        let mut appender = store.appender();
        for number in first..(first + BATCH).min(series) {
            let reference = appender.series(&labels_of(number))?;
            appender.append(reference, at, value(number, scrape));
        }
        appender.commit()?;
    }
    Ok(())
}
