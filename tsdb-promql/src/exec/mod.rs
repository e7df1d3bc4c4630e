//! Evaluation: operators over columns.
//!
//! A plan becomes a tree of [operators](operator) over a [grid](grid::Grid) of steps. Operators compute whole rows
//! (all steps of one series) instead of all series of one step, so a series is decoded once, and rows are computed
//! in parallel. Nothing here knows of text or syntax, except the spans that annotations carry.
//!
//! Answers do not depend on the number of threads. They may depend, in the last bit of float sums over more series
//! than fit a chunk, on the order in which storage lists its series.

mod absent;
mod aggregate;
mod binary;
mod budget;
mod build;
mod calendar;
mod context;
mod grid;
mod groups;
mod histogram;
mod info;
mod label;
mod map;
mod merge;
mod native;
mod operator;
mod output;
mod points;
mod scalar;
mod select;
mod sort;
mod stack;

use crate::ast::{Expr, ValueType};
use crate::check::value_type;
use crate::failure::QueryError;
use crate::options::{EngineOptions, QueryParams};
use crate::plan::{Plan, QueryTimes, plan};
use crate::value::{QueryResult, ScalarPoint, StringPoint, Value};
use budget::Budget;
use build::build_vector;
use context::Context;
use grid::{Grid, steps_between};
use scalar::eval_scalar;
use select::RangeSource;
use tsdb_core::read::Queryable;

/// Evaluates `expr` at the times of `params`.
///
/// # Errors
/// Every [`QueryError`] but those of the parser.
pub(crate) fn run(
    options: &EngineOptions,
    source: &dyn Queryable,
    expr: &Expr,
    params: &QueryParams,
) -> Result<QueryResult, QueryError> {
    stack::with_stack(expr.height(), options, |options| run_here(options, source, expr, params))
}

fn run_here(
    options: &EngineOptions,
    source: &dyn Queryable,
    expr: &Expr,
    params: &QueryParams,
) -> Result<QueryResult, QueryError> {
    let grid = steps_of(options, expr, params)?;
    let lookback_ms = params.lookback_ms.filter(|ms| *ms > 0).unwrap_or(options.lookback_ms);
    let times = QueryTimes {
        start: params.start,
        end: params.end,
        step_ms: params.step_ms,
        lookback_ms,
        default_subquery_step_ms: options.default_subquery_step_ms,
    };
    let budget = Budget::new(options, params);
    let planned = plan(expr, times)?;
    let querier = source.querier(planned.touched)?;
    let context = Context::new(&*querier, options, lookback_ms, budget);
    let value = evaluate(&context, &planned.plan, grid, params.is_instant())?;
    Ok(QueryResult { value, annotations: context.take_annotations(), stats: context.budget.stats() })
}

fn steps_of(options: &EngineOptions, expr: &Expr, params: &QueryParams) -> Result<Grid, QueryError> {
    if params.is_instant() {
        return Ok(Grid::instant(params.start));
    }
    let (start, end, step_ms) = (params.start, params.end, params.step_ms);
    if step_ms < 0 {
        return Err(QueryError::BadStep { step_ms });
    }
    let found = value_type(expr);
    if !matches!(found, ValueType::Scalar | ValueType::Vector) {
        return Err(QueryError::RangeType { found: found.documented() });
    }
    let points = steps_between(start, end, step_ms);
    // Prometheus counts the distances between points, not the points.
    if end >= start && points.saturating_sub(1) > options.max_points {
        return Err(QueryError::TooManyPoints { points, limit: options.max_points });
    }
    Grid::range(start, end, step_ms, options.max_samples)?.ok_or(QueryError::EndBeforeStart { start, end })
}

fn evaluate<'c>(
    context: &'c Context<'c>,
    plan: &'c Plan,
    grid: Grid,
    instant: bool,
) -> Result<Value, QueryError> {
    match plan {
        Plan::Scalar(node) => {
            let steps = eval_scalar(context, node, grid)?;
            if instant {
                return Ok(Value::Scalar(ScalarPoint { timestamp: grid.first(), value: steps.at(0) }));
            }
            Ok(output::range_scalar(&steps, grid))
        }
        Plan::Vector(node) => {
            let operator = build_vector(context, node, grid)?;
            if instant {
                return output::instant_vector(context, operator, grid);
            }
            output::range_vector(context, operator, grid)
        }
        Plan::Range(node) => {
            let source = RangeSource::new(context, node, grid, None)?;
            output::window(context, node, &source, grid)
        }
        Plan::String(text) => Ok(Value::String(StringPoint { timestamp: grid.first(), value: text.clone() })),
    }
}
