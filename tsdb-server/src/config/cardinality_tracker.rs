//! Settings of the tracker that counts series over a fleet.

use crate::Period;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Series are counted over all servers of a fleet: about, by sketches that they share in Redis, and exactly where there are
/// few. No limit depends on it: what a server takes it decides by what it holds itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardinalityTrackerConfig {
    /// `redis://user:password@host:port/database`, or `rediss://` for TLS; empty for no tracker. A password may come from the
    /// environment, as `REDIS_PASSWORD`.
    pub url: String,
    /// The authorities that may sign the certificate of a Redis with TLS, in PEM; without it those that the system trusts.
    pub ca_file: PathBuf,
    /// What the keys in Redis begin with. Servers that have it in common are a fleet.
    pub prefix: String,
    /// How often the sketches are shared and the others' are counted.
    pub interval: Period,
    /// How long Redis may take to answer. Nobody but the tracker waits for it.
    pub timeout: Period,
    /// Sketches and sets are begun anew after this time: so long a series counts that ended.
    pub window: Period,
    /// A tenant that has no more series than this on any server is counted exactly as well, by a set of their hashes in Redis,
    /// some 60 bytes each; 0 for none.
    pub max_exact_series: usize,
    /// How long the sketches of a server that went away count.
    pub expiry: Period,
}

impl Default for CardinalityTrackerConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            ca_file: PathBuf::new(),
            prefix: "tsdb".to_owned(),
            interval: Period::from_secs(15),
            timeout: Period::from_secs(2),
            window: Period::from_secs(3_600),
            max_exact_series: 100_000,
            expiry: Period::from_secs(300),
        }
    }
}
