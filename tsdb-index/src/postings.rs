//! Sets of series numbers in memory: one number, a short sorted list, or a bitmap.
//!
//! Most label pairs of a churning store have few series, and an empty-looking roaring bitmap costs more than a
//! hundred bytes; hence the short forms.

use roaring::{MultiOps, RoaringBitmap};

/// The longest list; a longer one becomes a bitmap.
const MAX_LIST: usize = 32;

/// The series that have one label pair.
#[derive(Debug)]
pub(crate) enum Postings {
    /// One series: no allocation.
    One(u32),
    /// None, or two to [`MAX_LIST`], ascending.
    List(Vec<u32>),
    /// More.
    Many(Box<Large>),
}

/// A set that knows its size: a bitmap would have to count it.
#[derive(Debug)]
pub(crate) struct Large {
    series: RoaringBitmap,
    len: u64,
}

/// With fewer series than this every part of a bitmap is a sorted list.
const LISTS_BELOW: u64 = 4096;

impl Large {
    #[inline]
    fn insert(&mut self, series: u32) {
        // Series are mostly numbered in the order in which they come. Only of a list the end is found without a search.
        let is_new =
            (self.len < LISTS_BELOW && self.series.try_push(series).is_ok()) || self.series.insert(series);
        self.len += u64::from(is_new);
    }

    /// The set.
    pub(crate) fn series(&self) -> &RoaringBitmap {
        &self.series
    }
}

impl Postings {
    /// No series.
    pub(crate) const fn empty() -> Self {
        Self::List(Vec::new())
    }

    /// Adds `series`.
    #[inline]
    pub(crate) fn insert(&mut self, series: u32) {
        match self {
            Self::Many(large) => large.insert(series),
            Self::List(list) if list.is_empty() => *self = Self::One(series),
            Self::One(only) if *only == series => {}
            Self::One(only) => *self = Self::List(vec![(*only).min(series), (*only).max(series)]),
            Self::List(list) => {
                let Err(place) = list.binary_search(&series) else { return };
                if list.len() < MAX_LIST {
                    list.insert(place, series);
                    return;
                }
                let mut bitmap: RoaringBitmap = list.iter().copied().collect();
                bitmap.insert(series);
                *self = Self::Many(Box::new(Large { series: bitmap, len: MAX_LIST as u64 + 1 }));
            }
        }
    }

    /// Removes the series in `dead` and takes a smaller form where that is little work; [`shrink`](Self::shrink) does the
    /// rest.
    pub(crate) fn subtract(&mut self, dead: &RoaringBitmap) {
        match self {
            Self::One(only) => {
                if dead.contains(*only) {
                    *self = Self::empty();
                }
            }
            Self::List(list) => {
                list.retain(|series| !dead.contains(*series));
                match list.as_slice() {
                    [only] => *self = Self::One(*only),
                    [] => *self = Self::empty(),
                    _ => list.shrink_to_fit(),
                }
            }
            Self::Many(large) => {
                large.series -= dead;
                large.len = large.series.len();
                match large.len {
                    0 => *self = Self::empty(),
                    1 => *self = Self::One(large.series.min().unwrap_or_default()),
                    // Half of the limit: a set at the border must not change its form back and forth.
                    few if few <= MAX_LIST as u64 / 2 => *self = Self::List(large.series.iter().collect()),
                    _ => {}
                }
            }
        }
    }

