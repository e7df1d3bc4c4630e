//! Which series a target has and how their values move.

use super::Random;
use tsdb_core::Labels;

/// Number of series of one target.
pub const SERIES_PER_TARGET: u32 = 500;

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const PATHS: [&str; 5] = ["/api/v1/orders", "/api/v1/users", "/api/v1/search", "/login", "/static"];
const STATUSES: [&str; 4] = ["200", "302", "404", "500"];
const BUCKETS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const DEVICES: [&str; 3] = ["eth0", "eth1", "lo"];
const REGIONS: [&str; 4] = ["eu-west-1", "eu-central-1", "us-east-1", "us-west-2"];
const JOBS: [&str; 6] = ["checkout", "catalog", "search", "payments", "identity", "gateway"];
const TRADES: [&str; 5] = ["bakery", "brewery", "foundry", "nursery", "printer"];
const PLANS: [&str; 3] = ["free", "team", "enterprise"];

pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) kind: Kind,
}

/// How the values of a series move from scrape to scrape.
pub(super) enum Kind {
    /// Rises by integers below `step`, not at every scrape if `quiet`.
    Counter { value: f64, step: u32, quiet: bool },
    /// Rises by hundredths, as CPU seconds do.
    Seconds { value: f64 },
    /// One bucket's own rise; the caller makes the buckets cumulative.
    Bucket { value: f64, step: u32, first: bool },
    /// Rises by full-precision floats, as the sum of a histogram does.
    Sum { value: f64 },
    /// Wanders over integers, often standing still.
    Level { value: f64, step: u32 },
    /// Wanders over tenths.
    Decimal { value: f64 },
    /// A full-precision float at every scrape.
    Ratio,
    /// Never changes.
    Constant { value: f64 },
}

impl Kind {
    pub(super) fn advance(&mut self, random: &mut Random) -> f64 {
        match self {
            Self::Counter { value, step, quiet } => {
                if !*quiet || random.below(16) == 0 {
                    *value += f64::from(random.below(*step));
                }
                *value
            }
            Self::Seconds { value } => {
                *value = ((*value + f64::from(random.below(1500)) / 100.0) * 100.0).round() / 100.0;
                *value
            }
            Self::Bucket { value, step, .. } => {
                *value += f64::from(random.below(*step));
                *value
            }
            Self::Sum { value } => {
                *value += random.unit();
                *value
            }
            Self::Level { value, step } => {
                if random.below(2) == 0 {
                    *value = (*value + f64::from(random.below(*step)) - f64::from(*step / 2)).abs();
                }
                *value
            }
            Self::Decimal { value } => {
                *value = (*value * 10.0 + f64::from(random.below(11)) - 5.0).abs().round() / 10.0;
                *value
            }
            Self::Ratio => random.unit(),
            Self::Constant { value } => *value,
        }
    }
}

/// The series of target `number` after `generation` redeployments.
pub(super) fn series_of_target(number: u32, generation: u32, random: &mut Random) -> Vec<Series> {
    let target = TargetLabels::new(number, generation);
    let mut series = Vec::with_capacity(SERIES_PER_TARGET as usize);
    counters(&target, random, &mut series);
    histograms(&target, random, &mut series);
    machine(&target, random, &mut series);
    application(&target, random, &mut series);
    series
}

/// The series of the customers that target `number` serves.
pub(super) fn customers_of_target(number: u32, random: &mut Random) -> Vec<Series> {
    let target = TargetLabels::new(number, 0);
    let first = number * SERIES_PER_TARGET;
    let customers = first..first + SERIES_PER_TARGET;
    customers
        .map(|customer| {
            let busy = customer.is_multiple_of(8);
            let kind = Kind::Counter {
                value: f64::from(random.below(1_000_000)),
                step: if busy { 400 } else { 6 },
                quiet: !busy,
            };
            let name = format!("{}-{customer:06}", pick(&TRADES, random.below(TRADES.len() as u32)));
            let labels = [("customer", name.as_str()), ("plan", pick(&PLANS, random.below(3)))];
            target.series("customer_requests_total", &labels, kind)
        })
        .collect()
}

struct TargetLabels {
    instance: String,
    pod: String,
    job: &'static str,
    region: &'static str,
    zone: String,
}

