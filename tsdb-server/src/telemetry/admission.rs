//! What was refused, of which tenant and why, and how many series each tenant has.
//!
//! Reasons come from a fixed set, and a tenant has a label value of its own only if it has a store: names that somebody
//! invents are counted together, under the empty name.

use super::{Family, Point, float};
use crate::limits::LimitBook;
use crate::store::Stores;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tsdb::{SeriesRefusals, Stats};
use tsdb_core::TenantId;
use tsdb_core::metadata::MetricType;

/// Counts by tenant, `None` for all without a store, and reason.
type Counts = BTreeMap<(Option<TenantId>, &'static str), u64>;

/// What admission refused.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    samples: Mutex<Counts>,
    requests: Mutex<Counts>,
    look_alikes: Mutex<BTreeMap<Option<TenantId>, u64>>,
}

impl Refused {
    /// Counts refused samples.
    pub(crate) fn samples(&self, tenant: Option<&TenantId>, reason: &'static str, samples: u64) {
        let mut counts = self.samples.lock();
        let count = counts.entry((tenant.cloned(), reason)).or_default();
        *count = count.saturating_add(samples);
    }

    /// Counts a request that was refused whole.
    pub(crate) fn request(&self, tenant: Option<&TenantId>, reason: &'static str) {
        let mut counts = self.requests.lock();
        let count = counts.entry((tenant.cloned(), reason)).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts new series with names that look like others. They are stored.
    pub(crate) fn look_alikes(&self, tenant: Option<&TenantId>, series: u64) {
        if series > 0 {
            let mut counts = self.look_alikes.lock();
            let count = counts.entry(tenant.cloned()).or_default();
            *count = count.saturating_add(series);
        }
    }

    pub(super) fn families(&self) -> [Family; 3] {
        let look_alikes = self.look_alikes.lock();
        let of_tenant = |(tenant, count): (&Option<TenantId>, &u64)| {
            point(vec![("tenant", name_of(tenant.as_ref()))], *count)
        };
        [
            by_reason(
                "tsdb_refused_samples_total",
                "Samples refused, by tenant and reason.",
                &self.samples.lock(),
            ),
            by_reason(
                "tsdb_refused_write_requests_total",
                "Write requests refused whole, by tenant and reason.",
                &self.requests.lock(),
            ),
            Family {
                name: "tsdb_look_alike_series_total",
                kind: MetricType::Counter,
                help: "New series with a name that is not ASCII and looks like it, by tenant.",
                points: look_alikes.iter().map(of_tenant).collect(),
            },
        ]
    }
}

/// The series of each tenant.
pub(super) fn store_families(stores: &dyn Stores) -> [Family; 4] {
    let all = stores.list();
    let stats: Vec<(String, Stats)> =
        all.iter().filter_map(|(tenant, store)| Some((tenant.to_string(), store.stats()?))).collect();
    let gauge = |name, help, value: fn(&Stats) -> u64| Family {
        name,
        kind: MetricType::Gauge,
        help,
        points: stats
            .iter()
            .map(|(tenant, stats)| point(vec![("tenant", tenant.clone())], value(stats)))
            .collect(),
    };
    let refused = stats.iter().flat_map(|(tenant, stats)| {
        let by_reason = series_by_reason(stats.series_refused).into_iter();
        by_reason.map(move |(reason, series)| {
            point(vec![("tenant", tenant.clone()), ("reason", reason.to_owned())], series)
        })
    });
    [
        gauge("tsdb_tenant_head_series", "Series in the head of a tenant.", |stats| stats.active_series),
        gauge(
            "tsdb_tenant_series_created_last_minute",
            "Series of a tenant registered within a minute.",
            |stats| stats.series_created_last_minute,
        ),
        gauge(
            "tsdb_tenant_series_removed_last_minute",
            "Series of a tenant dropped within a minute.",
            |stats| stats.series_removed_last_minute,
        ),
        Family {
            name: "tsdb_tenant_series_refused_total",
            kind: MetricType::Counter,
            help: "New series refused by limits, of every way in, by tenant and reason.",
            points: refused.collect(),
        },
    ]
}

/// How many series tenants may have.
pub(crate) fn limit_family(stores: &dyn Stores, book: &LimitBook) -> Family {
    let limited = stores.list().into_iter().filter_map(|(tenant, _)| {
        let limit = book.of(&tenant).cardinality.max_active_series.get()?;
        Some(point(vec![("tenant", tenant.to_string())], limit))
    });
    Family {
        name: "tsdb_tenant_series_limit",
        kind: MetricType::Gauge,
        help: "Series that a tenant may have at a time; absent if there is no limit.",
        points: limited.collect(),
    }
}

fn series_by_reason(refused: SeriesRefusals) -> [(&'static str, u64); 6] {
    [
        ("new_series_per_minute", refused.new_per_minute),
        ("active_series", refused.active),
        ("series_per_metric", refused.per_metric),
        ("label_values_per_metric", refused.label_values),
        ("not_approved", refused.not_approved),
        ("no_room", refused.no_room),
    ]
}

fn by_reason(name: &'static str, help: &'static str, counts: &Counts) -> Family {
    let points = counts.iter().map(|((tenant, reason), count)| {
        point(vec![("tenant", name_of(tenant.as_ref())), ("reason", (*reason).to_owned())], *count)
    });
    Family { name, kind: MetricType::Counter, help, points: points.collect() }
}

fn name_of(tenant: Option<&TenantId>) -> String {
    tenant.map(ToString::to_string).unwrap_or_default()
}

fn point(labels: Vec<(&'static str, String)>, count: u64) -> Point {
    Point { suffix: "", labels, value: float(count) }
}
