//! Who may register a series: the gate that everything which is written passes, and what it counts.
//!
//! Whether there is room is asked under the lock of the index, under which series are added as well: a limit is exact
//! however many batches come in at a time. Most refusals never get there: while no new series is taken at all, a batch finds
//! out once. Replay is not asked, because what it finds was acknowledged; what it registers counts all the same.
use super::counters::add;
use crate::stats::{SeriesRefusals, Stats};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tsdb_core::time::Clock;
use tsdb_core::write::{Exceeded, Origin, SeriesError, SeriesLimit};
use tsdb_core::{Labels, SeriesRef};
use tsdb_index::cardinality::Recent;
use tsdb_index::{LiveIndex, Rate, RoaringBitmap, SeriesLimits};

/// The gate of one head.
pub(crate) struct Admission {
    limits: RwLock<Arc<SeriesLimits>>,
    rates: Mutex<Rates>,
    refused: Refused,
    /// Was a series refused that would have had room if others had not?
    is_crowded: AtomicBool,
    /// Series that were idle when they were last looked at.
    idle: AtomicU64,
    recent: Mutex<Recent>,
    clock: Arc<dyn Clock>,
}

/// Series within the last minute.
#[derive(Debug, Default)]
struct Rates {
    created: [Rate; Origin::ALL.len()],
    removed: Rate,
}

/// Refused series, by reason.
#[derive(Debug, Default)]
struct Refused {
    new_per_minute: AtomicU64,
    active: AtomicU64,
    per_metric: AtomicU64,
    label_values: AtomicU64,
    not_approved: AtomicU64,
    no_room: AtomicU64,
}

impl Admission {
    pub(crate) fn new(limits: Arc<SeriesLimits>, clock: Arc<dyn Clock>) -> Self {
        Self {
            limits: RwLock::new(limits),
            rates: Mutex::default(),
            refused: Refused::default(),
            is_crowded: AtomicBool::new(false),
            idle: AtomicU64::new(0),
            recent: Mutex::default(),
            clock,
        }
    }

    /// The limits in force.
    pub(crate) fn limits(&self) -> Arc<SeriesLimits> {
        Arc::clone(&self.limits.read())
    }

    /// Puts other limits in force. Series that are there stay.
    pub(crate) fn set_limits(&self, limits: &Arc<SeriesLimits>) {
        if !Arc::ptr_eq(&self.limits.read(), limits) {
            *self.limits.write() = Arc::clone(limits);
        }
    }

    /// Why no new series of `origin` is taken at the moment, if none is; there are `active`.
    pub(crate) fn closed(&self, origin: Origin, active: u64) -> Option<Exceeded> {
        self.limits.read().closed(origin, || self.created(origin), active)
    }

    /// May `index`, of which `active` series count, take one more with these labels? The caller holds the lock of the index until it is added and
    /// [noted](Self::note_created).
    pub(super) fn check(
        &self,
        index: &mut LiveIndex,
        active: u64,
        origin: Origin,
        labels: &Labels,
    ) -> Result<(), SeriesError> {
        let limits = self.limits.read();
        match limits.closed(origin, || self.created(origin), active) {
            Some(exceeded) => Err(SeriesError::Limit { exceeded, series: labels.clone() }),
            None => limits.check(index, labels),
        }
    }

    /// Counts a new series.
    pub(super) fn note_created(&self, series: SeriesRef, origin: Origin) {
        let now_ms = self.clock.monotonic_ms();
        self.recent.lock().add(series.0, now_ms);
        if let Some(created) = self.rates.lock().created.get_mut(origin as usize) {
            created.add(1, now_ms);
        }
    }

    /// Counts series that are gone.
    pub(crate) fn note_removed(&self, series: u64) {
        let now_ms = self.clock.monotonic_ms();
        self.rates.lock().removed.add(series, now_ms);
    }

    /// The series that were made within `window_ms`, an hour at most; some may be gone.
    pub(super) fn new_series(&self, window_ms: i64) -> RoaringBitmap {
        self.recent.lock().within(window_ms, self.clock.monotonic_ms())
    }

    /// Counts a refused series.
    pub(super) fn note_refused(&self, error: &SeriesError) {
        match error {
            SeriesError::Limit { exceeded, .. } | SeriesError::LabelValues { exceeded, .. } => {
                self.note_exceeded(exceeded.limit, 1);
            }
            SeriesError::NotApproved { .. } => add(&self.refused.not_approved, 1),
            _ => {}
        }
    }

    /// Counts `series` that a limit refused.
    pub(super) fn note_exceeded(&self, limit: SeriesLimit, series: u64) {
        let refused = &self.refused;
        let counter = match limit {
            SeriesLimit::NewPerMinute => &refused.new_per_minute,
            SeriesLimit::Active => &refused.active,
            SeriesLimit::PerMetric => &refused.per_metric,
            SeriesLimit::LabelValues => &refused.label_values,
            _ => &refused.no_room,
        };
        add(counter, series);
        if limit != SeriesLimit::NewPerMinute {
            self.is_crowded.store(true, Ordering::Relaxed);
        }
    }

    /// Was a series refused, since this was last asked, that would have had room if others had been gone?
    pub(crate) fn take_crowded(&self) -> bool {
        self.is_crowded.swap(false, Ordering::Relaxed)
    }

    /// Notes how many series have had no sample for a while.
    pub(crate) fn note_idle(&self, series: u64) {
        self.idle.store(series, Ordering::Relaxed);
    }

    /// Fills in the counts.
    pub(super) fn report(&self, stats: &mut Stats) {
        let now_ms = self.clock.monotonic_ms();
        let mut rates = self.rates.lock();
        stats.series_created_last_minute =
            rates.created.iter_mut().map(|rate| rate.last_minute(now_ms)).sum();
        stats.series_removed_last_minute = rates.removed.last_minute(now_ms);
        drop(rates);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.idle_series = read(&self.idle);
        stats.series_refused = SeriesRefusals {
            new_per_minute: read(&self.refused.new_per_minute),
            active: read(&self.refused.active),
            per_metric: read(&self.refused.per_metric),
            label_values: read(&self.refused.label_values),
            not_approved: read(&self.refused.not_approved),
            no_room: read(&self.refused.no_room),
        };
    }

    fn created(&self, origin: Origin) -> u64 {
        let now_ms = self.clock.monotonic_ms();
        let mut rates = self.rates.lock();
        rates.created.get_mut(origin as usize).map_or(0, |created| created.last_minute(now_ms))
    }
}
