//! The server's metrics about itself.
//!
//! Label values come from fixed sets (route templates, status codes, reasons), so no client can make this grow.
//! One snapshot serves both readers: `/metrics` writes it as text, the self-ingestion appends it to a store.

pub(crate) mod access;
pub(crate) mod admission;
pub(crate) mod census;
pub(crate) mod disk;
mod exposition;
pub(crate) mod fleet;
pub(crate) mod metadata;
pub(crate) mod notify;
mod process;
mod rules;
mod tier;

pub(crate) use exposition::write_text;

use crate::rules::Counts;
use crate::store::Stores;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tsdb::{CompactionStats, RunningCompaction, Stats};
use tsdb_core::metadata::MetricType;

/// Counters of one server.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    durations: Mutex<BTreeMap<&'static str, Durations>>,
    accepted: Mutex<BTreeMap<&'static str, u64>>,
    /// What admission refused.
    pub(crate) refused: admission::Refused,
    /// Bytes of write requests as they came.
    pub(crate) received_bytes: AtomicU64,
    /// Exemplars given to a store.
    pub(crate) exemplars: AtomicU64,
    /// Exemplars refused.
    pub(crate) refused_exemplars: AtomicU64,
    /// Native histograms stored.
    pub(crate) histograms: AtomicU64,
    /// Connections closed because their address had too many.
    pub(crate) refused_connections: AtomicU64,
    /// Samples that queries read.
    pub(crate) samples_read: AtomicU64,
}

/// A histogram of durations.
#[derive(Debug, Default, Clone)]
pub(crate) struct Durations {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum_seconds: f64,
}

const BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// A metric with its samples at one time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: MetricType,
    pub(crate) help: &'static str,
    pub(crate) points: Vec<Point>,
}

/// One sample of a [`Family`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// Behind the name of the family, such as `_bucket`.
    pub(crate) suffix: &'static str,
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

impl Telemetry {
    /// Counts an answered request of `route`, a template and not the path that was asked for.
    pub(crate) fn request(&self, route: &'static str, status: u16, took: Duration) {
        *self.requests.lock().entry((route, status)).or_default() += 1;
        self.durations.lock().entry(route).or_default().observe(took.as_secs_f64());
    }

    /// Counts stored samples that came in as `format`.
    pub(crate) fn accepted(&self, format: &'static str, samples: u64) {
        *self.accepted.lock().entry(format).or_default() += samples;
    }

    /// Everything at this moment, the numbers of the stores summed up.
    pub(crate) fn snapshot(&self, stores: &dyn Stores, rules: &Counts) -> Vec<Family> {
        let mut families = vec![
            self.request_counts(),
            self.request_durations(),
            by_label(
                "tsdb_ingested_samples_total",
                "Samples stored, by format.",
                "format",
                &self.accepted.lock(),
            ),
            counter(
                "tsdb_ingest_received_bytes_total",
                "Bytes of write requests.",
                load(&self.received_bytes),
            ),
            counter("tsdb_ingested_exemplars_total", "Exemplars given to a store.", load(&self.exemplars)),
            counter("tsdb_refused_exemplars_total", "Exemplars refused.", load(&self.refused_exemplars)),
            counter("tsdb_ingested_histograms_total", "Native histograms stored.", load(&self.histograms)),
            counter(
                "tsdb_http_refused_connections_total",
                "Connections closed because their address had too many.",
                load(&self.refused_connections),
            ),
            counter("tsdb_query_samples_read_total", "Samples that queries read.", load(&self.samples_read)),
        ];
        families.extend(self.refused.families());
        families.extend(store_families(stores));
        families.extend(admission::store_families(stores));
        families.extend(compaction_families(stores));
        families.extend(rules::families(rules));
        families.extend(process::families());
        families
    }

    fn request_counts(&self) -> Family {
        let requests = self.requests.lock();
        let points = requests.iter().map(|((route, status), count)| Point {
            suffix: "",
            labels: vec![("handler", (*route).to_owned()), ("code", status.to_string())],
            value: float(*count),
        });
        Family {
            name: "tsdb_http_requests_total",
            kind: MetricType::Counter,
            help: "Requests answered, by route and status.",
            points: points.collect(),
        }
    }

    fn request_durations(&self) -> Family {
        let durations = self.durations.lock();
        Family {
            name: "tsdb_http_request_duration_seconds",
            kind: MetricType::Histogram,
            help: "Time from the head of a request to its answer, by route.",
            points: durations
                .iter()
                .flat_map(|(route, durations)| durations.points("handler", route))
                .collect(),
        }
    }
}

impl Durations {
    /// Counts one.
    pub(crate) fn observe(&mut self, seconds: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.sum_seconds += seconds;
    }

    fn points(&self, label: &'static str, value: &str) -> Vec<Point> {
        let handler = (label, value.to_owned());
        let bucket = |le: String, count: u64| Point {
            suffix: "_bucket",
            labels: vec![handler.clone(), ("le", le)],
            value: float(count),
        };
        let plain = |suffix, value| Point { suffix, labels: vec![handler.clone()], value };
        let mut points: Vec<_> =
            self.buckets.iter().zip(BOUNDS).map(|(count, bound)| bucket(bound.to_string(), *count)).collect();
        points.push(bucket("+Inf".into(), self.count));
        points.push(plain("_sum", self.sum_seconds));
        points.push(plain("_count", float(self.count)));
        points
    }
}

