//! Are rules evaluated in time while dashboards ask a hundred times what the server can answer, and object storage is away?
//!
//! `AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x rules storm [RULES] [SERIES] [SECONDS]`: SERIES series get a sample every
//! 15 s; older samples of some are in a block on object storage alone, which is a `moto_server` behind a proxy. A fifth of the
//! RULES has an alert. How many queries the server can answer is found with as many clients as it has cores. Then a hundred
//! times as many ask over HTTP for SECONDS, each the next thing as soon as it has an answer or is refused: half of them about
//! the last hour, half about the last three, which needs the block. The first time object storage is there, then it takes
//! connections and never answers, then it takes none.

use super::{INTERVAL_MS, Outcome, feed, number, serve, settings};
use benches::process::threads_cpu;
use benches::rules::{Evaluated, ask, push, rule_file};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tsdb::tier::Tier;
use tsdb::{Options, SystemClock, Tenants};
use tsdb_core::TenantId;
use tsdb_core::time::Clock;
use tsdb_server::{CloudStore, Server, Store, Stores};

const BACK: usize = 20;
/// Series with samples on object storage, and how many samples of each.
const FAR_SERIES: usize = 20_000;
const FAR_SCRAPES: usize = 60;
const THREE_HOURS_MS: i64 = 3 * 3_600_000;
const TIMES: usize = 100;
const WARM_UP: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(arguments: &[String]) -> Outcome<()> {
    if let [load, address, clients, seconds] = arguments
        && load == "load"
    {
        return run_clients(address.parse()?, clients.parse()?, seconds.parse()?);
    }
    let (rules, series) = (number(arguments, 0, 10_000)?, number(arguments, 1, 1_000_000)?);
    let seconds = number(arguments, 2, 90)?;
    let dir = tempfile::tempdir()?;
    let moto = Moto::start()?;
    let proxy = Proxy::start(moto.port)?;
    let stores: Arc<dyn Stores> = Arc::new(Tenants::open(dir.path().join("data"), options(proxy.port)?)?);
    let store = stores.open(&TenantId::new("default")?)?;
    fill(store.as_ref(), series)?;
    println!("{rules} rules, {series} series; a block of {FAR_SERIES} series on object storage alone");

    let file = dir.path().join("rules.yml");
    let holds = |rule| (rule % 5 == 0).then_some(if rule % 10 == 0 { "0s" } else { "1h" });
    std::fs::write(&file, rule_file(rules, series, holds))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let server = Server::new(settings(&file), Arc::clone(&stores), Arc::new(SystemClock))?;
    let address = serve(&runtime, server)?;
    push(address, SystemClock.now())?;
    let feeding = AtomicBool::new(true);
    std::thread::scope(|scope| -> Outcome<()> {
        let fed = scope.spawn(|| keep_fed(store.as_ref(), series, &feeding));
        std::thread::park_timeout(WARM_UP);
        let outcome = measure(address, &proxy, seconds);
        feeding.store(false, Ordering::Relaxed);
        fed.join().map_err(|_| "the feeder failed")??;
        outcome
    })
}

/// The phases, one after the other.
fn measure(address: SocketAddr, proxy: &Proxy, seconds: usize) -> Outcome<()> {
    let cores = std::thread::available_parallelism()?.get();
    for (what, clients, weather) in [
        ("no dashboards", 0, Weather::Fine),
        ("as many dashboards as cores", cores, Weather::Fine),
        ("a hundred times as many", TIMES * cores, Weather::Fine),
        ("and object storage never answers", TIMES * cores, Weather::Silent),
        ("and object storage refuses", TIMES * cores, Weather::Refusing),
    ] {
        proxy.set(weather);
        let (cpu, before, began) = (threads_cpu("rules-")?, Evaluated::of(address)?, Instant::now());
        let told = if clients == 0 {
            std::thread::park_timeout(Duration::from_secs(seconds as u64));
            String::new()
        } else {
            let mut load = Command::new(std::env::current_exe()?);
            load.args(["storm", "load", &address.to_string(), &clients.to_string(), &seconds.to_string()]);
            String::from_utf8(load.output()?.stdout)?
        };
        let used = threads_cpu("rules-")?.saturating_sub(cpu).as_secs_f64();
        let share = 100.0 * used / began.elapsed().as_secs_f64();
        println!("{what}: {told}\n  CPU of the rules: {share:.1} % of a core");
        println!("  {}", Evaluated::of(address)?.since(&before));
    }
    Ok(())
}

fn options(port: u16) -> Outcome<Options> {
    let store = CloudStore::open("s3://blocks", &format!("http://127.0.0.1:{port}"), "us-east-1")?;
    // No cache: what dashboards ask for must come from object storage each time.
    let mut tier = Tier::new(Arc::new(store), 0)?;
    tier.keep_local_ms = 0;
    tier.interval = Duration::from_secs(1);
    Ok(Options { tier: Some(tier), ..Options::default() })
}

