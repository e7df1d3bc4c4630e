//! Unpacked frames, decoded columns of timestamps and pages of indices, shared by all blocks and threads, bounded in
//! bytes.
//!
//! Neighbouring series lie in one frame and are read one after the other, so a frame is wanted many times within a
//! moment and then not for long; a column of timestamps is wanted by every series of its target. Eviction is first in,
//! first out with a second chance for what was used again.

use super::segment::{FrameRef, StoredFrame, UnpackedFrame, decoder};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::block::BlockId;
use tsdb_core::{Corruption, Timestamp};
use xxhash_rust::xxh3::Xxh3Builder;
use zstd::bulk::Decompressor;

const SHARDS: usize = 16;
/// Decompressors kept for reuse.
const MAX_UNPACKERS: usize = 16;

/// The longest buffer that is kept with a decompressor, in bytes.
const MAX_KEPT_BUFFER: usize = 256 << 10;
/// Memory of an entry besides its content, about: key, table, order, reference counts.
const ENTRY_BYTES: usize = 150;

/// The block, within the part of the cache; the place of the frame, or the number of the column of timestamps, or that
/// of the page behind all columns: segments are numbered from 1, so no frame has a place that small.
type Key = (u128, u64);
/// Which part of a cache.
type Part = u64;
/// What the number of a page is counted from.
const FIRST_PAGE: u64 = 1 << 32;

/// A cache of what was unpacked last, or a part of one. Blocks opened with parts of the same cache share its bytes.
///
/// Blocks are told apart by their names, which are unique within one directory: a copy of it has the same names. So each
/// directory needs a part of its own.
pub struct FrameCache {
    pool: Arc<Pool>,
    part: Part,
}

struct Pool {
    shards: Vec<Mutex<Shard>>,
    shard_bytes: usize,
    unpackers: Mutex<Vec<Unpacker>>,
    next_part: AtomicU64,
}

/// What reading a frame needs.
struct Unpacker {
    decoder: Decompressor<'static>,
    /// The frame as it lies in the file.
    stored: Vec<u8>,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<(Part, Key), Entry, Xxh3Builder>,
    order: VecDeque<(Part, Key)>,
    bytes: usize,
}

struct Entry {
    content: Content,
    used_again: bool,
}

#[derive(Clone)]
enum Content {
    Page(Arc<Vec<u8>>),
    Frame(Arc<UnpackedFrame>),
    Times(Arc<Vec<Timestamp>>),
}

impl Content {
    fn bytes(&self) -> usize {
        let content = match self {
            Self::Page(bytes) => bytes.len(),
            Self::Frame(frame) => frame.bytes.len(),
            Self::Times(times) => size_of_val(times.as_slice()),
        };
        content + ENTRY_BYTES
    }
}

impl FrameCache {
    /// A cache of at most `bytes`. What is longer than a sixteenth of that is not kept.
    pub fn new(bytes: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let (shard_bytes, unpackers) = (bytes / SHARDS, Mutex::default());
        let pool = Pool { shards, shard_bytes, unpackers, next_part: AtomicU64::new(1) };
        Self { pool: Arc::new(pool), part: 0 }
    }

    /// Another part of the same cache, for the blocks of another directory.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { pool: Arc::clone(&self.pool), part: self.pool.next_part.fetch_add(1, Ordering::Relaxed) }
    }

    /// Bytes of what it holds, in all parts.
    pub fn bytes(&self) -> usize {
        self.pool.shards.iter().map(|shard| shard.lock().bytes).sum()
    }

    /// The frame at `place` of `block`, unpacked; `load` reads it into the buffer if it is not here.
    pub(super) fn frame(
        &self,
        block: BlockId,
        place: FrameRef,
        load: impl for<'b> FnOnce(&'b mut Vec<u8>) -> Result<StoredFrame<'b>, Corruption>,
    ) -> Result<Arc<UnpackedFrame>, Corruption> {
        let key = (block.0, place.0);
        if let Some(Content::Frame(frame)) = self.touch(key) {
            return Ok(frame);
        }
        let frame = Arc::new(self.unpack(load)?);
        self.insert(key, Content::Frame(Arc::clone(&frame)));
        Ok(frame)
    }

    /// Page `number` of the index of `block`; `load` reads and checks it if it is not here.
    pub(super) fn page(
        &self,
        block: BlockId,
        number: usize,
        load: impl FnOnce() -> Result<Vec<u8>, Corruption>,
    ) -> Result<Arc<Vec<u8>>, Corruption> {
        let key = (block.0, FIRST_PAGE | number as u64);
        if let Some(Content::Page(page)) = self.touch(key) {
            return Ok(page);
        }
        let page = Arc::new(load()?);
        self.insert(key, Content::Page(Arc::clone(&page)));
        Ok(page)
    }

    /// The column of timestamps `number` of `block`; `load` decodes it if it is not here.
    pub(super) fn times(
        &self,
        block: BlockId,
        number: u32,
        load: impl FnOnce() -> Result<Vec<Timestamp>, Corruption>,
    ) -> Result<Arc<Vec<Timestamp>>, Corruption> {
        let key = (block.0, u64::from(number));
        if let Some(Content::Times(times)) = self.touch(key) {
            return Ok(times);
        }
        let times = Arc::new(load()?);
        self.insert(key, Content::Times(Arc::clone(&times)));
        Ok(times)
    }

    /// Forgets what belongs to `block`, which has been deleted.
    pub fn forget(&self, block: BlockId) {
        self.pool.forget(|(part, (id, _))| *part == self.part && *id == block.0);
    }

    fn touch(&self, key: Key) -> Option<Content> {
        self.pool.shard(key)?.lock().touch((self.part, key))
    }

    fn insert(&self, key: Key, content: Content) {
        let pool = &self.pool;
        if let Some(shard) = pool.shard(key).filter(|_| content.bytes() <= pool.shard_bytes) {
            shard.lock().insert((self.part, key), content, pool.shard_bytes);
        }
    }

    fn unpack(
        &self,
        load: impl for<'b> FnOnce(&'b mut Vec<u8>) -> Result<StoredFrame<'b>, Corruption>,
    ) -> Result<UnpackedFrame, Corruption> {
        let pooled = self.pool.unpackers.lock().pop();
        let mut unpacker = match pooled {
            Some(unpacker) => unpacker,
            None => Unpacker { decoder: decoder()?, stored: Vec::new() },
        };
        let raw = load(&mut unpacker.stored).and_then(|frame| frame.unpack(&mut unpacker.decoder));
        unpacker.stored.truncate(MAX_KEPT_BUFFER);
        unpacker.stored.shrink_to(MAX_KEPT_BUFFER);
        let mut unpackers = self.pool.unpackers.lock();
        if unpackers.len() < MAX_UNPACKERS {
            unpackers.push(unpacker);
        }
        raw
    }
}

