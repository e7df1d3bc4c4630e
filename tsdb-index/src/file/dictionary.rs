//! Names, and the sorted dictionary of values of each: blocks of front-coded strings, with the length of each
//! value's postings beside it.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use core::ops::Range;
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::error::CorruptionKind;

/// Name of the section of values in errors.
pub(super) const VALUES: &str = "index values";
/// Name of the section of names in errors.
pub(super) const NAMES: &str = "index names";

/// Values in a block.
pub(super) const BLOCK: usize = 16;

/// A label name and where its values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The name.
    pub(super) text: String,
    /// Number of values.
    pub(super) values: u32,
    /// Number of its first block among the blocks of all names.
    pub(super) first_block: usize,
}

impl Name {
    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        (self.values as usize).div_ceil(BLOCK)
    }

    /// Number of values in its block number `block`, counted from 0 within the name.
    pub(super) fn values_in_block(&self, block: usize) -> usize {
        (self.values as usize).saturating_sub(block.saturating_mul(BLOCK)).min(BLOCK)
    }
}

/// Appends the names, which are in order.
pub(super) fn write_names<'a>(names: impl Iterator<Item = (&'a str, u32)>, out: &mut Writer) {
    for (text, values) in names {
        out.str(text);
        out.varint(u64::from(values));
    }
}

/// Reads all names. `blocks` is the number of blocks that all of them have together.
pub(super) fn read_names(bytes: &[u8], blocks: usize) -> Result<Vec<Name>, Corruption> {
    let mut reader = Reader::new(NAMES, bytes);
    let mut names: Vec<Name> = Vec::new();
    let mut first_block = 0_usize;
    while !reader.is_empty() {
        let text = reader.str("name")?;
        if text.is_empty() || names.last().is_some_and(|last| last.text.as_str() >= text) {
            return Err(reader.corruption(CorruptionKind::Rule { rule: "names are ascending and not empty" }));
        }
        let count = reader.varint("count of values")?;
        let values = match u32::try_from(count) {
            Ok(values) if values > 0 => values,
            _ => return Err(reader.invalid("count of values", count)),
        };
        let name = Name { text: text.into(), values, first_block };
        first_block = first_block.saturating_add(name.blocks());
        names.push(name);
    }
    if first_block != blocks {
        return Err(reader.invalid("count of value blocks", blocks as u64));
    }
    Ok(names)
}

/// Writes the blocks of one name after the other.
#[derive(Debug, Default)]
pub(super) struct ValuesWriter {
    previous: String,
    in_block: usize,
    /// Offset of each block.
    pub(super) blocks: Vec<u64>,
}

impl ValuesWriter {
    /// The next value belongs to another name: it begins a block.
    pub(super) fn next_name(&mut self) {
        self.in_block = 0;
    }

    /// Appends a value whose encoded postings take `postings`, `at` bytes behind the start of the section.
    pub(super) fn push(&mut self, value: &str, postings: &Range<usize>, at: usize, out: &mut Writer) {
        if self.in_block == 0 {
            self.blocks.push(at as u64);
            out.varint(postings.start as u64);
            out.str(value);
        } else {
            let pairs = self.previous.bytes().zip(value.bytes());
            let shared = pairs.take_while(|(a, b)| a == b).count();
            out.varint(shared as u64);
            out.blob(value.as_bytes().get(shared..).unwrap_or_default());
        }
        out.varint(postings.len() as u64);
        self.in_block = self.in_block.wrapping_add(1) % BLOCK;
        self.previous.clear();
        self.previous.push_str(value);
    }
}

/// A decoded block.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    text: String,
    ends: Vec<usize>,
    postings: Vec<Range<usize>>,
}

impl Block {
    /// Decodes a block of `len` values from the start of `bytes`.
    pub(super) fn read(bytes: &[u8], len: usize) -> Result<Self, Corruption> {
        let mut reader = Reader::new(VALUES, bytes);
        let mut block = Self {
            text: String::with_capacity(bytes.len().saturating_mul(2)),
            ends: Vec::with_capacity(len),
            postings: Vec::with_capacity(len),
        };
        let mut previous: Vec<u8> = Vec::with_capacity(64);
        let mut postings = size(&mut reader, "offset of postings")?;
        for index in 0..len {
            let shared = if index == 0 { 0 } else { size(&mut reader, "shared prefix")? };
            if shared > previous.len() {
                return Err(reader.invalid("shared prefix", shared as u64));
            }
            let suffix = reader.blob("value")?;
            let ascending = suffix > previous.get(shared..).unwrap_or_default();
            previous.truncate(shared);
            previous.extend_from_slice(suffix);
            let value = str::from_utf8(&previous)
                .map_err(|_| reader.corruption(CorruptionKind::Utf8 { field: "value" }))?;
            if !ascending {
                let rule = "values are ascending and not empty";
                return Err(reader.corruption(CorruptionKind::Rule { rule }));
            }
            block.text.push_str(value);
            block.ends.push(block.text.len());
            let len = size(&mut reader, "length of postings")?;
            let end = postings.saturating_add(len);
            block.postings.push(postings..end);
            postings = end;
        }
        reader.finish()?;
        Ok(block)
    }

    /// The first value of the block in `bytes`, without decoding the others.
    pub(super) fn first(bytes: &[u8]) -> Result<&str, Corruption> {
        let mut reader = Reader::new(VALUES, bytes);
        reader.varint("offset of postings")?;
        reader.str("value")
    }

    /// The value at `index`.
    pub(super) fn value(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(start..end)
    }

    /// Where the postings of the value at `index` lie in their section.
    pub(super) fn postings(&self, index: usize) -> Option<Range<usize>> {
        self.postings.get(index).cloned()
    }

    /// All values with the places of their postings.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        (0..self.ends.len()).filter_map(|index| Some((self.value(index)?, self.postings(index)?)))
    }
}

fn size(reader: &mut Reader<'_>, field: &'static str) -> Result<usize, Corruption> {
    let value = reader.varint(field)?;
    usize::try_from(value).map_err(|_| reader.invalid(field, value))
}
