//! Numbers about the metadata store.

use super::{Family, counter, float, gauge, load};
use crate::metadata::Health;
use std::sync::atomic::Ordering;

pub(crate) fn families(health: &Health) -> [Family; 10] {
    let up = health.up.load(Ordering::Relaxed);
    // Of the last answer to now nothing but this is left: seconds, as all times in metrics.
    #[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
    let answered = health.answered_at.load(Ordering::Relaxed) as f64 / 1_000.0;
    [
        gauge("tsdb_metadata_up", "Did the metadata store answer the last time?", float(u64::from(up))),
        counter(
            "tsdb_metadata_failures_total",
            "Times that the metadata store did not answer.",
            load(&health.failures),
        ),
        gauge(
            "tsdb_metadata_last_answer_timestamp_seconds",
            "When the metadata store last answered.",
            answered,
        ),
        gauge("tsdb_metadata_budgets", "Tenants with a budget.", float(load(&health.budgets))),
        gauge(
            "tsdb_metadata_unknown_limits",
            "Limits in budgets that this server does not understand.",
            float(load(&health.unknown_limits)),
        ),
        gauge("tsdb_metadata_rules", "Rules in the metadata store.", float(load(&health.rules))),
        gauge(
            "tsdb_metadata_unusable_rules",
            "Rules in the metadata store that are to be evaluated and cannot be.",
            float(load(&health.unusable_rules)),
        ),
        gauge(
            "tsdb_metadata_unreadable",
            "Rules that cannot be read, and tenants with budgets or rules whose names are none, in the metadata store.",
            float(load(&health.unreadable)),
        ),
        gauge(
            "tsdb_metadata_unwritten_alert_states",
            "States of alerts that the metadata store does not have yet.",
            float(load(&health.unwritten_states)),
        ),
        counter(
            "tsdb_metadata_metrics_described_total",
            "Descriptions of metrics put into the catalogue.",
            load(&health.described),
        ),
    ]
}
