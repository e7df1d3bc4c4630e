//! Why a rule has no data.
//!
//! A rule has no data when its expression gives nothing, and what its condition is about gives nothing either, or nothing
//! but NaN: `a > 5` is about `a`. So `up == 0` has data as long as there is any `up`, and a share of errors has none while
//! there are no requests. Where the annotation `tsdb_no_data` asks for nothing, only rules that read no sample at all are
//! looked at more closely; the others cost no second question.

use super::group::World;
use super::rule::Rule;
use tsdb_core::{Labels, TimeRange, Timestamp};
use tsdb_promql::ast::quote;

/// Why there is no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Absence {
    /// There was no such series within the last day.
    NeverExisted,
    /// The target of its series is down: its `up` is 0.
    TargetDown {
        /// Job and instance.
        target: String,
    },
    /// The tenant's newest sample is older than a query looks back.
    IngestLag {
        /// The time of that sample, ms.
        newest: Timestamp,
    },
    /// The series were there within the last day and have ended.
    Ended,
    /// The series are there, but give no number: there is nothing to count.
    ZeroTraffic,
}

/// How long ago a series may have been to have existed, ms.
const MEMORY_MS: i64 = 86_400_000;
/// How far behind the newest sample may be, ms.
const LOOKBACK_MS: i64 = 300_000;
/// Series of a rule whose targets are looked at.
const MOST_SERIES: usize = 64;

impl Absence {
    /// The name of the reason in APIs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::NeverExisted => "never_existed",
            Self::TargetDown { .. } => "target_down",
            Self::IngestLag { .. } => "ingest_lag",
            Self::Ended => "ended",
            Self::ZeroTraffic => "zero_traffic",
        }
    }

    /// The reason as a sentence for people.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::NeverExisted => "no series of the expression existed within the last day".to_owned(),
            Self::TargetDown { target } => format!("the target {target} is down"),
            Self::IngestLag { newest } => {
                format!("no samples came in: the newest is of {}", crate::rfc3339::format(*newest))
            }
            Self::Ended => "the series of the expression have ended".to_owned(),
            Self::ZeroTraffic => "the series of the expression are there and give no number".to_owned(),
        }
    }

    /// Why `rule` has no data at the time `at`, having read `samples_read` samples.
    pub(super) fn of(rule: &Rule, samples_read: u64, at: Timestamp, world: &dyn World) -> Self {
        if samples_read > 0 {
            return Self::ZeroTraffic;
        }
        if let Some(newest) = world.newest()
            && newest < at.saturating_sub(LOOKBACK_MS)
        {
            return Self::IngestLag { newest };
        }
        let mut found = Vec::new();
        if let Some(range) = TimeRange::new(at.saturating_sub(MEMORY_MS), at) {
            for matchers in rule.selectors() {
                found.extend(world.series(matchers, range, MOST_SERIES).unwrap_or_default());
            }
        }
        if found.is_empty() {
            return Self::NeverExisted;
        }
        let down = found.iter().filter_map(target).find(|target| is_down(target, at, world));
        down.map_or(Self::Ended, |target| Self::TargetDown { target })
    }
}

/// The target that a series comes from, as conditions of a selector.
fn target(labels: &Labels) -> Option<String> {
    let (job, instance) = (labels.get("job")?, labels.get("instance")?);
    Some(format!("job={}, instance={}", quote(job.as_bytes()), quote(instance.as_bytes())))
}

fn is_down(target: &str, at: Timestamp, world: &dyn World) -> bool {
    world.query_text(&format!("up{{{target}}} == 0"), at).is_ok_and(|vector| !vector.is_empty())
}
