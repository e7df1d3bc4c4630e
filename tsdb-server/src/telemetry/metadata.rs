//! Numbers about the metadata store.

use super::{Family, counter, float, gauge, load};
use crate::metadata::Health;
use std::sync::atomic::Ordering;

pub(crate) fn families(health: &Health) -> [Family; 6] {
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
        counter(
            "tsdb_metadata_metrics_described_total",
            "Descriptions of metrics put into the catalogue.",
            load(&health.described),
        ),
    ]
}
