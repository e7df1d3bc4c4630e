//! Comparing trees that were parsed from different texts.

use super::{DurationExpr, DurationValue, Expr, VectorSelector, walk_mut};
use crate::span::Span;

/// What `expr` says, apart from where: the tree without spans and with its matchers sorted, as text.
///
/// A text, because trees that hold NaN equal nothing.
pub fn shape(expr: &Expr) -> String {
    let mut bare = expr.clone();
    walk_mut(&mut bare, &mut strip);
    format!("{bare:?}")
}

fn strip(expr: &mut Expr) {
    let none = Span::default();
    match expr {
        Expr::Number(e) => e.span = none,
        Expr::String(e) => e.span = none,
        Expr::Vector(e) => strip_selector(e),
        Expr::Matrix(e) => {
            e.span = none;
            strip_selector(&mut e.selector);
            strip_duration(&mut e.range);
        }
        Expr::Subquery(e) => {
            e.span = none;
            strip_duration(&mut e.range);
            e.step.iter_mut().for_each(strip_duration);
            strip_duration(&mut e.modifiers.offset);
        }
        Expr::Paren(e) => e.span = none,
        Expr::Unary(e) => e.span = none,
        Expr::Binary(e) => e.span = none,
        Expr::Aggregate(e) => e.span = none,
        Expr::Call(e) => e.span = none,
    }
}

fn strip_selector(selector: &mut VectorSelector) {
    selector.span = Span::default();
    strip_duration(&mut selector.modifiers.offset);
    selector.matchers.sort_by_key(|matcher| format!("{matcher:?}"));
}

fn strip_duration(duration: &mut DurationValue) {
    if let DurationValue::Expr(expr) = duration {
        strip_duration_expr(expr);
    }
}

fn strip_duration_expr(expr: &mut DurationExpr) {
    let none = Span::default();
    match expr {
        DurationExpr::Number(number) => number.span = none,
        DurationExpr::Step(span) | DurationExpr::Range(span) => *span = none,
        DurationExpr::Paren { expr, span } | DurationExpr::Negate { expr, span } => {
            *span = none;
            strip_duration_expr(expr);
        }
        DurationExpr::Binary { lhs, rhs, span, .. } => {
            *span = none;
            strip_duration_expr(lhs);
            strip_duration_expr(rhs);
        }
    }
}
