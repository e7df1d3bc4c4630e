//! Which tenants have how many series, write how fast, and suddenly make more series than they use to.
//!
//! Nothing runs here by itself: whoever asks - a report, or `/metrics` - has the stores looked at, and rates are those between
//! looks, over a minute if there are enough of them.

use crate::store::Stores;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tsdb::Stats;
use tsdb_core::TenantId;
use tsdb_core::time::Clock;

/// Over how long the rate of samples is told, ms.
const RATE_WINDOW_MS: i64 = 60_000;
/// Looks that are closer together than this count as one, ms.
const SHORTEST_MS: i64 = 1_000;
/// How fast what is usual follows what is, ms: the weight of the past falls to a third in this time.
const USUAL_MS: f64 = 3_600_000.0;
/// So long a tenant is watched before anything is called unusual, ms. A new tenant makes all of its series at once.
const WATCHED_MS: i64 = 600_000;
/// A spike is this many times what is usual ...
const SPIKE_FACTOR: f64 = 10.0;
/// ... and at least so many new series within a minute.
const SPIKE_LEAST: f64 = 1_000.0;

/// Looks at the stores of all tenants.
pub(crate) struct Census {
    stores: Arc<dyn Stores>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// What was seen at the looks so far.
#[derive(Debug)]
struct Seen {
    at_ms: i64,
    tenants: BTreeMap<TenantId, History>,
}

/// A tenant at several looks.
#[derive(Debug, Clone)]
struct History {
    /// When it was seen first, ms.
    since_ms: i64,
    /// Times (ms) and the samples taken until then, the oldest first.
    samples: VecDeque<(i64, u64)>,
    /// Series made until the last look.
    created: u64,
    /// New series within a minute, as is usual.
    usual: f64,
    is_spike: bool,
}

/// A tenant now.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) tenant: TenantId,
    pub(crate) stats: Stats,
    /// Over the last minute, or since the last look.
    pub(crate) samples_per_second: f64,
    /// New series within a minute, as is usual for the tenant.
    pub(crate) usual_new_series: f64,
    /// Are there far more of them now?
    pub(crate) is_spike: bool,
}

impl Census {
    pub(crate) fn new(stores: Arc<dyn Stores>, clock: Arc<dyn Clock>) -> Self {
        let seen = Seen { at_ms: clock.monotonic_ms(), tenants: BTreeMap::new() };
        Self { stores, clock, seen: Mutex::new(seen) }
    }

    /// Looks at all stores; in order of tenants.
    pub(crate) fn look(&self) -> Vec<Standing> {
        let stores = self.stores.list();
        let stats = stores.into_iter().filter_map(|(tenant, store)| Some((tenant, store.stats()?)));
        let stats: BTreeMap<TenantId, Stats> = stats.collect();
        let now_ms = self.clock.monotonic_ms();
        let mut seen = self.seen.lock();
        let before_ms = std::mem::replace(&mut seen.at_ms, now_ms);
        seen.tenants.retain(|tenant, _| stats.contains_key(tenant));
        let standing = |(tenant, stats): (TenantId, Stats)| {
            let history = seen.tenants.entry(tenant.clone()).or_insert_with(|| History::since(before_ms));
            history.add(&stats, now_ms);
            Standing {
                tenant,
                samples_per_second: history.rate(),
                usual_new_series: history.usual,
                is_spike: history.is_spike,
                stats,
            }
        };
        stats.into_iter().map(standing).collect()
    }
}

impl History {
    fn since(since_ms: i64) -> Self {
        let samples = VecDeque::from([(since_ms, 0)]);
        Self { since_ms, samples, created: 0, usual: 0.0, is_spike: false }
    }