impl TargetLabels {
    fn new(number: u32, generation: u32) -> Self {
        let job = pick(&JOBS, number);
        let region = pick(&REGIONS, number / 7);
        let host = number / 4;
        Self {
            instance: format!("10.{}.{}.{}:9100", host >> 16 & 255, host >> 8 & 255, host & 255),
            pod: format!("{job}-{:08x}-{number:05}", (number ^ generation << 20).wrapping_mul(0x9e37_79b1)),
            job,
            region,
            zone: format!("{region}{}", char::from(b'a' + (number % 3) as u8)),
        }
    }

    fn series(&self, metric: &str, extra: &[(&str, &str)], kind: Kind) -> Series {
        let base = [
            ("__name__", metric),
            ("instance", self.instance.as_str()),
            ("job", self.job),
            ("pod", self.pod.as_str()),
            ("region", self.region),
            ("zone", self.zone.as_str()),
        ];
        // The names above and in the tables below are distinct and not empty, so this cannot fail.
        let labels = Labels::from_pairs(base.into_iter().chain(extra.iter().copied())).unwrap_or_default();
        Series { labels, kind }
    }
}

fn counters(target: &TargetLabels, random: &mut Random, out: &mut Vec<Series>) {
    for method in METHODS {
        for path in PATHS {
            for status in STATUSES {
                let busy = method == "GET" && status == "200";
                let kind = Kind::Counter {
                    value: f64::from(random.below(1_000_000)),
                    step: if busy { 400 } else { 6 },
                    quiet: !busy,
                };
                let labels = [("method", method), ("path", path), ("status", status)];
                out.push(target.series("http_requests_total", &labels, kind));
            }
        }
    }
}

fn histograms(target: &TargetLabels, random: &mut Random, out: &mut Vec<Series>) {
    for method in ["GET", "POST"] {
        for path in PATHS {
            for (index, le) in BUCKETS.iter().enumerate() {
                let kind = Kind::Bucket {
                    value: f64::from(random.below(100_000)),
                    step: 1 + 24 / (index as u32 + 1),
                    first: index == 0,
                };
                let labels = [("method", method), ("path", path), ("le", le)];
                out.push(target.series("http_request_duration_seconds_bucket", &labels, kind));
            }
            let labels = [("method", method), ("path", path)];
            let sum = Kind::Sum { value: random.unit() * 1e5 };
            out.push(target.series("http_request_duration_seconds_sum", &labels, sum));
            let count = Kind::Counter { value: f64::from(random.below(1_000_000)), step: 90, quiet: false };
            out.push(target.series("http_request_duration_seconds_count", &labels, count));
        }
    }
}

fn machine(target: &TargetLabels, random: &mut Random, out: &mut Vec<Series>) {
    for cpu in 0..8 {
        for mode in MODES {
            let kind = Kind::Seconds { value: f64::from(random.below(10_000_000)) / 100.0 };
            out.push(target.series(
                "node_cpu_seconds_total",
                &[("cpu", &cpu.to_string()), ("mode", mode)],
                kind,
            ));
        }
    }
    for device in DEVICES {
        for direction in ["receive", "transmit"] {
            for what in ["bytes", "packets", "errs", "drop"] {
                let metric = format!("node_network_{direction}_{what}_total");
                let busy = matches!(what, "bytes" | "packets") && device == "eth0";
                let kind = match busy {
                    true => Kind::Counter {
                        value: f64::from(random.below(1 << 30)),
                        step: 5_000_000,
                        quiet: false,
                    },
                    false => Kind::Constant { value: f64::from(random.below(10)) },
                };
                out.push(target.series(&metric, &[("device", device)], kind));
            }
        }
    }
}

/// Fills up to [`SERIES_PER_TARGET`] with gauges.
fn application(target: &TargetLabels, random: &mut Random, out: &mut Vec<Series>) {
    let mut number = 0;
    while out.len() < SERIES_PER_TARGET as usize {
        let queue = format!("queue-{:02}", number / 4);
        let labels = [("queue", queue.as_str())];
        let series = match number % 4 {
            0 => target.series("queue_depth", &labels, Kind::Level { value: 100.0, step: 20 }),
            1 => target.series("queue_memory_bytes", &labels, Kind::Level { value: 5e7, step: 1 << 20 }),
            2 if random.below(2) == 0 => {
                target.series("queue_latency_seconds", &labels, Kind::Decimal { value: 3.5 })
            }
            2 => target.series("queue_capacity", &labels, Kind::Constant { value: 1024.0 }),
            _ => target.series("queue_utilisation_ratio", &labels, Kind::Ratio),
        };
        out.push(series);
        number += 1;
    }
}

fn pick(values: &[&'static str], number: u32) -> &'static str {
    values.get(number as usize % values.len()).copied().unwrap_or("")
}
