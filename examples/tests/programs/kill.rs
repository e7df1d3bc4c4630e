//! Killed in the middle of writing and started again, the server holds everything that it acknowledged.

use crate::process::MetricsServer;
use std::collections::BTreeMap;
use std::time::Duration;
use tsdb_core::labels::write_wire;
use tsdb_core::{Labels, Timestamp};

const SERIES: usize = 40;

/// How often the server is killed, unless `KILL_ROUNDS` says otherwise.
const ROUNDS: usize = 4;

/// Batches between two kills, about.
const BATCHES: usize = 60;

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let base = tsdb_core::time::Clock::now(&tsdb::SystemClock) - 3_000_000;
    let mut acknowledged: BTreeMap<Timestamp, f64> = BTreeMap::new();
    let mut next = 0u32;
    let rounds = std::env::var("KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let mut server = MetricsServer::start(folder.path(), &["--no-limits"]);
        assert_eq!(missing(&server, &acknowledged).await, "", "after kill {round}");
        let writer = write_until_dead(&server, base, &mut next, &mut acknowledged);
        let killer = async {
            let enough = format!("count_over_time(acked{{n=\"0\"}}[2h]) >= {}", BATCHES * (round + 1));
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            while std::time::Instant::now() < deadline {
                let found = server.api("query", &[("query", &enough)]).await.unwrap();
                if found["result"].get(0).is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            server.process.signal("KILL");
        };
        tokio::join!(writer, killer);
        assert!(!server.process.ended().await.success());
    }
    let server = MetricsServer::start(folder.path(), &["--no-limits"]);
    assert!(acknowledged.len() > 30, "{} batches were acknowledged", acknowledged.len());
    assert_eq!(missing(&server, &acknowledged).await, "");
}

/// Writes one batch after the other, a sample for each series, until the server no longer answers.
async fn write_until_dead(
    server: &MetricsServer,
    base: Timestamp,
    next: &mut u32,
    acknowledged: &mut BTreeMap<Timestamp, f64>,
) {
    loop {
        let (timestamp, value) = (base + Timestamp::from(*next) * 100, f64::from(*next));
        *next += 1;
        let request = server
            .client
            .post(format!("{}/api/v1/write", server.url))
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "snappy")
            .body(batch(timestamp, value));
        match request.send().await {
            Ok(answer) => {
                assert_eq!(answer.status(), 204);
                acknowledged.insert(timestamp, value);
            }
            Err(_) => return,
        }
    }
}

/// A remote-write body with one sample for each series.
fn batch(timestamp: Timestamp, value: f64) -> Vec<u8> {
    let mut body = Vec::new();
    for number in 0..SERIES {
        let name = number.to_string();
        let labels = Labels::from_pairs([("__name__", "acked"), ("n", name.as_str())]).unwrap();
        let mut series = Vec::new();
        write_wire(&labels, &mut series);
        let sample =
            [vec![0x09], value.to_le_bytes().to_vec(), vec![0x10], varint(timestamp as u64)].concat();
        series.extend([vec![0x12], varint(sample.len() as u64), sample].concat());
        body.extend([vec![0x0a], varint(series.len() as u64), series].concat());
    }
    snap::raw::Encoder::new().compress_vec(&body).unwrap()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// What the server lacks of the acknowledged batches, as text; empty if nothing.
async fn missing(server: &MetricsServer, acknowledged: &BTreeMap<Timestamp, f64>) -> String {
    if acknowledged.is_empty() {
        return String::new();
    }
    let found = server.api("query", &[("query", "acked[2h]")]).await.unwrap();
    let series = found["result"].as_array().unwrap();
    if series.len() != SERIES {
        return format!("{} series of {SERIES}", series.len());
    }
    for one in series {
        let held: BTreeMap<Timestamp, f64> = one["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| {
                let ms = (pair[0].as_f64().unwrap() * 1_000.0).round() as Timestamp;
                (ms, pair[1].as_str().unwrap().parse().unwrap())
            })
            .collect();
        let lost =
            acknowledged.iter().filter(|(timestamp, value)| held.get(timestamp) != Some(value)).count();
        if lost > 0 {
            return format!("{lost} of {} samples of {}", acknowledged.len(), one["metric"]);
        }
    }
    String::new()
}
