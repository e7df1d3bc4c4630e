//! Numbers about object storage.

use super::{Family, counter, float, gauge};
use tsdb::{Stats, TierStats};

/// Those of all tenants; none if blocks are on disk alone.
pub(super) fn families(stats: &[Stats]) -> Vec<Family> {
    let tiers: Vec<TierStats> = stats.iter().filter_map(|stats| stats.tier).collect();
    let tier = |field: fn(&TierStats) -> u64| tiers.iter().map(field).fold(0, u64::saturating_add);
    // Tenants share what reads, and tell the same numbers.
    let shared = |field: fn(&TierStats) -> u64| tiers.iter().map(field).max().unwrap_or(0);
    if tiers.is_empty() {
        return Vec::new();
    }
    vec![
        gauge(
            "tsdb_object_storage_blocks",
            "Blocks that are read from object storage.",
            float(tier(|t| t.blocks)),
        ),
        gauge(
            "tsdb_object_storage_block_bytes",
            "Bytes of the blocks that are read from object storage.",
            float(tier(|t| t.bytes)),
        ),
        gauge(
            "tsdb_object_storage_backlog_blocks",
            "Blocks that wait for their upload.",
            float(tier(|t| t.backlog_blocks)),
        ),
        gauge(
            "tsdb_object_storage_backlog_bytes",
            "Bytes of the blocks that wait for their upload.",
            float(tier(|t| t.backlog_bytes)),
        ),
        counter("tsdb_object_storage_uploaded_bytes_total", "Bytes uploaded.", tier(|t| t.uploaded_bytes)),
        counter(
            "tsdb_object_storage_failed_rounds_total",
            "Rounds of uploads that failed.",
            tier(|t| t.failed_rounds),
        ),
        counter("tsdb_object_storage_requests_total", "Ranges asked for.", shared(|t| t.requests)),
        counter(
            "tsdb_object_storage_failed_requests_total",
            "Ranges asked for in vain.",
            shared(|t| t.failed_requests),
        ),
        counter(
            "tsdb_object_storage_hedged_requests_total",
            "Ranges asked for a second time because the answer took long.",
            shared(|t| t.hedged_requests),
        ),
        counter("tsdb_object_storage_fetched_bytes_total", "Bytes of answers.", shared(|t| t.fetched_bytes)),
        gauge("tsdb_object_storage_cache_bytes", "Memory for answers.", float(shared(|t| t.cached_bytes))),
        gauge(
            "tsdb_object_storage_disk_cache_bytes",
            "Answers kept on disk.",
            float(shared(|t| t.cached_on_disk_bytes)),
        ),
    ]
}
