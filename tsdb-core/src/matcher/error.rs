//! Why a matcher or a pattern cannot be built.

use alloc::string::String;

/// A matcher that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// The pattern of `=~` or `!~` is refused.
    #[error("pattern for label \"{name}\": {source}")]
    Pattern {
        /// The label the matcher is about.
        name: String,
        /// What is wrong with the pattern.
        source: PatternError,
    },
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The text breaks a rule of the dialect.
    #[error("{fault} at byte {offset}: `{fragment}`")]
    Syntax {
        /// The broken rule.
        fault: SyntaxFault,
        /// Where the offending fragment begins, in bytes from the start of the pattern.
        offset: usize,
        /// The offending part of the pattern, shortened if it is long.
        fragment: String,
    },
    /// The text is too long.
    #[error("the pattern has {length} bytes, the limit is {limit}")]
    TooLong {
        /// Length of the pattern in bytes.
        length: usize,
        /// The most that is accepted, in bytes.
        limit: usize,
    },
    /// Groups within groups within groups.
    #[error("groups nest deeper than the limit of {limit}")]
    TooDeep {
        /// The deepest nesting that is accepted.
        limit: usize,
    },
    /// Repetitions or character classes make the compiled pattern too big.
    #[error("the compiled pattern would be larger than the limit of {limit} bytes")]
    TooLarge {
        /// The largest compiled pattern that is accepted, in bytes.
        limit: usize,
    },
}

/// A rule of the pattern dialect that a text breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxFault {
    /// `(` without `)`
    #[error("missing closing )")]
    MissingParen,
    /// `)` without `(`
    #[error("unexpected )")]
    UnexpectedParen,
    /// `[` without `]`
    #[error("missing closing ]")]
    MissingBracket,
    /// A lone `\` at the end.
    #[error("trailing backslash")]
    TrailingBackslash,
    /// An escape that the dialect does not have.
    #[error("invalid escape sequence")]
    InvalidEscape,
    /// A range such as `z-a`.
    #[error("invalid character class range")]
    InvalidRange,
    /// A class such as `[:letters:]` or `\p{Klingon}`.
    #[error("unknown character class")]
    UnknownClass,
    /// `*`, `+`, `?` or `{n,m}` with nothing before it.
    #[error("missing argument to repetition operator")]
    MissingRepeatArgument,
    /// `a**`, `a*+`
    #[error("invalid nested repetition operator")]
    NestedRepeat,
    /// A count above 1000, alone or multiplied through nested repetitions, or a minimum above the maximum.
    #[error("invalid repeat count")]
    InvalidRepeatCount,
    /// A group name that is empty, unclosed or not made of `[0-9A-Za-z_]`.
    #[error("invalid named capture")]
    InvalidGroupName,
    /// `(?` followed by something the dialect does not have.
    #[error("invalid or unsupported Perl syntax")]
    InvalidFlags,
}
