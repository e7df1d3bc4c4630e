//! A dashboard of thirty panels that many viewers refresh every 5 s: what results that are kept save.
//!
//! 5 000 series, an hour of samples 15 s apart. Time goes on by 5 s with each refresh, and samples come as it does. Each viewer
//! asks each panel over the last hour in steps of 15 s, start and end being multiples of the step, as Grafana asks; viewers
//! look at times of their own within the 5 s. Then all of it is asked again with `Cache-Control: no-store`. The answers are
//! compared byte by byte.

use crate::sender::Sender;
use crate::server::{Client, Server, range_path};
use crate::{Outcome, now_ms};
use benches::fleet::Spec;
use benches::queries::SET;
use std::thread;
use std::time::Duration;

const TENANT: &str = "default";
const TARGETS: u32 = 10;
const PANELS: usize = 30;
const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 15_000;
const REFRESH_MS: i64 = 5_000;
const CLIENTS: usize = 4;
/// Samples of each minute before a panel's start are read too.
const BEFORE_MS: i64 = 600_000;

pub(crate) fn run(refreshes: usize, viewers: usize) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), "[limits.ingest]\nsamples_per_second = 0\n")?;
    let refreshes = refreshes as i64;
    let first = (now_ms() - 60_000 - refreshes * REFRESH_MS) / STEP_MS * STEP_MS;
    let start_ms = first - HOUR_MS - BEFORE_MS;
    let mut sender = Sender::new(Spec { targets: TARGETS, start_ms, interval_ms: STEP_MS }, 0..TARGETS);
    let mut scraped = 0;
    let mut scrape_until = |until: i64| -> Outcome<()> {
        while start_ms + scraped * STEP_MS <= until {
            sender.scrape(Some(start_ms + scraped * STEP_MS), 4, |body, _| {
                let status = server.client.write(TENANT, body)?;
                if status == 204 { Ok(()) } else { Err(format!("a write was answered with {status}").into()) }
            })?;
            scraped += 1;
        }
        Ok(())
    };
    scrape_until(first)?;
    // Whoever opens the dashboard first pays for the whole of it, which is told apart.
    let (opened, _) = look(&server, &paths(first, 1), true)?;
    let (mut kept, mut anew) = (Duration::ZERO, Duration::ZERO);
    let mut bytes = 0;
    for refresh in 1..=refreshes {
        let now = first + refresh * REFRESH_MS;
        scrape_until(now)?;
        let paths = paths(now, viewers);
        let (cpu, answers) = look(&server, &paths, true)?;
        kept += cpu;
        let (cpu, others) = look(&server, &paths, false)?;
        anew += cpu;
        bytes += answers.iter().map(String::len).sum::<usize>();
        if let Some(differing) = answers.iter().zip(&others).position(|(one, other)| one != other) {
            return Err(format!("the answers differ: {}", paths[differing]).into());
        }
    }
    let answers = refreshes as usize * viewers * PANELS;
    println!("{answers} answers of {:.1} KB compared, all the same", bytes as f64 / 1e3 / answers as f64);
    println!("server CPU to open the dashboard once: {:.2} s", opened.as_secs_f64());
    let each = |cpu: Duration| (cpu.as_secs_f64(), cpu.as_secs_f64() * 1e6 / answers as f64);
    let (kept, anew) = (each(kept), each(anew));
    println!("server CPU with kept results: {:.2} s, {:.0} us an answer", kept.0, kept.1);
    println!("server CPU with no-store: {:.2} s, {:.0} us an answer", anew.0, anew.1);
    println!("ratio: 1/{:.1}", anew.0 / kept.0);
    for kind in ["answer", "shared", "whole", "partly", "missed"] {
        let metric = format!("tsdb_query_cache_queries_total{{found=\"{kind}\"");
        println!("{kind}: {}", server.client.metric(&metric)?);
    }
    Ok(())
}

/// What all viewers ask in the refresh that begins at `now`: each all panels, the viewers over the 5 s of the refresh.
fn paths(now: i64, viewers: usize) -> Vec<String> {
    let mut paths = Vec::new();
    for viewer in 0..viewers {
        let time = now + REFRESH_MS * viewer as i64 / viewers as i64;
        let end = time / STEP_MS * STEP_MS;
        for panel in 0..PANELS {
            paths.push(range_path(&panel_text(panel), end - HOUR_MS, end, STEP_MS));
        }
    }
    paths
}

/// The queries of the set about the fleet, each once over all jobs and once over one.
fn panel_text(panel: usize) -> String {
    let all: Vec<_> = SET.iter().filter(|query| !query.text.contains("customer")).collect();
    let text = all[panel % all.len()].text;
    if panel < all.len() { text.to_owned() } else { format!("({text}) * 2") }
}

/// Asks all of it with some clients; the CPU time of the server, and the answers in the order of the paths.
fn look(server: &Server, paths: &[String], may_keep: bool) -> Outcome<(Duration, Vec<String>)> {
    let before = server.process()?.cpu;
    let shares = thread::scope(|scope| {
        let ask = |number| {
            let client = &server.client;
            scope.spawn(move || of_client(client, paths, number, may_keep))
        };
        let threads: Vec<_> = (0..CLIENTS).map(ask).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a client panicked")?)
            .collect::<Outcome<Vec<_>>>()
    })?;
    let mut answers = vec![String::new(); paths.len()];
    for (number, share) in shares.into_iter().enumerate() {
        for (index, answer) in share.into_iter().enumerate() {
            answers[index * CLIENTS + number] = answer;
        }
    }
    Ok((server.process()?.cpu - before, answers))
}

fn of_client(client: &Client, paths: &[String], number: usize, may_keep: bool) -> Outcome<Vec<String>> {
    let mut answers = Vec::new();
    for path in paths.iter().skip(number).step_by(CLIENTS) {
        let (status, text) = client.get(TENANT, path, may_keep)?;
        if status != 200 {
            return Err(text.into());
        }
        answers.push(text);
    }
    Ok(answers)
}