    /// Are there no series?
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::List(list) if list.is_empty())
    }

    /// Number of series.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::List(list) => list.len() as u64,
            Self::Many(large) => large.len,
        }
    }

    /// Takes the smallest form.
    pub(crate) fn shrink(&mut self) {
        match self {
            Self::One(_) => {}
            Self::List(list) => list.shrink_to_fit(),
            Self::Many(large) => {
                large.series.optimize();
            }
        }
    }

    /// Is a series in both sets?
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match other {
            Self::One(only) => self.contains(*only),
            Self::List(list) => list.iter().any(|series| self.contains(*series)),
            Self::Many(large) => self.intersects(&large.series),
        }
    }

    /// Is `series` in the set?
    pub(crate) fn contains(&self, series: u32) -> bool {
        match self {
            Self::One(only) => *only == series,
            Self::List(list) => list.binary_search(&series).is_ok(),
            Self::Many(large) => large.series.contains(series),
        }
    }

    /// Is a series in both sets?
    pub(crate) fn intersects(&self, other: &RoaringBitmap) -> bool {
        match self {
            Self::One(only) => other.contains(*only),
            Self::List(list) => list.iter().any(|series| other.contains(*series)),
            Self::Many(large) => !large.series.is_disjoint(other),
        }
    }

    /// Number of the series that are in both sets.
    pub(crate) fn common(&self, other: &RoaringBitmap) -> u64 {
        match self {
            Self::One(only) => u64::from(other.contains(*only)),
            Self::List(list) => list.iter().filter(|series| other.contains(**series)).count() as u64,
            Self::Many(large) => large.series.intersection_len(other),
        }
    }

    /// The set as a bitmap.
    pub(crate) fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Self::One(only) => RoaringBitmap::from_iter([*only]),
            Self::List(list) => list.iter().copied().collect(),
            Self::Many(large) => large.series.clone(),
        }
    }

    /// Bytes of heap memory, estimated.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::List(list) => list.capacity() * size_of::<u32>(),
            Self::Many(large) => size_of::<Large>() + bitmap_bytes(&large.series),
        }
    }
}

/// Bytes of heap memory of a bitmap, estimated.
pub(crate) fn bitmap_bytes(bitmap: &RoaringBitmap) -> usize {
    let numbers = bitmap.statistics();
    // The statistics count four bytes for each place of an array container, which takes two.
    let bytes = numbers.n_bytes_array_containers / 2
        + numbers.n_bytes_bitset_containers
        + numbers.n_bytes_run_containers;
    usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(numbers.n_containers as usize * 40)
}

/// Collects the union of many sets.
#[derive(Debug, Default)]
pub(crate) struct Union<'a> {
    numbers: Vec<u32>,
    borrowed: Vec<&'a RoaringBitmap>,
    owned: RoaringBitmap,
}

impl<'a> Union<'a> {
    /// Adds a set that outlives the union.
    pub(crate) fn add(&mut self, postings: &'a Postings) {
        match postings {
            Postings::One(only) => self.numbers.push(*only),
            Postings::List(list) => self.numbers.extend_from_slice(list),
            Postings::Many(large) => self.borrowed.push(large.series()),
        }
    }

    /// Adds a set that is only passing by.
    pub(crate) fn add_bitmap(&mut self, bitmap: RoaringBitmap) {
        if bitmap.len() <= MAX_LIST as u64 {
            self.numbers.extend(bitmap);
        } else if self.owned.is_empty() {
            self.owned = bitmap;
        } else {
            self.owned |= bitmap;
        }
    }

    /// All of it as one bitmap.
    pub(crate) fn finish(self) -> RoaringBitmap {
        let Self { mut numbers, borrowed, mut owned } = self;
        numbers.sort_unstable();
        numbers.dedup();
        if !numbers.is_empty() {
            owned |= numbers.into_iter().collect::<RoaringBitmap>();
        }
        if borrowed.is_empty() {
            return owned;
        }
        borrowed.into_iter().chain([&owned]).union()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn postings_behave_like_a_set(
            inserted in proptest::collection::vec(0_u32..200, 0..120),
            dead in proptest::collection::btree_set(0_u32..200, 0..150),
            late in proptest::collection::vec(0_u32..200, 0..40),
        ) {
            let mut postings = Postings::empty();
            let mut model = BTreeSet::new();
            let dead: RoaringBitmap = dead.into_iter().collect();
            for series in inserted {
                postings.insert(series);
                model.insert(series);
            }
            postings.subtract(&dead);
            model.retain(|series| !dead.contains(*series));
            for series in late {
                postings.insert(series);
                model.insert(series);
            }
            prop_assert_eq!(postings.to_bitmap(), model.iter().copied().collect::<RoaringBitmap>());
            prop_assert_eq!(postings.len(), model.len() as u64);
            prop_assert_eq!(postings.is_empty(), model.is_empty());
            let mut others = Postings::empty();
            dead.iter().for_each(|series| others.insert(series));
            prop_assert_eq!(postings.meets(&others), postings.intersects(&dead));
            prop_assert_eq!(postings.intersects(&dead), model.iter().any(|series| dead.contains(*series)));
        }
    }
}
