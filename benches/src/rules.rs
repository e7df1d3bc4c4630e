//! Rules for programs that measure them, and what a server tells of their evaluation.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

const RULES_PER_GROUP: usize = 50;
/// Series of a metric on a host, of [`plain::labels_of`](crate::plain::labels_of): what a selector finds.
const SERIES_PER_SELECTOR: usize = 4;
const METRICS: usize = 250;

/// Text of a file of `rules` alerting rules about [`plain`](crate::plain) series, in groups of fifty. Two rules each have the
/// same selector, which finds four series: one looks at the newest samples, one at the rate of five minutes; selectors are
/// spread over all hosts; one rule in a hundred asks about series that are not there. `holds` says of which rule the condition holds, and its `for`: each of them makes one alert.
pub fn rule_file(rules: usize, series: usize, holds: impl Fn(usize) -> Option<&'static str>) -> String {
    let hosts = (series / (METRICS * SERIES_PER_SELECTOR)).max(1);
    let mut text = "groups:\n".to_owned();
    for number in 0..rules {
        if number % RULES_PER_GROUP == 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "- name: group-{}\n  rules:\n", number / RULES_PER_GROUP);
        }
        let selector = number / 2;
        let (metric, host) = (selector % METRICS, (selector / METRICS * 37 + selector) % hosts);
        let of = format!("app_metric_{metric:03}_total{{instance=\"host-{host:05}.example.net:9100\"}}");
        let expr = match (number % 2, holds(number)) {
            (_, None) if number % 100 == 99 => format!("no_such_metric{{number=\"{number}\"}} > 0"),
            (0, None) => format!("{of} > 1e12"),
            (0, Some(_)) => format!("count by (instance) ({of}) > 0"),
            (_, None) => format!("sum by (instance) (rate({of}[5m])) > 1e12"),
            (_, Some(_)) => format!("sum by (instance) (rate({of}[5m])) >= 0"),
        };
        let hold = holds(number).unwrap_or("1m");
        let _ = writeln!(text, "  - {{alert: Rule{number}, expr: '{expr}', for: {hold}}}");
    }
    text
}

/// The answer of the server at `address` to a request without body.
///
/// # Errors
/// It cannot be spoken to, or answers anything but 200 or 202.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 202") {
        return Ok(answer);
    }
    Err(io::Error::other(answer))
}

/// Lets the server hear of a sender at the time `now`: what a program feeds to the store comes without one.
///
/// # Errors
/// Those of [`ask`].
pub fn push(address: SocketAddr, now: i64) -> io::Result<()> {
    let body =
        format!(r#"{{"samples":[{{"metric":"began","labels":{{"a":"b"}},"timestampMs":{now},"value":1}}]}}"#);
    ask(address, "POST", "/v1/metrics/push", &body).map(drop)
}

/// What a server counted of the evaluation of rules since its start.
#[derive(Debug, Clone, Default)]
pub struct Evaluated {
    missed: f64,
    incomplete: f64,
    failures: f64,
    /// Bounds in s, and evaluations that began no later.
    late: Vec<(String, f64)>,
}

impl Evaluated {
    /// What the server at `address` tells now.
    ///
    /// # Errors
    /// Those of [`ask`].
    pub fn of(address: SocketAddr) -> io::Result<Self> {
        let answer = ask(address, "GET", "/metrics", "")?;
        let mut told = Self::default();
        for line in answer.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            match name {
                "tsdb_rule_group_iterations_missed_total" => told.missed = value,
                "tsdb_rule_group_iterations_incomplete_total" => told.incomplete = value,
                "tsdb_rule_evaluation_failures_total" => told.failures = value,
                _ => {
                    let bucket = name.strip_prefix("tsdb_rule_group_lateness_seconds_bucket{le=\"");
                    told.late.extend(bucket.map(|bound| (bound.trim_end_matches("\"}").to_owned(), value)));
                }
            }
        }
        Ok(told)
    }

    /// What came since `before`, in words.
    pub fn since(&self, before: &Self) -> String {
        let counts: Vec<(&str, f64)> = self
            .late
            .iter()
            .map(|(bound, count)| {
                let known = before.late.iter().find(|(of, _)| of == bound);
                (bound.as_str(), count - known.map_or(0.0, |(_, count)| *count))
            })
            .collect();
        let total = counts.iter().map(|(_, count)| *count).fold(0.0, f64::max);
        let mut words = format!(
            "evaluations of groups: {total}; left out {}, incomplete {}; rules that failed {}\n  late by at most",
            self.missed - before.missed,
            self.incomplete - before.incomplete,
            self.failures - before.failures,
        );
        for (bound, count) in counts {
            let _ = write!(words, " {bound} s: {:.2} %;", 100.0 * count / total.max(1.0));
        }
        words
    }
}
