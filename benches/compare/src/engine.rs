//! The engines: how to start each, where it takes writes and queries, how to make it write everything to disk.

use benches::process::{self, Reading};
use std::error::Error;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The metrics server of this project.
    Ours,
    /// Prometheus with its remote-write receiver.
    Prometheus,
    /// Single-node VictoriaMetrics.
    Victoria,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Prometheus, Self::Victoria];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Prometheus => "Prometheus",
            Self::Victoria => "VictoriaMetrics",
        }
    }
}

/// Bytes on disk after everything is flushed and merged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DiskUse {
    pub(crate) data: u64,
    pub(crate) index: u64,
}

/// Where the engines' programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    server: PathBuf,
    peers: PathBuf,
}

impl Programs {
    pub(crate) fn new(server: PathBuf, peers_dir: Option<PathBuf>) -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        Self { server, peers: peers_dir.unwrap_or_else(|| home.join(".cache/tsdb-peers")).join("usr/bin") }
    }

    fn command(&self, kind: Kind, folder: &Path, address: &str) -> Result<Command> {
        let data = folder.join("data");
        let mut command = match kind {
            Kind::Ours => Command::new(&self.server),
            Kind::Prometheus => Command::new(self.peers.join("prometheus")),
            Kind::Victoria => Command::new(self.peers.join("victoria-metrics")),
        };
        match kind {
            Kind::Ours => {
                // Its own metrics are of today: with them in the store, hours of the past could not follow.
                let config = folder.join("server.toml");
                std::fs::write(&config, "self_ingest_interval = \"0s\"\n")?;
                command.args(["--listen", address, "--no-limits", "--config"]).arg(config);
                command.arg("--data-dir").arg(data);
            }
            Kind::Prometheus => {
                let config = folder.join("prometheus.yml");
                std::fs::write(&config, "scrape_configs: []\n")?;
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.tsdb.path={}", data.display()));
                command.arg(format!("--web.listen-address={address}"));
                command.args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"]);
            }
            Kind::Victoria => {
                command.arg(format!("-storageDataPath={}", data.display()));
                command.arg(format!("-httpListenAddr={address}"));
            }
        }
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

/// A running engine; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    kind: Kind,
    child: Child,
    base: String,
    folder: PathBuf,
    agent: ureq::Agent,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    /// Starts the engine on a free port of the loopback interface and waits until it answers.
    pub(crate) fn start(kind: Kind, programs: &Programs, folder: &Path) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = programs.command(kind, folder, &address)?;
        let child =
            command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(600)));
        let agent = config.http_status_as_error(false).build().new_agent();
        let base = format!("http://{address}");
        let running = Self { kind, child, base, folder: folder.to_owned(), agent };
        let path = if kind == Kind::Victoria { "/health" } else { "/-/ready" };
        running.poll(Duration::from_secs(300), |this| Ok(this.get(path)?.0 == 200))?;
        Ok(running)
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        // Both fail only if the process has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    pub(crate) fn process(&self) -> Result<Reading> {
        Ok(process::read(self.child.id())?)
    }

    /// Begins to measure the peak of resident memory anew.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        Ok(process::reset_peak(self.child.id())?)
    }

    /// Sends one snappy-compressed remote-write 1.0 body.
    pub(crate) fn write(&self, body: &[u8]) -> Result<()> {
        let mut response = self
            .agent
            .post(format!("{}/api/v1/write", self.base))
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .send(body)?;
        if !response.status().is_success() {
            let text = response.body_mut().read_to_string()?;
            return Err(format!("{} refused a write: {} {text}", self.kind.name(), response.status()).into());
        }
        Ok(())
    }

    /// Asks the query API; `path` begins with `/api/v1/`.
    pub(crate) fn query(&self, path: &str) -> Result<String> {
        let path = if self.kind == Kind::Victoria { format!("{path}&nocache=1") } else { path.to_owned() };
        match self.get(&path)? {
            (200, body) => Ok(body),
            (status, body) => Err(format!("{} answered {status} to {path}: {body}", self.kind.name()).into()),
        }
    }

    /// VictoriaMetrics loses on a crash what it took in the last seconds, which in a short run may be everything,
    /// so it gets the time to write all `samples` first. The others are killed as they are.
    pub(crate) fn settle_before_kill(&self, samples: u64) -> Result<()> {
        if self.kind != Kind::Victoria {
            return Ok(());
        }
        let rows = |kind: &str| self.metric(&format!("vm_rows{{type=\"{kind}\""));
        self.poll(Duration::from_secs(60), |_| {
            let written = rows("storage/small")? + rows("storage/big")?;
            Ok(written >= samples as f64 && rows("indexdb/file")? > 0.0 && rows("indexdb/inmemory")? == 0.0)
        })
    }

    /// Waits until the newest samples are in the answers, and these are complete.
    pub(crate) fn wait_for_answer(&self, at_ms: i64) -> Result<()> {
        let any = "count(node_cpu_seconds_total or customer_requests_total)";
        let path = format!("/api/v1/query?query={any}&time={}", at_ms / 1000);
        self.poll(Duration::from_secs(300), |this| {
            let answer = this.query(&path)?;
            Ok(answer.contains("\"value\"") && !answer.contains("still to be replayed"))
        })
    }

    /// Makes the engine write and merge everything, then adds up its files.
    pub(crate) fn flush_and_measure_disk(&self) -> Result<DiskUse> {
        let data = self.folder.join("data");
        match self.kind {
            Kind::Ours => {
                self.agent.post(format!("{}/internal/force_flush", self.base)).send_empty()?;
                Ok(DiskUse { data: bytes_below(&data, "chunks")?, index: bytes_below(&data, "index")? })
            }
            Kind::Prometheus => {
                let url = format!("{}/api/v1/admin/tsdb/snapshot", self.base);
                self.agent.post(url).send_empty()?;
                let snapshots = data.join("snapshots");
                Ok(DiskUse {
                    data: bytes_below(&snapshots, "chunks")?,
                    index: bytes_below(&snapshots, "index")?,
                })
            }
            Kind::Victoria => {
                self.expect_success("/internal/force_flush")?;
                self.expect_success("/internal/force_merge")?;
                self.poll(Duration::from_secs(600), |this| {
                    Ok(this.metric("vm_active_force_merges")? == 0.0
                        && this.metric("vm_active_merges")? == 0.0)
                })?;
                Ok(DiskUse {
                    data: self.metric("vm_data_size_bytes{type=\"storage/")? as u64,
                    index: self.metric("vm_data_size_bytes{type=\"indexdb/")? as u64,
                })
            }
        }
    }

    fn expect_success(&self, path: &str) -> Result<()> {
        match self.get(path)? {
            (200..300, _) => Ok(()),
            (status, body) => Err(format!("{} answered {status} to {path}: {body}", self.kind.name()).into()),
        }
    }

    /// Sum of the engine's own metrics whose line starts with `prefix`.
    fn metric(&self, prefix: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics")?;
        let values = text.lines().filter(|line| line.starts_with(prefix));
        Ok(values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    fn get(&self, path: &str) -> Result<(u16, String)> {
        let path = path.replace(' ', "%20");
        // What we keep of results is asked for in no comparison: see `tenant_cost cache`.
        let request = self.agent.get(format!("{}{path}", self.base)).header("Cache-Control", "no-store");
        let mut response = request.call()?;
        let body = response.body_mut().with_config().limit(1 << 32).read_to_string()?;
        Ok((response.status().as_u16(), body))
    }

    fn poll(&self, limit: Duration, mut done: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            match done(self) {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) if Instant::now() < deadline => {
                    std::thread::park_timeout(Duration::from_millis(5))
                }
                Ok(false) => return Err(format!("{} was not ready in {limit:?}", self.kind.name()).into()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Bytes of all files below `folder` that are, or lie in a folder, of the name `name`.
fn bytes_below(folder: &Path, name: &str) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        sum += match (entry.file_name() == name, entry.file_type()?.is_dir()) {
            (true, true) => bytes_of_folder(&path)?,
            (true, false) => entry.metadata()?.len(),
            (false, true) => bytes_below(&path, name)?,
            (false, false) => 0,
        };
    }
    Ok(sum)
}

fn bytes_of_folder(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}
