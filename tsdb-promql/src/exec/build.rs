//! From plan nodes to operators.

use super::absent::absent;
use super::aggregate::aggregate;
use super::binary::{VectorScalarOp, join, set_operation};
use super::calendar::calendar_field;
use super::context::Context;
use super::grid::Grid;
use super::histogram::histogram;
use super::info::info;
use super::label::{label_join, label_replace};
use super::map::{Change, MapOp, single};
use super::merge::{Clash, merge_equal};
use super::operator::{NoSeries, Operator, Repeated};
use super::scalar::eval_scalar;
use super::select::{InstantOp, OverRangeOp, Reading, SmoothedOp, absent_over_time};
use super::shared::shared;
use super::sort::{sort, unordered};
use crate::annotation::Annotation;
use crate::ast::RangeExtension;
use crate::failure::QueryError;
use crate::plan::{BinaryNode, NodeRef, Selector, SortNode, VectorNode};

/// The operator that evaluates `node` at the steps of `grid`.
///
/// # Errors
/// Those of the parts that are computed here: storage, aggregations, joins.
pub(super) fn build_vector<'c>(
    context: &'c Context<'c>,
    node: &'c VectorNode,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    context.budget.check()?;
    let name = || NodeRef::Vector(node).describe();
    let built = match &context.profile {
        None => build_operator(context, node, grid),
        Some(profile) => profile.watch(name(), || build_operator(context, node, grid)),
    };
    // Operators whose rows are computed when somebody asks for them add their names there.
    built.map_err(|error| error.asked_by(name))
}

fn build_operator<'c>(
    context: &'c Context<'c>,
    node: &'c VectorNode,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    match node {
        VectorNode::Select(selector) if selector.extension == Some(RangeExtension::Smoothed) => {
            Ok(Box::new(SmoothedOp::new(context, selector, grid)?))
        }
        VectorNode::Select(selector) => {
            Ok(Box::new(InstantOp::new(context, selector, grid, Reading::Value)?))
        }
        VectorNode::TimestampOf(selector) => time_of_newest(context, selector, grid, Reading::Time),
        VectorNode::StartOf(selector) if context.options.use_start_timestamps => {
            time_of_newest(context, selector, grid, Reading::Start)
        }
        VectorNode::StartOf(_) => Ok(Box::new(NoSeries)),
        VectorNode::OverRange(call) => {
            let operator = OverRangeOp::new(context, call, grid)?;
            Ok(merge_equal(context, Box::new(operator), Clash::Ever))
        }
        VectorNode::AbsentOverTime { range, labels } => absent_over_time(context, range, labels, grid),
        VectorNode::Absent { vector, labels } => absent(context, vector, labels, grid),
        VectorNode::Aggregate(node) => aggregate(context, node, grid),
        VectorNode::Binary(node) => binary(context, node, grid),
        VectorNode::Histogram(node) => {
            Ok(merge_equal(context, histogram(context, node, grid)?, Clash::SameStep))
        }
        VectorNode::Nothing => Ok(Box::new(NoSeries)),
        VectorNode::OfScalar(scalar) => {
            let steps = eval_scalar(context, scalar, grid)?;
            single(context, steps.iter(grid.steps()).collect())
        }
        VectorNode::CalendarOfStep(field) => {
            // Whole seconds, cut off towards zero.
            single(context, grid.times().map(|time| calendar_field(*field, (time / 1000) as f64)).collect())
        }
        VectorNode::StepInvariant(inner) => {
            let once = build_vector(context, inner, grid.first_only())?;
            Ok(Box::new(Repeated(context.store(&*once, 1)?)))
        }
        VectorNode::Info(node) => {
            let base = build_vector(context, &node.vector, grid)?;
            Ok(merge_equal(context, info(context, node, &*base, grid)?, Clash::SameStep))
        }
        VectorNode::Sort(node) => sorted(context, node, grid),
        VectorNode::Shared(node) => shared(context, node, grid),
        of_values => build_changed(context, of_values, grid),
    }
}

fn time_of_newest<'c>(
    context: &'c Context<'c>,
    selector: &Selector,
    grid: Grid,
    reading: Reading,
) -> Result<Operator<'c>, QueryError> {
    let operator = InstantOp::new(context, selector, grid, reading)?;
    Ok(merge_equal(context, Box::new(operator), Clash::SameStep))
}

/// Operators that change values or labels of the series of another, one by one.
fn build_changed<'c>(
    context: &'c Context<'c>,
    node: &'c VectorNode,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    let operator: Operator<'c> = match node {
        VectorNode::Map(node) => {
            let params = node.params.iter().map(|param| eval_scalar(context, param, grid));
            let change = Change::Function(node.function, params.collect::<Result<_, _>>()?);
            Box::new(MapOp::new(build_vector(context, &node.vector, grid)?, change, grid))
        }
        VectorNode::Negate(vector) => {
            Box::new(MapOp::new(build_vector(context, vector, grid)?, Change::Negate, grid))
        }
        VectorNode::VectorScalar(node) => {
            let scalar = eval_scalar(context, &node.scalar, grid)?;
            let vector = build_vector(context, &node.vector, grid)?;
            Box::new(VectorScalarOp::new(context, node, vector, scalar))
        }
        VectorNode::LabelReplace(node) => {
            label_replace(context, build_vector(context, &node.vector, grid)?, node)?
        }
        VectorNode::LabelJoin(node) => label_join(context, build_vector(context, &node.vector, grid)?, node)?,
        _ => Box::new(NoSeries),
    };
    Ok(merge_equal(context, operator, Clash::SameStep))
}

fn binary<'c>(
    context: &'c Context<'c>,
    node: &'c BinaryNode,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    let lhs = build_vector(context, &node.lhs, grid)?;
    let rhs = build_vector(context, &node.rhs, grid)?;
    let operator = if node.op.is_set() {
        set_operation(context, node.op, &node.matching, lhs, rhs, grid.steps())?
    } else {
        join(context, node, lhs, rhs, grid.steps())?
    };
    Ok(merge_equal(context, operator, Clash::SameStep))
}

fn sorted<'c>(context: &'c Context<'c>, node: &'c SortNode, grid: Grid) -> Result<Operator<'c>, QueryError> {
    let operator = build_vector(context, &node.vector, grid)?;
    if grid.steps() > 1 {
        context.annotate(Annotation::SortInRangeQuery, node.span);
        return Ok(unordered(operator, node));
    }
    sort(context, &*operator, node)
}
