//! A sender of remote write that remembers what was acknowledged, and asks for all of it.

use crate::process::MetricsServer;
use reqwest::Response;
use std::collections::BTreeMap;
use tsdb_core::labels::write_wire;
use tsdb_core::{Labels, Timestamp};

/// Series of each batch.
const SERIES: usize = 40;

/// Sends batches of one sample for each of its series, in order of time.
pub(crate) struct Sender {
    name: String,
    base: Timestamp,
    next: u32,
    acknowledged: BTreeMap<Timestamp, f64>,
}

impl Sender {
    /// A sender whose series are those of `name`, and whose first sample is 50 minutes old.
    pub(crate) fn new(name: &str) -> Self {
        Self::starting(name, tsdb_core::time::Clock::now(&tsdb::SystemClock) - 3_000_000)
    }

    /// A sender whose first sample is at `base`.
    pub(crate) fn starting(name: &str, base: Timestamp) -> Self {
        Self { name: name.to_owned(), base, next: 0, acknowledged: BTreeMap::new() }
    }

    /// Batches that were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Sends the next batch; one that is not acknowledged is never sent again.
    pub(crate) async fn send(&mut self, server: &MetricsServer) -> reqwest::Result<Response> {
        let (timestamp, value) = (self.base + Timestamp::from(self.next) * 100, f64::from(self.next));
        self.next += 1;
        let request = server
            .client
            .post(format!("{}/api/v1/write", server.url))
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "snappy")
            .body(self.batch(timestamp, value));
        let answer = request.send().await?;
        if answer.status() == 204 {
            self.acknowledged.insert(timestamp, value);
        }
        Ok(answer)
    }

    /// Sends the last batch again, as a sender does that was told to come back.
    pub(crate) async fn send_again(&mut self, server: &MetricsServer) -> reqwest::Result<Response> {
        self.next -= 1;
        self.send(server).await
    }

    /// Sends one batch after the other until the server no longer answers.
    pub(crate) async fn send_until_dead(&mut self, server: &MetricsServer) {
        while let Ok(answer) = self.send(server).await {
            assert_eq!(answer.status(), 204);
        }
    }

    /// What the server lacks of the acknowledged batches, as text; empty if nothing.
    pub(crate) async fn missing(&self, server: &MetricsServer) -> String {
        if self.acknowledged.is_empty() {
            return String::new();
        }
        let query = format!("acked{{sender=\"{}\"}}[2h]", self.name);
        let found = server.api("query", &[("query", &query)]).await.unwrap();
        let series = found["result"].as_array().unwrap();
        if series.len() != SERIES {
            return format!("{} series of {SERIES}", series.len());
        }
        for one in series {
            let points = one["values"].as_array().unwrap().iter();
            let held: BTreeMap<Timestamp, f64> = points
                .map(|pair| {
                    let ms = (pair[0].as_f64().unwrap() * 1_000.0).round() as Timestamp;
                    (ms, pair[1].as_str().unwrap().parse().unwrap())
                })
                .collect();
            let is_lost = |(timestamp, value): &(&Timestamp, &f64)| held.get(timestamp) != Some(value);
            let lost = self.acknowledged.iter().filter(is_lost).count();
            if lost > 0 {
                return format!("{lost} of {} samples of {}", self.acknowledged.len(), one["metric"]);
            }
            if let Some(unsent) = held.keys().find(|at| **at >= self.base + i64::from(self.next) * 100) {
                return format!("a sample at {unsent} ms that nobody sent");
            }
        }
        String::new()
    }

    /// A remote-write body with one sample for each series.
    fn batch(&self, timestamp: Timestamp, value: f64) -> Vec<u8> {
        let mut body = Vec::new();
        for number in 0..SERIES {
            let number = number.to_string();
            let pairs = [("__name__", "acked"), ("n", number.as_str()), ("sender", self.name.as_str())];
            let mut series = Vec::new();
            write_wire(&Labels::from_pairs(pairs).unwrap(), &mut series);
            let sample =
                [vec![0x09], value.to_le_bytes().to_vec(), vec![0x10], varint(timestamp as u64)].concat();
            series.extend([vec![0x12], varint(sample.len() as u64), sample].concat());
            body.extend([vec![0x0a], varint(series.len() as u64), series].concat());
        }
        snap::raw::Encoder::new().compress_vec(&body).unwrap()
    }
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
