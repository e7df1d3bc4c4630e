//! A vector and a scalar.

use super::super::context::Context;
use super::super::operator::{Identity, Operator, Scratch, VectorOp, is_absent};
use super::super::points::{Histograms, Point};
use super::super::scalar::Steps;
use super::element::ElementRules;
use super::operation::Operation;
use crate::failure::QueryError;
use crate::plan::VectorScalarNode;
use crate::span::Span;

/// Each element of a vector combined with the scalar of its step.
pub(in super::super) struct VectorScalarOp<'c> {
    vector: Operator<'c>,
    scalar: Steps,
    identities: Vec<Identity>,
    operation: Operation,
    scalar_left: bool,
    context: &'c Context<'c>,
    span: Span,
}

impl<'c> VectorScalarOp<'c> {
    /// The operator of `node` over its evaluated operands.
    pub(in super::super) fn new(
        context: &'c Context<'c>,
        node: &VectorScalarNode,
        vector: Operator<'c>,
        scalar: Steps,
    ) -> Self {
        let operation = Operation { op: node.op, return_bool: node.return_bool };
        let mut identities = vector.rows().to_vec();
        if operation.changes_meaning() || node.return_bool {
            identities.iter_mut().for_each(|identity| identity.drop_name = true);
        }
        let scalar_left = node.scalar_left;
        Self { vector, scalar, identities, operation, scalar_left, context, span: node.span }
    }

    /// The row where it may hold histograms, or the operator knows nothing else.
    fn combine(&self, out: &mut [f64], histograms: &mut Histograms) {
        let rules = ElementRules { context: self.context, operation: self.operation, span: self.span };
        for step in 0..out.len() {
            let Some(point) = Point::at(out, histograms, step) else { continue };
            let scalar = Point::Number(self.scalar.at(step));
            let result = if self.scalar_left {
                rules.combine(&scalar, &point, &point)
            } else {
                rules.combine(&point, &scalar, &point)
            };
            Point::put(result.unwrap_or(None), out, histograms, step);
        }
    }
}

impl VectorOp for VectorScalarOp<'_> {
    fn rows(&self) -> &[Identity] {
        &self.identities
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        self.vector.eval(row, scratch, out, histograms)?;
        if !histograms.is_empty() || self.operation.op.is_trim() {
            self.combine(out, histograms);
            return Ok(());
        }
        for (step, slot) in out.iter_mut().enumerate() {
            if is_absent(*slot) {
                continue;
            }
            let scalar = self.scalar.at(step);
            // A comparison that holds passes on the element of the vector, on whichever side it stands.
            *slot = if self.scalar_left {
                self.operation.slot(scalar, *slot, *slot)
            } else {
                self.operation.slot(*slot, scalar, *slot)
            };
        }
        Ok(())
    }

    fn unique_without_name(&self) -> bool {
        self.vector.unique_without_name()
    }

    fn is_ordered(&self) -> bool {
        self.vector.is_ordered()
    }
    fn is_silent(&self) -> bool {
        !self.context.may_hold_histograms && !self.operation.op.is_trim() && self.vector.is_silent()
    }
}
