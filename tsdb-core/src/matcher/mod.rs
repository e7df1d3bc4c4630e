//! What a selector asks of one label.

use alloc::string::String;

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

/// A condition on the value of one label; a label that a series does not have counts as empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
}

/// A matcher that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad pattern")]
pub struct MatcherError;

impl Matcher {
    /// Builds.
    ///
    /// # Errors
    /// A bad pattern.
    pub fn new(op: MatchOp, name: impl Into<String>, value: impl Into<String>) -> Result<Self, MatcherError> {
        Ok(Self { name: name.into(), op, value: value.into() })
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

    /// Does `value` satisfy the matcher?
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => self.value == value,
            _ => self.value != value,
        }
    }

    /// Is a series without the label accepted?
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}
