//! Memory that queries share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An account of bytes for all queries of an engine, or of several.
///
/// Each query takes what it is estimated to need before it reads anything, at most an eighth of the whole, for estimates
/// are of what it touches and not of what it holds at one time; and more as it comes to hold more. It gives back all of
/// it when it ends. What is not there is refused, so that all queries together never hold more than the limit, whatever
/// the bound of each.
#[derive(Debug)]
pub struct MemoryPool {
    limit: u64,
    held: AtomicU64,
}

/// The largest part of a pool that is taken on an estimate.
const LARGEST_ESTIMATE: u64 = 8;

impl MemoryPool {
    /// A pool of `limit` bytes.
    pub const fn new(limit: u64) -> Self {
        Self { limit, held: AtomicU64::new(0) }
    }

    /// Bytes of all.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are taken.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes `bytes` until what is returned is dropped; `None` if there are not so many.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> Option<MemoryHold> {
        let pool = Arc::clone(self);
        self.take(bytes).ok().map(|()| MemoryHold { pool, bytes })
    }

    /// Takes `bytes`.
    ///
    /// # Errors
    /// How many others hold, if there are not so many left.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), u64> {
        let take = |held: u64| held.checked_add(bytes).filter(|held| *held <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map(drop)
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How much of an estimate is taken before the query runs.
    pub(crate) const fn share_of(&self, estimated: u64) -> u64 {
        let most = self.limit / LARGEST_ESTIMATE;
        if estimated < most { estimated } else { most }
    }
}

/// Bytes taken from a [`MemoryPool`].
#[derive(Debug)]
pub struct MemoryHold {
    pool: Arc<MemoryPool>,
    bytes: u64,
}

impl Drop for MemoryHold {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_no_more_than_it_has_and_takes_everything_back() {
        let pool = Arc::new(MemoryPool::new(100));
        let first = pool.hold(60).unwrap();
        assert!(pool.hold(41).is_none());
        assert_eq!(pool.take(u64::MAX), Err(60));
        let second = pool.hold(40).unwrap();
        drop(first);
        assert_eq!(pool.held(), 40);
        drop(second);
        assert_eq!(pool.held(), 0);
    }
}
