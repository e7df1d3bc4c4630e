//! The parser's stack: what has been read of the innermost open group, and of those around it.

use super::super::error::SyntaxFault;
use super::node::Node;
use super::syntax::Flags;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A group that has been opened and not closed.
pub(super) struct Open {
    /// What was read before it in the enclosing group.
    pub(super) outer: Frame,
    /// The flags to return to at its end.
    pub(super) flags: Flags,
    /// Its number if it captures.
    pub(super) capture: Option<u32>,
    /// Where its parenthesis is.
    pub(super) offset: usize,
}

/// What has been read of one group.
pub(super) struct Frame {
    /// Branches that a `|` has ended.
    branches: Vec<Node>,
    /// Items of the branch being read.
    items: Vec<Node>,
    /// Is the last item the result of a repetition?
    repeated: bool,
    /// How often nested repetitions repeat something within the last item, at most.
    last_weight: u32,
    /// The same for all items before it.
    weight: u32,
}

impl Default for Frame {
    fn default() -> Self {
        Self { branches: Vec::new(), items: Vec::new(), repeated: false, last_weight: 1, weight: 1 }
    }
}

impl Frame {
    /// Adds an item within which nested repetitions repeat something `weight` times.
    pub(super) fn push(&mut self, node: Node, weight: u32) {
        self.items.push(node);
        self.repeated = false;
        self.weight = self.weight();
        self.last_weight = weight;
    }

    /// Adds a character, to the literal before it if there is one.
    pub(super) fn push_char(&mut self, c: char, folds: bool) {
        match self.items.last_mut() {
            Some(Node::Literal { text, fold }) if *fold == folds => text.push(c),
            _ => self.push(Node::Literal { text: c.into(), fold: folds }, 1),
        }
    }

    /// Begins another branch.
    pub(super) fn end_branch(&mut self) {
        let branch = concat(core::mem::take(&mut self.items));
        self.branches.push(branch);
        self.weight = self.weight();
        self.last_weight = 1;
        self.repeated = false;
    }

    /// Repeats the last item; of a literal, its last character. Returns how often something within it is repeated.
    pub(super) fn repeat(&mut self, min: u32, max: Option<u32>, greedy: bool) -> Result<u32, SyntaxFault> {
        if self.repeated {
            return Err(SyntaxFault::NestedRepeat);
        }
        let inner = Box::new(self.pop_repeatable().ok_or(SyntaxFault::MissingRepeatArgument)?);
        self.items.push(Node::Repeat { inner, min, max, greedy });
        self.repeated = true;
        self.last_weight = match max.unwrap_or(min) {
            0 if max.is_some() => 1,
            times => self.last_weight.saturating_mul(times.max(1)),
        };
        Ok(self.last_weight)
    }

    fn pop_repeatable(&mut self) -> Option<Node> {
        if let Some(Node::Literal { text, fold }) = self.items.last_mut() {
            let fold = *fold;
            let last = text.pop()?;
            if text.is_empty() {
                self.items.pop();
            }
            return Some(Node::Literal { text: String::from(last), fold });
        }
        self.items.pop()
    }

    /// How often nested repetitions repeat something in here, at most.
    pub(super) fn weight(&self) -> u32 {
        self.weight.max(self.last_weight)
    }

    /// The whole group.
    pub(super) fn finish(mut self) -> Node {
        if self.branches.is_empty() {
            return concat(self.items);
        }
        self.branches.push(concat(self.items));
        Node::Alternate(self.branches)
    }
}

fn concat(mut items: Vec<Node>) -> Node {
    match items.len() {
        0 => Node::Empty,
        1 => items.pop().unwrap_or(Node::Empty),
        _ => Node::Concat(items),
    }
}
