//! Operators between elements that are numbers.

use super::super::operator::{ABSENT, as_point};
use crate::ast::BinaryOp;
use crate::num::{arithmetic, compares};

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
    }
}
