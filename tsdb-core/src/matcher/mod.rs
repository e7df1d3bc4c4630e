//! What a selector asks of one label.
//!
//! A [`Matcher`] is valid by construction: its pattern is compiled. Matchers are equal when they are written the
//! same: by name, operator and text. Patterns follow Go's `regexp` dialect, match whole values, and `.` matches
//! line breaks too: `^(?s:pattern)$`, as in Prometheus.
//!
//! This module knows what a matcher means (does a value satisfy it, does absence, which literals or prefixes does
//! it imply). How to find series with it is the index's concern.

mod error;
mod implied;
mod pattern;
#[cfg(test)]
mod tests;

pub use error::{MatcherError, PatternError, SyntaxFault};
pub use implied::{Implied, Rest};
pub use pattern::{Pattern, ReplacementTooLong, Search};

use crate::labels::is_legacy_label_name;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::hash::{Hash, Hasher};
use pattern::Acceptor;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }

    /// Does the operator ask for what the comparison does not accept?
    pub const fn is_negative(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotRegex)
    }
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A condition on the value of one label; a label that a series does not have counts as empty.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    acceptor: Arc<Acceptor>,
}

impl Matcher {
    /// A condition on the label `name`: that its value compares by `op` with `value`, which for `=~` and `!~` is a
    /// pattern.
    ///
    /// # Errors
    /// A pattern that is not in the dialect or exceeds a limit.
    pub fn new(op: MatchOp, name: impl Into<String>, value: impl Into<String>) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let acceptor = match op {
            MatchOp::Equal | MatchOp::NotEqual => Acceptor::literal(&value),
            MatchOp::Regex | MatchOp::NotRegex => Acceptor::regex(&value)
                .map_err(|source| MatcherError::Pattern { name: name.clone(), source })?,
        };
        Ok(Self { name, op, value, acceptor: Arc::new(acceptor) })
    }

    /// The label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operator.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What is known of the values that the comparison accepts. A negative operator asks for all the others: see
    /// [`MatchOp::is_negative`].
    pub fn implied(&self) -> &Implied {
        self.acceptor.implied()
    }

    /// Does `value` satisfy the matcher?
    pub fn matches(&self, value: &str) -> bool {
        self.acceptor.accepts(value) != self.op.is_negative()
    }

    /// Is a series without the label accepted?
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.name == other.name && self.value == other.value
    }
}

impl Eq for Matcher {}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({self})")
    }
}

/// The matcher as PromQL writes it, such as `job=~"api|web"`.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            write_quoted(f, &self.name)?;
        }
        f.write_str(self.op.as_str())?;
        write_quoted(f, &self.value)
    }
}

/// Writes a PromQL string literal.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
