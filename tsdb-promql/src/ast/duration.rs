//! Durations in selectors: fixed ones, and expressions that are known once the query's step and range are.

use super::NumberLiteral;
use crate::span::Span;

/// A duration: fixed, or computed from the step and range of the query.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationValue {
    /// Milliseconds.
    Fixed(i64),
    /// An expression such as `step() + 1m`.
    Expr(Box<DurationExpr>),
}

/// Arithmetic over durations, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// A number of seconds or a duration.
    Number(NumberLiteral),
    /// `step()`: distance of the steps of the query; 0 of an instant query.
    Step(Span),
    /// `range()`: distance of the first and last step of the query.
    Range(Span),
    /// `(expr)`.
    Paren {
        /// The expression inside.
        expr: Box<DurationExpr>,
        /// Its text, parentheses included.
        span: Span,
    },
    /// `-expr`. (A plus sign leaves no trace.)
    Negate {
        /// The operand.
        expr: Box<DurationExpr>,
        /// Its text, sign included.
        span: Span,
    },
    /// `left op right` or `min_of(left, right)`.
    Binary {
        /// The operator.
        op: DurationOp,
        /// The left operand.
        lhs: Box<DurationExpr>,
        /// The right operand.
        rhs: Box<DurationExpr>,
        /// Its text.
        span: Span,
    },
}

/// An operator over durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`, with the sign of the left operand
    Mod,
    /// `^`
    Pow,
    /// `min_of(a, b)`
    Min,
    /// `max_of(a, b)`
    Max,
}

/// Why a duration expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// `/ 0`
    #[error("division by zero")]
    DivisionByZero,
    /// `% 0`
    #[error("modulo by zero")]
    ModuloByZero,
    /// Not a number, or infinite.
    #[error("duration is NaN or infinite")]
    NotFinite,
    /// A window or step of zero or less.
    #[error("duration must be greater than 0")]
    NotPositive,
    /// Beyond what 64 bits of nanoseconds hold.
    #[error("duration is out of range")]
    OutOfRange,
}

impl Default for DurationValue {
    fn default() -> Self {
        Self::ZERO
    }
}

impl DurationValue {
    /// No time at all.
    pub const ZERO: Self = Self::Fixed(0);

    /// Is it the fixed duration of 0 ms?
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The duration in ms for a query with this step and range (last step minus first step), both in ms.
    ///
    /// # Errors
    /// An expression that divides by zero or leaves the range of durations.
    pub fn resolve(&self, step_ms: i64, range_ms: i64) -> Result<i64, DurationError> {
        match self {
            Self::Fixed(ms) => Ok(*ms),
            Self::Expr(expr) => whole_millis(expr.seconds(step_ms, range_ms)?),
        }
    }

    /// As [`resolve`](Self::resolve), for windows and steps: they must be longer than nothing.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and durations that are not positive.
    pub fn resolve_positive(&self, step_ms: i64, range_ms: i64) -> Result<i64, DurationError> {
        match self.resolve(step_ms, range_ms)? {
            ms if ms > 0 => Ok(ms),
            _ => Err(DurationError::NotPositive),
        }
    }
}

impl DurationExpr {
    /// Its text.
    pub fn span(&self) -> Span {
        match self {
            Self::Number(number) => number.span,
            Self::Step(span) | Self::Range(span) => *span,
            Self::Paren { span, .. } | Self::Negate { span, .. } | Self::Binary { span, .. } => *span,
        }
    }

    fn seconds(&self, step_ms: i64, range_ms: i64) -> Result<f64, DurationError> {
        match self {
            Self::Number(number) => Ok(number.value),
            Self::Step(_) => Ok(step_ms as f64 / 1000.0),
            Self::Range(_) => Ok(range_ms as f64 / 1000.0),
            Self::Paren { expr, .. } => expr.seconds(step_ms, range_ms),
            Self::Negate { expr, .. } => Ok(-expr.seconds(step_ms, range_ms)?),
            Self::Binary { op, lhs, rhs, .. } => {
                op.apply(lhs.seconds(step_ms, range_ms)?, rhs.seconds(step_ms, range_ms)?)
            }
        }
    }
}

impl DurationOp {
    /// The operator as it is written; of the functions, their name.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Min => "min_of",
            Self::Max => "max_of",
        }
    }

    /// Is it written as a function of two arguments?
    pub const fn is_function(self) -> bool {
        matches!(self, Self::Min | Self::Max)
    }

    fn apply(self, lhs: f64, rhs: f64) -> Result<f64, DurationError> {
        Ok(match self {
            Self::Add => lhs + rhs,
            Self::Sub => lhs - rhs,
            Self::Mul => lhs * rhs,
            Self::Div if rhs == 0.0 => return Err(DurationError::DivisionByZero),
            Self::Div => lhs / rhs,
            Self::Mod if rhs == 0.0 => return Err(DurationError::ModuloByZero),
            Self::Mod => lhs % rhs,
            Self::Pow => lhs.powf(rhs),
            Self::Min => lhs.min(rhs),
            Self::Max => lhs.max(rhs),
        })
    }
}

/// Whole milliseconds of `seconds`, the rest cut off. Prometheus holds durations in 64 bits of nanoseconds; the same
/// bound holds here.
fn whole_millis(seconds: f64) -> Result<i64, DurationError> {
    if !seconds.is_finite() {
        return Err(DurationError::NotFinite);
    }
    if seconds.abs() > MAX_SECONDS {
        return Err(DurationError::OutOfRange);
    }
    Ok((seconds * 1000.0) as i64)
}

/// Milliseconds of a literal number of seconds: rounded to nanoseconds first, then cut off. `None` out of range.
pub(crate) fn literal_millis(seconds: f64) -> Option<i64> {
    (seconds.abs() <= MAX_SECONDS).then(|| ((seconds * 1e9).round() / 1e6) as i64)
}

/// Seconds in two to the power of 63 nanoseconds.
const MAX_SECONDS: f64 = 9_223_372_036.854_775;
