//! Scalars: one number for each step, computed at once.

use super::build::build_vector;
use super::context::Context;
use super::grid::Grid;
use super::operator::{VectorOp, is_absent};
use super::points::Histograms;
use crate::failure::QueryError;
use crate::num::{larger, scalar_operation, smaller};
use crate::plan::{PairFn, ScalarNode};

/// One number for each step.
#[derive(Debug, Clone)]
pub(super) enum Steps {
    /// The same at all steps.
    Constant(f64),
    /// One of its own for each step.
    Each(Vec<f64>),
}

impl Steps {
    /// The number at `step`.
    #[inline]
    pub(super) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(number) => *number,
            Self::Each(numbers) => numbers.get(step).copied().unwrap_or(f64::NAN),
        }
    }

    /// Do all numbers lie between 0 and 1?
    pub(super) fn are_quantiles(&self) -> bool {
        let is_quantile = |number: &f64| (0.0..=1.0).contains(number);
        match self {
            Self::Constant(number) => is_quantile(number),
            Self::Each(numbers) => numbers.iter().all(is_quantile),
        }
    }

    /// Is it known to be the same number at all steps?
    pub(super) const fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// The numbers of `steps` steps.
    pub(super) fn iter(&self, steps: usize) -> impl Iterator<Item = f64> {
        (0..steps).map(|step| self.at(step))
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Constant(number) => Self::Constant(f(number)),
            Self::Each(numbers) => Self::Each(numbers.into_iter().map(f).collect()),
        }
    }

    fn combine(&self, other: &Self, steps: usize, f: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => Self::Constant(f(*a, *b)),
            _ => Self::Each((0..steps).map(|step| f(self.at(step), other.at(step))).collect()),
        }
    }
}

/// Evaluates `node` at the steps of `grid`.
///
/// # Errors
/// Those of the vectors inside.
pub(super) fn eval_scalar(context: &Context<'_>, node: &ScalarNode, grid: Grid) -> Result<Steps, QueryError> {
    match node {
        ScalarNode::Number(number) => Ok(Steps::Constant(*number)),
        ScalarNode::Time => Ok(Steps::Each(grid.times().map(|t| t as f64 / 1000.0).collect())),
        ScalarNode::Negate(operand) => Ok(eval_scalar(context, operand, grid)?.map(|number| -number)),
        ScalarNode::Binary { op, lhs, rhs } => {
            let (lhs, rhs) = (eval_scalar(context, lhs, grid)?, eval_scalar(context, rhs, grid)?);
            Ok(lhs.combine(&rhs, grid.steps(), |a, b| scalar_operation(*op, a, b)))
        }
        ScalarNode::Pair { function, lhs, rhs } => {
            let (lhs, rhs) = (eval_scalar(context, lhs, grid)?, eval_scalar(context, rhs, grid)?);
            Ok(lhs.combine(&rhs, grid.steps(), |a, b| pair(*function, a, b)))
        }
        ScalarNode::StepInvariant(inner) => {
            Ok(Steps::Constant(eval_scalar(context, inner, grid.first_only())?.at(0)))
        }
        ScalarNode::OfVector(vector) => {
            let vector = build_vector(context, vector, grid)?;
            only_elements(context, &*vector, grid.steps()).map(Steps::Each)
        }
    }
}

fn pair(function: PairFn, a: f64, b: f64) -> f64 {
    match function {
        PairFn::Max => larger(a, b),
        PairFn::Min => smaller(a, b),
    }
}

/// At each step the only point of the vector; NaN if there is none or more than one.
fn only_elements(context: &Context<'_>, vector: &dyn VectorOp, steps: usize) -> Result<Vec<f64>, QueryError> {
    let mut found = vec![(0u8, f64::NAN); steps];
    context.with_scratch(|scratch| {
        // Histograms are no numbers: they do not count.
        let (mut slots, mut histograms) = (scratch.take_row(steps), Histograms::new());
        for row in 0..vector.rows().len() {
            context.budget.check()?;
            vector.eval(row, scratch, &mut slots, &mut histograms)?;
            for ((count, only), slot) in found.iter_mut().zip(&slots) {
                if !is_absent(*slot) {
                    *count = count.saturating_add(1);
                    *only = *slot;
                }
            }
        }
        scratch.give_row(slots);
        Ok::<_, QueryError>(())
    })?;
    Ok(found.into_iter().map(|(count, only)| if count == 1 { only } else { f64::NAN }).collect())
}
