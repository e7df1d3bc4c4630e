//! What a pattern implies about the values it accepts.
//!
//! Facts, not strategy: whoever searches a dictionary decides what to do with them. Every fact is necessary (no
//! accepted value contradicts it), and [`Implied::is_exact`] says whether it is sufficient too.

use super::pattern::{Look, Node};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

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

    /// Is `value` accepted? `None` if the facts leave it open.
    pub fn decides(&self, value: &str) -> Option<bool> {
        match self {
            Self::Everything => Some(true),
            Self::NonEmpty => Some(!value.is_empty()),
            Self::Literals(literals) => Some(literals.binary_search_by(|l| (**l).cmp(value)).is_ok()),
            Self::Prefixes { prefixes, rest } => match strip_any_prefix(prefixes, value) {
                None => Some(false),
                Some(following) => rest.allows(following),
            },
            Self::Suffix { suffix, before } => match value.strip_suffix(&**suffix) {
                None => Some(false),
                Some(preceding) => before.allows(preceding),
            },
            Self::Contains { needle, before, after } => Some(contains(value, needle, *before, *after)),
            Self::Nothing => None,
        }
    }
}

impl Rest {
    /// Is `text` allowed? `None` if that is for the pattern to say.
    fn allows(self, text: &str) -> Option<bool> {
        match self {
            Self::Anything => Some(true),
            // A pattern that goes on may still accept an empty rest, and a longer one only perhaps.
            Self::Constrained => None,
            Self::Something => Some(!text.is_empty()),
        }
    }
}

/// What follows the one of `prefixes` that `value` begins with.
fn strip_any_prefix<'v>(prefixes: &[Box<str>], value: &'v str) -> Option<&'v str> {
    // No prefix begins with another, so only the greatest that is not above the value can be one of it.
    let candidates = prefixes.partition_point(|prefix| **prefix <= *value);
    value.strip_prefix(&**prefixes.get(candidates.checked_sub(1)?)?)
}

fn contains(value: &str, needle: &str, before: Rest, after: Rest) -> bool {
    let mut chars = value.chars();
    if before == Rest::Something {
        chars.next();
    }
    if after == Rest::Something {
        chars.next_back();
    }
    chars.as_str().contains(needle)
}

/// The most values that combinations of alternatives may grow to; a plain list of alternatives may be longer.
const MAX_PRODUCT: usize = 1024;
/// The most characters of a class that are taken one by one.
const MAX_CLASS: usize = 16;
/// The most repetitions that are written out.
const MAX_COUNT: u32 = 16;
/// The most bytes that all values or prefixes may have together.
const MAX_BYTES: usize = 1024 * 1024;

/// What the pattern `node` implies.
pub(super) fn imply(node: &Node) -> Implied {
    let mut branches = Vec::new();
    split(node, &mut branches);
    match &*branches {
        [only] => sequence(only),
        _ => any_of(&branches),
    }
}

/// Lists the branches of `node`, and of its branches if they are alternations in turn.
fn split<'n>(node: &'n Node, branches: &mut Vec<Vec<&'n Node>>) {
    let mut items = Vec::new();
    flatten(node, &mut items);
    trim(&mut items);
    match *items {
        [Node::Alternate(nodes)] => nodes.iter().for_each(|node| split(node, branches)),
        _ => branches.push(items),
    }
}

/// Lists what follows one another in `node`, seeing through groups.
fn flatten<'n>(node: &'n Node, items: &mut Vec<&'n Node>) {
    match node {
        Node::Empty => {}
        Node::Group { inner, .. } => flatten(inner, items),
        Node::Concat(nodes) => nodes.iter().for_each(|node| flatten(node, items)),
        node => items.push(node),
    }
}

/// Drops anchors at both ends, where they hold anyway.
fn trim(items: &mut Vec<&Node>) {
    while let Some(Node::Look(Look::TextEnd | Look::LineEnd)) = items.last() {
        items.pop();
    }
    let is_start = |node: &&Node| matches!(node, Node::Look(Look::TextStart | Look::LineStart));
    let anchors = items.iter().take_while(|node| is_start(node)).count();
    items.drain(..anchors);
}

/// What `items`, one after the other, imply.
fn sequence(items: &[&Node]) -> Implied {
    let mut heads = vec![String::new()];
    let mut tail = items;
    while let [item, rest @ ..] = tail {
        match literals(item) {
            Some(ends) if fits(&heads, &ends) => heads = product(heads, &ends),
            _ => break,
        }
        tail = rest;
    }
    if tail.is_empty() || heads.is_empty() {
        return Implied::Literals(sorted(heads));
    }
    let rest = match tail {
        [only] => gap(only).unwrap_or(Rest::Constrained),
        _ => Rest::Constrained,
    };
    match (heads.iter().any(String::is_empty), rest) {
        (false, rest) => Implied::Prefixes { prefixes: shortest(heads), rest },
        (true, Rest::Anything) => Implied::Everything,
        (true, Rest::Something) if heads.len() == 1 => Implied::NonEmpty,
        (true, Rest::Constrained) if heads.len() == 1 => after_gap(tail),
        (true, _) => Implied::Nothing,
    }
}

