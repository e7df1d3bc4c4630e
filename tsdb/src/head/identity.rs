//! Who is who: from the wire form of a label set to the number of its series.
//!
//! A series is known by 112 bits of a hash (xxh3) of the wire form of its labels, with a secret of 192 random bytes drawn
//! when the head is made, and 16 bits of the length of that form. The wire form itself is not compared: among 10^8 series
//! the chance that any two share a hash is below 10^-17, far below that of a memory error, and without the secret nobody
//! can construct such a pair. Nothing on disk depends on the hash. The length tells a reader of a message where the labels
//! of the series that it expects would end.
//!
//! The hash of each series stands in its [`Identity`], found by number without a lock. The table from hash to
//! number holds numbers only and is split into shards under reader-writer locks. Most look-ups never reach it: each
//! identity remembers which series was asked for after it the last time, and that guess needs one comparison.
//!
//! # Removal
//! A series may be removed while somebody looks it up. Both sides announce before they check: the look-up stores
//! its epoch in `touched` (or finds it there) and then compares the hash; the removal clears the hash and then reads `touched`
//! again. In the single order of these operations one of the two comes first, so either the look-up sees the series
//! gone or the removal sees it in use and puts it back.

use super::pages::Pages;
use super::pins::Epoch;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::{RwLock, RwLockWriteGuard};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tsdb_core::SeriesRef;
use xxhash_rust::xxh3::xxh3_128_with_secret;

const SHARDS: usize = 32;
const SECRET_BYTES: usize = 192;
const NO_SUCCESSOR: u32 = 0;

/// The bits of the higher half of a hash that are the length of the wire form.
const LENGTH_BITS: u32 = 16;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;

/// The hash of a label set. Zero stands for no series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesHash {
    low: u64,
    /// Bits of the hash, and below them the length of the wire form, or [`LENGTH_MASK`] if it is longer.
    high: u64,
}

/// What is known of a series without a lock.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    low: AtomicU64,
    high: AtomicU64,
    /// One more than the number of the series that was asked for after this one.
    successor: AtomicU32,
    /// The newest epoch in which somebody took a reference.
    touched: AtomicU32,
}

/// A series, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'p> {
    pub(crate) series: SeriesRef,
    identity: &'p Identity,
}

/// From hashes to numbers.
#[derive(Debug)]
pub(crate) struct Identities {
    secret: [u8; SECRET_BYTES],
    shards: Box<[RwLock<HashTable<u32>>]>,
}

impl Identities {
    pub(crate) fn new() -> Self {
        let mut secret = [0; SECRET_BYTES];
        for (index, bytes) in secret.chunks_exact_mut(8).enumerate() {
            // Each state has keys of its own, seeded by the operating system.
            bytes.copy_from_slice(&RandomState::new().hash_one(index).to_le_bytes());
        }
        Self { secret, shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    /// The hash of a label set in wire form.
    #[inline]
    pub(crate) fn hash(&self, wire: &[u8]) -> SeriesHash {
        let hash = xxh3_128_with_secret(wire, &self.secret);
        let length = (wire.len() as u64).min(LENGTH_MASK);
        SeriesHash { low: hash as u64, high: (hash >> 64) as u64 & !LENGTH_MASK | length }
    }

    /// The series with this hash, marked as in use in `epoch`.
    pub(crate) fn find<'p>(&self, pages: &'p Pages, hash: SeriesHash, epoch: Epoch) -> Option<Found<'p>> {
        let shard = self.shard(hash).read();
        let series = probe(&shard, pages, hash)?;
        let identity = pages.identity(series)?;
        identity.claim(hash, epoch).then_some(Found { series, identity })
    }

    /// Locks the part of the table that holds `hash`, to register or remove.
    pub(crate) fn lock(&self, hash: SeriesHash) -> Shard<'_> {
        Shard { table: self.shard(hash).write() }
    }

    /// Bytes of memory that the tables take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().allocation_size()).sum()
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder lies within the array")]
    fn shard(&self, hash: SeriesHash) -> &RwLock<HashTable<u32>> {
        &self.shards[((hash.high >> LENGTH_BITS) % SHARDS as u64) as usize]
    }
}

impl<'p> Found<'p> {
    /// The series with this number, whether it is in use or not.
    pub(crate) fn numbered(pages: &'p Pages, series: SeriesRef) -> Option<Self> {
        Some(Self { series, identity: pages.identity(series)? })
    }

    /// The series that is asked for next, if things are as the last time.
    #[inline]
    pub(crate) fn next(self, pages: &'p Pages) -> Option<Self> {
        Self::numbered(pages, self.identity.guess(self.series))
    }

    /// Notes that `next` was asked for after this one.
    pub(crate) fn note_next(self, next: SeriesRef) {
        self.identity.successor.store(next.0.wrapping_add(1), Ordering::Relaxed);
    }

    /// Is this the series with that hash? If so it is marked as in use in `epoch`.
    #[inline]
    pub(crate) fn claim(self, hash: SeriesHash, epoch: Epoch) -> bool {
        self.identity.claim(hash, epoch)
    }

