//! How many rules a tenant may have, and what each may cost.

use super::Limit;
use serde::{Deserialize, Serialize};

/// What rules a tenant may have in the metadata store. Those of files are the operator's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleLimits {
    /// Rules that may be created, paused ones among them. If there are more all the same, those with the greatest numbers
    /// are not evaluated.
    pub max_rules: Limit,
    /// Samples that each evaluation of a rule may read, by the estimate of storage: a rule that would read more is not
    /// taken.
    pub max_estimated_samples: Limit,
}

impl Default for RuleLimits {
    fn default() -> Self {
        Self { max_rules: Limit::at(2_000), max_estimated_samples: Limit::at(10_000_000) }
    }
}

impl RuleLimits {
    pub(super) fn lifted() -> Self {
        Self { max_rules: Limit::NONE, max_estimated_samples: Limit::NONE }
    }
}
