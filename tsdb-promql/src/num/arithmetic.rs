//! Operators and functions of two numbers.

use crate::operator::BinaryOp;

/// The number that `a op b` is between scalars: a comparison yields 0 or 1. NaN for operators that know no numbers.
pub(crate) fn scalar_operation(op: BinaryOp, a: f64, b: f64) -> f64 {
    match compares(op, a, b) {
        Some(holds) => f64::from(u8::from(holds)),
        None => arithmetic(op, a, b),
    }
}

/// Does the comparison hold? `None` if `op` is none.
#[inline(always)]
pub(crate) fn compares(op: BinaryOp, a: f64, b: f64) -> Option<bool> {
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

/// `a op b`; NaN if `op` is not arithmetic.
#[inline(always)]
pub(crate) fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
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

/// The larger of two numbers. NaN if one of them is, but nothing is larger than infinity, not even NaN.
/// Source: Go `math.Max`.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// The smaller of two numbers, with the rules of [`larger`].
pub(crate) fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_follows_ieee() {
        assert_eq!(scalar_operation(BinaryOp::Mod, -5.0, 3.0), -2.0);
        assert_eq!(scalar_operation(BinaryOp::Pow, 1.0, f64::NAN), 1.0);
        assert!(scalar_operation(BinaryOp::Div, 0.0, 0.0).is_nan());
    }

    #[test]
    fn between_scalars_a_comparison_yields_0_or_1() {
        assert_eq!(scalar_operation(BinaryOp::LessOrEqual, 1.0, 1.0), 1.0);
        assert_eq!(scalar_operation(BinaryOp::Greater, 1.0, 1.0), 0.0);
    }

    #[test]
    fn nothing_is_larger_than_infinity() {
        assert_eq!(larger(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(smaller(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!(larger(f64::NAN, 1.0).is_nan() && smaller(1.0, f64::NAN).is_nan());
    }
}
