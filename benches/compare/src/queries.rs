//! Asks the set of queries and measures each.

use crate::Arguments;
use crate::engine::Running;
use crate::load::Plan;
use benches::queries::{Query, SET};
use std::error::Error;
use std::time::{Duration, Instant};

/// What one query took.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    pub(crate) name: &'static str,
    /// Median of the repetitions.
    pub(crate) median: Duration,
    /// CPU time of the server, mean of the repetitions.
    pub(crate) cpu: Duration,
    /// The most resident memory of the server meanwhile, bytes.
    pub(crate) memory: u64,
    /// Series in the answer, to see that the engines answer the same question.
    pub(crate) series: usize,
}

/// Asks every query over the whole span, 240 steps, after one round that is not counted.
pub(crate) fn run(
    server: &Running,
    plan: &Plan,
    series: u32,
    arguments: &Arguments,
) -> Result<Vec<Timing>, Box<dyn Error>> {
    if arguments.repetitions == 0 {
        return Ok(Vec::new());
    }
    let asked = |query: &&Query| {
        let has_series = match query.text.contains("customer") {
            true => arguments.customers > 0,
            false => series > 0,
        };
        has_series && query.name.contains(&arguments.query)
    };
    SET.iter().filter(asked).map(|query| measure(server, plan, *query, arguments.repetitions)).collect()
}

fn measure(server: &Running, plan: &Plan, query: Query, repetitions: u32) -> Result<Timing, Box<dyn Error>> {
    let (start, end) = (plan.start_ms() / 1000 + 30, plan.end_ms() / 1000);
    let step = ((end - start) / 240).max(15);
    let text = percent_encode(query.text);
    let path = format!("/api/v1/query_range?query={text}&start={start}&end={end}&step={step}");
    server.reset_peak()?;
    let answer: serde_json::Value = serde_json::from_str(&server.query(&path)?)?;
    let series = answer["data"]["result"].as_array().map_or(0, Vec::len);
    let before = server.process()?;
    let mut times = Vec::new();
    for _ in 0..repetitions {
        let started = Instant::now();
        server.query(&path)?;
        times.push(started.elapsed());
    }
    let after = server.process()?;
    times.sort_unstable();
    Ok(Timing {
        name: query.name,
        median: times[times.len() / 2],
        cpu: after.cpu.saturating_sub(before.cpu) / repetitions,
        memory: after.peak_rss_bytes,
        series,
    })
}

fn percent_encode(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
