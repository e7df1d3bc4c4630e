//! The account of one query: samples held, samples read, and when to stop.

use crate::failure::QueryError;
use crate::options::{EngineOptions, QueryParams};
use crate::value::QueryStats;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    cancel: Option<Arc<AtomicBool>>,
    deadline: Option<(Instant, Duration)>,
}

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
            cancel: params.cancel.clone(),
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
        self.peak.fetch_max(needed, Ordering::Relaxed);
        Ok(held)
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
            peak_bytes: self.peak.load(Ordering::Relaxed).saturating_mul(8),
            ..QueryStats::default()
        }
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
    fn a_cancelled_or_late_query_must_stop() {
        let mut params = QueryParams::instant(0);
        params.timeout = Some(Duration::ZERO);
        assert!(matches!(budget(1, &params).check(), Err(QueryError::Timeout { limit_ms: 0 })));
        params.cancel = Some(Arc::new(AtomicBool::new(true)));
        assert!(matches!(budget(1, &params).check(), Err(QueryError::Cancelled)));
    }
}
