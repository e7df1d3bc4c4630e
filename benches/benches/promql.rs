//! Functions over windows and aggregations, in the query engine: time per sample read.
//!
//! The store hands out columns that it holds in memory, so what is measured is the evaluation. One thread.

use benches::fleet::{Spec, Target};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use tsdb_core::read::{Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::{Labels, Matcher, TimeRange};
use tsdb_promql::{Engine, EngineOptions, ScopedThreads};

const SAMPLES: usize = 1_440;
const INTERVAL_MS: i64 = 15_000;

type Series = (Labels, SampleColumns);

/// The series of one target.
#[derive(Clone)]
struct Store(Arc<Vec<Series>>);

/// Those that were selected.
struct Selected {
    store: Store,
    indexes: Vec<usize>,
    range: TimeRange,
}

impl Queryable for Store {
    fn querier(&self, _range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Store {
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        let matches =
            |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")));
        let indexes = (0..self.0.len()).filter(|index| matches(&self.0[*index].0)).collect();
        Ok(Box::new(Selected { store: self.clone(), indexes, range: hints.range }))
    }

    fn label_names(&self, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _name: &str, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

impl SeriesSet for Selected {
    fn len(&self) -> usize {
        self.indexes.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.store.0[self.indexes[index]].0.clone()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        let columns = &self.store.0[self.indexes[index]].1;
        let start = columns.timestamps.partition_point(|time| *time < self.range.start());
        let end = columns.timestamps.partition_point(|time| *time <= self.range.end());
        into.clear();
        into.timestamps.extend_from_slice(&columns.timestamps[start..end]);
        into.values.extend_from_slice(&columns.values[start..end]);
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        (self.indexes.len() * SAMPLES) as u64
    }
}

fn store() -> Store {
    let spec = Spec { targets: 1, start_ms: 0, interval_ms: INTERVAL_MS };
    let mut target = Target::new(spec, 0);
    let mut series: Vec<Series> = target.labels().map(|l| (l.clone(), SampleColumns::new())).collect();
    let mut values = Vec::new();
    for _ in 0..SAMPLES {
        let at = target.scrape(&mut values);
        series.iter_mut().zip(&values).for_each(|((_, columns), value)| columns.push(at, *value));
    }
    Store(Arc::new(series))
}

/// Queries over counters, integers and full-precision floats; 240 steps, windows of 5 minutes and of an hour.
const QUERIES: [(&str, &str); 9] = [
    ("rate 5m", "rate(http_requests_total[5m])"),
    ("rate 1h", "rate(http_requests_total[1h])"),
    ("sum", "sum(http_requests_total)"),
    ("sum by rate", "sum by (path) (rate(http_requests_total[5m]))"),
    ("avg_over_time 1h, integers", "avg_over_time(queue_depth[1h])"),
    ("avg_over_time 1h, floats", "avg_over_time(queue_utilisation_ratio[1h])"),
    ("max_over_time 1h", "max_over_time(queue_depth[1h])"),
    ("quantile_over_time 5m", "quantile_over_time(0.9, queue_depth[5m])"),
    ("quantile_over_time 1h", "quantile_over_time(0.9, queue_depth[1h])"),
];

fn kernels(c: &mut Criterion) {
    let store = store();
    let mut options = EngineOptions::default();
    options.executor = Arc::new(ScopedThreads::new(1));
    let engine = Engine::new(options);
    let end = SAMPLES as i64 * INTERVAL_MS;
    let mut group = c.benchmark_group("promql");
    for (name, query) in QUERIES {
        let ask = || engine.range(&store, query, 0, end, end / 240);
        let samples = ask().map_or(1, |result| result.stats.samples_read);
        group.throughput(Throughput::Elements(samples));
        group.bench_function(name, |b| b.iter(|| black_box(ask()).is_ok()));
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
