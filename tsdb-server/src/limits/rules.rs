//! How many rules a tenant may have.

use super::Limit;
use serde::{Deserialize, Serialize};

/// How many rules a tenant may have in the metadata store. Those of files are the operator's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleLimits {
    /// Rules that may be created, paused ones among them. If there are more all the same, those with the greatest numbers
    /// are not evaluated.
    pub max_rules: Limit,
}

impl Default for RuleLimits {
    fn default() -> Self {
        Self { max_rules: Limit::at(2_000) }
    }
}

impl RuleLimits {
    pub(super) fn lifted() -> Self {
        Self { max_rules: Limit::NONE }
    }
}
