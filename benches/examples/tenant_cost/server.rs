//! A server in a process of its own, and how to speak to it.

use crate::Outcome;
use benches::process::{self, Reading};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to begin, or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) client: Client,
}

/// Speaks to a server. Clones share connections.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    agent: ureq::Agent,
}

/// A status and a text.
pub(crate) type Answer = (u16, String);

impl Server {
    /// Starts the server on the data in `folder`, with these settings in TOML, and waits until it is ready.
    pub(crate) fn start(folder: &Path, settings: &str) -> Outcome<Self> {
        let program = std::env::current_exe()?.with_file_name("../metrics-server");
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let (config, log) = (folder.join("server.toml"), std::fs::File::create(folder.join("log"))?);
        std::fs::write(&config, format!("admin_api = true\nself_ingest_interval = \"0s\"\n{settings}"))?;
        let mut command = Command::new(&program);
        command.args(["--listen", &address]).arg("--config").arg(config);
        command.arg("--data-dir").arg(folder.join("data"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let server = Self { child, client: Client::new(format!("http://{address}")) };
        let deadline = Instant::now() + PATIENCE;
        while !server.client.get("-", "/-/ready", true).is_ok_and(|(status, _)| status == 200) {
            if Instant::now() > deadline {
                return Err(std::fs::read_to_string(folder.join("log"))?.into());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// What the process has used so far.
    pub(crate) fn process(&self) -> Outcome<Reading> {
        Ok(process::read(self.child.id())?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Client {
    pub(crate) fn new(base: String) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(600)));
        let config = config.max_idle_connections_per_host(256).max_idle_connections(256);
        Self { base, agent: config.http_status_as_error(false).build().new_agent() }
    }

    /// Where the server is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a body of remote write; the status of the answer.
    pub(crate) fn write(&self, tenant: &str, body: &[u8]) -> Outcome<u16> {
        let request = self.agent.post(format!("{}/api/v1/write", self.base)).header("X-Tenant-ID", tenant);
        let request = request.header("Content-Encoding", "snappy");
        let mut response = request.header("Content-Type", "application/x-protobuf").send(body)?;
        // Read to its end, the connection can be used again.
        response.body_mut().read_to_string()?;
        Ok(response.status().as_u16())
    }

    /// Asks for `path`, of whose answer nothing is to be kept, and none that is kept be given, if not `may_keep`.
    pub(crate) fn get(&self, tenant: &str, path: &str, may_keep: bool) -> Outcome<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base)).header("X-Tenant-ID", tenant);
        if !may_keep {
            request = request.header("Cache-Control", "no-store");
        }
        let mut response = request.call()?;
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
        Ok((response.status().as_u16(), text))
    }

    /// Sum of the server's own metrics whose lines begin with `prefix`.
    pub(crate) fn metric(&self, prefix: &str) -> Outcome<f64> {
        let (_, text) = self.get("-", "/metrics", true)?;
        let values = text.lines().filter(|line| line.starts_with(prefix));
        Ok(values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }
}

/// The path of a range query; times in ms.
pub(crate) fn range_path(query: &str, start: i64, end: i64, step: i64) -> String {
    let seconds = |ms: i64| ms as f64 / 1e3;
    let (start, end, step) = (seconds(start), seconds(end), seconds(step));
    format!("/api/v1/query_range?query={}&start={start}&end={end}&step={step}", percent_encoded(query))
}

fn percent_encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
