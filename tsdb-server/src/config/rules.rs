//! Settings of recording and alerting rules.

use crate::Period;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Recording and alerting rules. They belong to the default tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesConfig {
    /// Rule files in Prometheus' format: paths, with `*`, `?` and `[...]` in them for several.
    pub files: Vec<String>,
    /// Time between two evaluations of a group that names none.
    pub evaluation_interval: Period,
    /// Expressions of groups that name none are asked about so much earlier.
    pub query_offset: Period,
    /// Threads that evaluate rules and do nothing else.
    pub threads: usize,
    /// Where people reach this server; for the texts of alerts.
    pub external_url: String,
    /// Labels that tell this server from others; for the texts of alerts.
    pub external_labels: BTreeMap<String, String>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            evaluation_interval: Period::from_secs(15),
            query_offset: Period::from_ms(0),
            threads: 1,
            external_url: String::new(),
            external_labels: BTreeMap::new(),
        }
    }
}
