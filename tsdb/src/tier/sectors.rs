//! Parts of far files that were read last, bounded in bytes: first in, first out, with a second chance for what was
//! used again.

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
    used_again: bool,
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
        entry.used_again = true;
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
        // ORDER: what gets a second chance goes before what is new, which nobody has had the time to use.
        state.make_room(self.limit - taken);
        state.bytes += taken;
        state.entries.insert(key, Entry { bytes, used_again: false });
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
    /// Drops what is oldest, and was not used again, until no more than `limit` bytes are left.
    fn make_room(&mut self, limit: usize) {
        while self.bytes > limit {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.used_again => {
                    entry.used_again = false;
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

    #[test]
    fn what_was_read_ahead_stays_while_what_was_used_goes() {
        let part = || Arc::from([0; 1_000]);
        let sectors = Sectors::new(10 * (1_000 + ENTRY_BYTES));
        for number in 0..10 {
            sectors.insert((0, number), part());
            assert!(sectors.get((0, number)).is_some());
        }
        (10..18).for_each(|number| sectors.insert((0, number), part()));
        assert!((10..18).all(|number| sectors.has((0, number))));
        assert_eq!(sectors.bytes(), 10 * (1_000 + ENTRY_BYTES));
    }

    #[test]
    fn what_is_used_again_stays_longer_than_what_is_not() {
        let sectors = Sectors::new(10 * (1_000 + ENTRY_BYTES));
        (0..10).for_each(|number| sectors.insert((0, number), Arc::from([0; 1_000])));
        assert!(sectors.get((0, 0)).is_some());
        (10..19).for_each(|number| sectors.insert((0, number), Arc::from([0; 1_000])));
        assert!(sectors.has((0, 0)) && (1..10).all(|number| !sectors.has((0, number))));
        // One that comes anew takes the place of its old bytes.
        sectors.insert((0, 0), Arc::from([0; 900]));
        assert_eq!(sectors.bytes(), 10 * (1_000 + ENTRY_BYTES) - 100);
        sectors.forget(0);
        assert_eq!(sectors.bytes(), 0);
    }
}
