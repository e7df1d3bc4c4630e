//! Experimental parts of PromQL, by the names that Prometheus has for them in `--enable-feature`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use tsdb_promql::EngineOptions;

/// An experimental part of PromQL. All are off by default, as in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
#[non_exhaustive]
pub enum Feature {
    /// `promql-experimental-functions`: the functions and aggregations that Prometheus calls experimental.
    ExperimentalFunctions,
    /// `promql-duration-expr`: arithmetic in durations, which is always on, as in Prometheus since 3.14.
    DurationExpressions,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    ExtendedRangeSelectors,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    FillModifiers,
    /// `promql-delayed-name-removal`: metric names stay until the end of a query.
    DelayedNameRemoval,
    /// `use-start-timestamps`: `rate`, `increase`, `irate` and `resets` learn of resets from start timestamps.
    StartTimestamps,
}

/// A name that no feature has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown feature {name:?}; there are: {known}", known = Feature::names())]
#[non_exhaustive]
pub struct UnknownFeature {
    /// The name.
    pub name: String,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ExperimentalFunctions,
        Self::DurationExpressions,
        Self::ExtendedRangeSelectors,
        Self::FillModifiers,
        Self::DelayedNameRemoval,
        Self::StartTimestamps,
    ];

    /// What Prometheus calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExperimentalFunctions => "promql-experimental-functions",
            Self::DurationExpressions => "promql-duration-expr",
            Self::ExtendedRangeSelectors => "promql-extended-range-selectors",
            Self::FillModifiers => "promql-binop-fill-modifiers",
            Self::DelayedNameRemoval => "promql-delayed-name-removal",
            Self::StartTimestamps => "use-start-timestamps",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Switches it on.
    pub(crate) fn enable(self, options: &mut EngineOptions) {
        let switch = match self {
            Self::ExperimentalFunctions => &mut options.parse.experimental_functions,
            Self::DurationExpressions => &mut options.parse.duration_expressions,
            Self::ExtendedRangeSelectors => &mut options.parse.extended_range_selectors,
            Self::FillModifiers => &mut options.parse.fill_modifiers,
            Self::DelayedNameRemoval => &mut options.delayed_name_removal,
            Self::StartTimestamps => &mut options.use_start_timestamps,
        };
        *switch = true;
    }
}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(text: &str) -> Result<Self, UnknownFeature> {
        let found = Self::ALL.into_iter().find(|feature| feature.name() == text);
        found.ok_or_else(|| UnknownFeature { name: text.to_owned() })
    }
}

impl TryFrom<String> for Feature {
    type Error = UnknownFeature;

    fn try_from(text: String) -> Result<Self, UnknownFeature> {
        text.parse()
    }
}

impl From<Feature> for &'static str {
    fn from(feature: Feature) -> Self {
        feature.name()
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused_with_a_list() {
        for feature in Feature::ALL {
            assert_eq!(feature.to_string().parse(), Ok(feature));
        }
        let refused = "promql-everything".parse::<Feature>().unwrap_err().to_string();
        assert!(refused.starts_with("unknown feature \"promql-everything\"; there are: "), "{refused}");
        assert!(Feature::ALL.iter().all(|feature| refused.contains(feature.name())), "{refused}");
    }
}
