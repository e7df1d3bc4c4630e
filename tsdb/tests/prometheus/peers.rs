//! Where Prometheus' tools and data are, and how they are called.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tsdb_core::testing::skipped;

/// The program `name` of the peers, if it is installed.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let peers = match std::env::var_os("TSDB_PEERS_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(&std::env::var_os("HOME")?).join(".cache/tsdb-peers"),
    };
    let path = peers.join("usr/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("there is no {}; scripts/peers installs it", path.display()));
    None
}

/// The capture of real data, if it is there.
pub(crate) fn capture() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let dir = match std::env::var_os("TSDB_PROMETHEUS_DATA_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => workspace.parent()?.join("shared/data/prometheus-data"),
    };
    if dir.exists() {
        return Some(dir);
    }
    skipped(&format!("there is no {}; TSDB_PROMETHEUS_DATA_DIR says where the capture is", dir.display()));
    None
}

/// `promtool tsdb` with `arguments`; its output goes into a pipe.
pub(crate) fn promtool(promtool: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(promtool);
    command.arg("tsdb").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// Copies the directory `from` to `to`.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            std::fs::copy(&entry, &to).unwrap();
        }
    }
}

/// Serves what `exposition` says at each scrape, until the tests end. Returns the port.
pub(crate) fn serve(exposition: fn(u64) -> String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (stream, n) in listener.incoming().zip(1..) {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|len| len > 2) {
                line.clear();
            }
            let body = exposition(n);
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len());
            drop(write!(stream.get_mut(), "{head}\r\nConnection: close\r\n\r\n{body}"));
        }
    });
    port
}

/// Waits until `holds`, at most a minute.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never happens");
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("127.0.0.1:{}", listener.local_addr().unwrap().port())
}

/// A Prometheus server of the test's own.
pub(crate) struct Server {
    child: Child,
    address: String,
    folder: PathBuf,
}

impl Server {
    /// Starts a server that scrapes `target` and itself ten times a second; `None` if the program is missing.
    pub(crate) fn start(folder: &Path, target: &str) -> Option<Self> {
        let address = free_address();
        let job = |name: &str, target: &str, more: &str| {
            format!("  - {{job_name: {name}, static_configs: [{{targets: ['{target}']}}]{more}}}\n")
        };
        let config = format!(
            "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
             storage: {{tsdb: {{out_of_order_time_window: 1h}}}}\nscrape_configs:\n{}{}{}",
            job("target", target, ""),
            job("custom", target, ", convert_classic_histograms_to_nhcb: true"),
            job("itself", &address, ", always_scrape_classic_histograms: true")
        );
        Self::with_config(folder, address, &config)
    }

    /// Starts a server on what is in `theirs` in `folder`.
    pub(crate) fn on_data(folder: &Path) -> Option<Self> {
        Self::with_config(folder, free_address(), "global: {}\n")
    }

    fn with_config(folder: &Path, address: String, config: &str) -> Option<Self> {
        let program = program("prometheus")?;
        let path = folder.join("prometheus.yml");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", path.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("theirs").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.args([
            "--enable-feature=native-histograms,exemplar-storage,metadata-wal-records,\
             memory-snapshot-on-shutdown",
            "--web.enable-admin-api",
            "--storage.tsdb.retention.time=10y",
            "--log.level=error",
        ]);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let server = Self { child, address, folder: folder.to_owned() };
        eventually(|| server.request("GET", "/-/ready").contains("200 OK"));
        Some(server)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("theirs")
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.request("GET", path)
    }

    pub(crate) fn post(&self, path: &str) {
        let answer = self.request("POST", path);
        assert!(answer.contains(" 204 ") || answer.contains(" 200 "), "{answer}");
    }

    fn request(&self, method: &str, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return String::new() };
        let head = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\nConnection: close", self.address);
        write!(stream, "{head}\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        drop(stream.read_to_string(&mut answer));
        answer
    }

    /// Ends the server at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets the server end in order.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
