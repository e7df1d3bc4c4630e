//! The syntax tree of PromQL.
//!
//! Everything the language can say has a place here, whether the evaluator supports it or not. Every node carries
//! the [`Span`] of its text. Trees that come from the parser nest no deeper than its limit, but lean to the left as far
//! as a chain of operators is long; everything here walks along chains in a loop, so it needs a bounded stack.
//!
//! The tree holds what was written, with three simplifications, the same as in Prometheus: signs before a number
//! become part of the number, the metric name before the braces becomes the last matcher, and a duration without
//! arithmetic becomes milliseconds.

mod chain;
mod duration;
mod pretty;
mod print;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
mod visit;

pub(crate) use duration::literal_millis;
pub use duration::{DurationError, DurationExpr, DurationOp, DurationValue};
pub(crate) use print::format_selector;
pub use print::{format_duration, format_number};
pub use text::Text;
pub use visit::{Visitor, selectors, walk, walk_mut};

pub use crate::operator::{AggregateOp, BinaryOp, UnaryOp};
pub use crate::quote::quote;

use crate::span::Span;
use tsdb_core::{Matcher, Timestamp};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `1.5`, `0x1f`, `Inf`, `5m`.
    Number(NumberLiteral),
    /// `"text"`.
    String(StringLiteral),
    /// `foo{a="b"} offset 5m`.
    Vector(VectorSelector),
    /// `foo{a="b"}[5m] offset 5m`.
    Matrix(MatrixSelector),
    /// `expr[5m:1m] offset 5m`.
    Subquery(Subquery),
    /// `(expr)`.
    Paren(Paren),
    /// `-expr`.
    Unary(Unary),
    /// `left + on (a) right`.
    Binary(Binary),
    /// `sum by (a) (expr)`.
    Aggregate(Aggregate),
    /// `rate(foo[5m])`.
    Call(Call),
}

/// A number.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    /// The number; of a duration, its seconds.
    pub value: f64,
    /// Was it written as a duration, such as `1h30m`?
    pub duration: bool,
    /// Its text, signs included.
    pub span: Span,
}

/// A string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringLiteral {
    /// The string without quotes and escapes.
    pub value: Text,
    /// Its text, quotes included.
    pub span: Span,
}

/// Selects series and, of each, the newest sample within the lookback.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name before the braces; `None` if there is none there.
    pub name: Option<String>,
    /// All conditions. The name before the braces is the last of them, as an equality on `__name__`.
    pub matchers: Vec<Matcher>,
    /// `@` and `offset`.
    pub modifiers: Modifiers,
    /// `anchored` or `smoothed`.
    pub extension: Option<RangeExtension>,
    /// Text of the selector. Of an instant selector, modifiers included; of one inside a [`MatrixSelector`], up to
    /// the bracket.
    pub span: Span,
}

/// Selects series and, of each, the samples of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// Which series; also holds the modifiers that stand behind the window.
    pub selector: VectorSelector,
    /// Length of the window.
    pub range: DurationValue,
    /// Its text, modifiers included.
    pub span: Span,
}

/// Evaluates an instant vector at steps of its own within a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// Length of the window.
    pub range: DurationValue,
    /// Distance of the steps; `None` stands for the engine's default.
    pub step: Option<DurationValue>,
    /// `@` and `offset`.
    pub modifiers: Modifiers,
    /// Its text, modifiers included.
    pub span: Span,
}

/// An expression in parentheses.
#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    /// The expression inside.
    pub expr: Box<Expr>,
    /// Its text, parentheses included.
    pub span: Span,
}

/// A sign before an expression that is no number literal.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// The sign.
    pub op: UnaryOp,
    /// Its operand.
    pub expr: Box<Expr>,
    /// Its text, sign included.
    pub span: Span,
}

/// Two expressions joined by an operator.
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left operand.
    pub lhs: Box<Expr>,
    /// The right operand.
    pub rhs: Box<Expr>,
    /// Does a comparison yield 0 and 1 instead of filtering?
    pub return_bool: bool,
    /// How series of both sides find each other; `None` if not both sides are instant vectors. Always set in a tree
    /// that was parsed but not yet checked.
    pub matching: Option<VectorMatching>,
    /// Text of both operands and all between.
    pub span: Span,
}

