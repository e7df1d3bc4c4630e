//! New numbers for the things of one file in a merged one: ascending, as the old ones were.
//!
//! A set of the new numbers is all there is to remember: the n-th thing has the n-th number of the set. It takes a bit
//! for each number of the merged file, and a thirty-second of that for counts.

use roaring::RoaringBitmap;

/// Words between two counts.
const BLOCK: usize = 8;

/// From old numbers to new ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Renumbering {
    /// Old numbers of things that are not in the merged file.
    removed: RoaringBitmap,
    words: Vec<u64>,
    /// Number of ones before each block of words.
    counts: Vec<u32>,
    ones: u32,
}

impl Renumbering {
    /// No numbers yet; those that were `removed` get none.
    pub(super) fn without(removed: RoaringBitmap) -> Self {
        Self { removed, ..Self::default() }
    }

    /// Is the thing with the old number not in the merged file?
    pub(super) fn is_removed(&self, old: u32) -> bool {
        self.removed.contains(old)
    }

    /// The old numbers of what is not in the merged file.
    pub(super) fn removed(&self) -> &RoaringBitmap {
        &self.removed
    }

    /// The next thing has the number `new`, which is greater than the one before.
    pub(super) fn push(&mut self, new: u32) {
        let (word, bit) = ((new / 64) as usize, new % 64);
        while self.words.len() <= word {
            if self.words.len().is_multiple_of(BLOCK) {
                self.counts.push(self.ones);
            }
            self.words.push(0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << bit;
            self.ones += 1;
        }
    }

    /// The new number of the thing with the number `old`; `None` if it has none.
    pub(super) fn new_number(&self, old: u32) -> Option<u32> {
        let mut rank = if self.removed.is_empty() {
            old
        } else if self.removed.contains(old) {
            return None;
        } else {
            old - u32::try_from(self.removed.rank(old)).unwrap_or(u32::MAX)
        };
        let block = self.counts.partition_point(|before| *before <= rank).checked_sub(1)?;
        rank -= self.counts.get(block)?;
        for (place, word) in self.words.iter().enumerate().skip(block * BLOCK) {
            if rank < word.count_ones() {
                let word = (0..rank).fold(*word, |word, _| word & (word - 1));
                return u32::try_from(place * 64).ok()?.checked_add(word.trailing_zeros());
            }
            rank -= word.count_ones();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_nth_that_is_left_has_the_nth_number(
            new in prop::collection::btree_set(0_u32..5_000, 0..800),
            removed in prop::collection::btree_set(0_u32..900, 0..40),
        ) {
            let mut numbers = Renumbering::without(removed.iter().copied().collect());
            new.iter().for_each(|number| numbers.push(*number));
            let removed: BTreeSet<u32> = removed;
            let left: Vec<u32> = (0..900).filter(|old| !removed.contains(old)).collect();
            for (old, new) in left.iter().zip(&new) {
                prop_assert_eq!(numbers.new_number(*old), Some(*new));
            }
            if let Some(old) = left.get(new.len()) {
                prop_assert_eq!(numbers.new_number(*old), None);
            }
            prop_assert!(removed.iter().all(|old| numbers.new_number(*old).is_none() && numbers.is_removed(*old)));
        }
    }
}
