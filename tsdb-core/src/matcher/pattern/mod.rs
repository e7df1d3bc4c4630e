//! Compiled patterns. No other module knows the regex engine.
//!
//! A text is parsed by the rules of Go ([`syntax`]), looked at for what it implies, and handed to the engine as a
//! syntax tree, never as text: so the two dialects cannot be confused. Matching takes time linear in the value.
//! Limits on the text, on nesting and on the compiled size keep a hostile pattern from costing more than
//! milliseconds and megabytes.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod class;
mod frame;
mod node;
mod search;
mod syntax;
mod template;
#[cfg(test)]
mod tests;

pub(super) use node::{Look, Node};
pub use search::Search;

use super::error::PatternError;
use super::implied::{Implied, imply};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use class::Class;
use core::fmt;
use regex_automata::meta;
use regex_automata::util::captures::Captures;
use regex_syntax::hir::{self, Hir};
use template::Piece;

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 128 * 1024;
/// The largest compiled pattern, in bytes.
const MAX_COMPILED_BYTES: usize = 8 * 1024 * 1024;

/// A pattern that matches whole values, in the dialect of Go's `regexp` with `.` matching every character.
///
/// This form also tells what the groups matched. For a mere condition [`Matcher`](super::Matcher) is faster: it looks
/// up what it need not match.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    engine: meta::Regex,
    groups: Vec<Option<String>>,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// A text that is not in the dialect or exceeds a limit.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let parsed = parse(text)?;
        let engine = compile(parsed.node, Form::WholeWithGroups)?;
        Ok(Self { text: text.into(), engine, groups: parsed.groups })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Does the pattern match all of `value`?
    pub fn is_match(&self, value: &str) -> bool {
        self.engine.is_match(value)
    }

    /// `template` with `$1`, `${name}` and `$$` replaced by what the groups matched in `value`; `None` if the
    /// pattern does not match all of `value`.
    ///
    /// The rules are those of Go's `Regexp.Expand`: a reference to a group that does not exist or took no part in
    /// the match is replaced by nothing, `$0` is the whole value, and `$1x` means the group named `1x`.
    pub fn replace(&self, value: &str, template: &str) -> Option<String> {
        self.replace_within(value, template, usize::MAX).and_then(Result::ok)
    }

    /// [`replace`](Self::replace), but the result has at most `max_bytes` bytes: a short template may refer often to a
    /// long value.
    ///
    /// # Errors
    /// [`ReplacementTooLong`], within, if it would have more.
    pub fn replace_within(
        &self,
        value: &str,
        template: &str,
        max_bytes: usize,
    ) -> Option<Result<String, ReplacementTooLong>> {
        let mut captures = self.engine.create_captures();
        self.engine.captures(value, &mut captures);
        if !captures.is_match() {
            return None;
        }
        let mut replaced = String::new();
        let expanded = expand(&captures, &self.groups, value, template, &mut replaced, max_bytes);
        Some(expanded.map(|()| replaced))
    }
}

/// Appends `template` with its references replaced by what `captures` holds of `value` to `out`, which gets no longer
/// than `max_bytes`.
fn expand(
    captures: &Captures,
    groups: &[Option<String>],
    value: &str,
    template: &str,
    out: &mut String,
    max_bytes: usize,
) -> Result<(), ReplacementTooLong> {
    let group = |number| captures.get_group(number).and_then(|span| value.get(span.range()));
    // Several groups may have one name: the first that took part counts.
    let named = |name| {
        let is_named = |(_, group): &(usize, &Option<String>)| group.as_deref() == Some(name);
        groups.iter().enumerate().filter(is_named).find_map(|(index, _)| group(index + 1))
    };
    for piece in template::pieces(template) {
        let text = match piece {
            Piece::Text(text) => text,
            Piece::Number(number) => group(number).unwrap_or(""),
            Piece::Name(name) => named(name).unwrap_or(""),
        };
        push_within(out, text, max_bytes)?;
    }
    Ok(())
}

fn push_within(out: &mut String, text: &str, max_bytes: usize) -> Result<(), ReplacementTooLong> {
    if out.len().saturating_add(text.len()) > max_bytes {
        return Err(ReplacementTooLong { max_bytes });
    }
    out.push_str(text);
    Ok(())
}

