//! Results of range queries, kept in memory: a dashboard that is refreshed computes what is new.
//!
//! # What is kept
//! The results of a query at neighbouring steps, in [cells](cell) of 512 steps that begin at the same steps for all
//! queries, by tenant, text in the form of the printer, distance and offset of the steps, and lookback. So panels of
//! different dashboards, and windows that move, share what they have in common. A query takes the longest run of steps
//! that is known, computes what lies before and behind it, and keeps that.
//!
//! Only for queries whose value at a time depends on the data around that time alone
//! ([`Engine::reach`](tsdb_promql::Engine::reach)), of stores that tell what changed ([`Store::change_mark`]). Not kept
//! are answers from which something is missing by the word of the storage, approximations, and those with remarks that
//! hold for some of their steps alone.
//!
//! # When it holds
//! The mark of a cell is older than what was read for it. A step is served as long as nothing has changed behind that mark
//! within the reach of the step. Batches in order change what lies at the edge, a late sample or a delete everything
//! from there on; cuts and compactions nothing. So there is no time to wait until data have settled: an answer is the one
//! that would be computed, bit for bit, as far as that depends on the data alone. It does not where the engine says so
//! itself: the last bit of sums of floats over many series, and which of equal values `topk` takes, depend on the
//! order in which storage lists the series of a whole query.
//!
//! What is remembered of remarks on names (`metric might not be a counter`) is told with any point of the cells they were
//! found in.

mod cell;
mod evaluate;
#[cfg(test)]
mod tests;

use crate::store::Store;
use cell::Cell;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb::ChangeMark;
use tsdb_core::{TenantId, TimeRange, Timestamp};
use tsdb_promql::{Engine, QueryParams};

/// The results of all tenants.
pub(crate) struct ResultCache {
    cells: Cache<CellKey, Arc<Cell>, ByBytes>,
    counts: Counts,
}

/// A query and everything that its evaluation needs.
pub(crate) struct Asked<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) store: &'a dyn Store,
    pub(crate) tenant: &'a TenantId,
    pub(crate) text: &'a str,
    pub(crate) params: &'a QueryParams,
    /// Results of later steps are neither kept nor taken.
    pub(crate) settled_until: Timestamp,
}

/// How long an answer holds: as long as nothing changes in these times behind the mark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) mark: ChangeMark,
    pub(crate) touched: TimeRange,
}

/// What is the same for all cells of a query.
#[derive(Debug, PartialEq, Eq, Hash)]
struct QueryKey {
    tenant: TenantId,
    text: String,
    step_ms: i64,
    offset_ms: i64,
    lookback_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CellKey {
    query: Arc<QueryKey>,
    number: i64,
}

#[derive(Debug, Clone, Copy)]
struct ByBytes;

impl Weighter<CellKey, Arc<Cell>> for ByBytes {
    fn weight(&self, key: &CellKey, cell: &Arc<Cell>) -> u64 {
        cell.bytes()
            .saturating_add((key.query.text.len() + size_of::<QueryKey>() + size_of::<CellKey>()) as u64)
    }
}

#[derive(Debug, Default)]
struct Counts {
    whole: AtomicU64,
    partly: AtomicU64,
    missed: AtomicU64,
    steps_kept: AtomicU64,
    steps_computed: AtomicU64,
}

/// What a cache has done since it was made, and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheStats {
    /// Queries of which all steps were known.
    pub(crate) whole: u64,
    /// Queries of which some were.
    pub(crate) partly: u64,
    /// Queries of which none were.
    pub(crate) missed: u64,
    /// Steps that were known.
    pub(crate) steps_kept: u64,
    /// Steps that were not.
    pub(crate) steps_computed: u64,
    /// Memory of all cells.
    pub(crate) bytes: u64,
    /// Cells.
    pub(crate) cells: u64,
}

/// Memory of a cell, about, for the size of tables.
const USUAL_CELL_BYTES: u64 = 32 << 10;

impl ResultCache {
    /// A cache of `max_bytes`; 0 keeps nothing.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let cells = usize::try_from(max_bytes / USUAL_CELL_BYTES).unwrap_or(usize::MAX).max(16);
        Self { cells: Cache::with_weighter(cells, max_bytes, ByBytes), counts: Counts::default() }
    }

    /// Forgets everything.
    #[cfg(test)]
    pub(crate) fn clear(&self) {
        self.cells.clear();
    }

    /// What it has done, and holds.
    pub(crate) fn stats(&self) -> CacheStats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            whole: load(&self.counts.whole),
            partly: load(&self.counts.partly),
            missed: load(&self.counts.missed),
            steps_kept: load(&self.counts.steps_kept),
            steps_computed: load(&self.counts.steps_computed),
            bytes: self.cells.weight(),
            cells: self.cells.len() as u64,
        }
    }
}

impl std::fmt::Debug for ResultCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultCache").field("stats", &self.stats()).finish()
    }
}