fn store_families(stores: &dyn Stores) -> Vec<Family> {
    let all = stores.list();
    let stats: Vec<Stats> = all.iter().filter_map(|(_, store)| store.stats()).collect();
    let sum = |field: fn(&Stats) -> u64| stats.iter().map(field).fold(0, u64::saturating_add);
    let mut families = vec![
        gauge("tsdb_tenants", "Tenants with a store.", float(all.len() as u64)),
        gauge("tsdb_head_series", "Series in the heads.", float(sum(|s| s.active_series))),
        gauge("tsdb_head_bytes", "Estimated memory of the heads.", float(sum(|s| s.head_bytes))),
        gauge("tsdb_wal_bytes", "Bytes of the logs on disk.", float(sum(|s| s.wal_bytes))),
        gauge(
            "tsdb_wal_unreplayed_bytes",
            "Bytes of the logs still to be replayed.",
            float(sum(|s| s.unreplayed_bytes.unwrap_or(0))),
        ),
        gauge("tsdb_blocks", "Blocks that can be read.", float(sum(|s| s.blocks))),
        gauge("tsdb_block_bytes", "Bytes of the blocks on disk.", float(sum(|s| s.block_bytes))),
        gauge("tsdb_head_late_bytes", "Memory of late samples.", float(sum(|s| s.late_bytes))),
        gauge(
            "tsdb_store_warnings",
            "Things wrong with the stores.",
            float(sum(|s| s.warnings.len() as u64)),
        ),
        counter("tsdb_head_series_created_total", "Series registered.", sum(|s| s.series_created)),
        counter(
            "tsdb_head_series_removed_total",
            "Series dropped from the heads.",
            sum(|s| s.series_removed),
        ),
        counter(
            "tsdb_samples_accepted_total",
            "Samples accepted by the stores.",
            sum(|s| s.samples_appended),
        ),
        counter("tsdb_samples_late_total", "Samples accepted out of order.", sum(|s| s.samples_late)),
        counter(
            "tsdb_samples_repeated_total",
            "Samples accepted that the heads had already.",
            sum(|s| s.samples_repeated),
        ),
        counter("tsdb_late_blocks_total", "Blocks written of late samples.", sum(|s| s.late_blocks)),
        counter("tsdb_blocks_cut_total", "Blocks cut from the heads.", sum(|s| s.blocks_cut)),
        counter("tsdb_failed_commits_total", "Batches that could not be logged.", sum(|s| s.failed_commits)),
    ];
    families.extend(tier::families(&stats));
    families
}

fn compaction_families(stores: &dyn Stores) -> Vec<Family> {
    let all = stores.list();
    let stats: Vec<_> = all.iter().filter_map(|(_, store)| store.stats()).map(|s| s.compactions).collect();
    let sum = |field: fn(&CompactionStats) -> u64| stats.iter().map(field).fold(0, u64::saturating_add);
    let running = |field: fn(&RunningCompaction) -> u64| {
        float(stats.iter().filter_map(|s| s.running).map(|running| field(&running)).sum())
    };
    vec![
        counter("tsdb_compactions_total", "Compactions that replaced blocks.", sum(|s| s.done)),
        counter(
            "tsdb_compactions_failed_total",
            "Compactions that failed or were put off.",
            sum(|s| s.failed),
        ),
        counter(
            "tsdb_compaction_blocks_total",
            "Blocks replaced by compactions.",
            sum(|s| s.blocks_replaced),
        ),
        counter(
            "tsdb_compaction_written_bytes_total",
            "Bytes written by compactions.",
            sum(|s| s.bytes_written),
        ),
        gauge("tsdb_compactions_running", "Compactions under way.", running(|_| 1)),
        gauge("tsdb_compaction_running_blocks", "Blocks being compacted.", running(|r| r.blocks)),
        gauge("tsdb_compaction_running_samples", "Samples in those blocks.", running(|r| r.samples)),
        gauge(
            "tsdb_compaction_running_written_bytes",
            "Bytes written of the compactions under way.",
            running(|r| r.bytes_written),
        ),
    ]
}

fn by_label(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    counts: &BTreeMap<&'static str, u64>,
) -> Family {
    let points = counts.iter().map(|(value, count)| Point {
        suffix: "",
        labels: vec![(label, (*value).to_owned())],
        value: float(*count),
    });
    Family { name, kind: MetricType::Counter, help, points: points.collect() }
}

fn counter(name: &'static str, help: &'static str, count: u64) -> Family {
    single(name, MetricType::Counter, help, float(count))
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Family {
    single(name, MetricType::Gauge, help, value)
}

fn single(name: &'static str, kind: MetricType, help: &'static str, value: f64) -> Family {
    Family { name, kind, help, points: vec![Point { suffix: "", labels: Vec::new(), value }] }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
const fn float(count: u64) -> f64 {
    count as f64
}
