//! Operators between elements of which at least one may be a native histogram.

use super::super::context::Context;
use super::super::native::scaled;
use super::super::points::{Histogram, Point};
use super::operation::Operation;
use crate::annotation::Annotation;
use crate::ast::BinaryOp;
use crate::span::Span;
use std::sync::Arc;
use tsdb_core::histogram::{FloatHistogram, IncompatibleSchemas, Reconciled, ResetHint};

/// An operator, and where to note what is odd about its operands.
#[derive(Clone, Copy)]
pub(super) struct ElementRules<'a> {
    /// The query.
    pub(super) context: &'a Context<'a>,
    /// The operator.
    pub(super) operation: Operation,
    /// The text of the expression.
    pub(super) span: Span,
}

impl ElementRules<'_> {
    /// The point for `left op right`; `kept` is what a comparison that holds passes on.
    pub(super) fn combine(&self, left: &Point, right: &Point, kept: &Point) -> Option<Point> {
        let op = self.operation.op;
        match (left, right) {
            (Point::Number(a), Point::Number(b)) if !op.is_trim() => {
                let Point::Number(kept) = kept else { return None };
                Point::of_slot(self.operation.slot(*a, *b, *kept))
            }
            (Point::Number(factor), Point::Histogram(histogram))
            | (Point::Histogram(histogram), Point::Number(factor))
                if op == BinaryOp::Mul =>
            {
                Some(Point::Histogram(scaled(histogram, *factor)))
            }
            (Point::Histogram(histogram), Point::Number(number)) => self.with_number(histogram, *number),
            (Point::Histogram(a), Point::Histogram(b)) => self.of_histograms(a, b, kept),
            _ => self.refuse(left, right),
        }
    }

    fn with_number(&self, histogram: &Histogram, number: f64) -> Option<Point> {
        let mut result = FloatHistogram::clone(histogram);
        match self.operation.op {
            BinaryOp::Div => {
                result.div(number);
                result.compact(0);
            }
            BinaryOp::TrimUpper => result.trim_above(number),
            BinaryOp::TrimLower => result.trim_below(number),
            _ => return self.refuse(&Point::Histogram(histogram.clone()), &Point::Number(number)),
        }
        Some(Point::Histogram(Arc::new(result)))
    }

    fn of_histograms(&self, a: &Histogram, b: &Histogram, kept: &Point) -> Option<Point> {
        let compared = |holds: bool| match (self.operation.return_bool, holds) {
            (true, holds) => Some(Point::Number(f64::from(u8::from(holds)))),
            (false, true) => Some(kept.clone()),
            (false, false) => None,
        };
        let mut result = FloatHistogram::clone(a);
        match self.operation.op {
            BinaryOp::Equal => return compared(a.same_data(b)),
            BinaryOp::NotEqual => return compared(!a.same_data(b)),
            BinaryOp::Add => self.note("addition", result.add(b))?,
            BinaryOp::Sub => {
                self.note("subtraction", result.sub(b))?;
                result.set_reset_hint(ResetHint::Gauge);
            }
            _ => return self.refuse(&Point::Histogram(a.clone()), &Point::Histogram(b.clone())),
        }
        result.compact(0);
        Some(Point::Histogram(Arc::new(result)))
    }

    /// Notes what had to be reconciled; `None` if that was not possible.
    fn note(&self, operation: &'static str, done: Result<Reconciled, IncompatibleSchemas>) -> Option<()> {
        let Ok(reconciled) = done else {
            let operator = self.operation.op.symbol();
            self.context.annotate(Annotation::IncompatibleBucketLayout { operator }, self.span);
            return None;
        };
        if reconciled.hint_conflict {
            self.context.annotate(Annotation::CounterResetCollision { operation }, self.span);
        }
        if reconciled.bounds {
            self.context.annotate(Annotation::MismatchedCustomBuckets { operation }, self.span);
        }
        Some(())
    }

    fn refuse(&self, left: &Point, right: &Point) -> Option<Point> {
        let (lhs, rhs) = (left.type_name(), right.type_name());
        let operator = self.operation.op.symbol();
        self.context.annotate(Annotation::IncompatibleTypes { operator, lhs, rhs }, self.span);
        None
    }
}
