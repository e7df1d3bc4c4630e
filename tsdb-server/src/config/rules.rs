//! Settings of recording and alerting rules.

use crate::{Limit, Period};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Recording and alerting rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesConfig {
    /// Rule files of the default tenant in Prometheus' format: paths, with `*`, `?` and `[...]` in them for several.
    pub files: Vec<String>,
    /// Are the rules about the server itself loaded, for the default tenant, which has the server's own metrics?
    pub platform: bool,
    /// Time between two evaluations of a group that names none.
    pub evaluation_interval: Period,
    /// Expressions of groups that name none are asked about so much earlier.
    pub query_offset: Period,
    /// How long an evaluation waits for samples of senders that are late. One that has waited so long is made without
    /// them, and changes no alert.
    pub max_wait: Period,
    /// How far back evaluations are made up for that could not be made in time: after a restart, or when samples came
    /// late.
    pub catch_up: Period,
    /// Threads that evaluate rules and do nothing else. Up to eight others step in while these hang in slow groups.
    pub threads: usize,
    /// Samples that the evaluation of one rule may hold in memory; each thread evaluates one rule at a time.
    pub max_samples: Limit,
    /// The most alerts or series of one rule, of groups that name no smaller `limit`.
    pub max_per_rule: Limit,
    /// Evaluations of each rule that are remembered for `/api/v1/rules/history`.
    pub history: usize,
    /// Where people reach this server; for the texts of alerts.
    pub external_url: String,
    /// Labels that tell this server from others; for the texts of alerts.
    pub external_labels: BTreeMap<String, String>,
    /// Rules of single tenants.
    pub tenants: BTreeMap<String, TenantRulesConfig>,
}

/// Rules of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantRulesConfig {
    /// Rule files of the tenant, as [`RulesConfig::files`].
    pub files: Vec<String>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            platform: false,
            evaluation_interval: Period::from_secs(15),
            query_offset: Period::from_ms(0),
            max_wait: Period::from_secs(180),
            catch_up: Period::from_secs(3_600),
            threads: 1,
            max_samples: Limit::at(20_000_000),
            max_per_rule: Limit::at(100_000),
            history: 20,
            external_url: String::new(),
            external_labels: BTreeMap::new(),
            tenants: BTreeMap::new(),
        }
    }
}
