//! Before a query runs: its steps, its plan, what it selects, and whether that stays within the limits.

use super::budget::Budget;
use super::context::Context;
use super::grid::{Grid, steps_between};
use super::selections::Selections;
use crate::ast::{Expr, ValueType};
use crate::check::value_type;
use crate::explanation::{Explanation, SelectorEstimate};
use crate::failure::{CostLimit, QueryError};
use crate::options::{EngineOptions, QueryParams};
use crate::plan::{Pass, Plan, Planned, QueryTimes, optimize, plan};
use std::sync::Arc;
use tsdb_core::TimeRange;
use tsdb_core::read::{Querier, Queryable};

/// A query with everything resolved that takes no data.
pub(super) struct Prepared {
    /// The plan, before any pass.
    pub(super) plan: Plan,
    /// What it touches.
    pub(super) touched: TimeRange,
    /// The steps.
    pub(super) grid: Grid,
    /// How far back an instant selector looks, ms.
    pub(super) lookback_ms: i64,
}

impl Prepared {
    /// Resolves `expr`.
    ///
    /// # Errors
    /// Times that make no query, limits on them, and those of the plan.
    pub(super) fn new(
        options: &EngineOptions,
        expr: &Expr,
        params: &QueryParams,
    ) -> Result<Self, QueryError> {
        let grid = steps_of(options, expr, params)?;
        let lookback_ms = params.lookback_ms.filter(|ms| *ms > 0).unwrap_or(options.lookback_ms);
        let times = QueryTimes {
            start: params.start,
            end: params.end,
            step_ms: params.step_ms,
            lookback_ms,
            default_subquery_step_ms: options.default_subquery_step_ms,
        };
        let Planned { plan, touched } = plan(expr, times)?;
        Ok(Self { plan, touched, grid, lookback_ms })
    }

    /// Runs the passes over the plan, for the data of `querier`.
    pub(super) fn optimize(&mut self, options: &EngineOptions, querier: &dyn Querier) {
        // Rates have something to say about start timestamps, as they have about histograms.
        let remarkable = querier.may_hold_histograms() || options.use_start_timestamps;
        // Which start timestamps samples have windows do not tell.
        let windows = querier.may_hold_windows() && !options.use_start_timestamps;
        optimize(&mut self.plan, options.passes, remarkable, windows);
    }

    /// Makes the selections for `context` if it is good to have them all before the first is read.
    ///
    /// # Errors
    /// Those of storage, and limits on estimates.
    pub(super) fn select(&self, context: &Context<'_>) -> Result<Selections, QueryError> {
        let options = context.options;
        let shares = options.passes.has(Pass::ShareEqual);
        let asks_cost = has_cost_limit(options) || context.budget.is_shared();
        if !shares && !asks_cost {
            return Ok(Selections::default());
        }
        let mut selections = Selections::of(&self.plan, self.grid, context)?;
        if asks_cost {
            let estimates = selections.estimates();
            check_costs(options, &estimates)?;
            context.budget.expect(estimates.iter().map(|one| one.bytes).fold(0, u64::saturating_add))?;
        }
        if !shares {
            return Ok(Selections::default());
        }
        selections.keep_what_is_read_again(&context.budget);
        Ok(selections)
    }
}

/// The plan of `expr` and the estimated cost of its selections. The limits on these do not apply.
///
/// # Errors
/// Those of the plan and of storage.
pub(crate) fn explain(
    options: &EngineOptions,
    source: &dyn Queryable,
    expr: &Expr,
    params: &QueryParams,
) -> Result<Explanation, QueryError> {
    super::stack::with_stack(expr.height(), options, |options| {
        let budget = Budget::new(options, params);
        let mut prepared = Prepared::new(options, expr, params)?;
        let querier = source.querier(prepared.touched)?;
        prepared.optimize(options, &*querier);
        let context = Context::new(&*querier, options, prepared.lookback_ms, Arc::new(budget));
        let selections = Selections::of(&prepared.plan, prepared.grid, &context)?;
        let steps = prepared.grid.steps() as u64;
        Ok(Explanation { plan: prepared.plan.tree(), steps, selectors: selections.estimates() })
    })
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
    let range_ms = if end > start { end.abs_diff(start) } else { 0 };
    if let Some(limit_ms) = options.max_range_ms.filter(|limit_ms| range_ms > *limit_ms) {
        return Err(QueryError::RangeTooLong { range_ms, limit_ms });
    }
    let points = steps_between(start, end, step_ms);
    // Prometheus counts the distances between points, not the points.
    if end >= start && points.saturating_sub(1) > options.max_points {
        return Err(QueryError::TooManyPoints { points, limit: options.max_points });
    }
    let grid = Grid::range(start, end, step_ms, options.max_samples);
    let grid = grid.map_err(|error| error.asked_by(|| "the steps of the query".to_owned()))?;
    grid.ok_or(QueryError::EndBeforeStart { start, end })
}

const fn has_cost_limit(options: &EngineOptions) -> bool {
    options.max_series.is_some()
        || options.max_estimated_samples.is_some()
        || options.max_estimated_points.is_some()
        || options.max_estimated_bytes.is_some()
}

/// Refuses what exceeds the limits on estimates.
fn check_costs(options: &EngineOptions, estimates: &[SelectorEstimate]) -> Result<(), QueryError> {
    type Figure = fn(&SelectorEstimate) -> u64;
    let checks: [(CostLimit, Option<u64>, Figure); 4] = [
        (CostLimit::Series, options.max_series, |one| one.series),
        (CostLimit::Samples, options.max_estimated_samples, |one| one.samples),
        (CostLimit::Points, options.max_estimated_points, |one| one.points),
        (CostLimit::Bytes, options.max_estimated_bytes, |one| one.bytes),
    ];
    for (what, limit, cost) in checks {
        let estimated = estimates.iter().map(cost).fold(0, u64::saturating_add);
        let largest = estimates.iter().max_by_key(|one| cost(one));
        if let (Some(limit), Some(largest)) = (limit, largest)
            && estimated > limit
        {
            let (selector, of_selector) = (largest.selector.clone(), cost(largest));
            return Err(QueryError::TooCostly { what, estimated, limit, selector, of_selector });
        }
    }
    Ok(())
}
