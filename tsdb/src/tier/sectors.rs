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
        let state = &mut *state;
        state.bytes += bytes.len() + ENTRY_BYTES;
        match state.entries.insert(key, Entry { bytes, used_again: false }) {
            Some(old) => state.bytes -= old.bytes.len() + ENTRY_BYTES,
            None => state.order.push_back(key),
        }
        while state.bytes > self.limit {
            let Some(oldest) = state.order.pop_front() else { return };
            match state.entries.get_mut(&oldest) {
                Some(entry) if entry.used_again => {
                    entry.used_again = false;
                    state.order.push_back(oldest);
                }
                Some(entry) => {
                    state.bytes -= entry.bytes.len() + ENTRY_BYTES;
                    state.entries.remove(&oldest);
                }
                None => {}
            }
        }
    }

    /// Forgets all sectors of a file.
    pub(super) fn forget(&self, file: u64) {
        let mut state = self.state.lock();
        state.order.retain(|(of, _)| *of != file);
        state.entries.retain(|(of, _), _| *of != file);
        state.bytes = state.entries.values().map(|entry| entry.bytes.len() + ENTRY_BYTES).sum();
    }
}
