//! What a pattern implies about the values it accepts.
//!
//! Facts, not strategy: whoever searches a dictionary decides what to do with them. Every fact is necessary (no
//! accepted value contradicts it), and [`Implied::is_exact`] says whether it is sufficient too.

use alloc::boxed::Box;

/// What is known of the values that a comparison accepts, before any negation by `!=` or `!~`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Implied {
    /// Every value, the empty one included: `.*`. Exact.
    Everything,
    /// Every value but the empty one: `.+`. Exact.
    NonEmpty,
    /// Precisely these values, sorted and unique; possibly the empty one among them. Exact.
    Literals(Box<[Box<str>]>),
    /// Values that begin with one of `prefixes`.
    Prefixes {
        /// Sorted, none of them a prefix of another, none empty.
        prefixes: Box<[Box<str>]>,
        /// What follows the prefix.
        rest: Rest,
    },
    /// Values that end with `suffix`: `.*foo`, `.+foo`. Exact.
    Suffix {
        /// Not empty.
        suffix: Box<str>,
        /// What precedes the suffix; never [`Rest::Constrained`].
        before: Rest,
    },
    /// Values that contain `needle`: `.*foo.*`. Exact.
    Contains {
        /// Not empty.
        needle: Box<str>,
        /// Must something precede? Never [`Rest::Constrained`].
        before: Rest,
        /// Must something follow? Never [`Rest::Constrained`].
        after: Rest,
    },
    /// Nothing: every value has to be tested.
    Nothing,
}

/// What a pattern allows next to a literal part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Anything, nothing at all included.
    Anything,
    /// Anything of at least one character.
    Something,
    /// Something that only the whole pattern can decide.
    Constrained,
}

impl Implied {
    /// Do the facts alone decide every value?
    pub fn is_exact(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Prefixes { rest: Rest::Constrained, .. })
    }
}
