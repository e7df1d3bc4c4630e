//! One tenant sends ten times its samples and asks a hundred heavy queries at a time; what another notices.
//!
//! Two tenants have 20 000 series each, with half an hour of samples 15 s apart. `calm` sends a sample of each every second in
//! forty requests, and asks a panel of a dashboard every 50 ms, of which nothing is kept. `wild` sends as much, its limit being a
//! quarter more; then, in turns, ten times as much, whatever it is told, while a hundred clients ask one heavy query
//! after the other. The clients of `wild` are a process of lower priority: it is the server that is measured, not who asks.

use crate::sender::Sender;
use crate::server::{Client, Server, range_path};
use crate::{Outcome, now_ms};
use benches::fleet::Spec;
use benches::latency::Latencies;
use benches::queries::SET;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// The first argument of the process that is `wild`.
pub(crate) const WILD: &str = "wild";

const TARGETS: u32 = 40;
const HISTORY_MS: i64 = 30 * 60_000;
const INTERVAL_MS: i64 = 15_000;
const SECOND: Duration = Duration::from_secs(1);
const HEAVY_QUERIES: usize = 100;
const HEAVY_STEP_MS: i64 = 2_000;
const WILD_SENDERS: u32 = 4;
/// A panel every so often.
const PANEL_PERIOD: Duration = Duration::from_millis(50);
/// What panels ask, by their names in the set.
const PANELS: [&str; 6] =
    ["rate, sum by", "error share", "topk of pods", "avg of a gauge", "one instance", "join"];

/// What `calm` saw.
#[derive(Default)]
struct Seen {
    writes: Latencies,
    queries: Latencies,
}

pub(crate) fn run(seconds: usize, rounds: usize) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let end = now_ms();
    fill(&Server::start(folder.path(), "[limits.ingest]\nsamples_per_second = 0\n")?.client, end)?;
    let limited = "[tenants.wild.ingest]\nsamples_per_second = 25000\nburst_samples = 50000\n";
    let server = Server::start(folder.path(), limited)?;
    let client = &server.client;
    let mut seen = [Seen::default(), Seen::default()];
    let period = Duration::from_secs(seconds as u64);
    let mut cpu = [Duration::ZERO; 2];
    for round in 0..=rounds {
        for (index, is_wild) in [false, true].into_iter().enumerate() {
            let mut wild = start_wild(client, end, is_wild)?;
            thread::park_timeout(SECOND);
            let before = server.process()?.cpu;
            let mut now = watch(client, end, period)?;
            cpu[index] += server.process()?.cpu - before;
            // Fails only if the process has ended.
            drop(wild.kill());
            wild.wait()?;
            // The first round warms up.
            if round > 0 {
                seen[index].writes.append(&mut now.writes);
                seen[index].queries.append(&mut now.queries);
            }
        }
    }
    report(client, &seen, cpu.map(|cpu| cpu.as_secs_f64() / (period.as_secs_f64() * (rounds + 1) as f64)))
}

fn report(client: &Client, [alone, beside]: &[Seen; 2], cpu: [f64; 2]) -> Outcome<()> {
    println!("| `calm` | | alone, ms | beside, ms | ratio |\n|---|---|---|---|---|");
    let of: fn(&Seen) -> &Latencies = |seen| &seen.writes;
    for (what, of) in [("write", of), ("query", |seen| &seen.queries)] {
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            let [one, other] = [alone, beside].map(|seen| of(seen).quantile_ms(quantile));
            println!(
                "| {what} | {name} of {} | {one:.2} | {other:.2} | {:.2} |",
                of(beside).count(),
                other / one
            );
        }
    }
    println!("cores used by the server: {:.2} alone, {:.2} beside", cpu[0], cpu[1]);
    for metric in ["tsdb_queries_total", "tsdb_queries_refused_total", "tsdb_refused_write_requests_total"] {
        println!("{metric} of wild: {}", client.metric(&format!("{metric}{{tenant=\"{WILD}\""))?);
    }
    Ok(())
}

/// Half an hour of both tenants.
fn fill(client: &Client, end: i64) -> Outcome<()> {
    let spec = Spec { targets: TARGETS, start_ms: end - HISTORY_MS, interval_ms: INTERVAL_MS };
    for tenant in ["calm", WILD] {
        let mut sender = Sender::new(spec, 0..TARGETS);
        for _ in 0..HISTORY_MS / INTERVAL_MS {
            sender.scrape(None, 4, |body, _| expect_taken(client.write(tenant, body)?))?;
        }
    }
    Ok(())
}

