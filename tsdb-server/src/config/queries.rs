//! What queries of all tenants have together.

use crate::{Limit, Period};
use serde::{Deserialize, Serialize};

/// What queries of all tenants have together. Ingest and rules have threads and memory of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueriesConfig {
    /// Queries that run at the same time, at most 256, each on a thread. One of eight places is kept for tenants that
    /// have none.
    pub concurrency: usize,
    /// Bytes that all queries together may hold while they run, whatever the limit of each; 0 for no limit. A query takes
    /// what it is estimated to need before it begins, at most an eighth of its tenant's, and more as it needs it. Queries of
    /// one tenant hold three quarters of this at most. What is not there is answered with 503.
    pub max_memory_bytes: Limit,
    /// The same for rules, which never wait for the memory of queries.
    pub max_rule_memory_bytes: Limit,
    /// A query that has used this much CPU rests half of the time while there is more to do than there are cores: whoever asks
    /// little, and whoever writes, comes first. The queries of a tenant that use more than a quarter of all cores while others
    /// ask as well stop at such times, and leave a core to others. `0s` for neither. On Linux, the threads of all queries have
    /// a lower priority than those of writes and rules too.
    pub long_after: Period,
    /// Memory for results that are kept, in bytes; 0 keeps none.
    pub cache_bytes: u64,
}

impl Default for QueriesConfig {
    fn default() -> Self {
        Self {
            concurrency: 32,
            max_memory_bytes: Limit::at(2 << 30),
            max_rule_memory_bytes: Limit::at(1 << 30),
            long_after: Period::from_ms(25),
            cache_bytes: 256 << 20,
        }
    }
}
