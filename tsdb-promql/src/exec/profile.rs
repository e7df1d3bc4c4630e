//! Time per operator, for those who ask: without a profile, operators run as they are.
//!
//! Times include those of the operators below, and are sums over threads, so they may exceed the time of the query.

use super::operator::{Identity, Operator, Scratch, VectorOp};
use super::points::Histograms;
use crate::failure::QueryError;
use crate::value::OperatorStats;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was measured at one operator.
#[derive(Debug)]
struct Measured {
    operator: String,
    depth: u32,
    build_ns: AtomicU64,
    rows_ns: AtomicU64,
    rows: AtomicU64,
}

/// The measurements of a query, in the order in which operators are built.
#[derive(Debug, Default)]
pub(super) struct Profile {
    measured: Mutex<Vec<Arc<Measured>>>,
    depth: AtomicU32,
}

/// An operator that is watched.
struct Watched<'c> {
    operator: Operator<'c>,
    measured: Arc<Measured>,
}

impl Profile {
    /// Builds an operator and watches it.
    ///
    /// # Errors
    /// Those of `build`.
    pub(super) fn watch<'c>(
        &self,
        name: String,
        build: impl FnOnce() -> Result<Operator<'c>, QueryError>,
    ) -> Result<Operator<'c>, QueryError> {
        let measured = Arc::new(Measured {
            operator: name,
            depth: self.depth.fetch_add(1, Ordering::Relaxed),
            build_ns: AtomicU64::new(0),
            rows_ns: AtomicU64::new(0),
            rows: AtomicU64::new(0),
        });
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&measured));
        let started = Instant::now();
        let built = build();
        measured.build_ns.store(nanoseconds(started), Ordering::Relaxed);
        self.depth.fetch_sub(1, Ordering::Relaxed);
        Ok(Box::new(Watched { operator: built?, measured }))
    }

    /// What was measured.
    pub(super) fn stats(&self) -> Vec<OperatorStats> {
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        let stats = |one: &Arc<Measured>| OperatorStats {
            operator: one.operator.clone(),
            depth: one.depth,
            build: time(&one.build_ns),
            rows_time: time(&one.rows_ns),
            rows: one.rows.load(Ordering::Relaxed),
        };
        measured.iter().map(stats).collect()
    }
}

impl VectorOp for Watched<'_> {
    fn rows(&self) -> &[Identity] {
        self.operator.rows()
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        let started = Instant::now();
        let result = self.operator.eval(row, scratch, out, histograms);
        self.measured.rows_ns.fetch_add(nanoseconds(started), Ordering::Relaxed);
        self.measured.rows.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn unique_without_name(&self) -> bool {
        self.operator.unique_without_name()
    }

    fn is_ordered(&self) -> bool {
        self.operator.is_ordered()
    }
    fn is_silent(&self) -> bool {
        self.operator.is_silent()
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
