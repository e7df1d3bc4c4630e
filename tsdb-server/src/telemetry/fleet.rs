//! Numbers about the tracker of series over a fleet.

use super::{Family, Point, counter, float, gauge};
use crate::fleet::FleetStatus;
use tsdb_core::metadata::MetricType;

pub(crate) fn families(status: &FleetStatus) -> [Family; 6] {
    let by_tenant = |name, help, value: fn(&crate::fleet::Estimate) -> f64| Family {
        name,
        kind: MetricType::Gauge,
        help,
        points: status
            .estimates
            .iter()
            .map(|(tenant, estimate)| Point {
                suffix: "",
                labels: vec![("tenant", tenant.to_string())],
                value: value(estimate),
            })
            .collect(),
    };
    let exact = status.estimates.iter().filter_map(|(tenant, estimate)| {
        let value = float(estimate.count.exact?);
        Some(Point { suffix: "", labels: vec![("tenant", tenant.to_string())], value })
    });
    [
        Family {
            name: "tsdb_fleet_series",
            kind: MetricType::Gauge,
            help: "Distinct series of a tenant over all servers of the fleet, where there are few enough to count them.",
            points: exact.collect(),
        },
        by_tenant(
            "tsdb_fleet_series_estimate",
            "Distinct series of a tenant over all servers of the fleet, about.",
            |estimate| float(estimate.count.series),
        ),
        by_tenant("tsdb_fleet_series_estimate_age_seconds", "How old that estimate is.", |estimate| {
            estimate.age.as_secs_f64()
        }),
        gauge(
            "tsdb_cardinality_tracker_up",
            "Could sketches be shared the last time?",
            float(u64::from(status.fault.is_none() && status.exchanges > 0)),
        ),
        counter(
            "tsdb_cardinality_tracker_exchanges_total",
            "Times that sketches were shared.",
            status.exchanges,
        ),
        counter(
            "tsdb_cardinality_tracker_failures_total",
            "Times that sketches could not be shared.",
            status.failures,
        ),
    ]
}
