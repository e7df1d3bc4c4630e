//! A service whose error rate rises, and who is told of it.
//!
//! `alerting [--alertmanager URL]`
//!
//! The service, the database, the rules and the delivery of alerts live in this one process. A real Alertmanager groups
//! the alerts and sends the messages: the one at `--alertmanager`, or else one that is started here if there is one on
//! the `PATH`. Where there is none, the server sends the messages by itself. A small receiver prints what arrives.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use clap::Parser;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tsdb::{Db, Options, SystemClock, Tenants};
use tsdb_core::time::Clock;
use tsdb_core::write::Appendable;
use tsdb_core::{Labels, TenantId};
use tsdb_promql::{Engine, EngineOptions, Value};
use tsdb_server::{Config, Server};

#[derive(Debug, Parser)]
struct Arguments {
    /// An Alertmanager that runs already; its own receivers are told then
    #[arg(long, value_name = "URL")]
    alertmanager: Option<String>,
}

/// More than a tenth of the requests fail, for two seconds.
const RULES: &str = r#"groups:
- name: service
  interval: 500ms
  rules:
  - alert: HighErrorRate
    expr: sum(rate(requests_total{code="500"}[3s])) / sum(rate(requests_total[3s])) > 0.1
    for: 2s
    labels: {severity: page}
    annotations: {summary: "{{ $value | humanizePercentage }} of the requests fail."}
"#;

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
    let folder = std::env::temp_dir().join(format!("alerting-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = tell(arguments, &folder);
    drop(tsdb::fs::Fs::remove_dir_all(&tsdb::fs::OsFs, &folder));
    outcome
}

fn tell(arguments: &Arguments, folder: &Path) -> Result<(), Failure> {
    // Who is told: an Alertmanager that tells the receiver, or the receiver itself.
    let (receiver, messages) = receiver()?;
    let (_running, alerting) = match &arguments.alertmanager {
        Some(url) => (None, alertmanager(url)),
        None => match start_alertmanager(folder, &receiver)? {
            Some((running, url)) => (Some(running), alertmanager(&url)),
            None => {
                println!("No Alertmanager on the PATH: the server sends messages by itself.");
                (None, webhook(&receiver))
            }
        },
    };

    // A server needs no network: it is a library that evaluates rules over stores and delivers their alerts.
    let rules = folder.join("rules.yml");
    std::fs::write(&rules, RULES)?;
    let mut config = Config::parse(&alerting)?;
    config.data_dir = folder.join("data");
    config.rules.files = vec![rules.display().to_string()];
    let tenants = Arc::new(Tenants::open(&config.data_dir, Options::default())?);
    let db = tenants.tenant(&TenantId::new("default")?)?;
    let server = Server::new(config, tenants, Arc::new(SystemClock))?;
    server.start_rules()?;

    let mut service = Service { db: &db, good: 0.0, bad: 0.0, state: String::new() };
    println!("The service answers.");
    service.work(0.01, |_| false, 12)?;
    println!("Four of ten requests fail.");
    service.work(0.4, |state| state == "firing", 80)?;
    let is_ours = arguments.alertmanager.is_none();
    if is_ours {
        println!("The receiver is told: {}", messages.recv_timeout(PATIENCE)?);
    }
    println!("The service is mended.");
    service.work(0.0, |state| state.is_empty(), 80)?;
    if is_ours {
        println!("The receiver is told: {}", messages.recv_timeout(PATIENCE)?);
    }
    server.close()?;
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Counts its requests, and looks what becomes of the alert about them.
struct Service<'a> {
    db: &'a Db,
    good: f64,
    bad: f64,
    state: String,
}

impl Service<'_> {
    /// Answers a hundred requests every quarter of a second, a share of them badly, until the alert is as wanted.
    fn work(&mut self, failing: f64, wanted: impl Fn(&str) -> bool, turns: usize) -> Result<(), Failure> {
        let (_never, pause) = channel::<()>();
        for _ in 0..turns {
            self.good += 100.0 * (1.0 - failing);
            self.bad += 100.0 * failing;
            let mut batch = self.db.appender();
            for (code, count) in [("200", self.good), ("500", self.bad)] {
                let labels = Labels::from_pairs([("__name__", "requests_total"), ("code", code)])?;
                let series = batch.series(&labels)?;
                batch.append(series, SystemClock.now(), count);
            }
            batch.commit()?;
            let state = self.alert()?;
            if state != self.state {
                println!(
                    "HighErrorRate is {}.",
                    if state.is_empty() { "RESOLVED" } else { &state }.to_uppercase()
                );
                self.state = state;
            }
            if wanted(&self.state) {
                return Ok(());
            }
            // Nothing ever comes: it is a pause.
            pause.recv_timeout(Duration::from_millis(250)).unwrap_or_default();
        }
        Ok(())
    }

    /// What the rule says of the alert: nothing, `pending` or `firing`.
    fn alert(&self) -> Result<String, Failure> {
        let engine = Engine::new(EngineOptions::default());
        let answer = engine.instant(self.db, "ALERTS{alertname=\"HighErrorRate\"}", SystemClock.now())?;
        let Value::Vector(alerts) = answer.value else { return Ok(String::new()) };
        let state = alerts.first().and_then(|alert| alert.labels.get("alertstate"));
        Ok(state.unwrap_or_default().to_owned())
    }
}

