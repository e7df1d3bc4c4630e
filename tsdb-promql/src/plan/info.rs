//! `info`: which info series are looked for, and as of which time.
//!
//! Source: the behaviour of Prometheus (`promql/info.go`).

use super::build::{Builder, Lowered, Scope};
use super::call::{LoweredVector, argument};
use super::node::{InfoNode, VectorNode};
use crate::ast::{Call, Expr, Modifiers};
use crate::failure::QueryError;
use tsdb_core::{METRIC_NAME, MatchOp, Matcher, Timestamp};

impl Builder {
    pub(super) fn info(&self, call: &Call, scope: Scope) -> LoweredVector {
        let arg = argument(call, 0)?;
        let vector = self.vector(arg, scope)?;
        let (names, data, fixed) = match call.args.get(1).map(Expr::without_parens) {
            Some(Expr::Vector(selector)) => {
                let of_name = |matcher: &Matcher| matcher.name() == METRIC_NAME;
                let (names, data) = selector.matchers.iter().cloned().partition(of_name);
                (names, data, selector.modifiers.at.is_some())
            }
            _ => (Vec::new(), Vec::new(), true),
        };
        let (at, offset_ms) = self.reference_time(arg)?;
        let seen = scope.moved(at, offset_ms);
        self.touch(seen.first.saturating_sub(self.times.lookback_ms).saturating_add(1), seen.last);
        let invariant = vector.invariant && fixed;
        let node = InfoNode {
            vector: vector.under(invariant),
            names: complete_names(names)?,
            data,
            at,
            offset_ms,
            span: call.span,
        };
        Ok(Lowered::new(VectorNode::Info(Box::new(node)), invariant))
    }

    /// `@` and offset of the first selector of `expr`, so that info series are those of the time that its samples
    /// are of. The offsets of subqueries around it add up, until one of them is fixed by `@`.
    fn reference_time(&self, expr: &Expr) -> Result<(Option<Timestamp>, i64), QueryError> {
        let mut around = Vec::new();
        let Some(innermost) = first_selector(expr, &mut around) else { return Ok((None, 0)) };
        let (mut at, mut offset_ms) = self.modifiers(innermost)?;
        for modifiers in around.into_iter().rev() {
            if at.is_some() {
                break;
            }
            let (subquery_at, subquery_offset_ms) = self.modifiers(modifiers)?;
            offset_ms = offset_ms.saturating_add(subquery_offset_ms);
            at = subquery_at;
        }
        Ok((at, offset_ms))
    }
}

/// The modifiers of the selector of `expr` that comes first, and those of the subqueries around it.
fn first_selector<'a>(expr: &'a Expr, around: &mut Vec<&'a Modifiers>) -> Option<&'a Modifiers> {
    match expr {
        Expr::Vector(selector) => Some(&selector.modifiers),
        Expr::Matrix(matrix) => Some(&matrix.selector.modifiers),
        Expr::Subquery(subquery) => {
            around.push(&subquery.modifiers);
            let found = first_selector(&subquery.expr, around);
            if found.is_none() {
                around.pop();
            }
            found
        }
        // The vector of an aggregation comes before its parameter, though it is written behind.
        Expr::Aggregate(aggregate) => first_selector(&aggregate.expr, around)
            .or_else(|| first_selector(aggregate.param.as_deref()?, around)),
        other => other.children().into_iter().find_map(|child| first_selector(child, around)),
    }
}

/// The conditions on the name, with what is implied: `target_info` if there are none, and names that end in `_info`
/// if they only say which not.
fn complete_names(mut names: Vec<Matcher>) -> Result<Vec<Matcher>, QueryError> {
    let matcher = |op, value| {
        Matcher::new(op, METRIC_NAME, value).map_err(|error| QueryError::execution(error.to_string()))
    };
    if names.is_empty() {
        names.push(matcher(MatchOp::Equal, "target_info")?);
    } else if names.iter().all(|name| name.op().is_negative()) {
        names.push(matcher(MatchOp::Regex, ".+_info")?);
    }
    Ok(names)
}