impl Drop for FrameCache {
    /// Nobody will ask for what is in this part again.
    fn drop(&mut self) {
        if Arc::strong_count(&self.pool) > 1 {
            self.pool.forget(|(part, _)| *part == self.part);
        }
    }
}

impl Pool {
    fn shard(&self, key: Key) -> Option<&Mutex<Shard>> {
        let mixed = (key.1 ^ key.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.shards.get((mixed >> 60) as usize % SHARDS)
    }

    fn forget(&self, is_gone: impl Fn(&(Part, Key)) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.order.retain(|key| !is_gone(key));
            shard.entries.retain(|key, _| !is_gone(key));
            shard.bytes = shard.entries.values().map(|entry| entry.content.bytes()).sum();
        }
    }
}

impl Shard {
    fn touch(&mut self, key: (Part, Key)) -> Option<Content> {
        let entry = self.entries.get_mut(&key)?;
        entry.used_again = true;
        Some(entry.content.clone())
    }

    fn insert(&mut self, key: (Part, Key), content: Content, limit: usize) {
        let bytes = content.bytes();
        // Another thread may have been faster, with the same content.
        if self.entries.insert(key, Entry { content, used_again: false }).is_none() {
            self.bytes += bytes;
            self.order.push_back(key);
        }
        while self.bytes > limit {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.used_again => {
                    entry.used_again = false;
                    self.order.push_back(oldest);
                }
                Some(entry) => {
                    self.bytes -= entry.content.bytes();
                    self.entries.remove(&oldest);
                }
                None => {}
            }
        }
    }
}

impl fmt::Debug for FrameCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameCache({} of {} bytes)", self.bytes(), self.pool.shard_bytes * SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_entries_count_with_what_they_cost_besides_their_content() {
        let cache = FrameCache::new(16 * 1600);
        for number in 0..1000 {
            cache.times(BlockId(1), number, || Ok(vec![0])).unwrap();
        }
        let kept: usize = cache.pool.shards.iter().map(|shard| shard.lock().entries.len()).sum();
        assert!((1..=160).contains(&kept), "{kept}");
    }

    #[test]
    fn parts_share_the_bytes_and_nothing_else() {
        let cache = FrameCache::new(16 * 1600);
        let parts = [cache.part(), cache.part()];
        let time = |part: usize| parts[part].times(BlockId(1), 7, || Ok(vec![part as i64])).unwrap();
        assert_eq!([time(0)[0], time(1)[0], time(0)[0]], [0, 1, 0], "blocks of one name in two directories");
        parts[0].forget(BlockId(1));
        assert_eq!(parts[0].times(BlockId(1), 7, || Ok(vec![9])).unwrap()[0], 9);
        assert_eq!(time(1)[0], 1, "another's block is not forgotten");
        for number in 0..1000 {
            parts[number as usize % 2].times(BlockId(2), number, || Ok(vec![0])).unwrap();
        }
        assert!(cache.bytes() <= 16 * 1600, "{}", cache.bytes());
        let [one, two] = parts;
        drop(two);
        assert!(cache.bytes() > 0 && one.bytes() == cache.bytes());
        drop(one);
        assert_eq!(cache.bytes(), 0, "what a closed database leaves behind");
    }
}
