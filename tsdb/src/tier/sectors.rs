//! Parts of far files that were read last, bounded in bytes: first in, first out, with a second chance for what was
//! used since.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3Builder;

/// Number of the file, number of the sector in it.
pub(super) type SectorKey = (u64, u64);

/// Memory of an entry besides its content, about.
const ENTRY_BYTES: usize = 120;

/// A bounded set of sectors.
#[derive(Debug)]
pub(super) struct Sectors {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<SectorKey, Entry, Xxh3Builder>,
    order: VecDeque<SectorKey>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    bytes: Arc<[u8]>,
    /// Since it came, or since it was spared last. What came counts as used: it was read ahead for somebody.
    is_used: bool,
}

impl Sectors {
    /// A set of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Bytes of what it holds.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    pub(super) fn get(&self, key: SectorKey) -> Option<Arc<[u8]>> {
        let mut state = self.state.lock();
        let entry = state.entries.get_mut(&key)?;
        entry.is_used = true;
        Some(Arc::clone(&entry.bytes))
    }

    pub(super) fn has(&self, key: SectorKey) -> bool {
        self.state.lock().entries.contains_key(&key)
    }

    pub(super) fn insert(&self, key: SectorKey, bytes: Arc<[u8]>) {
        let mut state = self.state.lock();
        if let Some(known) = state.entries.get_mut(&key) {
            let new = bytes.len();
            let old = std::mem::replace(&mut known.bytes, bytes).len();
            state.bytes = state.bytes - old + new;
            return;
        }
        let taken = bytes.len() + ENTRY_BYTES;
        if taken > self.limit {
            return;
        }
        state.make_room(self.limit - taken);
        state.bytes += taken;
        state.entries.insert(key, Entry { bytes, is_used: true });
        state.order.push_back(key);
    }

    /// Forgets all sectors of a file.
    pub(super) fn forget(&self, file: u64) {
        let mut state = self.state.lock();
        state.order.retain(|(of, _)| *of != file);
        state.entries.retain(|(of, _), _| *of != file);
        state.bytes = state.entries.values().map(|entry| entry.bytes.len() + ENTRY_BYTES).sum();
    }
}

impl State {
    /// Drops what is oldest and was not used, sparing what was for once, until no more than `limit` bytes are left.
    fn make_room(&mut self, limit: usize) {
        while self.bytes > limit {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.is_used => {
                    entry.is_used = false;
                    self.order.push_back(oldest);
                }
                Some(entry) => {
                    self.bytes -= entry.bytes.len() + ENTRY_BYTES;
                    self.entries.remove(&oldest);
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Sectors {
        let sectors = Sectors::new(10 * (1_000 + ENTRY_BYTES));
        (0..10).for_each(|number| sectors.insert((0, number), Arc::from([0; 1_000])));
        sectors
    }

    #[test]
    fn what_was_read_ahead_stays_while_what_was_used_goes() {
        let sectors = full();
        (0..7).for_each(|number| assert!(sectors.get((0, number)).is_some()));
        // The last three of the old ones were read ahead together with these.
        (10..17).for_each(|number| sectors.insert((0, number), Arc::from([0; 1_000])));
        assert!((0..7).all(|number| !sectors.has((0, number))));
        assert!((7..17).all(|number| sectors.has((0, number))));
        assert_eq!(sectors.bytes(), 10 * (1_000 + ENTRY_BYTES));
    }

    #[test]
    fn what_is_used_again_stays_longer_than_what_is_not() {
        let sectors = full();
        sectors.insert((0, 10), Arc::from([0; 1_000]));
        assert!(sectors.get((0, 5)).is_some());
        (11..19).for_each(|number| sectors.insert((0, number), Arc::from([0; 1_000])));
        let left: Vec<u64> = (0..20).filter(|number| sectors.has((0, *number))).collect();
        assert_eq!(left, [5, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
        // One that comes anew takes the place of its old bytes.
        sectors.insert((0, 5), Arc::from([0; 900]));
        assert_eq!(sectors.bytes(), 10 * (1_000 + ENTRY_BYTES) - 100);
        sectors.forget(0);
        assert_eq!(sectors.bytes(), 0);
    }
}
