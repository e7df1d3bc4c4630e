//! How many values the labels of a metric have, counted where somebody asks.
//!
//! Asking for a label of a metric the first time counts its values; from then on the count is kept up by the series
//! that come and go. Only counts are kept: whether a metric has a value already is told by the postings of the two.

use super::{LiveIndex, PairId};
use std::collections::{BTreeMap, BTreeSet};
use tsdb_core::{Labels, METRIC_NAME};

/// The counts of metrics, by the pair of the metric's name.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    metrics: BTreeMap<PairId, Vec<LabelCount>>,
}

/// Number of a label's name, and how many values it has.
#[derive(Debug)]
struct LabelCount {
    name: u32,
    values: u64,
}

/// Pairs of metrics, counted pairs of their series that are about to be removed, and the numbers of the names of these.
pub(super) type Leaving = BTreeSet<(PairId, PairId, usize)>;

impl LiveIndex {
    /// Number of the series of `metric`.
    pub fn metric_series(&self, metric: &str) -> u64 {
        self.pair_series(METRIC_NAME, metric)
    }

    /// Number of the series that have the label `name` with this value.
    pub fn pair_series(&self, name: &str, value: &str) -> u64 {
        let postings = self.pairs.find(name, value).and_then(|pair| self.pairs.postings(pair));
        postings.map_or(0, super::Postings::len)
    }

    /// Number of the values of the label `name`, over all metrics.
    pub fn value_count(&self, name: &str) -> u64 {
        self.pairs.value_count(name) as u64
    }

    /// Does a series of `metric` have the label `name` with this value?
    pub fn metric_has_value(&self, metric: &str, name: &str, value: &str) -> bool {
        let metric = self.pairs.find(METRIC_NAME, metric);
        let pair = self.pairs.find(name, value);
        metric.zip(pair).is_some_and(|(metric, pair)| self.pairs.meet(metric, pair))
    }

    /// Number of the values that the label `name` has among the series of `metric`. The first call for the two looks at
    /// all values of the label, and has them counted from then on.
    pub fn metric_value_count(&mut self, metric: &str, name: &str) -> u64 {
        let Some(metric) = self.pairs.find(METRIC_NAME, metric) else { return 0 };
        let Some(number) = self.pairs.find_name(name) else { return 0 };
        let counts = self.distinct.metrics.get(&metric);
        if let Some(count) = counts.and_then(|counts| counts.iter().find(|count| count.name == number)) {
            return count.values;
        }
        let values =
            self.pairs.of_name_number(number).filter(|pair| self.pairs.meet(metric, *pair)).count() as u64;
        if values > 0 {
            self.distinct.metrics.entry(metric).or_default().push(LabelCount { name: number, values });
        }
        values
    }

    /// Ends all counting of values of metrics.
    pub fn forget_value_counts(&mut self) {
        self.distinct.metrics = BTreeMap::new();
    }

    /// Counts the values that a series with these labels, which is about to be added, brings to its metric.
    pub(super) fn count_values(&mut self, labels: &Labels) {
        let Self { pairs, distinct, .. } = self;
        if distinct.metrics.is_empty() {
            return;
        }
        let metric = labels.get(METRIC_NAME).and_then(|metric| pairs.find(METRIC_NAME, metric));
        let counts = metric.and_then(|metric| Some((metric, distinct.metrics.get_mut(&metric)?)));
        let Some((metric, counts)) = counts else { return };
        for count in counts {
            let name = pairs.name_text(count.name);
            let Some(value) = labels.get(name) else { continue };
            let is_known = pairs.find(name, value).is_some_and(|pair| pairs.meet(metric, pair));
            count.values = count.values.saturating_add(u64::from(!is_known));
        }
    }

    /// Notes which counted values the series, which is about to be removed, has.
    pub(super) fn note_leaving(&self, series: u32, leaving: &mut Leaving) {
        if self.distinct.metrics.is_empty() {
            return;
        }
        let of_series = self.members.pairs(series);
        let metric = of_series.clone().find(|pair| self.pairs.name(*pair) == METRIC_NAME);
        let counts = metric.and_then(|metric| Some((metric, self.distinct.metrics.get(&metric)?)));
        let Some((metric, counts)) = counts else { return };
        let named = of_series.map(|pair| (metric, pair, self.pairs.name_number(pair)));
        leaving.extend(named.filter(|(.., name)| counts.iter().any(|count| count.name as usize == *name)));
    }

    /// Discounts the values that nobody has any more.
    pub(super) fn discount(&mut self, left: &Leaving) {
        for (metric, pair, name) in left {
            if self.pairs.meet(*metric, *pair) {
                continue;
            }
            let Some(counts) = self.distinct.metrics.get_mut(metric) else { continue };
            for count in counts.iter_mut().filter(|count| count.name as usize == *name) {
                count.values = count.values.saturating_sub(1);
            }
            counts.retain(|count| count.values > 0);
            if counts.is_empty() {
                self.distinct.metrics.remove(metric);
            }
        }
    }
}
