//! Operators between numbers, computed while planning.
//!
//! Nothing is put into another order: floating-point arithmetic would notice.

use super::super::function::PairFn;
use super::super::node::ScalarNode;
use super::super::walk::NodeMut;
use crate::num::{larger, scalar_operation, smaller};

/// Folds all scalars under `node`, the lower ones first.
pub(super) fn fold(mut node: NodeMut<'_>) {
    for part in node.reborrow().parts() {
        fold(part);
    }
    if let NodeMut::Scalar(scalar) = node
        && let Some(number) = value(scalar)
    {
        *scalar = ScalarNode::Number(number);
    }
}

/// The number that `scalar` is, if its parts are numbers.
fn value(scalar: &ScalarNode) -> Option<f64> {
    let number = |part: &ScalarNode| match part {
        ScalarNode::Number(number) => Some(*number),
        _ => None,
    };
    match scalar {
        ScalarNode::Number(_) | ScalarNode::Time | ScalarNode::OfVector(_) => None,
        ScalarNode::Negate(operand) => number(operand).map(|number| -number),
        ScalarNode::Binary { op, lhs, rhs } => Some(scalar_operation(*op, number(lhs)?, number(rhs)?)),
        ScalarNode::Pair { function, lhs, rhs } => {
            let (lhs, rhs) = (number(lhs)?, number(rhs)?);
            Some(match function {
                PairFn::Max => larger(lhs, rhs),
                PairFn::Min => smaller(lhs, rhs),
            })
        }
        ScalarNode::StepInvariant(inner) => number(inner),
    }
}
