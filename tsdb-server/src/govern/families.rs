//! Own metrics of queries.

use super::Governor;
use super::cache::CacheStats;
use crate::telemetry::{Family, Point};
use tsdb_core::metadata::MetricType;
use tsdb_promql::MemoryPool;

impl Governor {
    /// Everything that is counted, `memory` being what queries share.
    pub(crate) fn families(&self, memory: Option<&MemoryPool>) -> Vec<Family> {
        let (running, waiting) = self.turns.counts();
        let (right, young) = self.answers.counts();
        let CacheStats { whole, partly, missed, steps_kept, steps_computed, bytes, cells } =
            self.results.stats();
        let held = memory.map_or(0, MemoryPool::held);
        let queries: [(&'static str, u64); 6] = [
            ("answer", right),
            ("young_answer", young),
            ("shared", self.flights.shared()),
            ("whole", whole),
            ("partly", partly),
            ("missed", missed),
        ];
        let mut families = self.counters.families();
        families.extend([
            single("tsdb_queries_running", MetricType::Gauge, "Queries that run.", running as u64),
            single("tsdb_queries_waiting", MetricType::Gauge, "Queries that wait for their turn.", waiting as u64),
            single("tsdb_query_memory_bytes", MetricType::Gauge, "Memory that running queries hold.", held),
            Family {
                name: "tsdb_query_cache_queries_total",
                kind: MetricType::Counter,
                help: "Queries by what was kept of their answer: all of it (answer, young_answer), an answer under way (shared), results of all, some or none of the steps (whole, partly, missed).",
                points: queries.into_iter().map(|(kind, count)| point(vec![("found", kind.to_owned())], count)).collect(),
            },
            single(
                "tsdb_query_cache_steps_kept_total",
                MetricType::Counter,
                "Steps of range queries whose results were kept.",
                steps_kept,
            ),
            single(
                "tsdb_query_cache_steps_computed_total",
                MetricType::Counter,
                "Steps of range queries that were computed, although results are kept of such queries.",
                steps_computed,
            ),
            single(
                "tsdb_query_cache_bytes",
                MetricType::Gauge,
                "Memory of results and answers that are kept.",
                bytes.saturating_add(self.answers.bytes()),
            ),
            single("tsdb_query_cache_cells", MetricType::Gauge, "Pieces of results that are kept.", cells),
        ]);
        families
    }
}

fn single(name: &'static str, kind: MetricType, help: &'static str, count: u64) -> Family {
    Family { name, kind, help, points: vec![point(Vec::new(), count)] }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
const fn point(labels: Vec<(&'static str, String)>, count: u64) -> Point {
    Point { suffix: "", labels, value: count as f64 }
}
