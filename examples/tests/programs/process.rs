//! Processes under test: started, waited for, killed when the test ends in any way.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self { child: command.stdin(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")) }
    }

    /// Sends a signal by its name, as `kill` knows it.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the process ends", async || child.try_wait().unwrap()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A metrics server on a free port.
pub(crate) struct MetricsServer {
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    /// Held open, so that the server may go on printing.
    _stdout: BufReader<ChildStdout>,
}

impl MetricsServer {
    /// Starts the server on `data_dir` and waits until it takes requests. The environment may name another program in
    /// `METRICS_SERVER`, such as one that was built for speed.
    pub(crate) fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let program = std::env::var_os("METRICS_SERVER");
        let mut command =
            Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_metrics-server").into()));
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(arguments);
        let mut process = Process::start(command.stdout(Stdio::piped()));
        let mut line = String::new();
        let mut stdout = BufReader::new(process.child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let url = line.split([' ', ',']).find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { process, url, client, _stdout: stdout }
    }

    /// The data of a successful answer of the Prometheus API.
    pub(crate) async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        ask(&self.client, &self.url, path, parameters).await
    }
}

/// The data of a successful answer of the Prometheus API at `url`, once the server there has replayed its log.
pub(crate) async fn ask(
    client: &reqwest::Client,
    url: &str,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<Value, String> {
    loop {
        let request = client.post(format!("{url}/api/v1/{path}")).form(parameters);
        let response = request.send().await.map_err(|e| format!("{url}: {e}"))?;
        let text = response.text().await.map_err(|e| format!("{url}: {e}"))?;
        let mut answer: Value =
            serde_json::from_str(&text).map_err(|e| format!("{url}: {e} in {text:.200}"))?;
        match answer["status"].as_str() {
            Some("success") if text.contains("still to be replayed") => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Some("success") => return Ok(answer["data"].take()),
            _ => return Err(text),
        }
    }
}

/// What `probe` finds, asked again and again until it finds something.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
