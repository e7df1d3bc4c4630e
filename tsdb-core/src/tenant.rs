//! Tenants: who owns a store.

use alloc::boxed::Box;
use core::fmt;

/// Name of a tenant: an allow-listed token, safe as a folder name and in a header.
///
/// 1 to 150 characters of `[A-Za-z0-9_-]`. Nothing else can be built, so a tenant is never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Box<str>);

/// A text that is no tenant id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TenantIdError {
    /// The text is empty.
    #[error("a tenant id must not be empty")]
    Empty,
    /// The text is longer than [`TenantId::MAX_LEN`].
    #[error("a tenant id has at most {max} characters, this one has {len}", max = TenantId::MAX_LEN)]
    TooLong {
        /// Length of the text in bytes.
        len: usize,
    },
    /// The text holds a character outside the allowed set.
    #[error("a tenant id holds only letters, digits, '_' and '-', this one has {found:?} at byte {offset}")]
    Character {
        /// The character.
        found: char,
        /// Where it stands.
        offset: usize,
    },
}

impl TenantId {
    /// The longest id, in characters.
    pub const MAX_LEN: usize = 150;

    /// Checks `text` and makes it a tenant id.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, TenantIdError> {
        if text.is_empty() {
            return Err(TenantIdError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(TenantIdError::TooLong { len: text.len() });
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || *c == '-';
        match text.char_indices().find(|(_, c)| !allowed(c)) {
            Some((offset, found)) => Err(TenantIdError::Character { found, offset }),
            None => Ok(Self(text.into())),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_odd_characters_are_no_tenants() {
        for text in ["", "../x", "a/b", "%252e", "a|b", "a b", "\u{e9}", "a\0"] {
            assert!(TenantId::new(text).is_err(), "{text:?}");
        }
        assert!(TenantId::new(&"x".repeat(151)).is_err());
        assert_eq!(TenantId::new("team-a_1").unwrap().as_str(), "team-a_1");
    }
}
