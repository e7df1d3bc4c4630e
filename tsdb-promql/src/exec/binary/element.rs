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

/// The operator knows no such elements, or they do not fit; that was noted. They count as not having met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

impl ElementRules<'_> {
    /// The point for `left op right`; `kept` is what a comparison that holds passes on, and none remains of one that
    /// does not.
    ///
    /// # Errors
    /// Elements that do not fit.
    pub(super) fn combine(
        &self,
        left: &Point,
        right: &Point,
        kept: &Point,
    ) -> Result<Option<Point>, Refused> {
        let op = self.operation.op;
        match (left, right) {
            (Point::Number(a), Point::Number(b)) if !op.is_trim() => {
                let Point::Number(kept) = kept else { return Err(Refused) };
                Ok(Point::of_slot(self.operation.slot(*a, *b, *kept)))
            }
            (Point::Number(factor), Point::Histogram(histogram))
            | (Point::Histogram(histogram), Point::Number(factor))
                if op == BinaryOp::Mul =>
            {
                Ok(Some(Point::Histogram(scaled(histogram, *factor))))
            }
            (Point::Histogram(histogram), Point::Number(number)) => self.with_number(histogram, *number),
            (Point::Histogram(a), Point::Histogram(b)) => self.of_histograms(a, b, kept),
            _ => self.refuse(left, right),
        }
    }

    fn with_number(&self, histogram: &Histogram, number: f64) -> Result<Option<Point>, Refused> {
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
        Ok(Some(Point::Histogram(Arc::new(result))))
    }

    fn of_histograms(&self, a: &Histogram, b: &Histogram, kept: &Point) -> Result<Option<Point>, Refused> {
        let compared = |holds: bool| match (self.operation.return_bool, holds) {
            (true, holds) => Some(Point::Number(f64::from(u8::from(holds)))),
            (false, true) => Some(kept.clone()),
            (false, false) => None,
        };
        let mut result = FloatHistogram::clone(a);
        match self.operation.op {
            BinaryOp::Equal => return Ok(compared(a.same_data(b))),
            BinaryOp::NotEqual => return Ok(compared(!a.same_data(b))),
            BinaryOp::Add => self.note("addition", result.add(b))?,
            BinaryOp::Sub => {
                self.note("subtraction", result.sub(b))?;
                result.set_reset_hint(ResetHint::Gauge);
            }
            _ => return self.refuse(&Point::Histogram(a.clone()), &Point::Histogram(b.clone())),
        }
        result.compact(0);
        Ok(Some(Point::Histogram(Arc::new(result))))
    }

    /// Notes what had to be reconciled, or that it was not possible.
    fn note(
        &self,
        operation: &'static str,
        done: Result<Reconciled, IncompatibleSchemas>,
    ) -> Result<(), Refused> {
        let Ok(reconciled) = done else {
            let operator = self.operation.op.symbol();
            self.context.annotate(Annotation::IncompatibleBucketLayout { operator }, self.span);
            return Err(Refused);
        };
        if reconciled.hint_conflict {
            self.context.annotate(Annotation::CounterResetCollision { operation }, self.span);
        }
        if reconciled.bounds {
            self.context.annotate(Annotation::MismatchedCustomBuckets { operation }, self.span);
        }
        Ok(())
    }

    fn refuse(&self, left: &Point, right: &Point) -> Result<Option<Point>, Refused> {
        let (lhs, rhs) = (left.type_name(), right.type_name());
        let operator = self.operation.op.symbol();
        self.context.annotate(Annotation::IncompatibleTypes { operator, lhs, rhs }, self.span);
        Err(Refused)
    }
}
