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
    /// What is taken is taken of this as well.
    whole: Option<Arc<Self>>,
}

/// Why a pool gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// Bytes that are taken.
    pub(crate) held: u64,
    /// Bytes of all.
    pub(crate) limit: u64,
}

/// The largest part of a pool that is taken on an estimate.
const LARGEST_ESTIMATE: u64 = 8;

impl MemoryPool {
    /// A pool of `limit` bytes.
    pub const fn new(limit: u64) -> Self {
        Self { limit, held: AtomicU64::new(0), whole: None }
    }

    /// A pool of `limit` bytes that are those of `whole`: for some of its queries, so that others are left something.
    pub const fn part_of(whole: Arc<Self>, limit: u64) -> Self {
        Self { limit, held: AtomicU64::new(0), whole: Some(whole) }
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
    /// There are not so many left, of this or of the whole.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), Exhausted> {
        let take = |held: u64| held.checked_add(bytes).filter(|held| *held <= self.limit);
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|held| Exhausted { held, limit: self.limit })?;
        let of_whole = self.whole.as_ref().map_or(Ok(()), |whole| whole.take(bytes));
        of_whole.inspect_err(|_| {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
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
        assert_eq!(pool.take(u64::MAX), Err(Exhausted { held: 60, limit: 100 }));
        let second = pool.hold(40).unwrap();
        drop(first);
        assert_eq!(pool.held(), 40);
        drop(second);
        assert_eq!(pool.held(), 0);
    }

    #[test]
    fn a_part_leaves_the_others_what_is_not_in_it() {
        let whole = Arc::new(MemoryPool::new(100));
        let [one, other] = [75, 75].map(|limit| Arc::new(MemoryPool::part_of(Arc::clone(&whole), limit)));
        let of_one = one.hold(75).unwrap();
        assert_eq!(one.take(1), Err(Exhausted { held: 75, limit: 75 }));
        let of_other = other.hold(25).unwrap();
        assert_eq!(other.take(1), Err(Exhausted { held: 100, limit: 100 }));
        assert_eq!((one.held(), other.held(), whole.held()), (75, 25, 100));
        drop(of_one);
        assert_eq!((one.held(), other.held(), whole.held()), (0, 25, 25));
        drop(of_other);
        assert_eq!(whole.held(), 0);
    }
}