    fn add(&mut self, stats: &Stats, now_ms: i64) {
        let (last_ms, last) = self.samples.back().copied().unwrap_or((now_ms, 0));
        if stats.samples_appended < last || stats.series_created < self.created {
            // The store was opened anew.
            *self = Self::since(last_ms);
        }
        let passed = now_ms.saturating_sub(last_ms);
        if passed < SHORTEST_MS {
            return;
        }
        self.samples.push_back((now_ms, stats.samples_appended));
        while self.samples.get(1).is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= RATE_WINDOW_MS) {
            self.samples.pop_front();
        }
        self.judge(stats, now_ms, float(passed.unsigned_abs()));
    }

    /// Finds out whether there are far more new series than usual, and what is usual from now on.
    fn judge(&mut self, stats: &Stats, now_ms: i64, passed_ms: f64) {
        let created = stats.series_created.saturating_sub(self.created);
        self.created = stats.series_created;
        let is_known = now_ms.saturating_sub(self.since_ms) >= WATCHED_MS;
        let now = float(stats.series_created_last_minute);
        self.is_spike = is_known && now >= SPIKE_LEAST && now > self.usual * SPIKE_FACTOR;
        let per_minute = float(created) / passed_ms * 60_000.0;
        let weight = (-passed_ms / USUAL_MS).exp();
        self.usual = self.usual.mul_add(weight, per_minute * (1.0 - weight));
    }

    fn rate(&self) -> f64 {
        let (Some((from, before)), Some((to, after))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let passed = to.saturating_sub(*from);
        if passed <= 0 {
            return 0.0;
        }
        float(after.saturating_sub(*before)) * 1_000.0 / float(passed.unsigned_abs())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state after looks at these times, ms, each with samples and series made until then and series made lately.
    fn after(looks: impl IntoIterator<Item = (i64, u64, u64, u64)>) -> History {
        let mut history = History::since(0);
        for (at, samples_appended, series_created, series_created_last_minute) in looks {
            let mut stats = Stats::default();
            stats.samples_appended = samples_appended;
            stats.series_created = series_created;
            stats.series_created_last_minute = series_created_last_minute;
            history.add(&stats, at);
        }
        history
    }

    #[test]
    fn the_rate_is_that_of_the_last_minute_or_since_the_last_look() {
        let steady = (1..=30).map(|look: i64| (look * 10_000, 1_000 * look.unsigned_abs(), 0, 0));
        assert_eq!(after(steady.clone()).rate(), 100.0);
        assert!(after(steady.clone()).samples.len() <= 7);
        let stopped = (31..=37).map(|look| (look * 10_000, 30_000, 0, 0));
        assert_eq!(after(steady.clone().chain(stopped)).rate(), 0.0);
        assert_eq!(after([(500_000, 5_000, 0, 0)]).rate(), 10.0);
        assert_eq!(after([(0, 5_000, 0, 0), (10, 6_000, 0, 0)]).rate(), 0.0, "too close together to tell");
        let reopened = steady.chain([(310_000, 500, 0, 0)]);
        assert_eq!(after(reopened).rate(), 50.0);
    }

    #[test]
    fn a_spike_is_far_over_what_is_usual_of_a_tenant_that_is_known() {
        let steady = |per_minute: u64, minutes: i64| {
            (1..=minutes)
                .map(move |minute| (minute * 60_000, 0, per_minute * minute.unsigned_abs(), per_minute))
        };
        let then = |per_minute: u64, minutes: i64, more: u64| {
            let all = per_minute * minutes.unsigned_abs() + more;
            after(steady(per_minute, minutes).chain([(minutes * 60_000 + 60_000, 0, all, more)]))
        };
        assert!(!then(0, 3, 50_000).is_spike, "a new tenant makes all its series at once");
        assert!(then(0, 60, 50_000).is_spike);
        assert!(!then(0, 60, 900).is_spike, "few series are no spike");
        assert!(then(1_000, 600, 20_000).is_spike);
        assert!(!then(5_000, 600, 20_000).is_spike, "churn is usual for this tenant");
        let went_on =
            (1..=120).map(|minute: i64| (minute * 60_000, 0, 50_000 * minute.unsigned_abs(), 50_000));
        assert!(!after(went_on).is_spike, "what goes on is usual");
    }
}
