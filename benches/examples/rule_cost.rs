//! What many alerting rules cost: CPU of the threads that evaluate them, and how late evaluations are.
//!
//! `cargo run --release -p benches --example rule_cost -- [RULES] [SERIES] [SECONDS]`
//!
//! SERIES series get a sample every 15 s, five minutes of them before the rules begin. Two rules each ask about the same
//! selector, which finds four series: one looks at the newest samples, one at the rate of the last five minutes. They are
//! evaluated every 15 s in groups of fifty, for SECONDS. The figures leave out what comes before the first evaluations.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::plain::{labels_of, value};
use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tsdb::{Options, SystemClock, Tenants};
use tsdb_core::TenantId;
use tsdb_core::time::Clock;
use tsdb_server::{Config, Limit, Period, Server, Store, Stores};

type Outcome<T> = Result<T, Box<dyn Error>>;

const INTERVAL_MS: i64 = 15_000;
const BACK: usize = 20;
const BATCH: usize = 10_000;
const RULES_PER_GROUP: usize = 50;
/// Series of a metric on a host.
const SERIES_PER_SELECTOR: usize = 4;
const METRICS: usize = 250;
/// After a start rules wait for senders that were there before, until the first has been back for half a minute; then they
/// make up for what they missed.
const WARM_UP: Duration = Duration::from_secs(50);
/// Ticks of a CPU in a second, in `/proc`.
const TICKS: f64 = 100.0;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let rules = arguments.next().transpose()?.unwrap_or(10_000);
    let series = arguments.next().transpose()?.unwrap_or(1_000_000);
    let seconds = arguments.next().transpose()?.unwrap_or(180);
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, rule_file(rules, series))?;
    let stores: Arc<dyn Stores> = Arc::new(Tenants::open(dir.path().join("data"), Options::default())?);
    let store = stores.open(&TenantId::new("default")?)?;
    let began = Instant::now();
    let mut scrape = 0;
    let start = SystemClock.now() - BACK as i64 * INTERVAL_MS;
    while scrape < BACK {
        feed(store.as_ref(), series, scrape, start)?;
        scrape += 1;
    }
    println!("{rules} rules, {series} series, filled in {:.1} s", began.elapsed().as_secs_f64());

    let runtime = tokio::runtime::Runtime::new()?;
    let server = Server::new(settings(&file), Arc::clone(&stores), Arc::new(SystemClock))?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let served = runtime.spawn(tsdb_server::serve(listener, server, std::future::pending()));
    push(address)?;
    std::thread::park_timeout(WARM_UP);
    let (cpu, before, began) = (rules_cpu()?, lateness(address)?, Instant::now());
    let mut last = SystemClock.now() - INTERVAL_MS;
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        if SystemClock.now() - last >= INTERVAL_MS {
            last = SystemClock.now();
            feed(store.as_ref(), series, scrape, last - scrape as i64 * INTERVAL_MS)?;
            scrape += 1;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let used = rules_cpu()? - cpu;
    let share = 100.0 * used / began.elapsed().as_secs_f64();
    println!("CPU of the rules: {used:.1} s in {seconds} s, {share:.1} % of a core");
    report(&before, &lateness(address)?);
    served.abort();
    Ok(())
}

fn settings(file: &Path) -> Config {
    let mut config = Config { self_ingest_interval: Period::from_ms(0), ..Config::default() };
    config.rules.files = vec![file.display().to_string()];
    config.rules.evaluation_interval = Period::from_ms(INTERVAL_MS.unsigned_abs());
    config.limits.cardinality.max_active_series = Limit::NONE;
    config
}

/// Rules, two for each selector; selectors are spread over all hosts.
fn rule_file(rules: usize, series: usize) -> String {
    let hosts = (series / (METRICS * SERIES_PER_SELECTOR)).max(1);
    let mut text = "groups:\n".to_owned();
    for number in 0..rules {
        if number % RULES_PER_GROUP == 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "- name: group-{}\n  rules:\n", number / RULES_PER_GROUP);
        }
        let selector = number / 2;
        let (metric, host) = (selector % METRICS, (selector / METRICS * 37 + selector) % hosts);
        let of = format!("app_metric_{metric:03}_total{{instance=\"host-{host:05}.example.net:9100\"}}");
        let expr = match number % 2 {
            0 => format!("{of} > 1e12"),
            _ => format!("sum by (instance) (rate({of}[5m])) > 1e12"),
        };
        let _ = writeln!(text, "  - {{alert: Rule{number}, expr: '{expr}', for: 1m}}");
    }
    text
}

fn feed(store: &dyn Store, series: usize, scrape: usize, start: i64) -> Outcome<()> {
    for first in (0..series).step_by(BATCH) {
        let mut appender = store.appender();
        for number in first..(first + BATCH).min(series) {
            let reference = appender.series(&labels_of(number))?;
            appender.append(reference, start + scrape as i64 * INTERVAL_MS, value(number, scrape));
        }
        appender.commit()?;
    }
    Ok(())
}

/// Seconds that the threads for rules have been on a CPU.
fn rules_cpu() -> Outcome<f64> {
    let mut ticks = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if !std::fs::read_to_string(path.join("comm"))?.starts_with("rules-") {
            continue;
        }
        let stat = std::fs::read_to_string(path.join("stat"))?;
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let of_task = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        ticks += of_task.sum::<f64>();
    }
    Ok(ticks / TICKS)
}

/// Lets the server hear of a sender: what is fed to the store comes without one.
fn push(address: SocketAddr) -> Outcome<()> {
    let now = SystemClock.now();
    let body =
        format!(r#"{{"samples":[{{"metric":"began","labels":{{"a":"b"}},"timestampMs":{now},"value":1}}]}}"#);
    let length = body.len();
    let head =
        format!("POST /v1/metrics/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}");
    let answer = ask(address, &format!("{head}\r\n\r\n{body}"))?;
    if answer.starts_with("HTTP/1.1 202") { Ok(()) } else { Err(answer.into()) }
}

fn ask(address: SocketAddr, request: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The histogram of how late evaluations were: bounds and counts below them.
fn lateness(address: SocketAddr) -> Outcome<Vec<(String, f64)>> {
    let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut buckets = Vec::new();
    for line in answer.lines() {
        if line.starts_with("tsdb_rule_group_iterations_missed_total") {
            println!("{line}");
        }
        let Some(rest) = line.strip_prefix("tsdb_rule_group_lateness_seconds_bucket{le=\"") else { continue };
        if let Some((bound, count)) = rest.split_once("\"} ") {
            buckets.push((bound.to_owned(), count.parse()?));
        }
    }
    Ok(buckets)
}

fn report(before: &[(String, f64)], after: &[(String, f64)]) {
    let total =
        after.last().map_or(0.0, |(_, count)| *count) - before.last().map_or(0.0, |(_, count)| *count);
    println!("evaluations of groups: {total}");
    for ((bound, after), (_, before)) in after.iter().zip(before) {
        println!("late by at most {bound} s: {:.2} %", 100.0 * (after - before) / total.max(1.0));
    }
}