/// Puts old samples on object storage, and new ones into the head.
fn fill(store: &dyn Store, series: usize) -> Outcome<()> {
    let now = SystemClock.now();
    for scrape in 0..FAR_SCRAPES {
        feed(store, FAR_SERIES, now - THREE_HOURS_MS + scrape as i64 * INTERVAL_MS, scrape)?;
    }
    store.flush()?;
    let began = Instant::now();
    loop {
        let tier = store.stats().and_then(|stats| stats.tier).ok_or("no object storage")?;
        if tier.blocks > 0 && tier.backlog_blocks == 0 {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err("the block is not uploaded".into());
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    for scrape in 0..BACK {
        feed(store, series, now - (BACK - scrape) as i64 * INTERVAL_MS, FAR_SCRAPES + scrape)?;
    }
    Ok(())
}

fn keep_fed(store: &dyn Store, series: usize, go_on: &AtomicBool) -> Outcome<()> {
    let (mut next, mut scrape) = (SystemClock.now(), FAR_SCRAPES + BACK);
    while go_on.load(Ordering::Relaxed) {
        if SystemClock.now() >= next {
            feed(store, series, next, scrape)?;
            (next, scrape) = (next + INTERVAL_MS, scrape + 1);
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok(())
}

/// Many dashboards that ask the server at `address` for so many seconds, and tells what they were answered.
fn run_clients(address: SocketAddr, clients: usize, seconds: u64) -> Outcome<()> {
    let (answered, refused, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| -> Outcome<()> {
        for client in 0..clients {
            let (answered, refused, failed) = (&answered, &refused, &failed);
            let work = move || {
                let mut connection = None;
                for round in 0.. {
                    if began.elapsed() >= Duration::from_secs(seconds) {
                        return;
                    }
                    let count = match query(&mut connection, address, client + round * clients) {
                        Ok(200) => answered,
                        Ok(429 | 503) => refused,
                        _ => {
                            connection = None;
                            failed
                        }
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, work)?;
        }
        Ok(())
    })?;
    let rate = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let (answered, refused, failed) = (rate(&answered), rate(&refused), rate(&failed));
    print!(
        "{clients} clients; of {:.0} queries a second {answered:.1} answered, ",
        answered + refused + failed
    );
    print!("{refused:.0} refused, {failed:.1} failed");
    Ok(())
}

/// One query; the status of its answer.
fn query(
    connection: &mut Option<BufReader<TcpStream>>,
    address: SocketAddr,
    number: usize,
) -> io::Result<u16> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(BufReader::new(TcpStream::connect(address)?)),
    };
    // Each has another range, so that no answer can be given twice.
    let now = SystemClock.now() - number as i64 % 1_000;
    let range = if number.is_multiple_of(2) { 3_600_000 } else { THREE_HOURS_MS };
    let (start, end) = ((now - range) as f64 / 1e3, now as f64 / 1e3);
    let expr = format!("sum%20by%20(status)%20(rate(app_metric_{:03}_total%5B5m%5D))", number % 250);
    let path = format!("/api/v1/query_range?query={expr}&start={start:.3}&end={end:.3}&step=15");
    stream.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
    let (mut status, mut length, mut line) = (0, None, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = text.strip_prefix("http/1.1 ") {
            status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
        } else if let Some(bytes) = text.strip_prefix("content-length: ") {
            length = bytes.parse::<u64>().ok();
        } else if text.is_empty() {
            break;
        }
    }
    match length {
        Some(length) => drop(io::copy(&mut stream.take(length), &mut io::sink())?),
        None => skip_chunks(stream)?,
    }
    Ok(status)
}

fn skip_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        io::copy(&mut stream.take(length + 2), &mut io::sink())?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// A service that speaks S3, with the bucket `blocks`. Dropping it ends it.
struct Moto {
    process: Child,
    port: u16,
}

impl Moto {
    fn start() -> Outcome<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("moto_server");
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let moto = Self { process, port };
        let began = Instant::now();
        while let Err(error) = ask(([127, 0, 0, 1], port).into(), "PUT", "/blocks", "") {
            if began.elapsed() > PATIENCE {
                return Err(error.into());
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Ok(moto)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// Connections are taken, and nothing is answered.
    Silent,
    /// Connections are closed at once.
    Refusing,
}

/// What stands between the server and object storage.
struct Proxy {
    port: u16,
    shared: Arc<Mutex<(Weather, Vec<TcpStream>)>>,
}

impl Proxy {
    fn start(target: u16) -> Outcome<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Mutex::new((Weather::Fine, Vec::new())));
        let state = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.0 == Weather::Refusing {
                    continue;
                }
                state.1.extend(client.try_clone());
                if state.0 == Weather::Fine {
                    std::thread::spawn(move || drop(relay(client, target)));
                }
            }
        });
        Ok(Self { port, shared })
    }

    /// From now on it is so, for connections that are open too.
    fn set(&self, weather: Weather) {
        let mut state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = weather;
        for client in state.1.drain(..) {
            drop(client.shutdown(Shutdown::Both));
        }
    }
}

fn relay(mut client: TcpStream, target: u16) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", target))?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Both));
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}
