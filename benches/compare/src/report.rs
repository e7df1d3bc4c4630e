//! The results as Markdown tables: a column per engine, and its ratio to the first engine.

use crate::Measured;
use crate::queries::Timing;
use std::fmt::Write;
use std::time::Duration;

/// The whole report.
pub(crate) fn markdown(results: &[Measured]) -> String {
    let mut out = String::new();
    let Some(first) = results.first() else { return out };
    let header = |out: &mut String, title: &str| {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n| {title} |");
        for result in results {
            let _ = write!(out, " {} |", result.engine);
        }
        for result in results.iter().skip(1) {
            let _ = write!(out, " {} / {} |", first.engine, result.engine);
        }
        let _ = writeln!(out, "\n|---|{}", "---|".repeat(results.len() * 2 - 1));
    };
    header(&mut out, "figure");
    for (name, figure) in FIGURES {
        row(&mut out, name, &results.iter().map(figure).collect::<Vec<_>>(), 1);
    }
    if first.queries.is_empty() {
        return out;
    }
    for (what, measure) in MEASURES {
        header(&mut out, &format!("query, {what} (series in the answer)"));
        for (index, query) in first.queries.iter().enumerate() {
            let timings: Vec<_> = results.iter().filter_map(|result| result.queries.get(index)).collect();
            let counts: Vec<_> = timings.iter().map(|timing| timing.series.to_string()).collect();
            let name = format!("{} ({})", query.name, counts.join(", "));
            row(&mut out, &name, &timings.into_iter().map(measure).collect::<Vec<_>>(), 2);
        }
        let mean = |result: &Measured| geometric_mean(result.queries.iter().map(measure));
        row(&mut out, "geometric mean", &results.iter().map(mean).collect::<Vec<_>>(), 2);
    }
    out
}

type Measure = fn(&Timing) -> f64;

/// What is measured of queries. CPU time is counted in ticks of 10 ms.
const MEASURES: [(&str, Measure); 3] = [
    ("median ms", |timing| ms(timing.median)),
    ("server CPU ms", |timing| ms(timing.cpu).max(0.1)),
    ("peak resident memory, MiB", |timing| timing.memory as f64 / 1048576.0),
];

/// How one figure is read off.
pub(crate) type Figure = fn(&Measured) -> f64;

pub(crate) const FIGURES: [(&str, Figure); 16] = [
    ("samples, millions", |m| m.samples as f64 / 1e6),
    ("server CPU per sample of a known series, ns", |m| per(m.steady.server_cpu, m.steady.samples)),
    ("server CPU per first sample of a new series, ns", |m| {
        per(m.first_scrape.server_cpu, m.first_scrape.samples)
    }),
    ("samples/s, senders on the same cores, millions", |m| {
        m.steady.samples as f64 / m.steady.wall.as_secs_f64() / 1e6
    }),
    ("request while known series are sent, p50, ms", |m| m.steady.latencies.quantile_ms(0.5)),
    ("request while known series are sent, p99, ms", |m| m.steady.latencies.quantile_ms(0.99)),
    ("request while known series are sent, p99.9, ms", |m| m.steady.latencies.quantile_ms(0.999)),
    ("behind the offered rate at the end, s", |m| m.steady.lag.as_secs_f64()),
    ("disk, data, bytes per sample", |m| m.disk.data as f64 / m.samples as f64),
    ("disk, index, bytes per sample", |m| m.disk.index as f64 / m.samples as f64),
    ("disk, in all, bytes per sample", |m| (m.disk.data + m.disk.index) as f64 / m.samples as f64),
    ("peak resident memory during ingest, MiB", |m| m.peak_rss as f64 / 1048576.0),
    ("peak resident bytes per active series", |m| m.peak_rss as f64 / m.series as f64),
    ("resident memory after the queries and the flush, MiB", |m| m.settled_rss as f64 / 1048576.0),
    ("takes writes after kill -9, s", |m| m.takes_writes_after_kill.as_secs_f64()),
    ("answers in full after kill -9, s", |m| m.ready_after_kill.as_secs_f64()),
];

fn row(out: &mut String, name: &str, values: &[f64], digits: usize) {
    let _ = write!(out, "| {name} |");
    let digits = if values.iter().any(|v| *v < 10.0) { digits.max(3) } else { digits };
    for value in values {
        let _ = write!(out, " {value:.digits$} |");
    }
    for value in values.iter().skip(1) {
        let _ = match values[0] / value {
            ratio if ratio.is_finite() => write!(out, " {ratio:.3} |"),
            _ => write!(out, " |"),
        };
    }
    out.push('\n');
}

fn per(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count.max(1) as f64
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Geometric mean of the medians of all queries, ms.
pub(crate) fn mean_query_ms(result: &Measured) -> f64 {
    geometric_mean(result.queries.iter().map(|timing| ms(timing.median)))
}

fn geometric_mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    (values.map(f64::ln).sum::<f64>() / count).exp()
}
