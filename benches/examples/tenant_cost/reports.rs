//! Reports about very many series: how long those take that list the largest of something.
//!
//! Half of the series have a label of their own values, two series to a value; the others are those of hosts.

use crate::sender::wire;
use crate::server::{Client, Server};
use crate::{Outcome, now_ms};
use benches::plain::labels_of;
use benches::remote_write::Body;
use std::thread;
use std::time::{Duration, Instant};
use tsdb_core::Labels;

const TENANT: &str = "default";
const BATCH: usize = 10_000;
const SENDERS: usize = 2;
const TIMES: usize = 20;
const REPORTS: [&str; 9] = [
    "/api/v1/status/tsdb",
    "/api/v1/status/tsdb?limit=100",
    "/api/v1/cardinality/label_names",
    "/api/v1/cardinality/label_values?label_names[]=__name__",
    "/api/v1/cardinality/label_values?label_names[]=user",
    "/api/v1/cardinality/label_values?label_names[]=instance&limit=500",
    "/api/v1/cardinality/label_values?label_names[]=user&selector=app_metric_007_total{instance=\"host-00003.example.net:9100\"}",
    "/api/v1/cardinality/label_names?selector=app_metric_007_total",
    "/api/v1/admin/cardinality/tenants",
];

pub(crate) fn run(series: usize) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let lifted = "[limits.ingest]\nsamples_per_second = 0\n[limits.cardinality]\nmax_active_series = 0\n\
                  max_series_per_metric = 0\nmax_label_values_per_metric = 0\n\
                  [limits.cardinality.max_new_series_per_minute]\nremote_write = 0\n";
    let server = Server::start(folder.path(), lifted)?;
    let began = Instant::now();
    thread::scope(|scope| {
        let share = |number| {
            let client = &server.client;
            scope.spawn(move || fill(client, number, series))
        };
        let threads: Vec<_> = (0..SENDERS).map(share).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a sender panicked")?)
    })?;
    let reading = server.process()?;
    println!(
        "{series} series in {:.0} s, {:.0} bytes resident a series",
        began.elapsed().as_secs_f64(),
        reading.rss_bytes as f64 / series as f64
    );
    println!("| report | median, ms | longest of {TIMES}, ms | bytes |\n|---|---|---|---|");
    for path in REPORTS {
        let encoded = path
            .replace('[', "%5B")
            .replace(']', "%5D")
            .replace('{', "%7B")
            .replace('}', "%7D")
            .replace('"', "%22");
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..TIMES {
            let asked = Instant::now();
            let (status, text) = server.client.get(TENANT, &encoded, true)?;
            times.push(asked.elapsed());
            if status != 200 {
                return Err(format!("{path}: {text}").into());
            }
            bytes = text.len();
        }
        times.sort_unstable();
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        println!("| `{path}` | {:.2} | {:.2} | {bytes} |", ms(times.get(TIMES / 2)), ms(times.last()));
    }
    Ok(())
}

fn fill(client: &Client, sender: usize, series: usize) -> Outcome<()> {
    let mut body = Body::default();
    for first in (sender * BATCH..series).step_by(SENDERS * BATCH) {
        let at = now_ms();
        (first..(first + BATCH).min(series)).for_each(|number| body.push(&wire(&labels(number)), at, 1.0));
        match client.write(TENANT, body.take()?)? {
            204 => {}
            status => return Err(format!("a write was answered with {status}").into()),
        }
    }
    Ok(())
}

fn labels(number: usize) -> Labels {
    let of_host = labels_of(number / 2 * 2);
    if number.is_multiple_of(2) {
        return of_host;
    }
    let user = format!("user-{:08}", number / 4);
    let pairs: Vec<(&str, &str)> = of_host.iter().chain([("user", user.as_str())]).collect();
    Labels::from_pairs(pairs).unwrap_or_default()
}
