//! Rewriting an expression so that its value no longer depends on the evaluation time.

use crate::ast::{At, Expr, Visitor, walk};
use tsdb_core::Timestamp;

/// Functions whose value depends on the evaluation time even if all selectors have `@`.
const TIME_DEPENDENT: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// `expr` with `@ at` on every selector and subquery that has no time of its own and stands in no subquery.
/// `None` if the expression calls a function whose value depends on the evaluation time even so.
pub(super) fn pinned(expr: &Expr, at: Timestamp) -> Option<Expr> {
    if depends_on_time(expr) {
        return None;
    }
    let mut pinned = expr.clone();
    pin(&mut pinned, at);
    Some(pinned)
}

/// The times at which the pinned form of an expression evaluated at `at` must have the same value.
pub(super) fn other_times(at: Timestamp) -> Vec<Timestamp> {
    match at {
        0 => vec![-1000, 0, 1000],
        at => vec![at.saturating_mul(-10), 0, at / 5, at, at.saturating_mul(10)],
    }
}

fn pin(expr: &mut Expr, at: Timestamp) {
    let modifiers = match expr {
        Expr::Vector(selector) => &mut selector.modifiers,
        Expr::Matrix(matrix) => &mut matrix.selector.modifiers,
        // What is inside follows the steps of the subquery.
        Expr::Subquery(subquery) => &mut subquery.modifiers,
        other => {
            for child in other.children_mut() {
                pin(child, at);
            }
            return;
        }
    };
    if !matches!(modifiers.at, Some(At::Time(_))) {
        modifiers.at = Some(At::Time(at));
    }
}

fn depends_on_time(expr: &Expr) -> bool {
    struct Finder(bool);
    impl Visitor for Finder {
        fn enter(&mut self, expr: &Expr, _: &[&Expr]) -> bool {
            self.0 |= matches!(expr, Expr::Call(call) if TIME_DEPENDENT.contains(&call.function.as_str()));
            !self.0
        }
    }
    let mut finder = Finder(false);
    walk(expr, &mut finder);
    finder.0
}
