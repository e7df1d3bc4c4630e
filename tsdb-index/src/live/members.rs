//! Which label pairs each series has: lists of pair numbers, a few bytes a pair.

use super::pairs::PairId;
use crate::arena::{Arena, ArenaRef, push_varint, take_varint};

/// Lists of pairs by series number.
#[derive(Debug, Default)]
pub(super) struct Members {
    places: Vec<ArenaRef>,
    lists: Arena,
    scratch: Vec<u8>,
}

impl Members {
    /// Is there room for a list of `pairs`?
    pub(super) fn has_room(&self, pairs: usize) -> bool {
        self.lists.has_room(pairs * 5)
    }

    /// Sets the list of `series`, which is in order of label names.
    pub(super) fn set(&mut self, series: u32, pairs: &[PairId]) {
        self.scratch.clear();
        for pair in pairs {
            push_varint(&mut self.scratch, u64::from(pair.0));
        }
        let index = series as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, ArenaRef::NONE);
        }
        let place = self.lists.push(&self.scratch);
        if let Some(slot) = self.places.get_mut(index) {
            *slot = place;
        }
    }

    /// The pairs of `series` in order of label names; none if it is unknown.
    #[inline]
    pub(super) fn pairs(&self, series: u32) -> impl Iterator<Item = PairId> + Clone {
        let place = self.places.get(series as usize).copied().unwrap_or(ArenaRef::NONE);
        let mut rest = self.lists.get(place);
        std::iter::from_fn(move || take_varint(&mut rest))
            .map(|pair| PairId(u32::try_from(pair).unwrap_or(u32::MAX)))
    }

    /// Forgets the list of `series`.
    pub(super) fn clear(&mut self, series: u32) {
        if let Some(place) = self.places.get_mut(series as usize) {
            self.lists.forget(*place);
            *place = ArenaRef::NONE;
        }
    }

    /// Gives memory back when much of it is unused.
    pub(super) fn tidy(&mut self) {
        while self.places.last() == Some(&ArenaRef::NONE) {
            self.places.pop();
        }
        if self.places.capacity() > 4 * self.places.len() {
            self.places.shrink_to_fit();
        }
        if !self.lists.is_wasteful() {
            return;
        }
        let mut moved = Arena::default();
        for place in self.places.iter_mut().filter(|place| **place != ArenaRef::NONE) {
            *place = moved.push(self.lists.get(*place));
        }
        self.lists = moved;
    }

    /// Bytes of memory, from capacities.
    pub(super) fn memory_bytes(&self) -> usize {
        self.places.capacity() * size_of::<ArenaRef>() + self.lists.memory_bytes()
    }
}
