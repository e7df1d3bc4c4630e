//! A parsed pattern: what analysis and compilation look at.

use super::class::Class;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A part of a pattern. Never nested deeper than the parser's limit on groups allows, so recursion over it is safe.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Matches the empty text.
    Empty,
    /// These characters; with `fold`, in any case.
    Literal { text: String, fold: bool },
    /// One character of a set.
    Class(Class),
    /// A place between characters.
    Look(Look),
    /// The inner part, between `min` and `max` times.
    Repeat { inner: Box<Node>, min: u32, max: Option<u32>, greedy: bool },
    /// A parenthesis, with the number of its capture if it captures.
    Group { inner: Box<Node>, capture: Option<u32> },
    /// One after the other.
    Concat(Vec<Node>),
    /// One or another.
    Alternate(Vec<Node>),
}

/// A place between characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// The beginning of the value.
    TextStart,
    /// Its end.
    TextEnd,
    /// The beginning of a line.
    LineStart,
    /// The end of a line.
    LineEnd,
    /// Between an ASCII word character and something else.
    WordBoundary,
    /// Anywhere else.
    NoWordBoundary,
}
