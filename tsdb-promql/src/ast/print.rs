//! The canonical text of a tree: what Prometheus prints for the same expression. Parsing it yields the same tree,
//! but for spans and the order of matchers, which are sorted.

use super::{
    Aggregate, At, Binary, Call, Cardinality, DurationExpr, DurationValue, Expr, Grouping, MatrixSelector,
    Modifiers, NumberLiteral, RangeExtension, StringLiteral, Subquery, Unary, VectorMatching, VectorSelector,
};
use crate::quote::quote;
use core::fmt::{self, Display, Formatter};
use tsdb_core::labels::is_legacy_label_name;
use tsdb_core::{METRIC_NAME, MatchOp, Matcher};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(e) => e.fmt(f),
            Self::String(e) => e.fmt(f),
            Self::Vector(e) => e.fmt(f),
            Self::Matrix(e) => e.fmt(f),
            Self::Subquery(e) => e.fmt(f),
            Self::Paren(e) => write!(f, "({})", e.expr),
            Self::Unary(e) => e.fmt(f),
            Self::Binary(e) => e.fmt(f),
            Self::Aggregate(e) => e.fmt(f),
            Self::Call(e) => e.fmt(f),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.duration {
            return f.write_str(&format_number(self.value));
        }
        if self.value < 0.0 {
            f.write_str("-")?;
        }
        f.write_str(&format_duration((self.value.abs() * 1000.0).round() as i64))
    }
}

impl Display for StringLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_series(f)?;
        self.modifiers.write_at(f)?;
        write_extension(self.extension, f)?;
        self.modifiers.write_offset(f)
    }
}

impl VectorSelector {
    /// Name and matchers, without modifiers.
    fn write_series(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_deref().unwrap_or(""))?;
        let mut matchers: Vec<_> = match (&self.name, self.matchers.split_last()) {
            (Some(_), Some((_, rest))) => rest,
            _ => &self.matchers,
        }
        .iter()
        .map(format_matcher)
        .collect();
        if matchers.is_empty() && self.name.is_some() {
            return Ok(());
        }
        matchers.sort();
        write!(f, "{{{}}}", matchers.join(","))
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.selector.write_series(f)?;
        write!(f, "[{}]", self.range)?;
        write_extension(self.selector.extension, f)?;
        self.selector.modifiers.fmt(f)
    }
}

impl Display for Subquery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}:", self.expr, self.range)?;
        if let Some(step) = &self.step {
            step.fmt(f)?;
        }
        write!(f, "]{}", self.modifiers)
    }
}

impl Display for Modifiers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_at(f)?;
        self.write_offset(f)
    }
}

impl Modifiers {
    fn write_at(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.at {
            None => Ok(()),
            Some(At::Start) => f.write_str(" @ start()"),
            Some(At::End) => f.write_str(" @ end()"),
            Some(At::Time(ms)) => {
                let sign = if ms < 0 { "-" } else { "" };
                write!(f, " @ {sign}{}.{:03}", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
            }
        }
    }

    fn write_offset(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.offset.is_zero() { Ok(()) } else { write!(f, " offset {}", self.offset) }
    }
}

fn write_extension(extension: Option<RangeExtension>, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(match extension {
        None => "",
        Some(RangeExtension::Anchored) => " anchored",
        Some(RangeExtension::Smoothed) => " smoothed",
    })
}

impl Display for DurationValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ms) if *ms < 0 => write!(f, "-{}", format_duration(ms.saturating_neg())),
            Self::Fixed(ms) => f.write_str(&format_duration(*ms)),
            Self::Expr(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::Paren { expr, .. } => write!(f, "({expr})"),
            Self::Negate { expr, .. } => write!(f, "-{expr}"),
            Self::Binary { op, lhs, rhs, .. } if op.is_function() => {
                write!(f, "{}({lhs}, {rhs})", op.symbol())
            }
            Self::Binary { op, lhs, rhs, .. } => write!(f, "{lhs} {} {rhs}", op.symbol()),
        }
    }
}

impl Display for Unary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.op, self.expr)
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let chain = self.chain();
        if let Some(first) = chain.last() {
            write!(f, "{}", first.lhs)?;
        }
        for link in chain.into_iter().rev() {
            write!(f, " {}", link.op)?;
            if link.return_bool {
                f.write_str(" bool")?;
            }
            if let Some(matching) = &link.matching {
                matching.fmt(f)?;
            }
            write!(f, " {}", link.rhs)?;
        }
        Ok(())
    }
}

impl Display for VectorMatching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if self.on || !self.labels.is_empty() || group.is_some() {
            write!(f, " {} ({})", if self.on { "on" } else { "ignoring" }, format_labels(&self.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} ({})", format_labels(&self.include))?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", format_number(left)),
            (left, right) => {
                if let Some(left) = left {
                    write!(f, " fill_left ({})", format_number(left))?;
                }
                right.map_or(Ok(()), |right| write!(f, " fill_right ({})", format_number(right)))
            }
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}(", self.op, self.grouping)?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.without, self.labels.is_empty()) {
            (true, _) => write!(f, " without ({}) ", format_labels(&self.labels)),
            (false, false) => write!(f, " by ({}) ", format_labels(&self.labels)),
            (false, true) => Ok(()),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function)?;
        for (index, arg) in self.args.iter().enumerate() {
            write!(f, "{}{arg}", if index == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

/// A matcher as it stands between braces.
fn format_matcher(matcher: &Matcher) -> String {
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    format!("{}{op}{}", format_label_name(matcher.name()), quote(matcher.value().as_bytes()))
}

/// Matchers as they stand in text, in braces.
pub(crate) fn format_selector(matchers: &[Matcher]) -> String {
    let matchers: Vec<_> = matchers.iter().map(format_matcher).collect();
    format!("{{{}}}", matchers.join(","))
}

fn format_labels(labels: &[String]) -> String {
    labels.iter().map(|name| format_label_name(name)).collect::<Vec<_>>().join(", ")
}

fn format_label_name(name: &str) -> String {
    if name == METRIC_NAME || is_legacy_label_name(name) { name.into() } else { quote(name.as_bytes()) }
}

/// A number as PromQL prints it: never with an exponent, `+Inf`, `-Inf`, `NaN`.
pub fn format_number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    format!("{value}")
}

/// A duration of `ms` milliseconds, not negative, as Prometheus prints it: `1h30m`, `0s`. Years and weeks appear only
/// where they leave no rest.
pub fn format_duration(ms: i64) -> String {
    const UNITS: [(&str, i64, bool); 7] = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ];
    if ms == 0 {
        return "0s".into();
    }
    let mut rest = ms;
    let mut text = String::new();
    for (unit, length, whole_only) in UNITS {
        let count = rest / length;
        if count > 0 && (!whole_only || rest % length == 0) {
            text.push_str(&format!("{count}{unit}"));
            rest %= length;
        }
    }
    text
}
