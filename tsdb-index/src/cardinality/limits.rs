//! The limits on series, each of which may be absent.

use crate::LiveIndex;
use std::collections::BTreeMap;
use tsdb_core::write::{Exceeded, Origin, SeriesError, SeriesLimit};
use tsdb_core::{Labels, METRIC_NAME};

/// How many series a store takes. `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "settings, written by whoever embeds the engine")]
pub struct SeriesLimits {
    /// Series in all.
    pub max_active: Option<u64>,
    /// New series within any 60 seconds, for each way in that is named here.
    pub max_new_per_minute: BTreeMap<Origin, u64>,
    /// Series of one metric.
    pub max_per_metric: Option<u64>,
    /// Values that one label of one metric may have.
    pub max_label_values_per_metric: Option<u64>,
    /// Metrics that are declared to have many series, by name.
    pub high_cardinality: BTreeMap<String, MetricRule>,
}

/// What is decided about a metric that is declared to have many series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "settings, written by whoever embeds the engine")]
pub struct MetricRule {
    /// May it have new series at all?
    pub approved: bool,
    /// Series that it may have, in place of [`SeriesLimits::max_per_metric`]; `None` leaves it to the limits on all.
    pub max_series: Option<u64>,
}

impl SeriesLimits {
    /// Why no new series of `origin` is taken, if none is: `created` says how many came from there within the last minute, and
    /// is asked only if there is a limit on that; there are `active` in all.
    pub fn closed(&self, origin: Origin, created: impl FnOnce() -> u64, active: u64) -> Option<Exceeded> {
        let per_minute = self.max_new_per_minute.get(&origin).copied();
        per_minute
            .and_then(|allowed| reached(SeriesLimit::NewPerMinute, Some(allowed), created()))
            .or_else(|| reached(SeriesLimit::Active, self.max_active, active))
    }

    /// May `index` take one more series, with these labels? The limits that hold for all series alike are not asked again.
    ///
    /// # Errors
    /// The first limit that leaves no room for it, or its metric is not approved.
    pub fn check(&self, index: &mut LiveIndex, labels: &Labels) -> Result<(), SeriesError> {
        let Some(metric) = labels.get(METRIC_NAME) else { return Ok(()) };
        let rule = self.high_cardinality.get(metric);
        let max_series = rule.map_or(self.max_per_metric, |rule| rule.max_series);
        let max_values = self.max_label_values_per_metric.filter(|_| rule.is_none());
        if max_series.is_some() || max_values.is_some() {
            let series = index.metric_series(metric);
            if let Some(exceeded) = reached(SeriesLimit::PerMetric, max_series, series) {
                return Err(SeriesError::Limit { exceeded, series: labels.clone() });
            }
            // A label has no more values than there are series.
            if let Some(allowed) = max_values.filter(|allowed| series >= *allowed) {
                check_values(index, metric, labels, allowed)?;
            }
        }
        match rule {
            Some(rule) if !rule.approved => Err(SeriesError::NotApproved { series: labels.clone() }),
            _ => Ok(()),
        }
    }
}

/// May the metric have the values that these labels bring?
fn check_values(
    index: &mut LiveIndex,
    metric: &str,
    labels: &Labels,
    allowed: u64,
) -> Result<(), SeriesError> {
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        // What the label has over all metrics is known without counting.
        if index.value_count(name) < allowed || index.metric_has_value(metric, name, value) {
            continue;
        }
        let found = index.metric_value_count(metric, name);
        if let Some(exceeded) = reached(SeriesLimit::LabelValues, Some(allowed), found) {
            return Err(SeriesError::LabelValues {
                exceeded,
                label: name.to_owned(),
                series: labels.clone(),
            });
        }
    }
    Ok(())
}

/// The limit as one that is exceeded, if `found` leaves no room for one more.
fn reached(limit: SeriesLimit, allowed: Option<u64>, found: u64) -> Option<Exceeded> {
    let allowed = allowed.filter(|allowed| found >= *allowed)?;
    Some(Exceeded { limit, allowed, found })
}
