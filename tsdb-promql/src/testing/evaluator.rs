//! What a script is run against.

use super::test_options;
use crate::ast::Expr;
use crate::engine::Engine;
use crate::failure::QueryError;
use crate::options::{EngineOptions, QueryParams};
use crate::value::QueryResult;
use core::time::Duration;
use tsdb_core::Timestamp;
use tsdb_core::read::Queryable;

/// Something that evaluates expressions: the engine, or a naive twin of it.
pub trait Evaluator {
    /// Evaluates the checked expression `expr` at the time `at` (ms).
    ///
    /// # Errors
    /// An expression without a value.
    fn instant(&self, source: &dyn Queryable, expr: &Expr, at: Timestamp) -> Result<QueryResult, QueryError>;

    /// Evaluates the checked expression `expr` every `step_ms` from `start` to `end` (ms).
    ///
    /// # Errors
    /// An expression without a value.
    fn range(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError>;
}

impl Evaluator for Engine {
    fn instant(&self, source: &dyn Queryable, expr: &Expr, at: Timestamp) -> Result<QueryResult, QueryError> {
        self.evaluate(source, expr, &QueryParams::instant(at))
    }

    fn range(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError> {
        self.evaluate(source, expr, &QueryParams::range(start, end, step_ms))
    }
}

/// An engine with the settings that the scripts assume: metric names are kept until the end of a query, and a query
/// may hold few samples.
pub fn test_engine() -> Engine {
    Engine::new(EngineOptions {
        lookback_ms: 5 * 60 * 1000,
        default_subquery_step_ms: 60 * 1000,
        max_samples: 10_000,
        timeout: Some(Duration::from_secs(100)),
        delayed_name_removal: true,
        use_start_timestamps: true,
        parse: test_options(),
        ..EngineOptions::default()
    })
}
