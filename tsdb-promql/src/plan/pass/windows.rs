//! Windows of the store may stand for samples.
//!
//! Whether they do is decided by the store, which knows what it has: it is told what a selection is used for. Windows that
//! reach beyond their borders (`anchored`, `smoothed`) are made of samples alone, and so are start timestamps.

use super::super::node::{RangeNode, Selector, VectorNode};
use super::super::walk::NodeMut;

/// Marks the selectors under `node`.
pub(super) fn mark(mut node: NodeMut<'_>) {
    match &mut node {
        NodeMut::Vector(VectorNode::Select(selector) | VectorNode::TimestampOf(selector))
        | NodeMut::Range(RangeNode::Select { selector, .. }) => mark_selector(selector),
        _ => {}
    }
    node.parts().into_iter().for_each(mark);
}

fn mark_selector(selector: &mut Selector) {
    selector.windows = selector.extension.is_none();
}
