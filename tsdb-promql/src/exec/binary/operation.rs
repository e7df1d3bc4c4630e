//! Operators of two numbers.

use super::super::operator::{ABSENT, as_point};
use crate::ast::BinaryOp;

/// The number that `a op b` is between scalars: a comparison yields 0 or 1. NaN for operators that know no numbers.
pub(in super::super) fn scalar_operation(op: BinaryOp, a: f64, b: f64) -> f64 {
    match compares(op, a, b) {
        Some(holds) => f64::from(u8::from(holds)),
        None => arithmetic(op, a, b),
    }
}

/// Does the comparison hold? `None` if `op` is none.
#[inline(always)]
pub(super) fn compares(op: BinaryOp, a: f64, b: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Greater => a > b,
        BinaryOp::Less => a < b,
        BinaryOp::GreaterOrEqual => a >= b,
        BinaryOp::LessOrEqual => a <= b,
        _ => return None,
    })
}

#[inline(always)]
fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => f64::NAN,
    }
}

/// An operator between elements of vectors, and what becomes of a comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// The operator.
    pub(super) op: BinaryOp,
    /// Does a comparison yield 0 and 1 instead of filtering?
    pub(super) return_bool: bool,
}

impl Operation {
    /// Does the result stand for something else than the operands, so that their name goes?
    pub(super) fn changes_meaning(self) -> bool {
        !(self.op.is_comparison() || self.op.is_trim())
    }

    /// The slot for `a op b`; `kept` is what a comparison that holds passes on.
    #[inline(always)]
    pub(super) fn slot(self, a: f64, b: f64, kept: f64) -> f64 {
        match compares(self.op, a, b) {
            None => as_point(arithmetic(self.op, a, b)),
            Some(holds) if self.return_bool => f64::from(u8::from(holds)),
            Some(true) => kept,
            Some(false) => ABSENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::operator::is_absent;

    #[test]
    fn a_comparison_filters_or_tells() {
        let filter = Operation { op: BinaryOp::Greater, return_bool: false };
        assert_eq!(filter.slot(2.0, 1.0, 2.0), 2.0);
        assert!(is_absent(filter.slot(1.0, 2.0, 1.0)));
        assert_eq!(Operation { return_bool: true, ..filter }.slot(1.0, 2.0, 1.0), 0.0);
        assert_eq!(scalar_operation(BinaryOp::LessOrEqual, 1.0, 1.0), 1.0);
    }

    #[test]
    fn arithmetic_follows_ieee() {
        assert_eq!(scalar_operation(BinaryOp::Mod, -5.0, 3.0), -2.0);
        assert_eq!(scalar_operation(BinaryOp::Pow, 1.0, f64::NAN), 1.0);
        assert!(scalar_operation(BinaryOp::Div, 0.0, 0.0).is_nan());
    }
}
