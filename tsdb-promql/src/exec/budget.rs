//! The account of one query: samples held, samples read, and when to stop.

use crate::failure::QueryError;
use crate::memory::{Exhausted, MemoryPool};
use crate::options::{EngineOptions, Pacer, QueryParams};
use crate::value::QueryStats;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts what a query holds and reads, refuses what exceeds its limits, and tells when it must stop.
///
/// A held sample is one slot of a column, whether a point stands in it or not: that is what takes memory.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    held: AtomicU64,
    peak: AtomicU64,
    read: AtomicU64,
    series: AtomicU64,
    shared: Option<Shared>,
    cancel: Option<Arc<AtomicBool>>,
    pacer: Option<Arc<dyn Pacer>>,
    deadline: Option<(Instant, Duration)>,
}

/// What the query has of the memory of all queries.
#[derive(Debug)]
struct Shared {
    pool: Arc<MemoryPool>,
    /// Bytes taken. They are kept until the query ends: what it held once it may hold again.
    taken: AtomicU64,
    /// Held by whoever takes more.
    taking: Mutex<()>,
}

/// Memory of a slot.
const SLOT_BYTES: u64 = 8;

/// Memory is taken from the pool in pieces of this size.
const PIECE_BYTES: u64 = 64 << 10;

impl Budget {
    /// The account of a query with these parameters. Time runs from now.
    pub(super) fn new(options: &EngineOptions, params: &QueryParams) -> Self {
        let timeout = match (options.timeout, params.timeout) {
            (Some(engine), Some(query)) => Some(engine.min(query)),
            (engine, query) => engine.or(query),
        };
        // A timeout beyond what the clock can count is none.
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t).map(|end| (end, t)));
        Self {
            limit: options.max_samples,
            held: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            read: AtomicU64::new(0),
            series: AtomicU64::new(0),
            shared: options.memory.clone().map(Shared::new),
            cancel: params.cancel.clone(),
            pacer: params.pacer.clone(),
            deadline,
        }
    }

    /// Samples that may be held at one time.
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes `samples` onto the account until the answer is dropped.
    ///
    /// # Errors
    /// The limit; who asked is for the operator to add.
    pub(super) fn hold(&self, samples: usize) -> Result<Held<'_>, QueryError> {
        let samples = samples as u64;
        let needed = self.held.fetch_add(samples, Ordering::Relaxed).saturating_add(samples);
        let held = Held { budget: self, samples };
        if needed > self.limit {
            return Err(QueryError::TooManySamples { operator: None, needed, limit: self.limit });
        }
        if let Some(shared) = &self.shared {
            shared.grow_to(needed.saturating_mul(SLOT_BYTES))?;
        }
        self.peak.fetch_max(needed, Ordering::Relaxed);
        Ok(held)
    }

    /// Does the memory that is left for all queries know of estimates?
    pub(super) const fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Takes memory for a query that is estimated to touch `bytes`, before it reads anything.
    ///
    /// # Errors
    /// Other queries hold it.
    pub(super) fn expect(&self, bytes: u64) -> Result<(), QueryError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let most = self.limit.saturating_mul(SLOT_BYTES);
        shared.grow_to(shared.pool.share_of(bytes.min(most)))
    }

    /// Takes `samples` onto the account until the query ends.
    ///
    /// # Errors
    /// The limit.
    pub(super) fn keep(&self, samples: usize) -> Result<(), QueryError> {
        std::mem::forget(self.hold(samples)?);
        Ok(())
    }

    /// Is there room for `samples` more?
    ///
    /// # Errors
    /// The limit.
    pub(super) fn check_room(&self, samples: usize) -> Result<(), QueryError> {
        self.hold(samples).map(drop)
    }

    /// Notes that `samples` were read from storage.
    pub(super) fn note_read(&self, samples: usize) {
        self.read.fetch_add(samples as u64, Ordering::Relaxed);
    }

    /// Notes that `series` were selected.
    pub(super) fn note_series(&self, series: usize) {
        self.series.fetch_add(series as u64, Ordering::Relaxed);
    }

    /// May the query go on?
    ///
    /// # Errors
    /// Cancelled, or out of time.
    pub(super) fn check(&self) -> Result<(), QueryError> {
        if let Some(pacer) = &self.pacer {
            pacer.pace();
        }
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(QueryError::Cancelled);
        }
        match self.deadline {
            Some((end, timeout)) if Instant::now() >= end => {
                Err(QueryError::Timeout { limit_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) })
            }
            _ => Ok(()),
        }
    }

    /// The account as it stands.
    pub(super) fn stats(&self) -> QueryStats {
        QueryStats {
            samples_read: self.read.load(Ordering::Relaxed),
            series_selected: self.series.load(Ordering::Relaxed),
            peak_samples: self.peak.load(Ordering::Relaxed),
            // A held sample is a slot.
            peak_bytes: self.peak.load(Ordering::Relaxed).saturating_mul(SLOT_BYTES),
            ..QueryStats::default()
        }
    }
}

