//! What a head counts.

use crate::stats::{Refusals, Stats};
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::write::{AppendReport, CommitError, SampleError};

/// Counts since the head was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) series_created: AtomicU64,
    pub(super) series_removed: AtomicU64,
    pub(super) metadata_refused: AtomicU64,
    pub(super) exemplars_stored: AtomicU64,
    pub(super) exemplars_refused: AtomicU64,
    appended: AtomicU64,
    failed_commits: AtomicU64,
    out_of_order: AtomicU64,
    duplicate: AtomicU64,
    too_old: AtomicU64,
    too_far_in_future: AtomicU64,
    unknown_series: AtomicU64,
    too_many_late: AtomicU64,
    late: AtomicU64,
    repeated: AtomicU64,
}

impl Counters {
    /// Counts the outcome of a batch.
    pub(super) fn count(&self, outcome: &Result<AppendReport, CommitError>) {
        match outcome {
            Ok(report) => {
                add(&self.appended, report.accepted);
                let refused = report.refused.iter().filter_map(|refused| self.counter(&refused.reason));
                refused.for_each(|counter| add(counter, 1));
            }
            Err(_) => add(&self.failed_commits, 1),
        }
    }

    /// Counts accepted samples that were late or repeated others.
    pub(super) fn count_late(&self, late: u64, repeated: u64) {
        if late | repeated > 0 {
            add(&self.late, late);
            add(&self.repeated, repeated);
        }
    }

    /// Samples accepted so far.
    pub(super) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    /// Fills in the counts.
    pub(super) fn report(&self, stats: &mut Stats) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.series_created = read(&self.series_created);
        stats.series_removed = read(&self.series_removed);
        stats.metadata_refused = read(&self.metadata_refused);
        stats.exemplars_stored = read(&self.exemplars_stored);
        stats.exemplars_refused = read(&self.exemplars_refused);
        stats.samples_appended = read(&self.appended);
        stats.samples_late = read(&self.late);
        stats.samples_repeated = read(&self.repeated);
        stats.failed_commits = read(&self.failed_commits);
        stats.samples_refused = Refusals {
            out_of_order: read(&self.out_of_order),
            duplicate: read(&self.duplicate),
            too_old: read(&self.too_old),
            too_far_in_future: read(&self.too_far_in_future),
            unknown_series: read(&self.unknown_series),
            too_many_late: read(&self.too_many_late),
        };
    }

    /// What counts samples refused for `reason`; those of series that are refused count there.
    fn counter(&self, reason: &SampleError) -> Option<&AtomicU64> {
        Some(match reason {
            SampleError::SeriesLimit { .. } | SampleError::SeriesNotApproved => return None,
            SampleError::OutOfOrder { .. } => &self.out_of_order,
            SampleError::Duplicate { .. } => &self.duplicate,
            SampleError::TooOld { .. } => &self.too_old,
            SampleError::TooFarInFuture { .. } => &self.too_far_in_future,
            SampleError::TooManyLate { .. } => &self.too_many_late,
            // A reason that the head does not give.
            _ => &self.unknown_series,
        })
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
