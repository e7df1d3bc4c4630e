//! Settings of how samples are kept.

use crate::Period;
use serde::{Deserialize, Serialize};

/// How samples are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// When an acknowledged batch is safe from a power cut: `commit` (each waits for the disk), `interval` or
    /// `lazy`. A killed process loses nothing in any of them.
    pub durability: DurabilityConfig,
    /// Time between two syncs with `interval`.
    pub sync_interval: Period,
    /// Length of a block.
    pub block_range: Period,
    /// Which of several values at a time is kept: `first`, and the others are refused, or `last`.
    pub duplicate_policy: DuplicatePolicyConfig,
    /// Memory that late samples of a tenant should take. Those beyond twice as much are refused until the others are in
    /// blocks.
    pub max_late_bytes: usize,
    /// Length of the log of a tenant after which all that is in memory is written beside it, so that the log before that can
    /// go: a restart reads about as much. With less a restart is faster, and more is written.
    pub checkpoint_log_bytes: u64,
    /// Are blocks on disk merged? Not needed where they leave for object storage soon and others merge them there.
    pub compact: bool,
    /// How long a series may be without a sample before it counts as one that stopped. Series that stopped leave the head,
    /// and its memory, for blocks of their own; `0s` keeps them until the end of the block's range.
    pub idle_series_after: Period,
    /// How many series of a tenant must have stopped for that, because each time costs a block; a sixteenth of all if that
    /// is more.
    pub min_idle_series: usize,
}

/// Which of several values of a series at a time is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DuplicatePolicyConfig {
    /// The one that came first.
    First,
    /// The one that came last.
    Last,
}

/// When an acknowledged batch is safe from a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DurabilityConfig {
    /// Before it is acknowledged.
    Commit,
    /// Within [`StorageConfig::sync_interval`].
    Interval,
    /// When the log's segment is full.
    Lazy,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            durability: DurabilityConfig::Interval,
            sync_interval: Period::from_ms(200),
            block_range: Period::from_secs(7_200),
            duplicate_policy: DuplicatePolicyConfig::First,
            max_late_bytes: 64 << 20,
            checkpoint_log_bytes: 256 << 20,
            compact: true,
            idle_series_after: Period::from_secs(300),
            min_idle_series: 16_384,
        }
    }
}
