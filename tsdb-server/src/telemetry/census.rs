//! Which tenants make far more series than they use to.

use super::{Family, Point, float};
use crate::census::Standing;
use tsdb_core::metadata::MetricType;

pub(crate) fn families(standings: &[Standing]) -> [Family; 2] {
    let gauge = |name, help, value: fn(&Standing) -> f64| Family {
        name,
        kind: MetricType::Gauge,
        help,
        points: standings
            .iter()
            .map(|standing| Point {
                suffix: "",
                labels: vec![("tenant", standing.tenant.to_string())],
                value: value(standing),
            })
            .collect(),
    };
    [
        gauge(
            "tsdb_cardinality_spike",
            "1 while a tenant makes far more new series within a minute than is usual for it.",
            |standing| float(u64::from(standing.is_spike)),
        ),
        gauge(
            "tsdb_tenant_new_series_per_minute_usual",
            "New series of a tenant within a minute as is usual for it.",
            |standing| standing.usual_new_series,
        ),
    ]
}
