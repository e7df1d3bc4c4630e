//! A world over a store: what rules ask is asked of the engine, what they give is appended.

use super::group::{Answer, RuleSample, World};
use crate::store::Store;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use tsdb_core::read::SelectHints;
use tsdb_core::write::Origin;
use tsdb_core::{Labels, Matcher, TimeRange, Timestamp};
use tsdb_promql::ast::Expr;
use tsdb_promql::{Annotation, Engine, QueryError, QueryParams, QueryResult, Value, VectorSample};

/// A store that rules read and write through an engine of their own.
pub(crate) struct StoreWorld<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) engine: &'a Engine,
    pub(crate) external_labels: &'a Labels,
    pub(crate) external_url: &'a str,
    /// Where the stopwatch began.
    pub(crate) started: Instant,
}

impl World for StoreWorld<'_> {
    fn query(&self, expr: &Expr, at: Timestamp) -> Result<Answer, String> {
        guarded(|| self.engine.evaluate(self.store, expr, &QueryParams::instant(at)))
    }

    fn query_text(&self, query: &str, at: Timestamp) -> Result<Vec<VectorSample>, String> {
        guarded(|| self.engine.instant(self.store, query, at)).map(|answer| answer.vector)
    }

    fn store(&self, samples: &[RuleSample]) -> Result<Vec<(usize, String)>, String> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let mut appender = self.store.appender();
        appender.set_origin(Origin::Rule);
        let mut refused = Vec::new();
        // Positions in the batch, which are fewer than the samples if some series are refused.
        let mut positions = Vec::with_capacity(samples.len());
        for (position, sample) in samples.iter().enumerate() {
            let appended =
                appender.series(&sample.labels).map_err(|error| error.to_string()).and_then(|series| {
                    match &sample.histogram {
                        Some(histogram) => appender
                            .append_histogram(series, sample.timestamp, (**histogram).clone())
                            .map_err(|error| error.to_string()),
                        None => {
                            appender.append(series, sample.timestamp, sample.value);
                            Ok(())
                        }
                    }
                });
            match appended {
                Ok(()) => positions.push(position),
                Err(reason) => refused.push((position, reason)),
            }
        }
        let report = appender.commit().map_err(|error| error.to_string())?;
        refused.extend(report.refused.iter().filter_map(|sample| {
            positions.get(sample.position).map(|position| (*position, sample.reason.to_string()))
        }));
        Ok(refused)
    }

    fn series(&self, matchers: &[Matcher], range: TimeRange, most: usize) -> Result<Vec<Labels>, String> {
        let querier = self.store.querier(range).map_err(|error| error.to_string())?;
        let hints = SelectHints { near: true, ..SelectHints::over(range) };
        let set = querier.select(matchers, &hints).map_err(|error| error.to_string())?;
        Ok((0..set.len().min(most)).map(|index| set.labels(index)).collect())
    }

    fn newest(&self) -> Option<Timestamp> {
        self.store.stats()?.range.map(|range| range.end())
    }

    fn external_labels(&self) -> &Labels {
        self.external_labels
    }

    fn external_url(&self) -> &str {
        self.external_url
    }

    fn stopwatch(&self) -> Duration {
        self.started.elapsed()
    }
}

/// What `query` answers. One that fails inside costs the evaluation of its rule and nothing else.
fn guarded(query: impl FnOnce() -> Result<QueryResult, QueryError>) -> Result<Answer, String> {
    match catch_unwind(AssertUnwindSafe(query)) {
        Ok(Ok(result)) => answered(result),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the evaluation failed inside".to_owned()),
    }
}

/// The answer from which nothing is missing: on a part of the data an alert would end or begin that does
/// not in truth, so an answer with a warning of the storage is none.
fn answered(result: QueryResult) -> Result<Answer, String> {
    let missing = result.annotations.iter().find_map(|(annotation, _)| match annotation {
        Annotation::Storage { message } => Some(format!("the answer is not complete: {message}")),
        _ => None,
    });
    match missing {
        Some(missing) => Err(missing),
        None => Ok(Answer { samples_read: result.stats.samples_read, vector: vector(result.value)? }),
    }
}

/// An answer as a vector.
pub(crate) fn vector(value: Value) -> Result<Vec<VectorSample>, String> {
    match value {
        Value::Vector(samples) => Ok(samples),
        Value::Scalar(point) => Ok(vec![VectorSample::new(Labels::empty(), point.timestamp, point.value)]),
        other => Err(format!("rule result is not a vector or scalar but a {}", other.type_name())),
    }
}
