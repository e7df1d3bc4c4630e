//! Who is let in, what is refused, and whether the files that decide it can be used.

use super::{Family, Point, counter, float, gauge};
use crate::access::Gate;
use crate::tls::Tls;
use tsdb_core::metadata::MetricType;

/// Everything at this moment.
pub(crate) fn families(gate: &Gate, tls: Option<&Tls>) -> Vec<Family> {
    let passed = gate.passed().into_iter().map(|(method, count)| Point {
        suffix: "",
        labels: vec![("method", method.to_owned())],
        value: float(count),
    });
    let events = gate.audit().counts().into_iter().map(|(action, outcome, count)| Point {
        suffix: "",
        labels: vec![("action", action.to_owned()), ("outcome", outcome.to_owned())],
        value: float(count),
    });
    let mut families = vec![
        Family {
            name: "tsdb_access_requests_total",
            kind: MetricType::Counter,
            help: "Requests let in, by how their callers are known.",
            points: passed.collect(),
        },
        Family {
            name: "tsdb_audit_events_total",
            kind: MetricType::Counter,
            help: "Acts of administration, and requests refused for who sent them, by route and outcome.",
            points: events.collect(),
        },
        counter("tsdb_audit_untold_total", "Refusals without a line in the log.", gate.audit().untold()),
    ];
    if let Some(usable) = gate.credentials_usable() {
        let help = "Was the credentials file usable when it was read last?";
        families.push(gauge("tsdb_credentials_reload_successful", help, float(u64::from(usable))));
    }
    if let Some(tls) = tls {
        let help = "Were certificate and key usable when they were read last?";
        families.push(gauge("tsdb_tls_reload_successful", help, float(u64::from(tls.is_successful()))));
    }
    families
}