impl Shared {
    fn new(pool: Arc<MemoryPool>) -> Self {
        Self { pool, taken: AtomicU64::new(0), taking: Mutex::new(()) }
    }

    #[inline]
    fn grow_to(&self, bytes: u64) -> Result<(), QueryError> {
        if bytes <= self.taken.load(Ordering::Relaxed) { Ok(()) } else { self.take(bytes) }
    }

    #[cold]
    fn take(&self, bytes: u64) -> Result<(), QueryError> {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.taken.load(Ordering::Relaxed);
        let wanted = bytes.checked_next_multiple_of(PIECE_BYTES).unwrap_or(bytes);
        let needed = wanted.saturating_sub(taken);
        self.pool.take(needed).map_err(|Exhausted { held, limit }| QueryError::OutOfMemory {
            needed,
            held,
            limit,
            alone: held == taken,
        })?;
        self.taken.store(taken.saturating_add(needed), Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.give_back(*self.taken.get_mut());
    }
}

/// Samples on the account. Dropping it takes them off.
#[derive(Debug)]
pub(super) struct Held<'b> {
    budget: &'b Budget,
    samples: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.samples, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max_samples: u64, params: &QueryParams) -> Budget {
        Budget::new(&EngineOptions { max_samples, ..EngineOptions::default() }, params)
    }

    #[test]
    fn what_is_dropped_is_off_the_account_and_the_peak_stays() {
        let budget = budget(10, &QueryParams::instant(0));
        let first = budget.hold(6).unwrap();
        let error = budget.hold(5).unwrap_err();
        assert!(matches!(error, QueryError::TooManySamples { operator: None, needed: 11, limit: 10 }));
        drop(first);
        drop(budget.hold(10).unwrap());
        assert_eq!(budget.stats().peak_samples, 10);
    }

    #[test]
    fn queries_together_hold_no_more_than_they_share_and_give_it_back() {
        let pool = Arc::new(MemoryPool::new(4 * PIECE_BYTES));
        let options = EngineOptions { memory: Some(Arc::clone(&pool)), ..EngineOptions::default() };
        let budget = || Budget::new(&options, &QueryParams::instant(0));
        let (first, second) = (budget(), budget());
        let slots = |bytes: u64| usize::try_from(bytes / SLOT_BYTES).unwrap();
        let held = first.hold(slots(3 * PIECE_BYTES)).unwrap();
        let error = second.hold(slots(2 * PIECE_BYTES)).unwrap_err();
        assert_eq!(error.kind(), crate::QueryErrorKind::Busy, "{error}");
        let error = first.hold(slots(2 * PIECE_BYTES)).unwrap_err();
        assert_eq!(error.kind(), crate::QueryErrorKind::Execution, "nobody else has any: {error}");
        drop(held);
        assert_eq!(pool.held(), 3 * PIECE_BYTES, "kept until the query ends");
        drop(first);
        second.expect(u64::MAX).unwrap();
        assert_eq!(pool.held(), PIECE_BYTES, "an eighth, in whole pieces");
        drop(second);
        assert_eq!(pool.held(), 0);
    }

    #[test]
    fn a_cancelled_or_late_query_must_stop() {
        let mut params = QueryParams::instant(0);
        params.timeout = Some(Duration::ZERO);
        assert!(matches!(budget(1, &params).check(), Err(QueryError::Timeout { limit_ms: 0 })));
        params.cancel = Some(Arc::new(AtomicBool::new(true)));
        assert!(matches!(budget(1, &params).check(), Err(QueryError::Cancelled)));
    }
}