fn expect_taken(status: u16) -> Outcome<()> {
    if status == 204 { Ok(()) } else { Err(format!("a write was answered with {status}").into()) }
}

/// Sends and asks as `calm` for so long.
fn watch(client: &Client, end: i64, period: Duration) -> Outcome<Seen> {
    let until = Instant::now() + period;
    thread::scope(|scope| {
        let writes = scope.spawn(|| send(client, end, until));
        let queries = ask_panels(client, end, until)?;
        let writes = writes.join().map_err(|_| "the sender panicked")??;
        Ok(Seen { writes, queries })
    })
}

fn send(client: &Client, end: i64, until: Instant) -> Outcome<Latencies> {
    let spec = Spec { targets: TARGETS, start_ms: end, interval_ms: INTERVAL_MS };
    let (mut sender, mut latencies) = (Sender::new(spec, 0..TARGETS), Latencies::default());
    let began = Instant::now();
    let mut requests = 0;
    while Instant::now() < until {
        sender.scrape(Some(now_ms()), 1, |body, _| {
            wait_until(began + SECOND / TARGETS * requests);
            requests += 1;
            let asked = Instant::now();
            expect_taken(client.write("calm", body)?)?;
            latencies.push(asked.elapsed());
            Ok(())
        })?;
    }
    Ok(latencies)
}

fn ask_panels(client: &Client, end: i64, until: Instant) -> Outcome<Latencies> {
    let panels: Vec<_> = SET.iter().filter(|query| PANELS.contains(&query.name)).collect();
    let mut latencies = Latencies::default();
    let began = Instant::now();
    for (number, panel) in (0..).zip(panels.iter().cycle()) {
        wait_until(began + PANEL_PERIOD * number);
        if Instant::now() >= until {
            break;
        }
        let path = range_path(panel.text, end - HISTORY_MS, end, INTERVAL_MS);
        let asked = Instant::now();
        let (status, text) = client.get("calm", &path, false)?;
        latencies.push(asked.elapsed());
        if status != 200 {
            return Err(text.into());
        }
    }
    Ok(latencies)
}

fn wait_until(time: Instant) {
    loop {
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

fn start_wild(client: &Client, end: i64, is_wild: bool) -> Outcome<Child> {
    let mut command = Command::new("nice");
    command.args(["-n", "15"]).arg(std::env::current_exe()?).arg(WILD).arg(client.base());
    Ok(command.args([end.to_string(), is_wild.to_string()]).spawn()?)
}

/// Sends as `wild`, and asks if it is; until the process is killed.
pub(crate) fn go_wild(arguments: &[String]) -> Outcome<()> {
    let [base, end, is_wild] = arguments else { return Err("wild BASE END IS_WILD".into()) };
    let (client, end, is_wild) = (Client::new(base.clone()), end.parse::<i64>()?, is_wild.parse::<bool>()?);
    let times = if is_wild { 10 } else { 1 };
    thread::scope(|scope| {
        for number in 0..WILD_SENDERS {
            let client = &client;
            scope.spawn(move || flood(client, end, number, times));
        }
        for number in (0..HEAVY_QUERIES).filter(|_| is_wild) {
            let client = &client;
            scope.spawn(move || {
                // What becomes of these is counted by the server.
                while client.get(WILD, &heavy(number, end), false).is_ok() {}
            });
        }
    });
    Ok(())
}

fn flood(client: &Client, end: i64, number: u32, times: u32) -> Outcome<()> {
    let spec = Spec { targets: TARGETS, start_ms: end, interval_ms: INTERVAL_MS };
    let share = TARGETS / WILD_SENDERS;
    let mut sender = Sender::new(spec, number * share..(number + 1) * share);
    let (began, mut scrapes) = (Instant::now(), 0);
    loop {
        wait_until(began + SECOND * scrapes / times);
        scrapes += 1;
        // Refused or not: `wild` does not listen.
        sender.scrape(Some(now_ms()), 5, |body, _| client.write(WILD, body).map(drop))?;
    }
}

/// A query that reads all series, in words that no other client uses.
fn heavy(number: usize, end: i64) -> String {
    let text = match number % 2 {
        0 => format!("max(quantile_over_time(0.9, {{__name__=~\".+\"}}[10m])) + {number}"),
        _ => format!("sum by (job) (rate({{__name__=~\".+\"}}[15m])) + {number}"),
    };
    range_path(&text, end - HISTORY_MS, end, HEAVY_STEP_MS)
}
