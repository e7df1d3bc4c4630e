//! Walking the values of a name in several index files at once.

use super::dictionary::{BLOCK, Block, Name};
use super::merge::InputDamage;
use super::pages::Recent;
use super::reader::IndexReader;
use super::source::Source;
use core::ops::Range;
use roaring::RoaringBitmap;
use tsdb_core::Corruption;

/// The values of a name in one file, one after the other.
pub(super) struct ValueSource<'a, S> {
    input: usize,
    index: &'a IndexReader<S>,
    name: &'a Name,
    /// Numbers of values to leave out.
    removed: Option<&'a RoaringBitmap>,
    block: Block,
    number: u32,
    recent: Recent<'a>,
}

impl<'a, S: Source> ValueSource<'a, S> {
    /// The values of `name` in the file `index`, the source number `input`, without those in `removed`.
    pub(super) fn new(
        input: usize,
        index: &'a IndexReader<S>,
        name: &'a Name,
        removed: Option<&'a RoaringBitmap>,
    ) -> Result<Self, Corruption> {
        let removed = removed.filter(|removed| !removed.is_empty());
        let block = Block::default();
        let mut source = Self { input, index, name, removed, block, number: 0, recent: None };
        source.load()?;
        source.skip_removed()?;
        Ok(source)
    }

    /// The value it has come to and the place of its postings; `None` at the end.
    pub(super) fn value(&self) -> Option<(&str, Range<usize>)> {
        if self.number >= self.name.values {
            return None;
        }
        let place = self.number as usize % BLOCK;
        Some((self.block.value(place)?, self.block.postings(place)?))
    }

    /// The number of that value.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Goes on to the next value.
    pub(super) fn advance(&mut self) -> Result<(), Corruption> {
        self.step()?;
        self.skip_removed()
    }

    fn skip_removed(&mut self) -> Result<(), Corruption> {
        while self.removed.is_some_and(|removed| removed.contains(self.number)) {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Corruption> {
        self.number += 1;
        if (self.number as usize).is_multiple_of(BLOCK) { self.load() } else { Ok(()) }
    }

    fn load(&mut self) -> Result<(), Corruption> {
        if self.number < self.name.values {
            self.block = self.index.block(self.name, self.number as usize / BLOCK, &mut self.recent)?;
        }
        Ok(())
    }
}

/// Calls `visit` with each value that one of the `sources` has, in order, and the sources that have it with the places
/// of its postings there.
pub(super) fn each_value<S: Source, E: From<InputDamage>>(
    sources: &mut [ValueSource<'_, S>],
    mut visit: impl FnMut(&str, &[(usize, Range<usize>)]) -> Result<(), E>,
) -> Result<(), E> {
    let mut found: Vec<(usize, Range<usize>)> = Vec::new();
    let mut least = String::new();
    loop {
        found.clear();
        for source in sources.iter() {
            let Some((value, place)) = source.value() else { continue };
            if found.is_empty() || value < least.as_str() {
                found.clear();
                least.clear();
                least.push_str(value);
            }
            if value == least {
                found.push((source.input, place));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        visit(&least, &found)?;
        for source in sources.iter_mut() {
            if found.iter().any(|(input, _)| *input == source.input) {
                let input = source.input;
                source.advance().map_err(|source| InputDamage { input, source })?;
            }
        }
    }
}
