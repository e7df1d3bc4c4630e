//! How many values labels have among some of the series, and how many series each value has there.

use super::top::{first, largest};
use super::{Cardinality, Counted};
use crate::LiveIndex;
use crate::live::PairId;
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};

/// Series are looked at one by one where there are so many times more label pairs than series.
const FEW: u64 = 4;

/// The label names of some series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelNames {
    /// Distinct label pairs.
    pub label_pairs: u64,
    /// Distinct label names.
    pub names: u64,
    /// Those with the most values, in descending order of the count, equal ones in order of name.
    pub top: Vec<Counted>,
}

/// A label among some series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelValues {
    /// The name of the label.
    pub name: String,
    /// Distinct values.
    pub values: u64,
    /// Series that have the label.
    pub series: u64,
    /// Values with the most series, in descending order of the count, equal ones in order of value.
    pub top: Vec<Counted>,
}

impl LabelNames {
    /// Counts the values of all labels among the series in `within` (of all series if `None`), with at most `top` names.
    /// Costs by the number of names where all series are meant, else by that of the pairs or of the series, whichever is
    /// less.
    pub fn of(index: &LiveIndex, within: Option<&RoaringBitmap>, top: usize) -> Self {
        let pairs = index.pairs();
        let names: Vec<(u64, &str)> = match within {
            None => pairs.name_counts().map(|(name, values, ..)| (values, name)).collect(),
            Some(within) if is_few(within, index.pair_count() as u64) => by_name(index, within),
            Some(within) => {
                let meets =
                    |pair: &PairId| pairs.postings(*pair).is_some_and(|postings| postings.intersects(within));
                let counted =
                    pairs.names().map(|name| (pairs.of_name(name).filter(meets).count() as u64, name));
                counted.filter(|(values, _)| *values > 0).collect()
            }
        };
        Self {
            label_pairs: names.iter().map(|(values, _)| values).sum(),
            names: names.len() as u64,
            top: counted(first(top, names.into_iter())),
        }
    }
}

impl LabelValues {
    /// Counts the values of the label `name` among the series in `within` (among all series if `None`), with at most `top`
    /// of them. Costs by the number of large values where all series are meant, else by that of the values or of the
    /// series, whichever is less.
    pub fn of(index: &LiveIndex, name: &str, within: Option<&RoaringBitmap>, top: usize) -> Self {
        let Some(within) = within else {
            let all = index.pairs().name_counts().find(|(of, ..)| *of == name);
            let (_, values, series, _) = all.unwrap_or_default();
            return Self {
                name: name.to_owned(),
                values,
                series,
                top: Cardinality::top_values(index, name, top),
            };
        };
        let counts = series_by_value(index, name, within);
        Self {
            name: name.to_owned(),
            values: counts.len() as u64,
            series: counts.iter().map(|(series, _)| series).sum(),
            top: counted(largest(index, counts, top).into_iter().map(|(series, (_, value))| (series, value))),
        }
    }
}

fn is_few(series: &RoaringBitmap, pairs: u64) -> bool {
    series.len().saturating_mul(FEW) < pairs
}

/// Names and how many values they have, found by looking at the series.
fn by_name<'i>(index: &'i LiveIndex, within: &RoaringBitmap) -> Vec<(u64, &'i str)> {
    let pairs: BTreeSet<PairId> = within.iter().flat_map(|series| index.pairs_of_series(series)).collect();
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for pair in pairs {
        let values = names.entry(index.pairs().name(pair)).or_default();
        *values = values.saturating_add(1);
    }
    names.into_iter().map(|(name, values)| (values, name)).collect()
}

/// The pairs of `name` that series in `within` have, and how many do.
fn series_by_value(index: &LiveIndex, name: &str, within: &RoaringBitmap) -> Vec<(u64, PairId)> {
    let pairs = index.pairs();
    if is_few(within, index.value_count(name)) {
        let mut counts: BTreeMap<PairId, u64> = BTreeMap::new();
        for pair in within.iter().flat_map(|series| index.pairs_of_series(series)) {
            if pairs.name(pair) == name {
                let series = counts.entry(pair).or_default();
                *series = series.saturating_add(1);
            }
        }
        return counts.into_iter().map(|(pair, series)| (series, pair)).collect();
    }
    let series = |pair: PairId| (pairs.postings(pair).map_or(0, |postings| postings.common(within)), pair);
    pairs.of_name(name).map(series).filter(|(series, _)| *series > 0).collect()
}

fn counted<'i>(list: impl IntoIterator<Item = (u64, &'i str)>) -> Vec<Counted> {
    list.into_iter().map(|(count, name)| Counted { name: name.to_owned(), count }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsdb_core::{Labels, METRIC_NAME, SeriesRef};

    /// Counts by looking at everything.
    fn model(
        series: &[(u32, Labels)],
        within: Option<&RoaringBitmap>,
    ) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (number, labels) in series {
            if within.is_none_or(|within| within.contains(*number)) {
                for (name, value) in labels {
                    *counts.entry(name.to_owned()).or_default().entry(value.to_owned()).or_default() += 1;
                }
            }
        }
        counts
    }

    fn sorted(mut list: Vec<Counted>, top: usize) -> Vec<Counted> {
        list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        list.truncate(top);
        list
    }

    proptest! {
        #[test]
        fn counts_among_some_series_are_those_of_looking_at_each(
            values in proptest::collection::vec((0_u8..4, 0_u8..60, proptest::option::of(0_u8..5)), 0..150),
            chosen in proptest::option::of(proptest::collection::vec(0_u32..150, 0..150)),
            top in 0_usize..8,
        ) {
            let mut index = LiveIndex::new();
            let mut series = Vec::new();
            for (number, (metric, user, zone)) in (0_u32..).zip(values) {
                let (metric, user) = (format!("m{metric}"), user.to_string());
                let zone = zone.map(|zone| zone.to_string());
                let pairs = [(METRIC_NAME, metric.as_str()), ("user", user.as_str())];
                let labels = Labels::from_pairs(pairs.into_iter().chain(zone.as_deref().map(|zone| ("zone", zone))));
                let labels = labels.unwrap();
                index.insert(SeriesRef(number), &labels).unwrap();
                series.push((number, labels));
            }
            let within = chosen.map(|chosen| {
                chosen.into_iter().filter(|number| (*number as usize) < series.len()).collect::<RoaringBitmap>()
            });
            let expected = model(&series, within.as_ref());
            let names = LabelNames::of(&index, within.as_ref(), top);
            let all = expected.iter();
            let all = all.map(|(name, values)| Counted { name: name.clone(), count: values.len() as u64 });
            let all: Vec<_> = all.collect();
            prop_assert_eq!(names.names, expected.len() as u64);
            prop_assert_eq!(names.label_pairs, all.iter().map(|name| name.count).sum::<u64>());
            prop_assert_eq!(names.top, sorted(all, top));
            for name in [METRIC_NAME, "user", "zone", "absent"] {
                let of_name = expected.get(name).cloned().unwrap_or_default();
                let found = LabelValues::of(&index, name, within.as_ref(), top);
                prop_assert_eq!(found.values, of_name.len() as u64);
                prop_assert_eq!(found.series, of_name.values().sum::<u64>());
                let of_name = of_name.into_iter().map(|(name, count)| Counted { name, count });
                prop_assert_eq!(found.top, sorted(of_name.collect(), top));
            }
        }
    }
}
