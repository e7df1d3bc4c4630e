//! Settings of the metadata store.

use crate::Period;
use serde::{Deserialize, Serialize};

/// The metadata store: budgets of tenants, the catalogue of metrics, alerting rules and the state of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataConfig {
    /// `postgres://user@host/database`, for servers that share it, or `sqlite:///path`; empty for the SQLite file
    /// `metadata.db` in the data directory. A password of PostgreSQL may come from the environment, as `PGPASSWORD`. Compactors
    /// read it and make none: they drop nothing of what is too old while it is not there.
    pub url: String,
    /// How often the store is asked for changes: so long may a changed budget take to be in force.
    pub poll_interval: Period,
    /// How long the store may take to answer. Requests that change metadata answer 503 after this.
    pub timeout: Period,
    /// How often what senders say of metrics is put into the catalogue; `0s` for never.
    pub catalogue_interval: Period,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            poll_interval: Period::from_secs(2),
            timeout: Period::from_secs(5),
            catalogue_interval: Period::from_secs(30),
        }
    }
}
