//! Unpacked frames, shared by all blocks and threads, bounded in bytes.
//!
//! Neighbouring series lie in one frame and are read one after the other, so a frame is wanted many times within a
//! moment and then not for long. Eviction is first in, first out with a second chance for what was used again.

use super::segment::{FrameRef, StoredFrame, decoder};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use tsdb_core::Corruption;
use tsdb_core::block::BlockId;
use xxhash_rust::xxh3::Xxh3Builder;
use zstd::bulk::Decompressor;

const SHARDS: usize = 16;
/// Decompressors kept for reuse.
const MAX_DECODERS: usize = 16;

type Key = (u128, u64);

/// A cache of unpacked frames. Blocks opened with the same cache share its bytes.
pub struct FrameCache {
    shards: Vec<Mutex<Shard>>,
    shard_bytes: usize,
    decoders: Mutex<Vec<Decompressor<'static>>>,
}

#[derive(Default)]
struct Shard {
    frames: HashMap<Key, Entry, Xxh3Builder>,
    order: VecDeque<Key>,
    bytes: usize,
}

struct Entry {
    frame: Arc<Vec<u8>>,
    used_again: bool,
}

impl FrameCache {
    /// A cache of at most `bytes`. A frame longer than a sixteenth of that is not kept.
    pub fn new(bytes: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, shard_bytes: bytes / SHARDS, decoders: Mutex::default() }
    }

    /// Bytes of the frames it holds.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }

    /// The frame at `place` of `block`, unpacked; `load` finds it if it is not here.
    pub(super) fn frame<'a>(
        &self,
        block: BlockId,
        place: FrameRef,
        load: impl FnOnce() -> Result<StoredFrame<'a>, Corruption>,
    ) -> Result<Arc<Vec<u8>>, Corruption> {
        let key = (block.0, place.0);
        let shard = self.shard(key);
        if let Some(entry) = shard.and_then(|shard| shard.lock().touch(key)) {
            return Ok(entry);
        }
        let frame = Arc::new(self.unpack(&load()?)?);
        if let Some(shard) = shard.filter(|_| frame.len() <= self.shard_bytes) {
            shard.lock().insert(key, &frame, self.shard_bytes);
        }
        Ok(frame)
    }

    /// Forgets the frames of `block`, which has been deleted.
    pub fn forget(&self, block: BlockId) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.order.retain(|(id, _)| *id != block.0);
            shard.frames.retain(|(id, _), _| *id != block.0);
            shard.bytes = shard.frames.values().map(|entry| entry.frame.len()).sum();
        }
    }

    fn shard(&self, key: Key) -> Option<&Mutex<Shard>> {
        // Neighbouring frames differ in the low bits of their offsets only after some thousands of bytes.
        let mixed = (key.1 ^ key.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.shards.get((mixed >> 60) as usize % SHARDS)
    }

    fn unpack(&self, frame: &StoredFrame<'_>) -> Result<Vec<u8>, Corruption> {
        let pooled = self.decoders.lock().pop();
        let mut decoder = match pooled {
            Some(decoder) => decoder,
            None => decoder()?,
        };
        let raw = frame.unpack(&mut decoder);
        let mut decoders = self.decoders.lock();
        if decoders.len() < MAX_DECODERS {
            decoders.push(decoder);
        }
        raw
    }
}

impl Shard {
    fn touch(&mut self, key: Key) -> Option<Arc<Vec<u8>>> {
        let entry = self.frames.get_mut(&key)?;
        entry.used_again = true;
        Some(Arc::clone(&entry.frame))
    }

    fn insert(&mut self, key: Key, frame: &Arc<Vec<u8>>, limit: usize) {
        let entry = Entry { frame: Arc::clone(frame), used_again: false };
        if self.frames.insert(key, entry).is_none() {
            self.bytes += frame.len();
            self.order.push_back(key);
        }
        while self.bytes > limit {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.frames.get_mut(&oldest) {
                Some(entry) if entry.used_again => {
                    entry.used_again = false;
                    self.order.push_back(oldest);
                }
                Some(entry) => {
                    self.bytes -= entry.frame.len();
                    self.frames.remove(&oldest);
                }
                None => {}
            }
        }
    }
}

impl fmt::Debug for FrameCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameCache({} of {} bytes)", self.bytes(), self.shard_bytes * SHARDS)
    }
}
