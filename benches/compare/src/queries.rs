//! A set of queries as dashboards ask them, and how long each takes.

use crate::engine::Running;
use crate::load::Plan;
use std::error::Error;
use std::time::{Duration, Instant};

/// Name and text of every query of the set.
const SET: [(&str, &str); 14] = [
    ("rate, sum by", "sum by (job) (rate(http_requests_total[5m]))"),
    (
        "error share",
        "sum by (job) (rate(http_requests_total{status=\"500\"}[5m])) / sum by (job) (rate(http_requests_total[5m]))",
    ),
    (
        "histogram_quantile",
        "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    ("topk of pods", "topk(5, sum by (pod) (rate(http_requests_total[5m])))"),
    (
        "busy CPUs",
        "sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m])) / sum by (instance) (rate(node_cpu_seconds_total[5m]))",
    ),
    ("avg of a gauge", "avg by (region) (queue_memory_bytes)"),
    ("max_over_time", "max by (job) (max_over_time(queue_depth[30m]))"),
    ("regex", "sum by (status) (rate(http_requests_total{pod=~\"checkout-.*\",path=~\"/api/.+\"}[5m]))"),
    ("one instance", "rate(http_requests_total{instance=\"10.0.0.1:9100\"}[5m])"),
    ("one series", "queue_depth{instance=\"10.0.0.2:9100\",queue=\"queue-00\"}"),
    ("subquery", "max_over_time(sum by (job) (rate(http_requests_total{status=\"200\"}[1m]))[10m:1m])"),
    ("join", "sum by (job) (queue_depth * on (instance, pod, queue) group_left () queue_capacity)"),
    ("quantile", "quantile by (job) (0.9, queue_utilisation_ratio)"),
    ("count", "count by (zone) (node_cpu_seconds_total)"),
];

/// How long one query took.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    pub(crate) name: &'static str,
    /// Median of the repetitions.
    pub(crate) median: Duration,
    /// Series in the answer, to see that the engines answer the same question.
    pub(crate) series: usize,
}

/// Asks every query `repetitions` times over the whole span, 240 steps, after one round that is not counted.
pub(crate) fn run(server: &Running, plan: &Plan, repetitions: u32) -> Result<Vec<Timing>, Box<dyn Error>> {
    if repetitions == 0 {
        return Ok(Vec::new());
    }
    let (start, end) = (plan.start_ms() / 1000 + 30, plan.end_ms() / 1000);
    let step = ((end - start) / 240).max(15);
    SET.iter()
        .map(|(name, query)| {
            let path = format!(
                "/api/v1/query_range?query={}&start={start}&end={end}&step={step}",
                percent_encode(query)
            );
            let answer: serde_json::Value = serde_json::from_str(&server.query(&path)?)?;
            let series = answer["data"]["result"].as_array().map_or(0, Vec::len);
            let mut times = Vec::new();
            for _ in 0..repetitions {
                let started = Instant::now();
                server.query(&path)?;
                times.push(started.elapsed());
            }
            times.sort_unstable();
            Ok(Timing { name, median: times[times.len() / 2], series })
        })
        .collect()
}

fn percent_encode(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
