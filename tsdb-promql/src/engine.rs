//! Instant and range queries: the only public verbs of the crate.

use crate::ast::Expr;
use crate::explanation::Explanation;
use crate::failure::QueryError;
use crate::options::{EngineOptions, QueryParams};
use crate::reach::Reach;
use crate::value::QueryResult;
use tsdb_core::Timestamp;
use tsdb_core::read::Queryable;

/// Answers PromQL queries from anything that is [`Queryable`].
///
/// An engine holds settings and no state: share it, or make one per tenant.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine with these settings.
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// The settings.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates `query` at the time `at` (ms).
    ///
    /// # Errors
    /// Every [`QueryError`].
    pub fn instant(
        &self,
        source: &dyn Queryable,
        query: &str,
        at: Timestamp,
    ) -> Result<QueryResult, QueryError> {
        self.query(source, query, &QueryParams::instant(at))
    }

    /// Evaluates `query` at `start`, `start + step_ms`, ... up to `end` (ms).
    ///
    /// # Errors
    /// Every [`QueryError`].
    pub fn range(
        &self,
        source: &dyn Queryable,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError> {
        if step_ms <= 0 {
            return Err(QueryError::BadStep { step_ms });
        }
        self.query(source, query, &QueryParams::range(start, end, step_ms))
    }

    /// Evaluates `query` at the times of `params`.
    ///
    /// # Errors
    /// Every [`QueryError`].
    pub fn query(
        &self,
        source: &dyn Queryable,
        query: &str,
        params: &QueryParams,
    ) -> Result<QueryResult, QueryError> {
        let expr = crate::check::parse(query, &self.options.parse)?;
        self.evaluate(source, &expr, params)
    }

    /// The plan of `query` and what it would cost. Series are looked up, nothing is read or computed; the limits on
    /// estimates do not apply.
    ///
    /// # Errors
    /// Every [`QueryError`] that the query itself and the selection of its series may have.
    pub fn explain(
        &self,
        source: &dyn Queryable,
        query: &str,
        params: &QueryParams,
    ) -> Result<Explanation, QueryError> {
        let expr = crate::check::parse(query, &self.options.parse)?;
        crate::exec::explain(&self.options, source, &expr, params)
    }

    /// How far around its own time each step of a query looks, `expr` being checked. `None` if its value depends on more
    /// than the data around it: then nothing that was computed for another start or end can answer it.
    pub fn reach(&self, expr: &Expr, params: &QueryParams) -> Option<Reach> {
        crate::reach::reach(&self.options, expr, params)
    }

    /// Evaluates an expression that was parsed and checked at the times of `params`.
    ///
    /// # Errors
    /// Every [`QueryError`] but those of the parser.
    pub fn evaluate(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        params: &QueryParams,
    ) -> Result<QueryResult, QueryError> {
        crate::exec::run(&self.options, source, expr, params)
    }
}
