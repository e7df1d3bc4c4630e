//! Any node of a plan, and its parts.

use super::node::{HistogramFn, Plan, RangeNode, ScalarNode, VectorNode};

/// A node of any type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NodeRef<'p> {
    /// A scalar.
    Scalar(&'p ScalarNode),
    /// An instant vector.
    Vector(&'p VectorNode),
    /// A range vector.
    Range(&'p RangeNode),
}

/// A node of any type, to be changed.
#[derive(Debug)]
pub(super) enum NodeMut<'p> {
    /// A scalar.
    Scalar(&'p mut ScalarNode),
    /// An instant vector.
    Vector(&'p mut VectorNode),
    /// A range vector.
    Range(&'p mut RangeNode),
}

impl Plan {
    /// The node at the top; `None` if there is nothing but a text.
    pub(crate) const fn root(&self) -> Option<NodeRef<'_>> {
        match self {
            Self::Scalar(node) => Some(NodeRef::Scalar(node)),
            Self::Vector(node) => Some(NodeRef::Vector(node)),
            Self::Range(node) => Some(NodeRef::Range(node)),
            Self::String(_) => None,
        }
    }

    /// The node at the top; `None` if there is nothing but a text.
    pub(super) const fn root_mut(&mut self) -> Option<NodeMut<'_>> {
        match self {
            Self::Scalar(node) => Some(NodeMut::Scalar(node)),
            Self::Vector(node) => Some(NodeMut::Vector(node)),
            Self::Range(node) => Some(NodeMut::Range(node)),
            Self::String(_) => None,
        }
    }
}

impl<'p> NodeRef<'p> {
    /// The direct parts, vectors and windows before their parameters. [`NodeMut::parts`] has the same order.
    pub(crate) fn parts(self) -> Vec<Self> {
        match self {
            Self::Scalar(node) => scalar_parts(node),
            Self::Vector(node) => vector_parts(node),
            Self::Range(RangeNode::Select { .. }) => Vec::new(),
            Self::Range(RangeNode::Subquery(node)) => vec![Self::Vector(&node.vector)],
        }
    }
}

fn scalar_parts(node: &ScalarNode) -> Vec<NodeRef<'_>> {
    match node {
        ScalarNode::Number(_) | ScalarNode::Time => Vec::new(),
        ScalarNode::OfVector(vector) => vec![NodeRef::Vector(vector)],
        ScalarNode::Negate(inner) | ScalarNode::StepInvariant(inner) => vec![NodeRef::Scalar(inner)],
        ScalarNode::Binary { lhs, rhs, .. } | ScalarNode::Pair { lhs, rhs, .. } => {
            vec![NodeRef::Scalar(lhs), NodeRef::Scalar(rhs)]
        }
    }
}

fn vector_parts(node: &VectorNode) -> Vec<NodeRef<'_>> {
    let with = |vector, params: &mut dyn Iterator<Item = _>| {
        std::iter::once(NodeRef::Vector(vector)).chain(params.map(NodeRef::Scalar)).collect()
    };
    match node {
        VectorNode::Select(_)
        | VectorNode::TimestampOf(_)
        | VectorNode::StartOf(_)
        | VectorNode::CalendarOfStep(_)
        | VectorNode::Nothing => Vec::new(),
        VectorNode::OverRange(call) => {
            let params = call.params.iter().map(NodeRef::Scalar);
            std::iter::once(NodeRef::Range(&call.range)).chain(params).collect()
        }
        VectorNode::AbsentOverTime { range, .. } => vec![NodeRef::Range(range)],
        VectorNode::Absent { vector, .. }
        | VectorNode::Negate(vector)
        | VectorNode::StepInvariant(vector) => vec![NodeRef::Vector(vector)],
        VectorNode::Map(node) => with(&node.vector, &mut node.params.iter()),
        VectorNode::OfScalar(scalar) => vec![NodeRef::Scalar(scalar)],
        VectorNode::VectorScalar(node) => {
            vec![NodeRef::Vector(&node.vector), NodeRef::Scalar(&node.scalar)]
        }
        VectorNode::Binary(node) => vec![NodeRef::Vector(&node.lhs), NodeRef::Vector(&node.rhs)],
        VectorNode::Aggregate(node) => with(&node.vector, &mut node.param.iter()),
        VectorNode::LabelReplace(node) => vec![NodeRef::Vector(&node.vector)],
        VectorNode::LabelJoin(node) => vec![NodeRef::Vector(&node.vector)],
        VectorNode::Sort(node) => vec![NodeRef::Vector(&node.vector)],
        VectorNode::Info(node) => vec![NodeRef::Vector(&node.vector)],
        VectorNode::Histogram(node) => match &node.function {
            HistogramFn::Quantile(q, _) => with(&node.vector, &mut std::iter::once(q)),
            HistogramFn::Fraction(low, high) => with(&node.vector, &mut [low, high].into_iter()),
            HistogramFn::Quantiles(_, all) => with(&node.vector, &mut all.iter().map(|(q, _)| q)),
        },
        VectorNode::Shared(shared) => vec![NodeRef::Vector(&shared.vector)],
    }
}