/// Settings for an Alertmanager on this machine or in its private networks.
fn alertmanager(url: &str) -> String {
    format!(
        "[alerting]\nallowed_networks = [\"127.0.0.0/8\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\"]\n\
         [[alerting.alertmanagers]]\nname = \"alertmanager\"\nurls = [{url:?}]\n"
    )
}

/// Settings for messages of the server itself.
fn webhook(receiver: &str) -> String {
    format!(
        "[alerting]\nallowed_networks = [\"127.0.0.0/8\"]\n\
         [[alerting.webhooks]]\nname = \"receiver\"\nurl = {receiver:?}\n\
         grouping = {{ wait = \"500ms\", interval = \"500ms\" }}\n"
    )
}

/// Ends with the example.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts an Alertmanager that tells `receiver`; `None` if there is none on the `PATH`.
fn start_alertmanager(folder: &Path, receiver: &str) -> Result<Option<(Running, String)>, Failure> {
    let routes = format!(
        "route: {{receiver: here, group_wait: 500ms, group_interval: 500ms}}\n\
         receivers: [{{name: here, webhook_configs: [{{url: '{receiver}'}}]}}]\n"
    );
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, routes)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for program in ["prometheus-alertmanager", "alertmanager"] {
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.path={}", folder.join("alertmanager").display()));
        command.args([&format!("--web.listen-address={address}"), "--cluster.listen-address="]);
        if let Ok(child) = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn() {
            println!("{program} runs at http://{address}.");
            return Ok(Some((Running(child), format!("http://{address}"))));
        }
    }
    Ok(None)
}

/// A receiver of messages: its address, and one line for each message.
fn receiver() -> Result<(String, Receiver<String>), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (lines, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut length = 0;
            for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                if let Some(("content-length", value)) = line.to_lowercase().split_once(": ") {
                    length = value.parse().unwrap_or(0);
                }
            }
            let mut body = Vec::new();
            drop(reader.take(length).read_to_end(&mut body));
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            drop((&stream).write_all(answer));
            if lines.send(line(&body)).is_err() {
                return;
            }
        }
    });
    Ok((format!("http://{address}/"), received))
}

/// What a message says.
fn line(body: &[u8]) -> String {
    let message: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let alert = &message["alerts"][0];
    let [name, summary] = [&alert["labels"]["alertname"], &alert["annotations"]["summary"]].map(text);
    format!("{} {name}: {summary}", text(&message["status"]).to_uppercase())
}
