//! Numbers about the delivery of alerts, by receiver. Receivers are those of the settings.

use super::{Durations, Family, Point, float};
use crate::notify::ReceiverStatus;
use std::collections::BTreeMap;
use tsdb_core::metadata::MetricType;

/// Those of all receivers; none if there is none.
pub(crate) fn families(receivers: &[ReceiverStatus]) -> Vec<Family> {
    if receivers.is_empty() {
        return Vec::new();
    }
    let counter = MetricType::Counter;
    vec![
        single(
            receivers,
            "tsdb_notifications_sent_total",
            counter,
            "Alerts that a receiver took.",
            |receiver| receiver.counted.sent,
        ),
        by_reason(
            receivers,
            "tsdb_notifications_failed_total",
            "Requests to a receiver that failed, by reason.",
            |receiver| &receiver.counted.failed,
        ),
        by_reason(receivers, "tsdb_notifications_dropped_total", "Alerts given up, by reason.", |receiver| {
            &receiver.counted.dropped
        }),
        single(
            receivers,
            "tsdb_notifications_queue_length",
            MetricType::Gauge,
            "Alerts in the queue of a receiver.",
            |receiver| receiver.queued as u64,
        ),
        single(
            receivers,
            "tsdb_notifications_queue_bytes",
            MetricType::Gauge,
            "Memory of the alerts in the queue of a receiver.",
            |receiver| receiver.queued_bytes as u64,
        ),
        Family {
            name: "tsdb_notifications_latency_seconds",
            kind: MetricType::Histogram,
            help: "Time that requests to a receiver took.",
            points: receivers.iter().flat_map(latency).collect(),
        },
    ]
}

fn latency(receiver: &ReceiverStatus) -> Vec<Point> {
    let durations: &Durations = &receiver.counted.latency;
    durations.points("receiver", &receiver.name)
}

fn single(
    receivers: &[ReceiverStatus],
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    value: fn(&ReceiverStatus) -> u64,
) -> Family {
    let point = |receiver: &ReceiverStatus| Point {
        suffix: "",
        labels: vec![("receiver", receiver.name.clone())],
        value: float(value(receiver)),
    };
    Family { name, kind, help, points: receivers.iter().map(point).collect() }
}

fn by_reason(
    receivers: &[ReceiverStatus],
    name: &'static str,
    help: &'static str,
    counts: fn(&ReceiverStatus) -> &BTreeMap<&'static str, u64>,
) -> Family {
    let points = receivers.iter().flat_map(|receiver| {
        counts(receiver).iter().map(|(reason, count)| Point {
            suffix: "",
            labels: vec![("receiver", receiver.name.clone()), ("reason", (*reason).to_owned())],
            value: float(*count),
        })
    });
    Family { name, kind: MetricType::Counter, help, points: points.collect() }
}
