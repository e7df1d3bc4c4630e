//! What weighs most: metrics, labels and label pairs by their series, by the bytes of their values, or by what is new.

use super::top::first;
use crate::LiveIndex;
use crate::live::PairId;
use tsdb_core::METRIC_NAME;

/// By what things are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever adds one changes all that list things")]
pub enum RankBy {
    /// Number of series.
    Series,
    /// Bytes of label values.
    Bytes,
    /// Number of new series; of labels, number of values that the new series have.
    New,
}

/// What something costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Weight {
    /// Series that have it.
    pub series: u64,
    /// Bytes of its values, each as often as it has series; of a metric, those of all labels of its series.
    pub bytes: u64,
    /// Those of the series that are new.
    pub new_series: u64,
}

/// A metric and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RankedMetric {
    /// Its name.
    pub name: String,
    /// What it costs.
    pub weight: Weight,
}

/// A label and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RankedName {
    /// Its name.
    pub name: String,
    /// Distinct values.
    pub values: u64,
    /// Distinct values among the new series.
    pub new_values: u64,
    /// What it costs.
    pub weight: Weight,
}

/// A label pair and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RankedPair {
    /// Name of the label.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What it costs.
    pub weight: Weight,
}

/// What weighs most. Lists are in descending order of what was asked for, equal ones in order of name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ranking {
    /// Series in all.
    pub series: u64,
    /// Those that are new.
    pub new_series: u64,
    /// Metrics.
    pub metrics: Vec<RankedMetric>,
    /// Labels.
    pub names: Vec<RankedName>,
    /// Label pairs.
    pub pairs: Vec<RankedPair>,
}

/// What series have that count as new. They can be taken up in parts, so that an index that others change is held for one
/// part at a time.
#[derive(Debug, Clone, Default)]
pub struct NewSeries {
    series: u64,
    /// How many have each pair, by its number.
    pairs: Vec<u32>,
}

impl Ranking {
    /// Ranks what `index` holds, of which that in `new` is new, with at most `top` entries in each list. Costs by the number
    /// of metrics and label names, by that of the label pairs that have many series, and by that of the pairs of new ones.
    pub fn of(index: &LiveIndex, mut new: NewSeries, by: RankBy, top: usize) -> Self {
        new.keep(index);
        let new = &new;
        Self {
            series: index.all().len(),
            new_series: new.series,
            metrics: metrics(index, new, by, top),
            names: names(index, new, by, top),
            pairs: pairs(index, new, by, top),
        }
    }
}