/// A replacement with more bytes than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replacement has more than {max_bytes} bytes")]
pub struct ReplacementTooLong {
    /// What was allowed.
    pub max_bytes: usize,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// Decides whole values: by look-up where that is enough, by the engine otherwise.
pub(super) struct Acceptor {
    implied: Implied,
    /// There if what is implied is not exact.
    engine: Option<meta::Regex>,
}

impl Acceptor {
    /// Accepts one value.
    pub(super) fn literal(value: &str) -> Self {
        Self { implied: Implied::Literals([value.into()].into()), engine: None }
    }

    /// Accepts the values that the pattern `text` matches.
    pub(super) fn regex(text: &str) -> Result<Self, PatternError> {
        let node = parse(text)?.node;
        let implied = imply(&node);
        let engine = if implied.is_exact() { None } else { Some(compile(node, Form::Whole)?) };
        Ok(Self { implied, engine })
    }

    pub(super) fn implied(&self) -> &Implied {
        &self.implied
    }

    pub(super) fn accepts(&self, value: &str) -> bool {
        match self.implied.decides(value) {
            Some(accepted) => accepted,
            None => self.engine.as_ref().is_some_and(|engine| engine.is_match(value)),
        }
    }
}

fn parse(text: &str) -> Result<syntax::Parsed, PatternError> {
    if text.len() > MAX_LENGTH {
        return Err(PatternError::TooLong { length: text.len(), limit: MAX_LENGTH });
    }
    syntax::parse(text)
}

/// What a compiled pattern is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Decides whole values.
    Whole,
    /// Tells what the groups match in whole values.
    WholeWithGroups,
    /// Tells what the groups match in the first part that matches.
    Part,
}

/// Compiles `node`.
fn compile(node: Node, form: Form) -> Result<meta::Regex, PatternError> {
    let tree = tree(node, form != Form::Whole);
    let tree = match form {
        Form::Part => tree,
        _ => Hir::concat([Hir::look(hir::Look::Start), tree, Hir::look(hir::Look::End)].into()),
    };
    let one_pass = form == Form::WholeWithGroups;
    let config =
        meta::Config::new().nfa_size_limit(Some(MAX_COMPILED_BYTES)).onepass(one_pass).utf8_empty(true);
    meta::Builder::new()
        .configure(config)
        .build_from_hir(&tree)
        // The tree is well formed, so size is all that can be wrong with it.
        .map_err(|_| PatternError::TooLarge { limit: MAX_COMPILED_BYTES })
}

/// The engine's form of `node`.
fn tree(node: Node, captures: bool) -> Hir {
    let trees = |nodes: Vec<Node>| nodes.into_iter().map(|node| tree(node, captures)).collect();
    match node {
        Node::Empty => Hir::empty(),
        Node::Literal { text, fold: false } => Hir::literal(text.into_bytes()),
        Node::Literal { text, fold: true } => {
            Hir::concat(text.chars().map(|c| Class::folded(c).into_hir()).collect())
        }
        Node::Class(class) => class.into_hir(),
        Node::Look(look) => Hir::look(engine_look(look)),
        Node::Repeat { inner, min, max, greedy } => {
            let sub = Box::new(tree(*inner, captures));
            Hir::repetition(hir::Repetition { min, max, greedy, sub })
        }
        Node::Group { inner, capture: Some(index) } if captures => {
            let sub = Box::new(tree(*inner, captures));
            Hir::capture(hir::Capture { index, name: None, sub })
        }
        Node::Group { inner, .. } => tree(*inner, captures),
        Node::Concat(items) => Hir::concat(trees(items)),
        Node::Alternate(branches) => Hir::alternation(trees(branches)),
    }
}

fn engine_look(look: Look) -> hir::Look {
    match look {
        Look::TextStart => hir::Look::Start,
        Look::TextEnd => hir::Look::End,
        Look::LineStart => hir::Look::StartLF,
        Look::LineEnd => hir::Look::EndLF,
        Look::WordBoundary => hir::Look::WordAscii,
        Look::NoWordBoundary => hir::Look::WordAsciiNegate,
    }
}
