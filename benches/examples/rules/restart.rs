//! Do pending alerts lose their clocks when the server is killed? Counts those that do.
//!
//! `rules restart [RULES] [KILLS]`: the condition of all RULES holds all the time, for an hour. A process of its own evaluates
//! them; once all alerts are pending it is killed (SIGKILL), KILLS times, each time at another moment, and started again.
//! Since when each alert is pending must be what it was before the first kill, right after each start and, in the end, after
//! all rules were evaluated anew.

use super::{INTERVAL_MS, Outcome, feed, number, serve, settings};
use benches::rules::{Evaluated, ask, push, rule_file};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::{Options, SystemClock, Tenants};
use tsdb_core::TenantId;
use tsdb_core::time::Clock;
use tsdb_server::{Server, Stores};

const SERIES: usize = 100_000;
/// Longer than anything that is waited for should take.
const PATIENCE: Duration = Duration::from_secs(300);
/// After a start rules wait for senders that were there before for half a minute; then they make up for what they missed.
const JUDGED: Duration = Duration::from_secs(75);

pub(super) fn run(arguments: &[String]) -> Outcome<()> {
    if let [serve, dir] = arguments
        && serve == "serve"
    {
        return run_server(Path::new(dir));
    }
    let (rules, kills) = (number(arguments, 0, 10_000)?, number(arguments, 1, 4)?);
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("rules.yml"), rule_file(rules, SERIES, |_| Some("1h")))?;
    let mut server = Process::start(dir.path())?;
    let since = server.pending(rules)?;
    println!("{rules} alerts are pending");
    for kill in 0..kills {
        // At once, and at other places between two evaluations.
        std::thread::park_timeout(Duration::from_millis(kill as u64 * 4_700));
        drop(server);
        let began = Instant::now();
        server = Process::start(dir.path())?;
        let after = server.pending(rules)?;
        println!(
            "killed: after {:.1} s they are back, {}",
            began.elapsed().as_secs_f64(),
            changes(&since, &after)
        );
    }
    std::thread::park_timeout(JUDGED);
    println!("evaluated anew: {}", changes(&since, &server.pending(rules)?));
    println!("{}", Evaluated::of(server.address)?.since(&Evaluated::default()));
    Ok(())
}

fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let same = before.iter().filter(|(name, since)| after.get(*name) == Some(since)).count();
    format!("{same} of {} clocks as they were", before.len())
}

/// A server of its own. Dropping it kills it.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(dir: &Path) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(["restart", "serve"]).arg(dir).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }

    /// Since when the alerts are pending, to the second, by their names; once all are.
    fn pending(&self, count: usize) -> Outcome<BTreeMap<String, String>> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let answer = ask(self.address, "GET", "/api/v1/alerts", "")?;
            let alerts = answer.split("{\"labels\":").filter(|alert| alert.contains("\"state\":\"pending\""));
            let since: BTreeMap<String, String> = alerts
                .filter_map(|alert| {
                    let second = text(alert, "\"activeAt\":\"")?.get(..19)?;
                    Some((text(alert, "\"alertname\":\"")?.to_owned(), second.to_owned()))
                })
                .collect();
            if since.len() == count {
                return Ok(since);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Err("not all alerts are pending".into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What stands in `json` between `before` and the next quote.
fn text<'a>(json: &'a str, before: &str) -> Option<&'a str> {
    json.split_once(before)?.1.split('"').next()
}

fn run_server(dir: &Path) -> Outcome<()> {
    let stores: Arc<dyn Stores> = Arc::new(Tenants::open(dir.join("data"), Options::default())?);
    let store = stores.open(&TenantId::new("default")?)?;
    let mut next = SystemClock.now();
    let scrape = |at: i64| (at / INTERVAL_MS) as usize % 1_000;
    feed(store.as_ref(), SERIES, next - INTERVAL_MS, scrape(next - INTERVAL_MS))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let settings = settings(&dir.join("rules.yml"));
    let address = serve(&runtime, Server::new(settings, Arc::clone(&stores), Arc::new(SystemClock))?)?;
    println!("{address}");
    push(address, next)?;
    loop {
        feed(store.as_ref(), SERIES, next, scrape(next))?;
        next += INTERVAL_MS;
        let wait = next - SystemClock.now();
        std::thread::park_timeout(Duration::from_millis(wait.max(0).unsigned_abs()));
    }
}
