//! A flood of new series that are all refused: what each costs the server, and what it costs those that are accepted.
//!
//! A tenant has as many series as it may. In turns: samples of the known ones; then the same while another thread sends new
//! ones in requests of their own, a million a second if the server lets it; then the new ones alone. The CPU time of the
//! server over the samples tells what the accepted ones cost beside the flood: what the flood costs alone is taken off.

use crate::sender::wire;
use crate::server::{Client, Server};
use crate::{Outcome, now_ms};
use benches::plain::labels_of;
use benches::process::Reading;
use benches::remote_write::Body;
use std::thread;
use std::time::{Duration, Instant};

const TENANT: &str = "default";
const BATCH: usize = 2_000;
/// New series a second.
const FLOOD: u64 = 1_000_000;
/// Samples of known series a second.
const STEADY: u64 = 500_000;
const ROUNDS: usize = 3;
/// So many different floods are encoded: a refused series is as new the second time.
const BODIES: usize = 500;

/// What was sent in a phase, and what the server used for it.
struct Phase {
    known: u64,
    refused: u64,
    cpu: Duration,
    wall: Duration,
}

pub(crate) fn run(series: usize, seconds: usize) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let limits = format!(
        "[limits.ingest]\nsamples_per_second = 0\n[limits.cardinality]\nmax_active_series = {series}\n\
         max_series_per_metric = 0\nmax_label_values_per_metric = 0\n\
         [limits.cardinality.max_new_series_per_minute]\nremote_write = 0\n"
    );
    let server = Server::start(folder.path(), &limits)?;
    let known: Vec<Vec<u8>> = (0..series).map(|number| wire(&labels_of(number))).collect();
    send_known(&server.client, &known, None)?;
    let flood = flood_bodies(series)?;
    let period = Duration::from_secs(seconds as u64);
    let mut phases: [Vec<Phase>; 3] = Default::default();
    let mut memory = (Reading::default(), Reading::default());
    for round in 0..=ROUNDS {
        for (index, (with_known, with_flood)) in
            [(true, false), (true, true), (false, true)].into_iter().enumerate()
        {
            let before = server.process()?;
            let phase = measure(&server, &known, &flood, (with_known, with_flood), period)?;
            if index == 2 {
                memory = (before, server.process()?);
            }
            if round > 0 {
                phases[index].push(phase);
            }
        }
    }
    report(&server, phases, memory)
}

fn report(server: &Server, phases: [Vec<Phase>; 3], memory: (Reading, Reading)) -> Outcome<()> {
    let [alone, beside, flood] = phases.map(|phases| {
        phases.into_iter().reduce(|a, b| Phase {
            known: a.known + b.known,
            refused: a.refused + b.refused,
            cpu: a.cpu + b.cpu,
            wall: a.wall + b.wall,
        })
    });
    let (Some(alone), Some(beside), Some(flood)) = (alone, beside, flood) else {
        return Err("no phases".into());
    };
    let ns = |cpu: f64, count: u64| cpu * 1e9 / count as f64;
    let of_flood = flood.cpu.as_secs_f64() / flood.refused as f64;
    let of_known = beside.cpu.as_secs_f64() - of_flood * beside.refused as f64;
    let rate = |count: u64, phase: &Phase| count as f64 / phase.wall.as_secs_f64() / 1e6;
    println!(
        "refused series a second, millions: {:.2} beside, {:.2} alone",
        rate(beside.refused, &beside),
        rate(flood.refused, &flood)
    );
    println!(
        "known samples a second, millions: {:.2} alone, {:.2} beside",
        rate(alone.known, &alone),
        rate(beside.known, &beside)
    );
    println!("CPU of a refused series: {:.0} ns", of_flood * 1e9);
    println!("CPU of a known sample alone: {:.0} ns", ns(alone.cpu.as_secs_f64(), alone.known));
    println!("CPU of a known sample beside: {:.0} ns", ns(of_known, beside.known));
    println!(
        "CPU of both over that of the known ones alone, at 1 M refused/s: {:.2}",
        beside.cpu.as_secs_f64() / alone.cpu.as_secs_f64()
    );
    let grown = memory.1.rss_bytes as f64 - memory.0.rss_bytes as f64;
    println!(
        "resident memory after {} refused series: {:+.1} KiB",
        flood.refused / ROUNDS as u64,
        grown / 1024.0
    );
    println!("series: {}", server.client.metric("tsdb_tenant_head_series")?);
    println!("refused: {}", server.client.metric("tsdb_tenant_series_refused_total")?);
    Ok(())
}

fn measure(
    server: &Server,
    known: &[Vec<u8>],
    flood: &[Vec<u8>],
    (with_known, with_flood): (bool, bool),
    period: Duration,
) -> Outcome<Phase> {
    let before = server.process()?.cpu;
    let began = Instant::now();
    let until = began + period;
    let client = &server.client;
    let (known, refused) = thread::scope(|scope| -> Outcome<(u64, u64)> {
        let flooding = scope.spawn(move || if with_flood { send_flood(client, flood, until) } else { Ok(0) });
        let known = if with_known { send_known(client, known, Some(until))? } else { 0 };
        Ok((known, flooding.join().map_err(|_| "the flood panicked")??))
    })?;
    let wall = began.elapsed();
    Ok(Phase { known, refused, cpu: server.process()?.cpu - before, wall })
}

/// Sends a sample of each known series, again and again until the time is over, at the rate of [`STEADY`]; once and at any
/// rate without a time.
fn send_known(client: &Client, known: &[Vec<u8>], until: Option<Instant>) -> Outcome<u64> {
    let (mut body, mut sent) = (Body::default(), 0);
    let began = Instant::now();
    loop {
        let at = now_ms();
        for batch in known.chunks(BATCH) {
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(sent);
            }
            batch.iter().for_each(|wire| body.push(wire, at, 1.0));
            if until.is_some() {
                keep_pace(began, sent, STEADY);
            }
            match client.write(TENANT, body.take()?)? {
                204 => sent += batch.len() as u64,
                status => return Err(format!("known series were answered with {status}").into()),
            }
        }
        if until.is_none() {
            return Ok(sent);
        }
    }
}

fn flood_bodies(series: usize) -> Outcome<Vec<Vec<u8>>> {
    let mut body = Body::default();
    let at = now_ms();
    let one = |number: usize| -> Outcome<Vec<u8>> {
        let first = series + number * BATCH;
        (first..first + BATCH).for_each(|number| body.push(&wire(&labels_of(number)), at, 1.0));
        Ok(body.take()?.to_vec())
    };
    (0..BODIES).map(one).collect()
}

fn send_flood(client: &Client, bodies: &[Vec<u8>], until: Instant) -> Outcome<u64> {
    let (mut sent, began) = (0, Instant::now());
    for body in bodies.iter().cycle() {
        if Instant::now() >= until {
            break;
        }
        keep_pace(began, sent, FLOOD);
        match client.write(TENANT, body)? {
            400 => sent += BATCH as u64,
            status => return Err(format!("new series were answered with {status}").into()),
        }
    }
    Ok(sent)
}

fn keep_pace(began: Instant, sent: u64, rate: u64) {
    let due = Duration::from_secs_f64(sent as f64 / rate as f64);
    thread::park_timeout(due.saturating_sub(began.elapsed()));
}
