//! Every bound that admission and queries respect, with the defaults that protect.
//!
//! Limits are values: whoever enforces one names it in its refusal. [`Limits::lifted`] is what `--no-limits` means.
//! What keeps the process itself alive (depth of JSON, length of a varint, points in time that exist) is no limit
//! and cannot be lifted.

mod book;
mod cardinality;
mod ingest;
mod query;
mod retention;
mod rules;
mod series;

pub(crate) use book::LimitBook;
pub use cardinality::{CardinalityLimits, HighCardinality, NewSeriesLimits};
pub use ingest::IngestLimits;
pub use query::{BlockedQuery, QueryLimits};
pub use retention::{RetentionLimits, RollupConfig};
pub use rules::RuleLimits;
pub use series::{PushRules, RemoteWriteRules, SeriesRules};

use serde::{Deserialize, Serialize};

/// An upper bound that may be absent; written as a whole number, 0 for "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limit {
    allowed: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { allowed: 0 };

    /// At most `allowed`; 0 means no limit.
    pub const fn at(allowed: u64) -> Self {
        Self { allowed }
    }

    /// The bound, if there is one.
    pub const fn get(self) -> Option<u64> {
        if self.allowed == 0 { None } else { Some(self.allowed) }
    }

    /// The bound as a length, the largest possible one if there is none.
    pub fn as_len(self) -> usize {
        self.get().and_then(|allowed| usize::try_from(allowed).ok()).unwrap_or(usize::MAX)
    }

    /// The bound that `found` exceeds; `None` if it keeps within it.
    pub fn exceeded_by(self, found: usize) -> Option<u64> {
        self.get().filter(|allowed| u64::try_from(found).unwrap_or(u64::MAX) > *allowed)
    }
}

/// All limits of one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How much may be written.
    pub ingest: IngestLimits,
    /// What a series pushed as JSON may look like.
    pub push: PushRules,
    /// What a series sent by remote write may look like.
    pub remote_write: RemoteWriteRules,
    /// How many series there may be.
    pub cardinality: CardinalityLimits,
    /// What a query may cost.
    pub query: QueryLimits,
    /// How many rules there may be.
    pub rules: RuleLimits,
    /// What is kept, and how long.
    pub retention: RetentionLimits,
}

impl Limits {
    /// Nothing of what may be written and asked is limited: for benchmarks and trusted use.
    pub fn lifted() -> Self {
        Self {
            ingest: IngestLimits::lifted(),
            push: PushRules(SeriesRules::lifted()),
            remote_write: RemoteWriteRules(SeriesRules::lifted()),
            cardinality: CardinalityLimits::lifted(),
            query: QueryLimits::lifted(),
            rules: RuleLimits::lifted(),
            retention: RetentionLimits::default(),
        }
    }
}
