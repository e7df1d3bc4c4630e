//! What remote write costs the server: CPU per first sample of a new series and per sample of a known one.
//!
//! `cargo run --release -p benches --example ingest_cost -- [SERIES] [SCRAPES] [OTHER]`
//!
//! Sends the generated fleet, 2 000 samples a request and one request after the other, to a server in a process of its own,
//! and reads what that process used. OTHER is this program from another build: its server and that of this build take the
//! same requests in turns, three times each, so that both meet the same machine. The least of each figure is printed.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use benches::process;
use benches::remote_write::Body;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use tsdb_core::labels::write_wire;
use tsdb_server::{Config, Server, serve};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Samples in a request.
const BATCH: usize = 2_000;
const INTERVAL_MS: i64 = 15_000;
const REPEATS: usize = 3;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return run_server(arguments[1].clone().into());
    }
    let argument = |index: usize, default| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (series, scrapes): (u32, u32) = (argument(0, 20_000)?, argument(1, 240)?);
    let this = ("this build", std::env::current_exe()?);
    let other = arguments.get(2).map(|other| ("the other build", PathBuf::from(other)));
    let programs: Vec<_> = other.into_iter().chain([this]).collect();
    let mut least = vec![[f64::INFINITY; 2]; programs.len()];
    for _ in 0..if programs.len() > 1 { REPEATS } else { 1 } {
        for ((_, program), least) in programs.iter().zip(&mut least) {
            let found = measure(program, series, scrapes)?;
            for (least, found) in least.iter_mut().zip(found) {
                *least = least.min(found);
            }
        }
    }
    println!("{series} series, {scrapes} scrapes; ns of the server's CPU");
    for ((name, _), [first, known]) in programs.iter().zip(least) {
        println!("{name:16} first sample of a new series {first:7.0}, sample of a known one {known:7.0}");
    }
    Ok(())
}

/// Sends everything to a server of its own; returns its CPU time a sample, in ns, of the first scrape and of all others.
fn measure(program: &Path, series: u32, scrapes: u32) -> Outcome<[f64; 2]> {
    let dir = tempfile::tempdir()?;
    let mut server = Running::start(program, dir.path().join("data"))?;
    let spec = Spec {
        targets: series / SERIES_PER_TARGET,
        start_ms: now_ms() - i64::from(scrapes) * INTERVAL_MS - 120_000,
        interval_ms: INTERVAL_MS,
    };
    let mut fleet = Fleet::new(spec);
    let samples = f64::from(spec.targets * SERIES_PER_TARGET);
    let began = server.cpu_ns()?;
    fleet.scrape(|body| server.write(body))?;
    let first = server.cpu_ns()?;
    for _ in 1..scrapes {
        fleet.scrape(|body| server.write(body))?;
    }
    let last = server.cpu_ns()?;
    Ok([(first - began) / samples, (last - first) / samples / f64::from(scrapes.max(2) - 1)])
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures against the real clock")]
fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(0)
}

/// Serves until the process is killed; the first line that it prints is the address.
fn run_server(data_dir: PathBuf) -> Outcome<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let listen = listener.local_addr()?;
    let config = Config { listen, data_dir, self_ingest_interval: "0s".parse()?, ..Config::default() };
    let server = runtime.block_on(async { Server::open(config.without_limits()) })?;
    println!("{listen}");
    Ok(runtime.block_on(serve(listener, server, std::future::pending()))?)
}

/// A server in a process of its own, killed when dropped, and a connection to it.
struct Running {
    child: Child,
    stream: TcpStream,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    fn start(program: &Path, data_dir: PathBuf) -> Outcome<Self> {
        let mut command = Command::new(program);
        let mut child = command.arg("serve").arg(data_dir).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.as_mut().ok_or("no output")?).read_line(&mut address)?;
        let stream = TcpStream::connect(address.trim())?;
        stream.set_nodelay(true)?;
        Ok(Self { child, stream })
    }

    /// Time of all threads so far, in ns.
    fn cpu_ns(&self) -> Outcome<f64> {
        Ok(process::read(self.child.id())?.cpu.as_nanos() as f64)
    }

    /// Sends one snappy-compressed body and waits for the answer.
    fn write(&mut self, body: &[u8]) -> Outcome<()> {
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n\
             Content-Encoding: snappy\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = [0; 4096];
        let length = self.stream.read(&mut answer)?;
        match answer[..length].starts_with(b"HTTP/1.1 204") {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&answer[..length]).into()),
        }
    }
}

/// All targets, with the wire forms of the labels of their series.
struct Fleet {
    targets: Vec<(Target, Vec<Vec<u8>>)>,
}

impl Fleet {
    fn new(spec: Spec) -> Self {
        let targets = (0..spec.targets).map(|number| {
            let target = Target::new(spec, number);
            let wires = target.labels().map(|labels| {
                let mut wire = Vec::new();
                write_wire(labels, &mut wire);
                wire
            });
            (Target::new(spec, number), wires.collect())
        });
        Self { targets: targets.collect() }
    }

    /// Scrapes all targets once and hands the requests to `send`.
    fn scrape(&mut self, mut send: impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let (mut values, mut body, mut pending) = (Vec::new(), Body::default(), 0);
        for (target, wires) in &mut self.targets {
            let at = target.scrape(&mut values);
            for (wire, value) in wires.iter().zip(&values) {
                body.push(wire, at, *value);
                pending += 1;
                if pending == BATCH {
                    send(body.take()?)?;
                    pending = 0;
                }
            }
        }
        if pending > 0 {
            send(body.take()?)?;
        }
        Ok(())
    }
}