impl<'p> NodeMut<'p> {
    /// The node, not to be changed.
    pub(super) const fn as_ref(&self) -> NodeRef<'_> {
        match self {
            Self::Scalar(node) => NodeRef::Scalar(node),
            Self::Vector(node) => NodeRef::Vector(node),
            Self::Range(node) => NodeRef::Range(node),
        }
    }

    /// The node again, to be changed while this one waits.
    pub(super) const fn reborrow(&mut self) -> NodeMut<'_> {
        match self {
            Self::Scalar(node) => NodeMut::Scalar(node),
            Self::Vector(node) => NodeMut::Vector(node),
            Self::Range(node) => NodeMut::Range(node),
        }
    }

    /// The direct parts, in the order of [`NodeRef::parts`].
    pub(super) fn parts(self) -> Vec<Self> {
        match self {
            Self::Scalar(node) => scalar_parts_mut(node),
            Self::Vector(node) => vector_parts_mut(node),
            Self::Range(RangeNode::Select { .. }) => Vec::new(),
            Self::Range(RangeNode::Subquery(node)) => vec![Self::Vector(&mut node.vector)],
        }
    }
}

fn scalar_parts_mut(node: &mut ScalarNode) -> Vec<NodeMut<'_>> {
    match node {
        ScalarNode::Number(_) | ScalarNode::Time => Vec::new(),
        ScalarNode::OfVector(vector) => vec![NodeMut::Vector(vector)],
        ScalarNode::Negate(inner) | ScalarNode::StepInvariant(inner) => vec![NodeMut::Scalar(inner)],
        ScalarNode::Binary { lhs, rhs, .. } | ScalarNode::Pair { lhs, rhs, .. } => {
            vec![NodeMut::Scalar(lhs), NodeMut::Scalar(rhs)]
        }
    }
}

fn vector_parts_mut(node: &mut VectorNode) -> Vec<NodeMut<'_>> {
    fn with<'n>(
        vector: &'n mut VectorNode,
        params: impl Iterator<Item = &'n mut ScalarNode>,
    ) -> Vec<NodeMut<'n>> {
        std::iter::once(NodeMut::Vector(vector)).chain(params.map(NodeMut::Scalar)).collect()
    }
    match node {
        VectorNode::Select(_)
        | VectorNode::TimestampOf(_)
        | VectorNode::StartOf(_)
        | VectorNode::CalendarOfStep(_)
        | VectorNode::Nothing => Vec::new(),
        VectorNode::OverRange(call) => {
            let params = call.params.iter_mut().map(NodeMut::Scalar);
            std::iter::once(NodeMut::Range(&mut call.range)).chain(params).collect()
        }
        VectorNode::AbsentOverTime { range, .. } => vec![NodeMut::Range(range)],
        VectorNode::Absent { vector, .. }
        | VectorNode::Negate(vector)
        | VectorNode::StepInvariant(vector) => vec![NodeMut::Vector(vector)],
        VectorNode::Map(node) => with(&mut node.vector, node.params.iter_mut()),
        VectorNode::OfScalar(scalar) => vec![NodeMut::Scalar(scalar)],
        VectorNode::VectorScalar(node) => with(&mut node.vector, std::iter::once(&mut *node.scalar)),
        VectorNode::Binary(node) => vec![NodeMut::Vector(&mut node.lhs), NodeMut::Vector(&mut node.rhs)],
        VectorNode::Aggregate(node) => with(&mut node.vector, node.param.iter_mut()),
        VectorNode::LabelReplace(node) => vec![NodeMut::Vector(&mut node.vector)],
        VectorNode::LabelJoin(node) => vec![NodeMut::Vector(&mut node.vector)],
        VectorNode::Sort(node) => vec![NodeMut::Vector(&mut node.vector)],
        VectorNode::Info(node) => vec![NodeMut::Vector(&mut node.vector)],
        VectorNode::Histogram(node) => match &mut node.function {
            HistogramFn::Quantile(q, _) => with(&mut node.vector, std::iter::once(q)),
            HistogramFn::Fraction(low, high) => with(&mut node.vector, [low, high].into_iter()),
            HistogramFn::Quantiles(_, all) => with(&mut node.vector, all.iter_mut().map(|(q, _)| q)),
        },
        VectorNode::Shared(shared) => vec![NodeMut::Vector(&mut shared.vector)],
    }
}
