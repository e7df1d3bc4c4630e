//! A tree as text on several lines, for people.
//!
//! An expression that fits in a line stays on one. A longer one is broken at its outermost construct: operands above
//! and below their operator, arguments one below the other. Selectors are never broken. The layout is that of
//! Prometheus' formatter.

use super::{Aggregate, Binary, Call, Expr, Subquery};

/// The longest line that is not broken, in characters.
const MAX_LINE: usize = 100;

impl Expr {
    /// The canonical text, broken into indented lines where it is long. Parses to the same tree.
    pub fn pretty(&self) -> String {
        pretty(self, 0)
    }
}

fn pretty(expr: &Expr, level: usize) -> String {
    let line = format!("{}{expr}", indent(level));
    if fits(&line) {
        return line;
    }
    match expr {
        Expr::Binary(e) => pretty_binary(e, level),
        Expr::Aggregate(e) => pretty_aggregate(e, level),
        Expr::Call(e) => pretty_call(e, level),
        Expr::Subquery(e) => pretty_subquery(e, level),
        Expr::Paren(e) => format!("{0}(\n{1}\n{0})", indent(level), pretty(&e.expr, level + 1)),
        Expr::Unary(e) => format!("{}{}{}", indent(level), e.op, pretty(&e.expr, level).trim_start()),
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => line,
    }
}

fn pretty_binary(binary: &Binary, level: usize) -> String {
    // Down to the first operand that stays on a line, in a loop: a chain may be long.
    let mut broken = vec![binary];
    let mut below = &*binary.lhs;
    while let Expr::Binary(inner) = below
        && !fits(&format!("{}{below}", indent(level + broken.len())))
    {
        broken.push(inner);
        below = &inner.lhs;
    }
    let mut text = pretty(below, level + broken.len());
    for (above, link) in broken.into_iter().enumerate().rev() {
        let return_bool = if link.return_bool { " bool" } else { "" };
        let matching = link.matching.as_ref().map_or(String::new(), ToString::to_string);
        let (level, rhs) = (level + above, pretty(&link.rhs, level + above + 1));
        text.push_str(&format!("\n{}{}{return_bool}{matching}\n{rhs}", indent(level), link.op));
    }
    text
}

fn fits(line: &str) -> bool {
    line.chars().count() <= MAX_LINE
}

fn pretty_aggregate(aggregate: &Aggregate, level: usize) -> String {
    let args: Vec<_> = aggregate.param.as_deref().into_iter().chain([&*aggregate.expr]).collect();
    format!("{}{}{}{}", indent(level), aggregate.op, aggregate.grouping, pretty_args(&args, level))
}

fn pretty_call(call: &Call, level: usize) -> String {
    let args: Vec<_> = call.args.iter().collect();
    format!("{}{}{}", indent(level), call.function, pretty_args(&args, level))
}

fn pretty_args(args: &[&Expr], level: usize) -> String {
    let args: Vec<_> = args.iter().map(|arg| pretty(arg, level + 1)).collect();
    format!("(\n{}\n{})", args.join(",\n"), indent(level))
}

fn pretty_subquery(subquery: &Subquery, level: usize) -> String {
    let step = subquery.step.as_ref().map_or(String::new(), ToString::to_string);
    let inner = pretty(&subquery.expr, level);
    format!("{inner}[{}:{step}]{}", subquery.range, subquery.modifiers)
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}
