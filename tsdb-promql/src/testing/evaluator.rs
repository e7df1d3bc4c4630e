//! What a script is run against.

use crate::ast::Expr;
use crate::failure::QueryError;
use crate::value::QueryResult;
use tsdb_core::Timestamp;
use tsdb_core::read::Queryable;

/// Something that evaluates expressions: the engine, or a naive twin of it.
pub trait Evaluator {
    /// Evaluates `expr`, which was parsed from `text`, at the time `at` (ms).
    ///
    /// # Errors
    /// An expression without a value.
    fn instant(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        text: &str,
        at: Timestamp,
    ) -> Result<QueryResult, QueryError>;

    /// Evaluates `expr`, which was parsed from `text`, every `step_ms` from `start` to `end` (ms).
    ///
    /// # Errors
    /// An expression without a value.
    fn range(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        text: &str,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError>;
}