impl NewSeries {
    /// Takes up those of `series` that `index` holds. Each is named once.
    pub fn add(&mut self, index: &LiveIndex, series: impl IntoIterator<Item = u32>) {
        self.pairs.resize(index.pairs().numbers().max(self.pairs.len()), 0);
        for series in series.into_iter().filter(|series| index.all().contains(*series)) {
            self.series = self.series.saturating_add(1);
            for pair in index.pairs_of_series(series) {
                if let Some(count) = self.pairs.get_mut(pair.0 as usize) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    /// Forgets what `index` does not hold any more: there are no more new series than series.
    fn keep(&mut self, index: &LiveIndex) {
        self.series = self.series.min(index.all().len());
        for (number, count) in (0_u32..).zip(&mut self.pairs).filter(|(_, count)| **count > 0) {
            let held = index.pairs().postings(PairId(number)).map_or(0, crate::postings::Postings::len);
            *count = u32::try_from(held).unwrap_or(u32::MAX).min(*count);
        }
    }

    fn series_of(&self, pair: PairId) -> u64 {
        self.pairs.get(pair.0 as usize).copied().map_or(0, u64::from)
    }

    /// The pairs that new series have.
    fn pairs(&self) -> impl Iterator<Item = PairId> {
        let numbered = (0_u32..).zip(&self.pairs).filter(|(_, count)| **count > 0);
        numbered.map(|(number, _)| PairId(number))
    }
}

impl Weight {
    const fn by(&self, by: RankBy) -> u64 {
        match by {
            RankBy::Series => self.series,
            RankBy::Bytes => self.bytes,
            RankBy::New => self.new_series,
        }
    }
}

fn metrics(index: &LiveIndex, new: &NewSeries, by: RankBy, top: usize) -> Vec<RankedMetric> {
    let table = index.pairs();
    let weight = |pair: PairId| {
        let series = table.postings(pair).map_or(0, crate::postings::Postings::len);
        Weight { series, bytes: table.metric_bytes(pair), new_series: new.series_of(pair) }
    };
    let all = table.of_name(METRIC_NAME).map(|pair| (weight(pair), table.text(pair).1));
    let sized = all.map(|(weight, name)| (weight.by(by), (name, weight))).filter(|(size, _)| *size > 0);
    let ranked = |(_, (name, weight)): (u64, (&str, Weight))| RankedMetric { name: name.to_owned(), weight };
    first(top, sized).into_iter().map(ranked).collect()
}

fn names(index: &LiveIndex, new: &NewSeries, by: RankBy, top: usize) -> Vec<RankedName> {
    let table = index.pairs();
    let mut of_new: Vec<(u64, u64)> = Vec::new();
    for pair in new.pairs() {
        let name = table.name_number(pair);
        if name >= of_new.len() {
            of_new.resize(name.saturating_add(1), (0, 0));
        }
        if let Some((values, series)) = of_new.get_mut(name) {
            *values = values.saturating_add(1);
            *series = series.saturating_add(new.series_of(pair));
        }
    }
    let all = table.name_counts().map(|(name, values, series, bytes)| {
        let number = table.find_name(name).map_or(usize::MAX, |number| number as usize);
        let (new_values, new_series) = of_new.get(number).copied().unwrap_or_default();
        let weight = Weight { series, bytes, new_series };
        let size = if by == RankBy::New { new_values } else { weight.by(by) };
        (size, (name, (values, new_values, weight)))
    });
    let ranked = |(_, (name, (values, new_values, weight))): (u64, (&str, (u64, u64, Weight)))| RankedName {
        name: name.to_owned(),
        values,
        new_values,
        weight,
    };
    first(top, all.filter(|(size, _)| *size > 0)).into_iter().map(ranked).collect()
}

fn pairs(index: &LiveIndex, new: &NewSeries, by: RankBy, top: usize) -> Vec<RankedPair> {
    let table = index.pairs();
    let sized: Vec<(u64, PairId)> = match by {
        RankBy::Series => table.largest(None, top),
        RankBy::Bytes => table.longest(top),
        RankBy::New => new.pairs().map(|pair| (new.series_of(pair), pair)).collect(),
    };
    let ranked = |(_, (name, value)): (u64, (&str, &str))| {
        let pair = table.find(name, value).unwrap_or(PairId(u32::MAX));
        let series = table.postings(pair).map_or(0, crate::postings::Postings::len);
        let bytes = series.saturating_mul(value.len() as u64);
        let weight = Weight { series, bytes, new_series: new.series_of(pair) };
        RankedPair { name: name.to_owned(), value: value.to_owned(), weight }
    };
    super::top::largest(index, sized, top).into_iter().map(ranked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use roaring::RoaringBitmap;
    use std::collections::BTreeMap;
    use tsdb_core::{Labels, SeriesRef};

    /// Weights and distinct values by what `key` makes of each pair of a series, found by looking at everything.
    fn model<K: Ord>(
        series: &[(u32, Labels)],
        new: &RoaringBitmap,
        key: impl Fn(&str, &str) -> Option<K>,
        whole: bool,
    ) -> BTreeMap<K, Weight> {
        let mut weights: BTreeMap<K, Weight> = BTreeMap::new();
        for (number, labels) in series {
            for (name, value) in labels {
                let Some(key) = key(name, value) else { continue };
                let bytes =
                    if whole { labels.iter().map(|(_, value)| value.len()).sum() } else { value.len() };
                let weight = weights.entry(key).or_default();
                weight.series += 1;
                weight.bytes += bytes as u64;
                weight.new_series += u64::from(new.contains(*number));
            }
        }
        weights
    }

    fn ranked<K: Ord + Clone>(weights: &BTreeMap<K, Weight>, by: RankBy, top: usize) -> Vec<(K, Weight)> {
        let mut all: Vec<_> = weights.iter().map(|(key, weight)| (key.clone(), *weight)).collect();
        all.retain(|(_, weight)| weight.by(by) > 0);
        all.sort_by(|(a, one), (b, other)| other.by(by).cmp(&one.by(by)).then_with(|| a.cmp(b)));
        all.truncate(top);
        all
    }

    #[test]
    fn series_that_go_after_they_were_taken_up_are_not_ranked() {
        let mut index = LiveIndex::new();
        for number in 0..10_u32 {
            let user = format!("u{number}");
            let labels = Labels::from_pairs([(METRIC_NAME, "m"), ("user", &user)]).unwrap();
            index.insert(SeriesRef(number), &labels).unwrap();
        }
        let mut new = NewSeries::default();
        new.add(&index, 0..10);
        index.remove(&(0..9).collect());
        let ranking = Ranking::of(&index, new.clone(), RankBy::New, 5);
        assert_eq!((ranking.series, ranking.new_series), (1, 1));
        let pairs: Vec<_> = ranking.pairs.iter().map(|pair| (pair.value.as_str(), pair.weight)).collect();
        let one = |bytes| Weight { series: 1, bytes, new_series: 1 };
        assert_eq!(pairs, [("m", one(1)), ("u9", one(2))]);
        assert_eq!(ranking.names.iter().map(|name| name.new_values).collect::<Vec<_>>(), [1, 1]);
        index.remove(&(9..10).collect());
        assert_eq!(Ranking::of(&index, new, RankBy::New, 5), Ranking::default());
    }

    proptest! {
        #[test]
        fn rankings_are_those_of_looking_at_each_series(
            values in proptest::collection::vec((0_u8..4, 0_u16..400, any::<bool>()), 0..300),
            gone in proptest::collection::btree_set(0_u32..300, 0..60),
            new in proptest::collection::btree_set(0_u32..300, 0..80),
            top in 0_usize..6,
            part in 1_usize..90,
        ) {
            let mut index = LiveIndex::new();
            let mut series = Vec::new();
            for (number, (metric, user, zone)) in (0_u32..).zip(values) {
                let (metric, user) = (format!("m{metric}"), "u".repeat(usize::from(user % 20)) + &user.to_string());
                let zone = if zone { "north" } else { "a-zone-with-a-long-name" };
                let pairs = [(METRIC_NAME, metric.as_str()), ("user", user.as_str()), ("zone", zone)];
                let labels = Labels::from_pairs(pairs).unwrap();
                index.insert(SeriesRef(number), &labels).unwrap();
                series.push((number, labels));
            }
            index.remove(&gone.iter().copied().collect());
            series.retain(|(number, _)| !gone.contains(number));
            // Part by part, as the holder of a lock does it.
            let named: Vec<u32> = new.iter().copied().collect();
            let mut counted = NewSeries::default();
            named.chunks(part).for_each(|some| counted.add(&index, some.iter().copied()));
            let new: RoaringBitmap = new.into_iter().filter(|number| index.all().contains(*number)).collect();
            let metrics = model(&series, &new, |name, value| (name == METRIC_NAME).then(|| value.to_owned()), true);
            let names = model(&series, &new, |name, _| Some(name.to_owned()), false);
            let pairs = model(&series, &new, |name, value| Some((name.to_owned(), value.to_owned())), false);
            for by in [RankBy::Series, RankBy::Bytes, RankBy::New] {
                let ranking = Ranking::of(&index, counted.clone(), by, top);
                prop_assert_eq!((ranking.series, ranking.new_series), (series.len() as u64, new.len()));
                let found: Vec<_> = ranking.metrics.into_iter().map(|one| (one.name, one.weight)).collect();
                prop_assert_eq!(found, ranked(&metrics, by, top));
                let found: Vec<_> = ranking.pairs.into_iter().map(|one| ((one.name, one.value), one.weight)).collect();
                prop_assert_eq!(found, ranked(&pairs, by, top));
                for one in &ranking.names {
                    prop_assert_eq!(names.get(&one.name), Some(&one.weight));
                    let of_name = pairs.iter().filter(|((name, _), _)| *name == one.name).map(|(_, weight)| weight);
                    let new_values = of_name.clone().filter(|weight| weight.new_series > 0).count() as u64;
                    prop_assert_eq!((one.values, one.new_values), (of_name.count() as u64, new_values));
                }
                if by != RankBy::New {
                    let found: Vec<_> = ranking.names.into_iter().map(|one| (one.name, one.weight)).collect();
                    prop_assert_eq!(found, ranked(&names, by, top));
                }
            }
        }
    }
}
