//! How many series a tenant may have.

use super::Limit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tsdb_core::write::Origin;

/// How many series a tenant may have. Known series keep flowing when new ones are refused, whatever the limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardinalityLimits {
    /// Series in the head, of all metrics together.
    pub max_active_series: Limit,
    /// Series of one metric.
    pub max_series_per_metric: Limit,
    /// Values that one label of one metric may have.
    pub max_label_values_per_metric: Limit,
    /// New series within a minute.
    pub max_new_series_per_minute: NewSeriesLimits,
    /// Metrics that are declared to have many series, by name: `[limits.cardinality.high_cardinality.spans_total]`. The two
    /// limits on one metric do not hold for them.
    pub high_cardinality: BTreeMap<String, HighCardinality>,
}

/// New series within any 60 seconds, for each way in: what is usual for one is a mistake in another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSeriesLimits {
    /// By the push API. An application has the series that it has; many new ones are a label that should be none.
    pub push: Limit,
    /// By remote write. A sender that starts, or a deployment whose hundred instances are replaced, brings all of its series
    /// within a scrape interval or two, and what is refused then is lost; so the default lets 100 instances with 1 000 series
    /// in at once, and leaves the rest to the limit on all series, of which it is a fifth.
    pub remote_write: Limit,
    /// By scraping, the server's own metrics among them.
    pub scrape: Limit,
    /// By recording and alerting rules. An incident makes very many alerts at once, of two series each: with those that are
    /// refused it is lost since when the alert is pending, if the server is killed before they are taken.
    pub rule: Limit,
}

/// What is decided about a metric that is declared to have many series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HighCardinality {
    /// May it have new series?
    #[serde(default)]
    pub approved: bool,
    /// How many series it may have.
    #[serde(default = "no_limit")]
    pub max_series: Limit,
}

const fn no_limit() -> Limit {
    Limit::NONE
}

impl Default for CardinalityLimits {
    fn default() -> Self {
        Self {
            max_active_series: Limit::at(500_000),
            max_series_per_metric: Limit::at(100_000),
            max_label_values_per_metric: Limit::at(50_000),
            max_new_series_per_minute: NewSeriesLimits {
                push: Limit::at(1_000),
                remote_write: Limit::at(100_000),
                scrape: Limit::at(100_000),
                rule: Limit::at(100_000),
            },
            high_cardinality: BTreeMap::new(),
        }
    }
}

impl CardinalityLimits {
    pub(super) const fn lifted() -> Self {
        let none = Limit::NONE;
        Self {
            max_active_series: none,
            max_series_per_metric: none,
            max_label_values_per_metric: none,
            max_new_series_per_minute: NewSeriesLimits {
                push: none,
                remote_write: none,
                scrape: none,
                rule: none,
            },
            high_cardinality: BTreeMap::new(),
        }
    }

    /// The limits in the words of the engine.
    pub(crate) fn to_engine(&self) -> tsdb::SeriesLimits {
        let NewSeriesLimits { push, remote_write, scrape, rule } = &self.max_new_series_per_minute;
        let per_minute = [
            (Origin::Push, push),
            (Origin::RemoteWrite, remote_write),
            (Origin::Scrape, scrape),
            (Origin::Rule, rule),
        ];
        let rule = |declared: &HighCardinality| tsdb::MetricRule {
            approved: declared.approved,
            max_series: declared.max_series.get(),
        };
        tsdb::SeriesLimits {
            max_active: self.max_active_series.get(),
            max_new_per_minute: per_minute
                .into_iter()
                .filter_map(|(origin, limit)| Some((origin, limit.get()?)))
                .collect(),
            max_per_metric: self.max_series_per_metric.get(),
            max_label_values_per_metric: self.max_label_values_per_metric.get(),
            high_cardinality: self
                .high_cardinality
                .iter()
                .map(|(metric, declared)| (metric.clone(), rule(declared)))
                .collect(),
        }
    }
}
