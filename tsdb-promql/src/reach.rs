//! How far around its own time a query looks: what a cache of results must know.
//!
//! A query is *local* if its value at a time depends on the data around that time alone, and on nothing else that the
//! request says but the step. Then the steps of two queries that differ in start and end alone have the same values
//! where they coincide, and what was computed for one can answer the other.

use crate::ast::{AggregateOp, MatrixSelector, Subquery, VectorSelector};
use crate::ast::{DurationExpr, DurationValue, Expr, Modifiers, RangeExtension, Visitor, walk};
use crate::options::{EngineOptions, QueryParams};

/// Which data the value at a time depends on, relative to that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Reach {
    /// How far before it, ms; not negative.
    pub before_ms: i64,
    /// How far behind it, ms; not negative, and only with negative offsets or `smoothed` more than 0.
    pub after_ms: i64,
    /// Does the query read any data at all?
    pub reads_data: bool,
}

/// The reach of `expr`; `None` if it is not local. Not local are `@`, whatever tells of the start and end of the query
/// (`start()`, `end()`, `range()`, and `step()` as a number, which is 0 where start and end are the same), and `limitk`,
/// whose choice depends on which series there are at other times.
pub(crate) fn reach(options: &EngineOptions, expr: &Expr, params: &QueryParams) -> Option<Reach> {
    let mut survey = Survey {
        lookback_ms: params.lookback_ms.filter(|ms| *ms > 0).unwrap_or(options.lookback_ms),
        step_ms: params.step_ms,
        reach: Reach::default(),
        is_local: true,
        has_info: false,
    };
    walk(expr, &mut survey);
    let Survey { mut reach, is_local, has_info, lookback_ms, .. } = survey;
    if has_info {
        // Info series are looked for at the time of the first selector, which may look less far back.
        reach.before_ms = reach.before_ms.saturating_add(lookback_ms);
    }
    is_local.then_some(reach)
}

struct Survey {
    lookback_ms: i64,
    step_ms: i64,
    reach: Reach,
    is_local: bool,
    has_info: bool,
}

impl Visitor for Survey {
    fn enter(&mut self, expr: &Expr, path: &[&Expr]) -> bool {
        match expr {
            Expr::Vector(selector) => self.instant(selector, path),
            Expr::Matrix(matrix) => self.window(matrix, path),
            Expr::Call(call) => {
                let tells_of_the_query = matches!(call.function.as_str(), "start" | "end" | "range" | "step")
                    && call.args.is_empty();
                self.is_local &= !tells_of_the_query;
                self.has_info |= call.function == "info";
            }
            Expr::Aggregate(aggregate) => self.is_local &= aggregate.op != AggregateOp::LimitK,
            Expr::Subquery(subquery) => {
                self.is_local &= subquery.step.as_ref().is_none_or(is_fixed);
            }
            _ => {}
        }
        self.is_local
    }
}

impl Survey {
    fn instant(&mut self, selector: &VectorSelector, path: &[&Expr]) {
        let ahead_ms = self.ahead_of(selector);
        self.selection(&selector.modifiers, self.lookback_ms, ahead_ms, path);
    }

    fn window(&mut self, matrix: &MatrixSelector, path: &[&Expr]) {
        let beyond_ms = if matrix.selector.extension.is_some() { self.lookback_ms } else { 0 };
        let range_ms = self.duration(&matrix.range).saturating_add(beyond_ms);
        let ahead_ms = self.ahead_of(&matrix.selector);
        self.selection(&matrix.selector.modifiers, range_ms, ahead_ms, path);
    }

    const fn ahead_of(&self, selector: &VectorSelector) -> i64 {
        match selector.extension {
            Some(RangeExtension::Smoothed) => self.lookback_ms,
            _ => 0,
        }
    }

    fn selection(&mut self, modifiers: &Modifiers, back_ms: i64, ahead_ms: i64, path: &[&Expr]) {
        let offset_ms = self.offset(modifiers);
        let (mut first, mut last) =
            ((-offset_ms).saturating_sub(back_ms), ahead_ms.saturating_sub(offset_ms));
        for around in path {
            if let Expr::Subquery(Subquery { range, modifiers, .. }) = around {
                let (range_ms, offset_ms) = (self.duration(range), self.offset(modifiers));
                first = first.saturating_sub(range_ms).saturating_sub(offset_ms);
                last = last.saturating_sub(offset_ms);
            }
        }
        self.reach.before_ms = self.reach.before_ms.max(first.saturating_neg());
        self.reach.after_ms = self.reach.after_ms.max(last);
        self.reach.reads_data = true;
    }

    fn offset(&mut self, modifiers: &Modifiers) -> i64 {
        self.is_local &= modifiers.at.is_none();
        self.duration(&modifiers.offset).clamp(-i64::MAX, i64::MAX)
    }

    fn duration(&mut self, duration: &DurationValue) -> i64 {
        self.is_local &= is_fixed(duration);
        // One that cannot be resolved ends the query before anything is read.
        duration.resolve(self.step_ms, 0).unwrap_or(0)
    }
}

/// Is the duration the same for all queries of one step?
fn is_fixed(duration: &DurationValue) -> bool {
    match duration {
        DurationValue::Fixed(_) => true,
        DurationValue::Expr(expr) => !knows_range(expr),
    }
}

/// Nests no deeper than the parser allows.
fn knows_range(expr: &DurationExpr) -> bool {
    match expr {
        DurationExpr::Number(_) | DurationExpr::Step(_) => false,
        DurationExpr::Range(_) => true,
        DurationExpr::Paren { expr, .. } | DurationExpr::Negate { expr, .. } => knows_range(expr),
        DurationExpr::Binary { lhs, rhs, .. } => knows_range(lhs) || knows_range(rhs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, ParseOptions};

    fn of(query: &str) -> Option<(i64, i64)> {
        let options = EngineOptions { parse: ParseOptions::all_features(), ..EngineOptions::default() };
        let expr = crate::parse(query, &options.parse).unwrap();
        let params = QueryParams::range(0, 600_000, 15_000);
        Engine::new(options)
            .reach(&expr, &params)
            .map(|reach| (reach.before_ms / 1_000, reach.after_ms / 1_000))
    }

    #[test]
    fn selectors_reach_as_far_as_lookback_window_offset_and_subqueries_around_them() {
        for (query, reach) in [
            ("up", (300, 0)),
            ("up offset 1m", (360, 0)),
            ("up offset -10m", (0, 600)),
            ("rate(x[2m])", (120, 0)),
            ("rate(x[2m] offset -1m)", (60, 60)),
            ("rate(x[2m] anchored)", (420, 0)),
            ("rate(x[2m] smoothed)", (420, 300)),
            ("max_over_time(rate(x[2m])[10m:1m])", (720, 0)),
            ("max_over_time(rate(x[2m] offset 1m)[10m:1m] offset 2m)", (900, 0)),
            ("x + rate(y[1h])", (3600, 0)),
            ("rate(x[4 * step()])", (60, 0)),
            ("info(rate(x[1m]))", (360, 0)),
            ("time()", (0, 0)),
        ] {
            assert_eq!(of(query), Some(reach), "{query}");
        }
    }

    #[test]
    fn what_knows_of_more_than_its_own_time_is_not_local() {
        for query in [
            "up @ end()",
            "up @ start()",
            "up @ 100",
            "sum(rate(x[1m:10s] @ 5))",
            "rate(x[range()])",
            "max_over_time(x[5m:range()])",
            "x offset range()",
            "x * end()",
            "x + step()",
            "limitk(2, x)",
        ] {
            assert_eq!(of(query), None, "{query}");
        }
    }
}
