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

    /// Notes what had to be reconciled, or why there is no result.
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
            // As in Prometheus, the warning stands in place of the result.
            self.context.annotate(Annotation::CounterResetCollision { operation }, self.span);
            return Err(Refused);
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

#[cfg(test)]
mod tests {
    use super::super::super::budget::Budget;
    use super::*;
    use crate::options::{EngineOptions, QueryParams};
    use tsdb_core::TimeRange;
    use tsdb_core::histogram::FloatParts;
    use tsdb_core::read::Queryable;
    use tsdb_core::testing::MemStore;

    fn native(count: f64) -> Point {
        let parts = FloatParts { count, zero_count: count, ..FloatParts::default() };
        Point::Histogram(Arc::new(FloatHistogram::new(parts).unwrap()))
    }

    fn custom(bounds: &[f64]) -> Point {
        let parts = FloatParts { schema: -53, bounds: bounds.into(), ..FloatParts::default() };
        Point::Histogram(Arc::new(FloatHistogram::new(parts).unwrap()))
    }

    /// What `left op right` is, and what is said about it.
    fn combined(
        left: &Point,
        op: BinaryOp,
        return_bool: bool,
        right: &Point,
    ) -> (Result<Option<Point>, Refused>, Vec<String>) {
        let (options, store) = (EngineOptions::default(), MemStore::new());
        let querier = store.querier(TimeRange::new(0, 1).unwrap()).unwrap();
        let budget = Budget::new(&options, &QueryParams::instant(0));
        let context = Context::new(&*querier, &options, 0, Arc::new(budget));
        let operation = Operation { op, return_bool };
        let rules = ElementRules { context: &context, operation, span: Span { start: 0, end: 0 } };
        let result = rules.combine(left, right, left);
        let said = context.take_annotations();
        (result, said.iter().map(|(annotation, _)| annotation.to_string()).collect())
    }

    /// The count of a histogram, or a number.
    fn figure(point: &Point) -> f64 {
        match point {
            Point::Number(number) => *number,
            Point::Histogram(histogram) => histogram.count(),
        }
    }

    #[test]
    fn each_operator_knows_its_elements_and_refuses_others_with_a_note() {
        use BinaryOp::{Add, Div, Equal, Mul, NotEqual, Sub, TrimLower, TrimUpper};
        for op in BinaryOp::ALL.into_iter().filter(|op| !op.is_set()) {
            for (left, right, known) in [
                (native(4.0), native(2.0), [Add, Sub, Equal, NotEqual].contains(&op)),
                (native(4.0), Point::Number(2.0), [Mul, Div, TrimUpper, TrimLower].contains(&op)),
                (Point::Number(2.0), native(4.0), op == Mul),
                (Point::Number(2.0), Point::Number(4.0), !op.is_trim()),
            ] {
                let (result, said) = combined(&left, op, false, &right);
                let types = (left.type_name(), right.type_name());
                assert_eq!(result.is_ok(), known, "{op} {types:?}");
                assert_eq!(said.len(), usize::from(!known), "{op} {types:?}: {said:?}");
            }
        }
    }

    #[test]
    fn arithmetic_of_histograms_is_that_of_their_counts() {
        for (left, op, right, expected) in [
            (native(4.0), BinaryOp::Add, native(2.0), 6.0),
            (native(4.0), BinaryOp::Sub, native(1.0), 3.0),
            (native(4.0), BinaryOp::Mul, Point::Number(2.5), 10.0),
            (Point::Number(2.5), BinaryOp::Mul, native(4.0), 10.0),
            (native(4.0), BinaryOp::Div, Point::Number(2.0), 2.0),
        ] {
            let (result, said) = combined(&left, op, false, &right);
            assert_eq!(result.ok().flatten().as_ref().map(figure), Some(expected), "{op}");
            assert!(said.is_empty(), "{said:?}");
        }
    }

    #[test]
    fn a_difference_of_histograms_is_a_gauge() {
        let (result, _) = combined(&native(4.0), BinaryOp::Sub, false, &native(1.0));
        let Ok(Some(Point::Histogram(difference))) = result else { unreachable!("a histogram") };
        assert_eq!(difference.reset_hint(), ResetHint::Gauge);
    }

    #[test]
    fn equality_of_histograms_passes_the_left_one_on_or_tells() {
        let compared = |op, return_bool, right: f64| {
            let (result, _) = combined(&native(4.0), op, return_bool, &native(right));
            result.ok().flatten().map(|point| (point.type_name(), figure(&point)))
        };
        assert_eq!(compared(BinaryOp::Equal, false, 4.0), Some(("histogram", 4.0)));
        assert_eq!(compared(BinaryOp::Equal, false, 5.0), None);
        assert_eq!(compared(BinaryOp::Equal, true, 4.0), Some(("float", 1.0)));
        assert_eq!(compared(BinaryOp::Equal, true, 5.0), Some(("float", 0.0)));
        assert_eq!(compared(BinaryOp::NotEqual, false, 5.0), Some(("histogram", 4.0)));
        assert_eq!(compared(BinaryOp::NotEqual, true, 4.0), Some(("float", 0.0)));
    }

    #[test]
    fn layouts_that_do_not_fit_are_refused_and_bounds_that_differ_are_noted() {
        let (result, said) = combined(&native(1.0), BinaryOp::Add, false, &custom(&[1.0]));
        assert!(result.is_err() && said.len() == 1, "{said:?}");
        let (result, said) = combined(&custom(&[1.0, 2.0]), BinaryOp::Add, false, &custom(&[1.0, 3.0]));
        assert!(result.is_ok() && said.len() == 1, "{said:?}");
    }
}
