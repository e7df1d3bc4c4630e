//! Where in the query text something stands.
//!
//! A [`Span`] is a range of bytes; a [`Position`] is what people read: line and column, both from 1, the column
//! counted in bytes as Prometheus does. Spans know nothing of the text they point into.

use core::fmt;

/// A range of bytes of the query text: `start` included, `end` excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The range from `start` to `end`.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// The range of `usize` offsets, as a lexer counts. Offsets beyond 4 GiB saturate; the length cap of the parser
    /// keeps texts far below.
    pub(crate) fn of(start: usize, end: usize) -> Self {
        let narrow = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The piece of `text` in the range; empty if the range does not fit the text.
    pub fn slice(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or("")
    }

    /// Line and column of the first byte.
    pub fn position(self, text: &str) -> Position {
        let before = text.as_bytes().get(..self.start as usize).unwrap_or(text.as_bytes());
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        Position {
            line: before.iter().filter(|b| **b == b'\n').count() + 1,
            column: before.len() - line_start + 1,
        }
    }
}

/// A place in a text as people read it. Displays as `line:column`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The byte within the line, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_bytes_from_one() {
        let text = "sum(\n  foo\n)";
        assert_eq!(Span::new(0, 3).position(text).to_string(), "1:1");
        assert_eq!(Span::new(7, 10).position(text).to_string(), "2:3");
        assert_eq!(Span::new(11, 12).position(text).to_string(), "3:1");
        assert_eq!(Span::new(7, 10).slice(text), "foo");
    }

    #[test]
    fn a_span_beyond_the_text_points_at_its_end() {
        assert_eq!(Span::new(90, 91).position("ab").to_string(), "1:3");
        assert_eq!(Span::new(90, 91).slice("ab"), "");
    }
}
