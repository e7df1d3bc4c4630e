//! Labels that nobody looks at are not loaded.
//!
//! Series stay apart although the labels that would tell them apart are missing. That works where nothing has to
//! find out whether two of them have become equal: series of one metric are different also without their names, and
//! what is known to have no equal series is not searched for any. Where it would be, all labels are loaded.
//! The name and what else is dropped with it are always loaded: annotations speak of them, and what is dropped may
//! have been all that told two series apart.

use super::super::node::{AggregateNode, BinaryNode, RangeNode, ScalarNode, Selector, SortKey, VectorNode};
use super::super::walk::NodeMut;
use super::propagate::{is_named, keeps_series};
use crate::ast::{AggregateOp, BinaryOp, Grouping};
use std::collections::BTreeSet;
use tsdb_core::METRIC_NAME;
use tsdb_core::read::Projection;

/// The labels that those above look at.
#[derive(Debug, Clone)]
enum Needed {
    All,
    Only(BTreeSet<String>),
}

impl Needed {
    const fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// These and `labels`.
    fn and(&self, labels: &[String]) -> Self {
        match self {
            Self::All => Self::All,
            Self::Only(names) => Self::Only(names.iter().chain(labels).cloned().collect()),
        }
    }

    /// The labels of a group, if they are listed.
    fn of_groups(grouping: &Grouping) -> Self {
        if grouping.without { Self::All } else { Self::none().and(&grouping.labels) }
    }

    fn projection(&self) -> Projection {
        match self {
            Self::All => Projection::All,
            Self::Only(names) => {
                let always = [METRIC_NAME, "__type__", "__unit__"].map(str::to_owned);
                let names: BTreeSet<_> = names.iter().cloned().chain(always).collect();
                Projection::Only(names.into_iter().collect())
            }
        }
    }
}

/// Tells the selectors under `node` which labels are needed.
pub(super) fn project(node: NodeMut<'_>) {
    match node {
        NodeMut::Scalar(scalar) => of_scalar(scalar),
        NodeMut::Vector(vector) => of_vector(vector, &Needed::All),
        NodeMut::Range(range) => of_range(range, &Needed::All),
    }
}

fn of_scalar(scalar: &mut ScalarNode) {
    match scalar {
        ScalarNode::OfVector(vector) => of_vector(vector, &Needed::none()),
        other => NodeMut::Scalar(other).parts().into_iter().for_each(project),
    }
}

fn of_selector(selector: &mut Selector, needed: &Needed) {
    if is_named(selector) {
        selector.projection = needed.projection();
    }
}

fn of_range(range: &mut RangeNode, needed: &Needed) {
    match range {
        RangeNode::Select { selector, .. } => of_selector(selector, needed),
        RangeNode::Subquery(subquery) => of_operand(&mut subquery.vector, needed),
    }
}

/// An operand whose series are searched for equal ones, unless they are known to have none.
fn of_operand(vector: &mut VectorNode, needed: &Needed) {
    of_vector(vector, if is_unique(vector) { needed } else { &Needed::All });
}

fn of_vector(vector: &mut VectorNode, needed: &Needed) {
    match vector {
        VectorNode::Select(selector) | VectorNode::TimestampOf(selector) | VectorNode::StartOf(selector) => {
            of_selector(selector, needed)
        }
        VectorNode::OverRange(call) => {
            of_range(&mut call.range, needed);
            call.params.iter_mut().for_each(of_scalar);
        }
        VectorNode::AbsentOverTime { range, .. } => of_range(range, &Needed::none()),
        VectorNode::Absent { vector, .. } => of_vector(vector, &Needed::none()),
        VectorNode::Map(map) => {
            of_operand(&mut map.vector, needed);
            map.params.iter_mut().for_each(of_scalar);
        }
        VectorNode::Negate(vector) => of_operand(vector, needed),
        VectorNode::VectorScalar(node) => {
            of_operand(&mut node.vector, needed);
            of_scalar(&mut node.scalar);
        }
        VectorNode::StepInvariant(vector) => of_vector(vector, needed),
        VectorNode::Sort(sort) => match &sort.key {
            SortKey::Value => of_vector(&mut sort.vector, needed),
            // Equal elements are put in order by all their labels.
            SortKey::Labels(_) => of_vector(&mut sort.vector, &Needed::All),
        },
        VectorNode::Aggregate(aggregate) => of_aggregate(aggregate, needed),
        VectorNode::Binary(join) => of_join(join, needed),
        other => NodeMut::Vector(other).parts().into_iter().for_each(project),
    }
}

fn of_aggregate(aggregate: &mut AggregateNode, needed: &Needed) {
    let groups = Needed::of_groups(&aggregate.grouping);
    let below = match aggregate.op {
        // Which series are chosen is decided by a hash of all labels.
        AggregateOp::LimitRatio => Needed::All,
        op if keeps_series(op) => match groups {
            Needed::All => Needed::All,
            Needed::Only(_) => needed.and(&aggregate.grouping.labels),
        },
        _ => groups,
    };
    of_vector(&mut aggregate.vector, &below);
    aggregate.param.iter_mut().for_each(of_scalar);
}

/// Of what is not matched and passed on, `and` and `unless` look at the matched labels alone.
fn of_join(join: &mut BinaryNode, needed: &Needed) {
    let set = matches!(join.op, BinaryOp::And | BinaryOp::Unless);
    if set && join.matching.on {
        of_operand(&mut join.lhs, &needed.and(&join.matching.labels));
        of_vector(&mut join.rhs, &Needed::none().and(&join.matching.labels));
    } else {
        of_vector(&mut join.lhs, &Needed::All);
        of_vector(&mut join.rhs, &Needed::All);
    }
}

/// Does evaluation know, without looking at labels, that no two series are equal without their names?
fn is_unique(vector: &VectorNode) -> bool {
    match vector {
        VectorNode::Select(selector) | VectorNode::TimestampOf(selector) | VectorNode::StartOf(selector) => {
            is_named(selector)
        }
        VectorNode::OverRange(call) => match &call.range {
            RangeNode::Select { selector, .. } => is_named(selector),
            RangeNode::Subquery(subquery) => is_unique(&subquery.vector),
        },
        VectorNode::Map(map) => is_unique(&map.vector),
        VectorNode::Negate(vector) => is_unique(vector),
        VectorNode::VectorScalar(node) => is_unique(&node.vector),
        VectorNode::Binary(join) => {
            matches!(join.op, BinaryOp::And | BinaryOp::Unless) && is_unique(&join.lhs)
        }
        _ => false,
    }
}