/// What `items` imply if they are a gap, a literal and perhaps another gap.
fn after_gap(items: &[&Node]) -> Implied {
    let Some((Some(before), items)) = items.split_first().map(|(first, rest)| (gap(first), rest)) else {
        return Implied::Nothing;
    };
    let mut text = String::new();
    let mut tail = items;
    while let [Node::Literal { text: more, fold: false }, rest @ ..] = tail {
        text.push_str(more);
        tail = rest;
    }
    let text = text.into_boxed_str();
    match tail {
        _ if text.is_empty() => Implied::Nothing,
        [] => Implied::Suffix { suffix: text, before },
        [last] => match gap(last) {
            Some(after) => Implied::Contains { needle: text, before, after },
            None => Implied::Nothing,
        },
        _ => Implied::Nothing,
    }
}

/// Is `node` `.*` or `.+`, greedy or not?
fn gap(node: &Node) -> Option<Rest> {
    match node {
        Node::Repeat { inner, min, max: None, .. } => match (&**inner, min) {
            (Node::Class(class), 0) if class.is_any() => Some(Rest::Anything),
            (Node::Class(class), 1) if class.is_any() => Some(Rest::Something),
            _ => None,
        },
        _ => None,
    }
}

/// What an alternation of `branches` implies.
fn any_of(branches: &[Vec<&Node>]) -> Implied {
    let mut heads = Vec::new();
    // What follows each branch's heads; the end of the value for a branch of literals.
    let mut rests: Vec<Option<Rest>> = Vec::new();
    let mut unknown = false;
    for branch in branches {
        let (more, rest) = match sequence(branch) {
            Implied::Everything => return Implied::Everything,
            Implied::Literals(values) => (values, None),
            Implied::Prefixes { prefixes, rest } => (prefixes, Some(rest)),
            _ => {
                unknown = true;
                continue;
            }
        };
        heads.extend(more.into_iter().map(String::from));
        rests.push(rest);
    }
    let all_end = rests.iter().all(Option::is_none);
    if unknown || bytes(&heads) > MAX_BYTES {
        return Implied::Nothing;
    }
    if all_end {
        return Implied::Literals(sorted(heads));
    }
    if heads.iter().any(String::is_empty) {
        return Implied::Nothing;
    }
    let rest = match *rests {
        [Some(first), ref others @ ..] if others.iter().all(|other| *other == Some(first)) => first,
        _ => Rest::Constrained,
    };
    Implied::Prefixes { prefixes: shortest(heads), rest }
}

/// All texts that `node` matches, if it is without context and they are few.
fn literals(node: &Node) -> Option<Vec<String>> {
    match node {
        Node::Empty => Some(vec![String::new()]),
        Node::Literal { text, fold: false } => Some(vec![text.clone()]),
        Node::Class(class) => Some(class.chars(MAX_CLASS)?.into_iter().map(String::from).collect()),
        Node::Group { inner, .. } => literals(inner),
        Node::Concat(nodes) => nodes.iter().try_fold(vec![String::new()], |heads, node| {
            let ends = literals(node)?;
            fits(&heads, &ends).then(|| product(heads, &ends))
        }),
        Node::Alternate(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.append(&mut literals(branch)?);
            }
            Some(all)
        }
        Node::Repeat { inner, min, max: Some(max), .. } if *max <= MAX_COUNT => {
            powers(&literals(inner)?, *min, *max)
        }
        Node::Literal { fold: true, .. } | Node::Look(_) | Node::Repeat { .. } => None,
    }
}

/// Are the combinations of `heads` and `ends` few enough to be written out?
fn fits(heads: &[String], ends: &[String]) -> bool {
    let few = heads.len() == 1 || ends.len() == 1 || heads.len().saturating_mul(ends.len()) <= MAX_PRODUCT;
    let from_heads = bytes(heads).saturating_mul(ends.len());
    let from_ends = bytes(ends).saturating_mul(heads.len());
    few && from_heads.saturating_add(from_ends) <= MAX_BYTES
}

fn bytes(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum()
}

/// Each of `heads` followed by each of `ends`.
fn product(mut heads: Vec<String>, ends: &[String]) -> Vec<String> {
    // In place: a long run of single literals takes linear time.
    if let [end] = ends {
        heads.iter_mut().for_each(|head| head.push_str(end));
        return heads;
    }
    heads.iter().flat_map(|head| ends.iter().map(move |end| [head.as_str(), end].concat())).collect()
}

/// Each text made of between `min` and `max` of `texts`.
fn powers(texts: &[String], min: u32, max: u32) -> Option<Vec<String>> {
    let mut power = vec![String::new()];
    let mut all = Vec::new();
    for exponent in 0..=max {
        if exponent > 0 {
            if !fits(&power, texts) {
                return None;
            }
            power = product(power, texts);
        }
        if exponent >= min {
            all.extend_from_slice(&power);
        }
    }
    (bytes(&all) <= MAX_BYTES).then_some(all)
}

fn sorted(mut texts: Vec<String>) -> Box<[Box<str>]> {
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter().map(String::into_boxed_str).collect()
}

/// The prefixes that do not begin with another.
fn shortest(prefixes: Vec<String>) -> Box<[Box<str>]> {
    let mut prefixes = sorted(prefixes).into_vec();
    // `dedup_by` hands over the later text first; sorting has put all that begins with a text right behind it.
    prefixes.dedup_by(|later, kept| later.starts_with(&**kept));
    prefixes.into_boxed_slice()
}
