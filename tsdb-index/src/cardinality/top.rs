//! What there is most of, read from counts that the index keeps.

use crate::LiveIndex;
use crate::live::PairId;
use tsdb_core::METRIC_NAME;

/// How many series an index holds, and where most of them are. Lists are in descending order of the count, equal ones in
/// order of name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cardinality {
    /// Series.
    pub series: u64,
    /// Distinct label pairs.
    pub label_pairs: u64,
    /// Distinct label names.
    pub label_names: u64,
    /// Distinct metric names.
    pub metrics: u64,
    /// Metrics with the most series.
    pub top_metrics: Vec<Counted>,
    /// Label names with the most values.
    pub top_names_by_values: Vec<Counted>,
    /// Label names with the most series.
    pub top_names_by_series: Vec<Counted>,
    /// Label names that take the most bytes in the labels of all series, as Prometheus counts them: name, value, and a byte
    /// for the length of each.
    pub top_names_by_bytes: Vec<Counted>,
    /// Label pairs with the most series.
    pub top_pairs: Vec<CountedPair>,
}

/// A name and how often there is something of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// The name.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// A label pair and its series.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CountedPair {
    /// Name of the label.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Series that have it.
    pub series: u64,
}

impl Cardinality {
    /// Counts what `index` holds, with at most `top` entries in each list. Costs by the number of label names, and by that
    /// of the label pairs that have many series; not by that of all series.
    pub fn of(index: &LiveIndex, top: usize) -> Self {
        let names: Vec<_> = index.pairs().name_counts().collect();
        let by = |count: fn(&(&str, u64, u64, u64)) -> u64| {
            first(top, names.iter().map(|name| (count(name), name.0)))
                .into_iter()
                .map(|(count, name)| Counted { name: name.to_owned(), count })
                .collect()
        };
        Self {
            series: index.all().len(),
            label_pairs: index.pair_count() as u64,
            label_names: names.len() as u64,
            metrics: index.value_count(METRIC_NAME),
            top_metrics: Self::top_values(index, METRIC_NAME, top),
            top_names_by_values: by(|(_, values, _, _)| *values),
            top_names_by_series: by(|(_, _, series, _)| *series),
            top_names_by_bytes: by(|(name, _, series, bytes)| {
                let each = (name.len() as u64).saturating_add(2);
                bytes.saturating_add(series.saturating_mul(each))
            }),
            top_pairs: top_pairs(index, None, top)
                .into_iter()
                .map(|(series, (name, value))| CountedPair {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    series,
                })
                .collect(),
        }
    }

    /// The values of the label `name` with the most series.
    pub fn top_values(index: &LiveIndex, name: &str, top: usize) -> Vec<Counted> {
        let pairs = top_pairs(index, Some(name), top).into_iter();
        pairs.map(|(count, (_, value))| Counted { name: value.to_owned(), count }).collect()
    }
}

fn top_pairs<'i>(index: &'i LiveIndex, name: Option<&str>, top: usize) -> Vec<(u64, (&'i str, &'i str))> {
    largest(index, index.pairs().largest(name, top), top)
}

/// The first `top` of the pairs in `counted`.
pub(super) fn largest(
    index: &LiveIndex,
    mut counted: Vec<(u64, PairId)>,
    top: usize,
) -> Vec<(u64, (&str, &str))> {
    if top == 0 {
        return Vec::new();
    }
    if counted.len() > top {
        // Texts are compared only among those that count.
        let (_, last, _) = counted.select_nth_unstable_by(top - 1, |one, other| other.0.cmp(&one.0));
        let least = last.0;
        counted.retain(|(series, _)| *series >= least);
    }
    first(top, counted.into_iter().map(|(series, pair)| (series, index.pairs().text(pair))))
}

/// The first `top` in descending order of the count, then ascending by what is counted.
pub(super) fn first<T: Ord>(top: usize, counted: impl Iterator<Item = (u64, T)>) -> Vec<(u64, T)> {
    let order = |(one, a): &(u64, T), (other, b): &(u64, T)| other.cmp(one).then_with(|| a.cmp(b));
    let mut sorted: Vec<_> = counted.collect();
    if top > 0 && sorted.len() > top {
        sorted.select_nth_unstable_by(top - 1, order);
    }
    sorted.truncate(top);
    sorted.sort_unstable_by(order);
    sorted
}
