//! Label sets: the identity of a series.
//!
//! A [`Labels`] is sorted by name (bytewise), holds each name once and no empty value, never changes, and takes
//! one shared allocation: cloning is a reference count.
//!
//! # Representation
//! The pairs stand one after the other, each string behind its length. A length is written in base 64, least
//! significant digit first, one digit a byte, with `0x40` set on every byte but the last. So every byte of a
//! length is ASCII, the whole is one valid `str`, and reading it back needs neither `unsafe` nor a second check
//! of the encoding. Equal sets have equal bytes, so equality and hashing look at the bytes alone.

mod builder;
mod maker;
mod name;
mod wire;

pub use builder::{LabelError, LabelsBuilder};
pub use maker::LabelsMaker;
pub use name::{is_legacy_label_name, is_legacy_metric_name};
pub use wire::{write_wire, write_wire_pair};

use alloc::string::String;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;

/// Name of the label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// An immutable set of labels, sorted by name, without duplicates and without empty values.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// Builds a set from pairs in any order.
    ///
    /// # Errors
    /// A name that is empty or comes twice. Pairs with an empty value are left out: they mean "no such label".
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, LabelError> {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.add(name, value);
        }
        builder.build()
    }

    /// Builds a set from pairs that are sorted by name, unique, and have neither empty names nor empty values.
    ///
    /// `None` if they are not. Cheaper than [`Labels::from_pairs`] when the source keeps that order, as an index
    /// does.
    pub fn from_sorted_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        LabelsMaker::new().make(pairs)
    }

    /// The pairs `(name, value)` in order of name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        let (mut rest, mut texts) = (self.0.as_bytes(), 0_usize);
        while let Some((len, behind)) = take_len(rest) {
            rest = behind.get(len..).unwrap_or_default();
            texts += 1;
        }
        texts / 2
    }

    /// Are all names and values ASCII?
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// Is the set empty?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Value of the label `name`; `None` if the set has no such label.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (candidate, value) in self.iter() {
            match candidate.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(value),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The metric name, which is the value of [`METRIC_NAME`]; empty if there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// The labels for which `keep` holds.
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut text = String::with_capacity(self.0.len());
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            push_text(&mut text, name);
            push_text(&mut text, value);
        }
        if text.len() == self.0.len() { self.clone() } else { Self(text.into()) }
    }

    /// The set without its metric name.
    pub fn without_metric_name(&self) -> Self {
        self.filter(|name| name != METRIC_NAME)
    }

    /// A 64-bit hash of the set, the same on every machine and in every version: xxh3 of the representation.
    pub fn stable_hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.0.as_bytes())
    }

    /// The hash by which Prometheus samples series in `limit_ratio`: xxh64 (seed 0) of the pairs, each string behind
    /// its length; a length from 255 takes four bytes, of which the first is 255 and the others are the length, least
    /// significant first. Source: Prometheus `model/labels` as it is built by default.
    pub fn sampling_hash(&self) -> u64 {
        let mut hash = xxhash_rust::xxh64::Xxh64::new(0);
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            match u8::try_from(text.len()) {
                Ok(length) if length < u8::MAX => hash.update(&[length]),
                _ => {
                    let [a, b, c, ..] = text.len().to_le_bytes();
                    hash.update(&[u8::MAX, a, b, c]);
                }
            }
            hash.update(text.as_bytes());
        }
        hash.digest()
    }

    /// Bytes that the representation takes, without the reference counts.
    pub fn encoded_len(&self) -> usize {
        self.0.len()
    }
}

/// Sets compare pair by pair: name, then value, bytewise; a set that is the beginning of another is smaller.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

/// Shows the set as PromQL writes it: `name{a="b"}`, names that need it in quotes.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let bare = is_legacy_metric_name(name);
        if bare {
            f.write_str(name)?;
        }
        let mut separator = "";
        let mut rest = self.iter().filter(|(n, _)| *n != METRIC_NAME).peekable();
        if bare && rest.peek().is_none() {
            return Ok(());
        }
        f.write_str("{")?;
        if !bare && !name.is_empty() {
            write!(f, "{name:?}")?;
            separator = ", ";
        }
        for (name, value) in rest {
            f.write_str(separator)?;
            separator = ", ";
            if is_legacy_label_name(name) {
                write!(f, "{name}={value:?}")?;
            } else {
                write!(f, "{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The pairs of a [`Labels`] in order of name.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = take_text(self.rest)?;
        let (value, rest) = take_text(rest)?;
        self.rest = rest;
        Some((name, value))
    }
}

const CONTINUES: u8 = 0x40;

fn push_text(out: &mut String, text: &str) {
    let mut rest = text.len();
    loop {
        let digit = (rest & 0x3f) as u8;
        rest >>= 6;
        if rest == 0 {
            out.push(char::from(digit));
            break;
        }
        out.push(char::from(digit | CONTINUES));
    }
    out.push_str(text);
}

#[inline]
fn take_text(encoded: &str) -> Option<(&str, &str)> {
    let (len, behind) = take_len(encoded.as_bytes())?;
    encoded.get(encoded.len() - behind.len()..)?.split_at_checked(len)
}

/// The length that `encoded` begins with, and what is behind it.
#[inline]
fn take_len(encoded: &[u8]) -> Option<(usize, &[u8])> {
    match encoded {
        // Nearly all names and values are short.
        [len @ 0..CONTINUES, behind @ ..] => Some((usize::from(*len), behind)),
        _ => take_long_len(encoded),
    }
}

#[cold]
fn take_long_len(encoded: &[u8]) -> Option<(usize, &[u8])> {
    let mut len = 0usize;
    for (index, byte) in encoded.iter().enumerate() {
        len |= usize::from(byte & 0x3f) << (6 * index);
        if byte & CONTINUES == 0 {
            return Some((len, encoded.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests;