    /// Length of the wire form of its labels, unless that is very long or there is no such series.
    #[inline]
    pub(crate) fn wire_len(self) -> Option<usize> {
        let length = self.identity.high.load(Ordering::Relaxed) & LENGTH_MASK;
        usize::try_from(length).ok().filter(|_| (1..LENGTH_MASK).contains(&length))
    }
}

/// A locked part of the table.
pub(crate) struct Shard<'a> {
    table: RwLockWriteGuard<'a, HashTable<u32>>,
}

impl Shard<'_> {
    /// The series with this hash, marked as in use in `epoch`.
    pub(crate) fn find(&self, pages: &Pages, hash: SeriesHash, epoch: Epoch) -> Option<SeriesRef> {
        let found = probe(&self.table, pages, hash)?;
        pages.identity(found)?.claim(hash, epoch).then_some(found)
    }

    /// Makes `series` known by its hash. Its page must exist.
    pub(crate) fn insert(&mut self, pages: &Pages, series: SeriesRef, hash: SeriesHash, epoch: Epoch) {
        if let Some(identity) = pages.identity(series) {
            identity.set(hash, epoch);
        }
        self.table.insert_unique(hash.low, series.0, |other| low_of(pages, *other));
    }

    /// As [`insert`](Self::insert), unless the hash is known. Says whether it was not.
    pub(crate) fn insert_if_new(&mut self, pages: &Pages, series: SeriesRef, hash: SeriesHash) -> bool {
        let is_it = |number: &u32| pages.identity(SeriesRef(*number)).is_some_and(|found| found.is(hash));
        match self.table.entry(hash.low, is_it, |other| low_of(pages, *other)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(series.0);
                if let Some(identity) = pages.identity(series) {
                    identity.set(hash, 0);
                }
                true
            }
        }
    }

    /// Forgets `series` unless somebody took a reference in epoch `oldest` or later. Says whether it is gone.
    pub(crate) fn remove(&mut self, pages: &Pages, series: SeriesRef, oldest: Epoch) -> bool {
        let Some(identity) = pages.identity(series) else { return false };
        let Some(hash) = identity.hash() else { return false };
        if identity.touched.load(Ordering::SeqCst) >= oldest {
            return false;
        }
        identity.low.store(0, Ordering::SeqCst);
        if identity.touched.load(Ordering::SeqCst) >= oldest {
            identity.low.store(hash.low, Ordering::SeqCst);
            return false;
        }
        identity.high.store(0, Ordering::SeqCst);
        if let Ok(entry) = self.table.find_entry(hash.low, |other| *other == series.0) {
            entry.remove();
        }
        true
    }
}

impl Identity {
    /// The hash; `None` if there is no series of this number.
    pub(crate) fn hash(&self) -> Option<SeriesHash> {
        let hash =
            SeriesHash { low: self.low.load(Ordering::SeqCst), high: self.high.load(Ordering::SeqCst) };
        (hash.low != 0 || hash.high != 0).then_some(hash)
    }

    fn set(&self, hash: SeriesHash, epoch: Epoch) {
        self.successor.store(NO_SUCCESSOR, Ordering::Relaxed);
        self.touched.store(epoch, Ordering::SeqCst);
        self.high.store(hash.high, Ordering::SeqCst);
        self.low.store(hash.low, Ordering::SeqCst);
    }

    /// Did somebody take a reference in epoch `since` or later?
    pub(crate) fn is_used(&self, since: Epoch) -> bool {
        self.touched.load(Ordering::SeqCst) >= since
    }

    #[inline]
    fn is(&self, hash: SeriesHash) -> bool {
        self.low.load(Ordering::SeqCst) == hash.low && self.high.load(Ordering::SeqCst) == hash.high
    }

    /// Is this the series with that hash? If so it is in use from now on.
    #[inline]
    fn claim(&self, hash: SeriesHash, epoch: Epoch) -> bool {
        // ORDER: announce, then check; see the module's text. The first check only keeps others untouched.
        if self.touched.load(Ordering::SeqCst) < epoch {
            if !self.is(hash) {
                return false;
            }
            self.touched.fetch_max(epoch, Ordering::SeqCst);
        }
        self.is(hash)
    }

    #[inline]
    fn guess(&self, this: SeriesRef) -> SeriesRef {
        match self.successor.load(Ordering::Relaxed) {
            NO_SUCCESSOR => SeriesRef(this.0.wrapping_add(1)),
            next => SeriesRef(next - 1),
        }
    }
}

fn probe(table: &HashTable<u32>, pages: &Pages, hash: SeriesHash) -> Option<SeriesRef> {
    let is_it = |number: &u32| pages.identity(SeriesRef(*number)).is_some_and(|found| found.is(hash));
    table.find(hash.low, is_it).map(|number| SeriesRef(*number))
}

fn low_of(pages: &Pages, number: u32) -> u64 {
    pages.identity(SeriesRef(number)).map_or(0, |identity| identity.low.load(Ordering::Acquire))
}
