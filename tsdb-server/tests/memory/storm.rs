//! A storm of hostile queries over HTTP, several at a time: the server refuses with reasons, keeps its memory, and lives.

use crate::waves::Waves;
use crate::{HEAP, TURN};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tsdb_core::testing::ManualClock;
use tsdb_promql::testing::{HostileQueries, HostileQuery};
use tsdb_server::{Config, Limit, Period, Server};

/// Queries at one time.
const CONCURRENCY: u64 = 4;
/// Samples that a query may hold.
const MAX_SAMPLES: u64 = 100_000;
/// What each query may take besides: tree and plan, compiled patterns, identities of series, buffers of threads, and
/// the answer's chunks.
const SLACK: usize = 64 << 20;
const NAMES: [&str; 15] = [
    "limit",
    "allow",
    "maximum",
    "timed out",
    "parse error",
    "labelset",
    "many-to-many",
    "overflows int64",
    "must",
    "NaN",
    "not supported",
    "duplicate",
    "invalid regular expression",
    "multiple matches",
    "parameter",
];

async fn start() -> SocketAddr {
    let mut config = Config { self_ingest_interval: Period::from_ms(0), ..Config::default() };
    config.limits.query.concurrency = Limit::at(CONCURRENCY);
    config.limits.query.max_samples = Limit::at(MAX_SAMPLES);
    config.limits.query.timeout = Period::from_ms(100);
    let waves = Waves::new(500, 0, 60_000, 60);
    let server = Server::new(config, Arc::new(waves), Arc::new(ManualClock::at(0))).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(tsdb_server::serve(listener, server, std::future::pending::<()>()));
    address
}

/// Asks as a client would, times in seconds.
async fn ask(client: &reqwest::Client, address: SocketAddr, query: &HostileQuery) -> (u16, String) {
    let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000));
    let params = &query.params;
    let (path, mut form) = if params.is_instant() {
        ("query", vec![("time", seconds(params.start))])
    } else {
        (
            "query_range",
            vec![
                ("start", seconds(params.start)),
                ("end", seconds(params.end)),
                ("step", seconds(params.step_ms)),
            ],
        )
    };
    form.push(("query", query.text.clone()));
    let response = client.post(format!("http://{address}/api/v1/{path}")).form(&form).send().await.unwrap();
    let status = response.status().as_u16();
    let mut body = String::new();
    let mut response = response;
    while let Some(chunk) = response.chunk().await.unwrap() {
        // Answers are read to their end and forgotten; errors are kept.
        if status != 200 {
            body.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
    (status, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hostile_queries_at_once_leave_the_server_alive_and_small() {
    let _turn = TURN.lock().await;
    let address = start().await;
    let before = HEAP.reset_peak();
    let storms = (0..CONCURRENCY).map(|seed| {
        tokio::spawn(async move {
            let (client, mut statuses) = (reqwest::Client::new(), BTreeMap::<u16, u32>::new());
            for query in HostileQueries::new(0xbad_5eed + seed * 2).take(250) {
                let (status, body) = ask(&client, address, &query).await;
                let named = status == 200 || NAMES.iter().any(|name| body.contains(name));
                assert!(named, "{status} {body:.300} for {:.200}", query.text);
                assert!(
                    [200, 400, 413, 422, 503].contains(&status),
                    "{status} {body:.300} for {:.200}",
                    query.text
                );
                *statuses.entry(status).or_default() += 1;
            }
            statuses
        })
    });
    let mut statuses = BTreeMap::<u16, u32>::new();
    for storm in storms.collect::<Vec<_>>() {
        for (status, count) in storm.await.unwrap() {
            *statuses.entry(status).or_default() += count;
        }
    }
    let peak = HEAP.peak() - before;
    eprintln!("{statuses:?}, {peak} bytes at most");
    let bound = CONCURRENCY as usize * (MAX_SAMPLES as usize * 16 + SLACK);
    assert!(peak <= bound, "{peak} bytes, {bound} allowed");
    assert!(
        statuses.contains_key(&200) && statuses.contains_key(&400) && statuses.contains_key(&422),
        "{statuses:?}"
    );
    let client = reqwest::Client::new();
    let alive = client.get(format!("http://{address}/api/v1/query?query=1")).send().await.unwrap();
    assert_eq!(alive.status(), 200, "the server lives");
}
