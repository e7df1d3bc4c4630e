//! Three tenants on one server; one of them goes wild, and the others notice nothing.
//!
//! `multi-tenant [--seconds N]`
//!
//! Each tenant pushes samples and asks a query, over HTTP. After a while `wild` puts the number of the request into a label
//! and asks for everything at once, from eight connections. Every second a line for each tenant says what became of it;
//! then comes what the operator sees, and what the operator does: the budget of `wild` is changed while the server runs.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use clap::Parser;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tsdb::SystemClock;
use tsdb_core::time::Clock;
use tsdb_server::{Config, Server, serve};

#[derive(Debug, Parser)]
struct Arguments {
    /// How long each part takes
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u64,
}

/// What `wild` may do; the others have the defaults.
const SETTINGS: &str = r#"
listen = "127.0.0.1:0"
admin_api = true
self_ingest_interval = "0s"

[tenants.wild.cardinality]
max_active_series = 300

[tenants.wild.query]
concurrency = 1
max_queued = 2
"#;

const TENANTS: [&str; 3] = ["shop", "bank", "wild"];
/// Series of each tenant as long as all is well.
const SERIES: usize = 200;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("multi-tenant-{}", std::process::id()));
    let mut config = Config::parse(SETTINGS)?;
    config.data_dir.clone_from(&folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(config.listen))?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = runtime.spawn(serve(listener, Server::open(config)?, async { drop(stopped.await) }));
    let outcome = watch(address, Duration::from_secs(arguments.seconds));
    drop(stop);
    runtime.block_on(served)??;
    drop(tsdb::fs::Fs::remove_dir_all(&tsdb::fs::OsFs, &folder));
    outcome
}

fn watch(address: SocketAddr, part: Duration) -> Result<(), Failure> {
    let (is_wild, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let book = Arc::new(Mutex::new(BTreeMap::new()));
    std::thread::scope(|threads| {
        for tenant in TENANTS {
            let connections = if tenant == "wild" { 8 } else { 1 };
            for connection in 0..connections {
                let (is_wild, is_over, book) =
                    (Arc::clone(&is_wild), Arc::clone(&is_over), Arc::clone(&book));
                threads.spawn(move || {
                    let client = Client { address, tenant, connection, book };
                    while !is_over.load(Ordering::Relaxed) {
                        client.turn(tenant == "wild" && is_wild.load(Ordering::Relaxed));
                    }
                });
            }
        }
        let outcome = tell(address, part, &is_wild, &book);
        is_over.store(true, Ordering::Relaxed);
        outcome
    })
}

fn tell(
    address: SocketAddr,
    part: Duration,
    is_wild: &AtomicBool,
    book: &Mutex<Book>,
) -> Result<(), Failure> {
    println!("All is well.");
    lines(part, book)?;
    println!("\n`wild` puts the number of the request into a label, and asks for everything at once.");
    is_wild.store(true, Ordering::Relaxed);
    lines(part, book)?;
    println!("\nWhat the operator sees at /metrics:");
    let (_, metrics) = request(address, "GET", "/metrics", "shop", "")?;
    let told =
        ["tsdb_tenant_head_series{", "tsdb_tenant_series_refused_total{", "tsdb_refused_samples_total{"];
    let of_interest = |line: &&str| told.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0");
    metrics.lines().filter(of_interest).for_each(|line| println!("  {line}"));
    println!("\nThe operator gives `wild` more room, for an hour of looking into it:");
    let more = json!({"cardinality": {"max_active_series": 2_000}}).to_string();
    let (status, _) = request(address, "PUT", "/api/v1/admin/tenants/wild/limits", "wild", &more)?;
    println!("  PUT /api/v1/admin/tenants/wild/limits {more}: {status}");
    lines(part, book)
}

/// What happened in a second, by tenant.
type Book = BTreeMap<&'static str, Happened>;

#[derive(Debug, Default)]
struct Happened {
    stored: u64,
    refused: u64,
    pushes: Vec<Duration>,
    queries: Vec<Duration>,
    refused_queries: u64,
}

/// A line for each tenant every second.
fn lines(part: Duration, book: &Mutex<Book>) -> Result<(), Failure> {
    println!(
        "{:8} {:>8} {:>8} {:>12} {:>8} {:>8} {:>13}",
        "tenant", "stored", "refused", "push p99 ms", "answers", "refused", "answer p99 ms"
    );
    let (_never, pause): (Sender<()>, _) = channel();
    let end = Instant::now() + part;
    while Instant::now() < end {
        // Nothing ever comes: it is a pause.
        pause.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        let happened = std::mem::take(&mut *book.lock().map_err(|_| "a client failed inside")?);
        for (tenant, mut one) in happened {
            let (pushes, queries) = (p99(&mut one.pushes), p99(&mut one.queries));
            println!(
                "{tenant:8} {:8} {:8} {pushes:12.1} {:8} {:8} {queries:13.1}",
                one.stored,
                one.refused,
                one.queries.len(),
                one.refused_queries,
            );
        }
    }
    Ok(())
}

fn p99(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// One connection of a tenant.
struct Client {
    address: SocketAddr,
    tenant: &'static str,
    connection: usize,
    book: Arc<Mutex<Book>>,
}

impl Client {
    /// A push and a query, and what became of them.
    fn turn(&self, is_wild: bool) {
        let started = Instant::now();
        let pushed = request(self.address, "POST", "/v1/metrics/push", self.tenant, &self.samples(is_wild));
        let push = started.elapsed();
        let query = if is_wild { "count%20by%20(request)%20(requests_total)" } else { "sum(requests_total)" };
        let started = Instant::now();
        let asked = request(self.address, "GET", &format!("/api/v1/query?query={query}"), self.tenant, "");
        let answer = started.elapsed();
        if let (Ok((_, pushed)), Ok((status, _)), Ok(mut book)) = (pushed, asked, self.book.lock()) {
            let told: Value = serde_json::from_str(&pushed).unwrap_or_default();
            let happened = book.entry(self.tenant).or_default();
            happened.stored += told["ingestedCount"].as_u64().unwrap_or(0);
            happened.refused += told["droppedCount"].as_u64().unwrap_or(0);
            happened.pushes.push(push);
            match status {
                200 => happened.queries.push(answer),
                _ => happened.refused_queries += 1,
            }
        }
        if !is_wild {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn samples(&self, is_wild: bool) -> String {
        let now = SystemClock.now();
        let sample = |number: usize| {
            let request =
                if is_wild { format!("{now}-{}-{number}", self.connection) } else { number.to_string() };
            json!({"metric": "requests_total", "labels": {"request": request}, "timestampMs": now, "value": 1})
        };
        json!({"samples": (0..SERIES).map(sample).collect::<Vec<_>>()}).to_string()
    }
}

/// The status of the answer to a request, and its body.
fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    tenant: &str,
    body: &str,
) -> Result<(u16, String), Failure> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nX-Tenant-ID: {tenant}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
    Ok((status, body.to_owned()))
}
