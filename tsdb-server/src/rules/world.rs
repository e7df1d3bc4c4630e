//! A world over a store: what rules ask is asked of the engine, what they give is appended.

use super::group::{RuleSample, World};
use crate::store::Store;
use std::time::{Duration, Instant};
use tsdb_core::write::Origin;
use tsdb_core::{Labels, Timestamp};
use tsdb_promql::ast::Expr;
use tsdb_promql::{Annotation, Engine, QueryParams, QueryResult, Value, VectorSample};

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
    fn query(&self, expr: &Expr, at: Timestamp) -> Result<Vec<VectorSample>, String> {
        let result = self.engine.evaluate(self.store, expr, &QueryParams::instant(at));
        answered(result.map_err(|error| error.to_string())?)
    }

    fn query_text(&self, query: &str, at: Timestamp) -> Result<Vec<VectorSample>, String> {
        let result = self.engine.instant(self.store, query, at);
        answered(result.map_err(|error| error.to_string())?)
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

/// The vector of an answer from which nothing is missing: on a part of the data an alert would end or begin that does
/// not in truth, so an answer with a warning of the storage is none.
fn answered(result: QueryResult) -> Result<Vec<VectorSample>, String> {
    let missing = result.annotations.iter().find_map(|(annotation, _)| match annotation {
        Annotation::Storage { message } => Some(format!("the answer is not complete: {message}")),
        _ => None,
    });
    missing.map_or_else(|| vector(result.value), Err)
}

/// An answer as a vector.
pub(crate) fn vector(value: Value) -> Result<Vec<VectorSample>, String> {
    match value {
        Value::Vector(samples) => Ok(samples),
        Value::Scalar(point) => Ok(vec![VectorSample::new(Labels::empty(), point.timestamp, point.value)]),
        other => Err(format!("rule result is not a vector or scalar but a {}", other.type_name())),
    }
}
