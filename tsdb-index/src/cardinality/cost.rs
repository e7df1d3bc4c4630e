//! What a label costs: how many series there would be without it.

use super::Sketch;
use crate::LiveIndex;
use std::collections::HashSet;
use tsdb_core::bytes::hash64;

/// So many distinct hashes are held for all labels together; what would be more is estimated.
const MAX_EXACT: usize = 1 << 21;

/// What a label costs among some series.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelCost {
    /// The name of the label.
    pub name: String,
    /// Series that have it.
    pub series: u64,
    /// Distinct values.
    pub values: u64,
    /// How many series all of those that were looked at would be without it.
    pub series_without: u64,
    /// Are the last two estimates, with a standard error of 0.81 %?
    pub is_estimate: bool,
}

/// Finds out what labels cost, some series at a time.
#[derive(Debug)]
pub struct LabelCosts {
    labels: Vec<Without>,
    /// The most hashes that are held for one question about a label.
    max_exact: usize,
}

/// A label, and the series without it.
#[derive(Debug)]
struct Without {
    name: String,
    series: u64,
    values: Distinct,
    rest: Distinct,
}

/// Distinct hashes: all of them, or a sketch once there are too many.
#[derive(Debug)]
enum Distinct {
    Exact(HashSet<u64>),
    About(Sketch),
}

impl LabelCosts {
    /// What each of these labels costs; nothing is looked at yet.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let without = |name| Without {
            name,
            series: 0,
            values: Distinct::Exact(HashSet::new()),
            rest: Distinct::Exact(HashSet::new()),
        };
        let labels: Vec<_> = names.into_iter().map(without).collect();
        let max_exact = MAX_EXACT / (2 * labels.len().max(1));
        Self { labels, max_exact }
    }

    /// Looks at `series`, which `index` holds. Costs by their labels, and by the labels that are asked about.
    pub fn add(&mut self, index: &LiveIndex, series: impl IntoIterator<Item = u32>) {
        let mut pairs = Vec::new();
        for series in series {
            pairs.clear();
            // By their texts, not their numbers: those of pairs that went are given to others while this looks.
            pairs.extend(index.pairs_of_series(series).map(|pair| {
                let (name, value) = index.pairs().text(pair);
                (name, hash64(value.as_bytes(), hash64(name.as_bytes(), 0)))
            }));
            if pairs.is_empty() {
                continue;
            }
            let whole = pairs.iter().fold(0_u64, |sum, (_, hash)| sum.wrapping_add(*hash));
            for label in &mut self.labels {
                let own = pairs.iter().find(|(name, _)| *name == label.name).map(|(_, hash)| *hash);
                label.series = label.series.saturating_add(u64::from(own.is_some()));
                own.into_iter().for_each(|own| label.values.insert(own, self.max_exact));
                label.rest.insert(whole.wrapping_sub(own.unwrap_or_default()), self.max_exact);
            }
        }
    }

    /// What was found, the label first that costs the most series.
    pub fn finish(self) -> Vec<LabelCost> {
        let cost = |label: Without| {
            let ((series_without, one), (values, other)) = (label.rest.count(), label.values.count());
            LabelCost {
                name: label.name,
                series: label.series,
                values,
                series_without,
                is_estimate: one || other,
            }
        };
        let mut costs: Vec<LabelCost> = self.labels.into_iter().map(cost).collect();
        costs.sort_by(|a, b| a.series_without.cmp(&b.series_without).then_with(|| a.name.cmp(&b.name)));
        costs
    }
}

impl Distinct {
    fn insert(&mut self, hash: u64, max_exact: usize) {
        match self {
            Self::Exact(seen) if seen.len() < max_exact => {
                seen.insert(hash);
            }
            Self::Exact(seen) => {
                let mut sketch = Sketch::new();
                // Hashed again: a sum of hashes is spread well enough for a set, not for what counts zeros.
                seen.iter().chain([&hash]).for_each(|hash| {
                    sketch.insert(&hash.to_le_bytes());
                });
                *self = Self::About(sketch);
            }
            Self::About(sketch) => {
                sketch.insert(&hash.to_le_bytes());
            }
        }
    }

    fn count(&self) -> (u64, bool) {
        match self {
            Self::Exact(seen) => (seen.len() as u64, false),
            Self::About(sketch) => (sketch.estimate(), true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use tsdb_core::{Labels, METRIC_NAME, SeriesRef};

    proptest! {
        #[test]
        fn a_label_costs_the_series_that_differ_in_nothing_else(
            series in proptest::collection::btree_set((0_u8..3, proptest::option::of(0_u8..6), 0_u8..4), 0..80),
        ) {
            let mut index = LiveIndex::new();
            let labels: Vec<Labels> = series.into_iter().map(|(metric, user, zone)| {
                let user = user.map(|user| user.to_string());
                let (metric, zone) = (format!("m{metric}"), zone.to_string());
                let pairs = [(METRIC_NAME, metric.as_str()), ("zone", zone.as_str())];
                Labels::from_pairs(pairs.into_iter().chain(user.as_deref().map(|user| ("user", user)))).unwrap()
            }).collect();
            for (number, labels) in (0..).zip(&labels) {
                index.insert(SeriesRef(number), labels).unwrap();
            }
            let names = ["user", "zone", METRIC_NAME, "absent"].map(str::to_owned);
            let mut costs = LabelCosts::new(names);
            let all: Vec<u32> = index.all().iter().collect();
            all.chunks(7).for_each(|some| costs.add(&index, some.iter().copied()));
            for cost in costs.finish() {
                let without = |labels: &Labels| {
                    let rest = labels.iter().filter(|(name, _)| *name != cost.name);
                    rest.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
                };
                let expected: BTreeSet<_> = labels.iter().map(without).collect();
                let values: BTreeSet<_> = labels.iter().filter_map(|labels| labels.get(&cost.name)).collect();
                prop_assert_eq!(cost.series_without, expected.len() as u64, "{}", &cost.name);
                prop_assert_eq!(cost.values, values.len() as u64);
                let series = labels.iter().filter(|labels| labels.get(&cost.name).is_some()).count();
                prop_assert_eq!((cost.series, cost.is_estimate), (series as u64, false));
            }
        }
    }

    #[test]
    fn very_many_series_are_estimated() {
        let mut distinct = Distinct::Exact(HashSet::new());
        let count: u64 = (1 << 20) + 500_000;
        (0..count).for_each(|number| distinct.insert(hash64(&number.to_le_bytes(), 1), 1 << 20));
        let (estimate, is_estimate) = distinct.count();
        assert!(is_estimate && estimate.abs_diff(count) < count / 25, "{estimate}");
    }
}
