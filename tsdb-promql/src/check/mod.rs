//! Types: what every expression evaluates to, and whether its parts fit.

mod signature;
mod types;

pub use signature::{Ending, Signature, signature, signatures};

use crate::ast::{Expr, ValueType};
use crate::error::ParseError;
use crate::parse::{ParseOptions, parse_syntax};
use tsdb_core::Matcher;
use types::Checker;

/// What `expr` evaluates to. Of a call of an unknown function, which no checked tree holds, an instant vector.
pub fn value_type(expr: &Expr) -> ValueType {
    match expr {
        Expr::Number(_) => ValueType::Scalar,
        Expr::String(_) => ValueType::String,
        Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
        Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
        Expr::Paren(e) => value_type(&e.expr),
        Expr::Unary(e) => value_type(&e.expr),
        Expr::Binary(e) => {
            let mut scalar = value_type(&e.rhs) == ValueType::Scalar;
            let mut below = &*e.lhs;
            while let (true, Expr::Binary(inner)) = (scalar, below) {
                scalar = value_type(&inner.rhs) == ValueType::Scalar;
                below = &inner.lhs;
            }
            if scalar && value_type(below) == ValueType::Scalar {
                ValueType::Scalar
            } else {
                ValueType::Vector
            }
        }
        Expr::Call(e) => signature(&e.function).map_or(ValueType::Vector, |s| s.returns),
    }
}

/// Parses `text` and checks its types.
///
/// # Errors
/// The first thing in the text that is no PromQL, that does not fit, or that exceeds a limit.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let mut expr = parse_syntax(text, options).map_err(|error| *error)?;
    Checker { text, options }.expr(&mut expr).map_err(|error| *error)?;
    Ok(expr)
}

/// Parses a selector without modifiers, such as `foo{a="b"}`, to its matchers. It may select everything: whether
/// that is wanted, the caller knows.
///
/// # Errors
/// A text that is no selector or exceeds a limit.
pub fn parse_selector(text: &str, options: &ParseOptions) -> Result<Vec<Matcher>, ParseError> {
    crate::parse::parse_selector(text, options).map_err(|error| *error)
}
