//! What is kept of a tenant, and how long.

use super::Limit;
use crate::Period;
use serde::{Deserialize, Serialize};

/// What is kept, and how long. A change is acted on within the next rounds of maintenance; what a retention would delete is
/// told by `GET /api/v1/admin/tsdb/retention`, of one that is not in force yet by a POST of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionLimits {
    /// Samples older than this are deleted, not before they are in a block that is as old as a whole; `0s` keeps all.
    pub samples: Period,
    /// Bytes that all blocks of the tenant may have together, on disk and on object storage; beyond that the oldest are
    /// deleted.
    pub max_bytes: Limit,
    /// How much may be deleted at once, in percent of these bytes. A plan that would delete more, of a dozen blocks or more or
    /// of what a new retention would have deleted long ago, is refused and told in the warnings of the store: a mistyped
    /// retention must not be the end of the data. 100 allows everything.
    pub max_expired_percent: u8,
    /// Windows that are made of samples, for long ranges and for times past retention: short ones first, each length a
    /// multiple of the one before. Whoever names any replaces all; `rollups = []` makes none.
    pub rollups: Vec<RollupConfig>,
}

/// Windows of one length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollupConfig {
    /// Their length.
    pub resolution: Period,
    /// How old samples are when windows are made of them.
    pub after: Period,
    /// Windows older than this are deleted; `0s` keeps all.
    pub retention: Period,
}

impl Default for RetentionLimits {
    fn default() -> Self {
        Self {
            samples: Period::from_secs(14 * 86_400),
            max_bytes: Limit::NONE,
            max_expired_percent: 75,
            rollups: vec![
                RollupConfig {
                    resolution: Period::from_secs(300),
                    after: Period::from_secs(6 * 3_600),
                    retention: Period::from_secs(90 * 86_400),
                },
                RollupConfig {
                    resolution: Period::from_secs(3_600),
                    after: Period::from_secs(86_400),
                    retention: Period::from_secs(730 * 86_400),
                },
            ],
        }
    }
}

impl RetentionLimits {
    /// The same, and nothing is deleted.
    #[must_use]
    pub(crate) fn keeping_everything(mut self) -> Self {
        (self.samples, self.max_bytes) = (Period::from_ms(0), Limit::NONE);
        self.rollups.iter_mut().for_each(|level| level.retention = Period::from_ms(0));
        self
    }

    /// In the words of the engine.
    pub fn to_engine(&self) -> tsdb::Retention {
        let kept = |period: Period| Some(period.as_signed_ms()).filter(|ms| *ms > 0);
        let level = |level: &RollupConfig| {
            let (resolution_ms, after_ms) = (level.resolution.as_signed_ms(), level.after.as_signed_ms());
            tsdb::RollupLevel::new(resolution_ms, after_ms, kept(level.retention))
        };
        tsdb::Retention {
            samples_ms: kept(self.samples),
            max_bytes: self.max_bytes.get(),
            max_expired_percent: self.max_expired_percent,
            rollups: self.rollups.iter().map(level).collect(),
        }
    }
}
