//! Queries that are no PromQL: what is wrong and where.
//!
//! The sentences follow Prometheus', because people search for them.

use crate::quote::quote;
use crate::span::{Position, Span};

/// A text that does not parse or does not type-check. Displays as `1:13: parse error: unexpected ...`; a text without
/// anything in it has no position either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: parse error: {kind}", place(*position, kind))]
pub struct ParseError {
    /// The offending piece of the text.
    pub span: Span,
    /// Line and column of its first byte.
    pub position: Position,
    /// What is wrong with it.
    pub kind: ParseErrorKind,
}

impl ParseError {
    /// Describes what is wrong at `span` of `text`.
    pub(crate) fn new(text: &str, span: Span, kind: ParseErrorKind) -> Box<Self> {
        Box::new(Self { span, position: span.position(text), kind })
    }
}

/// What the stages of parsing return. The error is boxed because they recurse: it would lie in every stack frame.
pub(crate) type Parse<T> = Result<T, Box<ParseError>>;

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A token that does not fit.
    #[error("unexpected {found}{}{}", prefixed(" in ", context), prefixed(", expected ", expected))]
    Unexpected {
        /// The token.
        found: String,
        /// The construct it was found in; empty if it is none in particular.
        context: &'static str,
        /// What would have fitted; empty if too much.
        expected: &'static str,
    },
    /// A text without tokens.
    #[error("no expression found in input")]
    Empty,
    /// A character that belongs to no token.
    #[error("{rule} {}", quoted_character(*found))]
    BadCharacter {
        /// The broken rule.
        rule: &'static str,
        /// The character.
        found: char,
    },
    /// Digits and letters that are neither number nor duration.
    #[error("bad number or duration syntax: {}", quote(found.as_bytes()))]
    BadNumber {
        /// The characters.
        found: String,
    },
    /// A broken rule of the language that needs no further words.
    #[error("{rule}")]
    Rule {
        /// The rule.
        rule: &'static str,
    },
    /// A number that is none, or that 64 bits do not hold.
    #[error("error parsing number: {}", quote(found.as_bytes()))]
    Number {
        /// The characters.
        found: String,
    },
    /// A duration with a bad unit or order of units.
    #[error("not a valid duration string: {}", quote(found.as_bytes()))]
    Duration {
        /// The characters.
        found: String,
    },
    /// A number of seconds that is no time in 64 bits of milliseconds.
    #[error("timestamp out of bounds for @ modifier: {found}")]
    Timestamp {
        /// The number.
        found: String,
    },
    /// A bad pattern or other matcher that cannot be built.
    #[error("{message}")]
    Matcher {
        /// What the matcher says.
        message: String,
    },
    /// A name that no label may have.
    #[error("invalid label name for grouping: {}", quote(found.as_bytes()))]
    GroupingLabel {
        /// The name.
        found: String,
    },
    /// A function that does not exist.
    #[error("unknown function with name {}", quote(name.as_bytes()))]
    UnknownFunction {
        /// Its name.
        name: String,
    },
    /// An experimental function, and experimental functions are not switched on.
    #[error("function {} is not enabled", quote(name.as_bytes()))]
    FunctionDisabled {
        /// Its name.
        name: String,
    },
    /// A part of the language that must be switched on.
    #[error("{what} is experimental and must be enabled with --enable-feature={feature}")]
    Experimental {
        /// The part.
        what: String,
        /// The feature that switches it on.
        feature: &'static str,
    },
    /// A function with too few or too many arguments.
    #[error("expected {bound}{count} argument(s) in call to {}, got {found}", quote(name.as_bytes()))]
    ArgumentCount {
        /// Name of the function.
        name: String,
        /// `at least `, `at most ` or nothing.
        bound: &'static str,
        /// How many it takes.
        count: usize,
        /// How many it got.
        found: usize,
    },
    /// An aggregation with too few or too many arguments.
    #[error("wrong number of arguments for aggregate expression provided, expected {expected}, got {found}")]
    AggregateArgumentCount {
        /// How many it takes.
        expected: usize,
        /// How many it got.
        found: usize,
    },
    /// An operand of the wrong type.
    #[error("expected type {expected} in {context}, got {found}")]
    Type {
        /// The type that is needed.
        expected: &'static str,
        /// Where.
        context: String,
        /// The type that is there.
        found: &'static str,
    },
    /// A sign before something that has none.
    #[error("unary expression only allowed on expressions of type scalar or instant vector, got \"{found}\"")]
    UnaryType {
        /// The type that is there.
        found: &'static str,
    },
    /// A subquery of something that is no instant vector.
    #[error("subquery is only allowed on instant vector, got {found} instead")]
    SubqueryType {
        /// The type that is there.
        found: &'static str,
    },
    /// A set operator with `group_left` or `group_right`.
    #[error("no grouping allowed for \"{operator}\" operation")]
    SetGrouping {
        /// The operator.
        operator: &'static str,
    },
    /// A set operator with a scalar.
    #[error("set operator \"{operator}\" not allowed in binary scalar expression")]
    SetScalar {
        /// The operator.
        operator: &'static str,
    },
    /// A label in `on` and in `group_left` or `group_right`.
    #[error("label {} must not occur in ON and GROUP clause at once", quote(label.as_bytes()))]
    OnAndGroup {
        /// The label.
        label: String,
    },
    /// A name before the braces and another inside.
    #[error("metric name must not be set twice: {} or {}", quote(first.as_bytes()), quote(second.as_bytes()))]
    NameTwice {
        /// The name before the braces.
        first: String,
        /// The name inside.
        second: String,
    },
    /// A label that a label set names twice.
    #[error("label {} is set twice", quote(label.as_bytes()))]
    LabelTwice {
        /// The label.
        label: String,
    },
    /// More than a limit of the parser allows.
    #[error("the query exceeds the limit on {what}: {allowed}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What the limit allows.
        allowed: usize,
    },
}

fn place(position: Position, kind: &ParseErrorKind) -> String {
    match kind {
        ParseErrorKind::Empty => "unknown position".into(),
        _ => position.to_string(),
    }
}

fn prefixed(prefix: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{prefix}{text}") }
}

fn quoted_character(c: char) -> String {
    match c {
        '"' => "'\"'".into(),
        c => format!("'{}'", c.escape_debug()),
    }
}
