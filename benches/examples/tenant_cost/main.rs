//! What tenants cost each other, and what is spent on keeping them apart. Whole servers over HTTP.
//!
//! ```text
//! cargo build --release -p examples -p benches --examples --bins
//! target/release/examples/tenant_cost isolation [SECONDS] [ROUNDS]    # one tenant goes wild: what another notices
//! target/release/examples/tenant_cost cache [REFRESHES] [VIEWERS]     # a dashboard with and without kept results
//! target/release/examples/tenant_cost refusals [SERIES] [SECONDS]     # a flood of new series that are all refused
//! target/release/examples/tenant_cost reports [SERIES]                # what has the most series, over all of them
//! ```
//!
//! The server is the program `metrics-server` of the same build, in a process of its own. On a shared machine other programs are
//! kept away by a high priority for the session: `setsid bash -c 'echo -20 >/proc/self/autogroup; exec tenant_cost ...'`.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

mod cache;
mod isolation;
mod refusals;
mod reports;
mod sender;
mod server;

use std::error::Error;
use tsdb::SystemClock;
use tsdb_core::time::Clock;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let number = |index: usize, usual: usize| rest.get(index).map_or(Ok(usual), |text| text.parse::<usize>());
    match what.as_str() {
        "isolation" => isolation::run(number(0, 15)?, number(1, 4)?),
        "cache" => cache::run(number(0, 6)?, number(1, 50)?),
        "refusals" => refusals::run(number(0, 200_000)?, number(1, 10)?),
        "reports" => reports::run(number(0, 10_000_000)?),
        isolation::WILD => isolation::go_wild(&rest),
        other => Err(format!("{other:?}: say isolation, cache, refusals or reports").into()),
    }
}

fn now_ms() -> i64 {
    SystemClock.now()
}