/// How series of the two sides of a binary operator find each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorMatching {
    /// How many series of one side may meet one of the other.
    pub cardinality: Cardinality,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Are `labels` those of `on`? Otherwise of `ignoring`, which may be empty.
    pub on: bool,
    /// Labels that `group_left` or `group_right` takes over from the side of the one.
    pub include: Vec<String>,
    /// Value that stands in for a missing series of the left side.
    pub fill_left: Option<f64>,
    /// Value that stands in for a missing series of the right side.
    pub fill_right: Option<f64>,
}

/// How many series of one side may meet one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cardinality {
    /// One on each side.
    #[default]
    OneToOne,
    /// `group_left`: many on the left side.
    ManyToOne,
    /// `group_right`: many on the right side.
    OneToMany,
    /// Many on both: the set operators.
    ManyToMany,
}

/// An aggregation over series.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which aggregation.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Box<Expr>,
    /// The parameter of those that take one: see [`AggregateOp::takes_parameter`].
    pub param: Option<Box<Expr>>,
    /// Which series form a group.
    pub grouping: Grouping,
    /// Its text.
    pub span: Span,
}

/// Which series form a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    /// The labels of `by` or `without`; empty also if neither is written.
    pub labels: Vec<String>,
    /// Are `labels` those of `without`?
    pub without: bool,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name of the function.
    pub function: String,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Its text.
    pub span: Span,
}

/// What moves a selection in time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Modifiers {
    /// `@`: the time to select at instead of the evaluation time.
    pub at: Option<At>,
    /// `offset`: how far before that time. Negative looks ahead; zero if none is written.
    pub offset: DurationValue,
}

/// The time behind `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// A fixed time, ms.
    Time(Timestamp),
    /// `start()`: the first step of the query.
    Start,
    /// `end()`: the last step of the query.
    End,
}

/// How a window treats its borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeExtension {
    /// The sample before the window stands at its start.
    Anchored,
    /// The values at both borders are interpolated.
    Smoothed,
}

impl RangeExtension {
    /// The keyword.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number for each step.
    Scalar,
    /// One value for each series and step.
    Vector,
    /// A window of samples for each series and step.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// The short name, as in the HTTP API: `vector`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// The name in error messages: `instant vector`.
    pub const fn documented(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            other => other.name(),
        }
    }
}

impl Expr {
    /// Its text.
    pub fn span(&self) -> Span {
        match self {
            Self::Number(e) => e.span,
            Self::String(e) => e.span,
            Self::Vector(e) => e.span,
            Self::Matrix(e) => e.span,
            Self::Subquery(e) => e.span,
            Self::Paren(e) => e.span,
            Self::Unary(e) => e.span,
            Self::Binary(e) => e.span,
            Self::Aggregate(e) => e.span,
            Self::Call(e) => e.span,
        }
    }

    /// The expression inside any number of parentheses.
    pub fn without_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }

    /// The direct sub-expressions, in the order they are written (the parameter of an aggregation first).
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::String(_) | Self::Vector(_) | Self::Matrix(_) => Vec::new(),
            Self::Subquery(e) => vec![&*e.expr],
            Self::Paren(e) => vec![&*e.expr],
            Self::Unary(e) => vec![&*e.expr],
            Self::Binary(e) => vec![&*e.lhs, &*e.rhs],
            Self::Aggregate(e) => e.param.as_deref().into_iter().chain([&*e.expr]).collect(),
            Self::Call(e) => e.args.iter().collect(),
        }
    }

    /// The direct sub-expressions for change, in the order of [`children`](Self::children).
    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Number(_) | Self::String(_) | Self::Vector(_) | Self::Matrix(_) => Vec::new(),
            Self::Subquery(e) => vec![&mut *e.expr],
            Self::Paren(e) => vec![&mut *e.expr],
            Self::Unary(e) => vec![&mut *e.expr],
            Self::Binary(e) => vec![&mut *e.lhs, &mut *e.rhs],
            Self::Aggregate(e) => e.param.as_deref_mut().into_iter().chain([&mut *e.expr]).collect(),
            Self::Call(e) => e.args.iter_mut().collect(),
        }
    }
}
