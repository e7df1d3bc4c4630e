//! Aggregations that take series one by one, as they are computed, into one row for each group.
//!
//! Otherwise all series are computed and held before the first is aggregated. The order in which a group takes its
//! series is the same, and so is the sum to the last bit.

use super::super::node::VectorNode;
use super::super::walk::NodeMut;
use crate::ast::AggregateOp;

/// Marks the aggregations under `node` that can.
pub(super) fn push_down(mut node: NodeMut<'_>) {
    for part in node.reborrow().parts() {
        push_down(part);
    }
    if let NodeMut::Vector(VectorNode::Aggregate(aggregate)) = node {
        // These look at all points of a step at one time.
        aggregate.streamed = !matches!(aggregate.op, AggregateOp::Quantile | AggregateOp::CountValues);
    }
}
