//! What is the same at all steps, evaluated once, or at every step all the same.
//!
//! Where steps make no difference is a rule of the language, so the plan is built with the marks. Without the pass
//! they go, but for one kind: inside a mark, the sorting functions see a single step, and that shows.

use super::super::node::{ScalarNode, VectorNode};
use super::super::walk::{NodeMut, NodeRef};

/// Removes the marks under `node`.
pub(super) fn lower(mut node: NodeMut<'_>) {
    match &mut node {
        NodeMut::Vector(vector) => {
            while let VectorNode::StepInvariant(inner) = &mut **vector {
                if sorts(NodeRef::Vector(inner)) {
                    return;
                }
                **vector = std::mem::replace(&mut **inner, VectorNode::Nothing);
            }
        }
        NodeMut::Scalar(scalar) => {
            while let ScalarNode::StepInvariant(inner) = &mut **scalar {
                if sorts(NodeRef::Scalar(inner)) {
                    return;
                }
                **scalar = std::mem::replace(&mut **inner, ScalarNode::Time);
            }
        }
        NodeMut::Range(_) => {}
    }
    for part in node.parts() {
        lower(part);
    }
}

fn sorts(node: NodeRef<'_>) -> bool {
    matches!(node, NodeRef::Vector(VectorNode::Sort(_))) || node.parts().into_iter().any(sorts)
}
