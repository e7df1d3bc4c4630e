//! What became of the queries of each tenant.

use crate::telemetry::{Family, Point};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tsdb_core::TenantId;
use tsdb_core::metadata::MetricType;

/// Counters by tenant.
#[derive(Debug, Default)]
pub(crate) struct QueryCounters {
    tenants: Mutex<BTreeMap<String, OfTenant>>,
}

#[derive(Debug, Default)]
struct OfTenant {
    asked: u64,
    slow: u64,
    refused: BTreeMap<&'static str, u64>,
}

/// Tenants that are told apart. The rest are counted together, so that names which are asked for at random take no
/// memory.
const MAX_TENANTS: usize = 1_000;

/// What the rest is called; no tenant can be called so.
const THE_REST: &str = "(others)";

impl QueryCounters {
    /// Counts a query that was asked.
    pub(crate) fn asked(&self, tenant: &TenantId) {
        self.count(tenant, |counts| &mut counts.asked);
    }

    /// Counts a query that took long.
    pub(crate) fn slow(&self, tenant: &TenantId) {
        self.count(tenant, |counts| &mut counts.slow);
    }

    /// Counts a query that was refused or broken off.
    pub(crate) fn refused(&self, tenant: &TenantId, reason: &'static str) {
        self.count(tenant, |counts| counts.refused.entry(reason).or_default());
    }

    fn count(&self, tenant: &TenantId, counter: impl FnOnce(&mut OfTenant) -> &mut u64) {
        let mut tenants = self.tenants.lock();
        let is_new = !tenants.contains_key(tenant.as_str());
        let name = if is_new && tenants.len() >= MAX_TENANTS { THE_REST } else { tenant.as_str() };
        let count = counter(tenants.entry(name.to_owned()).or_default());
        *count = count.saturating_add(1);
    }

    /// The counters as metrics.
    pub(crate) fn families(&self) -> Vec<Family> {
        let tenants = self.tenants.lock();
        let by_tenant = |field: fn(&OfTenant) -> u64| {
            tenants
                .iter()
                .map(|(tenant, counts)| point(vec![("tenant", tenant.clone())], field(counts)))
                .collect()
        };
        let refused = tenants.iter().flat_map(|(tenant, counts)| {
            let of_reason = |(reason, count): (&&'static str, &u64)| {
                point(vec![("tenant", tenant.clone()), ("reason", (*reason).to_owned())], *count)
            };
            counts.refused.iter().map(of_reason).collect::<Vec<_>>()
        });
        vec![
            family("tsdb_queries_total", "Queries asked, by tenant.", by_tenant(|counts| counts.asked)),
            family(
                "tsdb_slow_queries_total",
                "Queries that took long, by tenant.",
                by_tenant(|counts| counts.slow),
            ),
            family(
                "tsdb_queries_refused_total",
                "Queries refused or broken off, by tenant and reason.",
                refused.collect(),
            ),
        ]
    }
}

const fn family(name: &'static str, help: &'static str, points: Vec<Point>) -> Family {
    Family { name, kind: MetricType::Counter, help, points }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
const fn point(labels: Vec<(&'static str, String)>, count: u64) -> Point {
    Point { suffix: "", labels, value: count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_beyond_a_thousand_are_counted_together() {
        let counters = QueryCounters::default();
        for number in 0..2_000 {
            counters.refused(&TenantId::new(&format!("t{number}")).unwrap(), "blocked");
        }
        counters.refused(&TenantId::new("t7").unwrap(), "blocked");
        let refused = counters.families().pop().unwrap();
        assert_eq!(refused.points.len(), MAX_TENANTS + 1);
        let of =
            |tenant: &str| refused.points.iter().find(|point| point.labels[0].1 == tenant).unwrap().value;
        assert_eq!((of("t7"), of(THE_REST)), (2.0, 1_000.0));
    }
}
