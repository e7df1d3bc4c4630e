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
mod prepare;
mod profile;
mod read_once;
mod scalar;
mod select;
mod selections;
mod shared;
mod sort;
mod stack;

use crate::ast::Expr;
use crate::failure::QueryError;
use crate::options::{EngineOptions, QueryParams};
use crate::plan::Plan;
use crate::value::{QueryResult, ScalarPoint, StringPoint, Value};
use budget::Budget;
use build::build_vector;
use context::Context;
use grid::Grid;
use prepare::Prepared;
use scalar::eval_scalar;
use select::RangeSource;
use std::sync::Arc;
use std::time::Instant;
use tsdb_core::read::Queryable;

pub(crate) use prepare::explain;

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
    let started = Instant::now();
    let budget = Arc::new(Budget::new(options, params));
    let mut prepared = Prepared::new(options, expr, params)?;
    let querier = source.querier(prepared.touched)?;
    prepared.optimize(options, &*querier);
    let mut context = Context::new(&*querier, options, prepared.lookback_ms, budget);
    context.profile = params.profile.then(Arc::default);
    let planned = Instant::now();
    context.selected = Arc::new(prepared.select(&context)?);
    let selected = Instant::now();
    let value = evaluate(&context, &prepared.plan, prepared.grid, params.is_instant())?;
    let mut stats = context.budget.stats();
    stats.planning = planned.saturating_duration_since(started);
    stats.selecting = selected.saturating_duration_since(planned);
    stats.evaluating = selected.elapsed();
    stats.operators = context.profile.as_ref().map(|profile| profile.stats()).unwrap_or_default();
    Ok(QueryResult { value, annotations: context.take_annotations(), stats })
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
