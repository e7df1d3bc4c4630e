//! Limits on series and the counts behind them, against counting anew.

use super::fixture::labels;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tsdb_core::write::{Exceeded, Origin, SeriesError, SeriesLimit};
use tsdb_core::{Labels, METRIC_NAME, SeriesRef};
use tsdb_index::cardinality::MetricRule;
use tsdb_index::{Cardinality, LiveIndex, SeriesLimits};

fn metric(name: &str, pairs: &[(&str, &str)]) -> Labels {
    labels(&[&[(METRIC_NAME, name)], pairs].concat())
}

fn index_of(series: &[Labels]) -> LiveIndex {
    let mut index = LiveIndex::new();
    for (number, labels) in (0..).zip(series) {
        index.insert(SeriesRef(number), labels).unwrap();
    }
    index
}

#[test]
fn the_limit_on_all_series_names_what_it_allows_and_what_there_is() {
    let limits = SeriesLimits {
        max_active: Some(10),
        max_new_per_minute: BTreeMap::from([(Origin::Push, 5)]),
        ..SeriesLimits::default()
    };
    assert_eq!(limits.closed(Origin::Push, || 4, 9), None);
    let minute = Exceeded { limit: SeriesLimit::NewPerMinute, allowed: 5, found: 6 };
    assert_eq!(limits.closed(Origin::Push, || 6, 9), Some(minute));
    assert_eq!(limits.closed(Origin::RemoteWrite, || 6, 9), None, "each way in has its own");
    let active = Exceeded { limit: SeriesLimit::Active, allowed: 10, found: 10 };
    assert_eq!(limits.closed(Origin::Rule, || 0, 10), Some(active));
    assert_eq!(active.to_string(), "the limit max_active_series of 10 is reached, there are 10");
}

#[test]
fn a_metric_has_no_more_series_than_its_limit_and_other_metrics_go_on() {
    let mut index = index_of(&[metric("a", &[("x", "1")]), metric("a", &[("x", "2")])]);
    let limits = SeriesLimits { max_per_metric: Some(2), ..SeriesLimits::default() };
    let refused = metric("a", &[("x", "3")]);
    let exceeded = Exceeded { limit: SeriesLimit::PerMetric, allowed: 2, found: 2 };
    let expected = SeriesError::Limit { exceeded, series: refused.clone() };
    assert_eq!(limits.check(&mut index, &refused), Err(expected));
    assert_eq!(limits.check(&mut index, &metric("b", &[("x", "3")])), Ok(()));
    assert_eq!(limits.check(&mut index, &labels(&[("x", "3")])), Ok(()), "no metric, no such limit");
}

#[test]
fn a_label_of_a_metric_has_no_more_values_than_its_limit() {
    let mut index = index_of(&[
        metric("a", &[("user", "1"), ("code", "200")]),
        metric("a", &[("user", "2"), ("code", "200")]),
        metric("b", &[("user", "3"), ("code", "200")]),
    ]);
    let limits = SeriesLimits { max_label_values_per_metric: Some(2), ..SeriesLimits::default() };
    let refused = metric("a", &[("user", "3"), ("code", "200")]);
    let error = limits.check(&mut index, &refused).unwrap_err();
    let exceeded = Exceeded { limit: SeriesLimit::LabelValues, allowed: 2, found: 2 };
    assert_eq!(error, SeriesError::LabelValues { exceeded, label: "user".into(), series: refused.clone() });
    let message = "the limit max_label_values_per_metric of 2 is reached, there are 2 values of the label \"user\" of \
                   this metric; refused series: ";
    assert!(error.to_string().starts_with(message), "{error}");
    assert_eq!(
        limits.check(&mut index, &metric("a", &[("user", "2"), ("code", "500")])),
        Ok(()),
        "no new value of user"
    );
    assert_eq!(limits.check(&mut index, &metric("b", &[("user", "1")])), Ok(()), "another metric");
    index.remove(&[0].into_iter().collect());
    assert_eq!(
        limits.check(&mut index, &refused),
        Ok(()),
        "a value that nobody has any more frees its place"
    );
}

#[test]
fn a_metric_declared_high_cardinality_needs_approval_and_has_a_limit_of_its_own() {
    let mut index = index_of(&[metric("a", &[("x", "1")])]);
    let rule = |approved, max_series| SeriesLimits {
        max_per_metric: Some(1),
        max_label_values_per_metric: Some(1),
        high_cardinality: BTreeMap::from([("a".to_owned(), MetricRule { approved, max_series })]),
        ..SeriesLimits::default()
    };
    let new = metric("a", &[("x", "2")]);
    let refused = rule(false, None).check(&mut index, &new);
    assert_eq!(refused, Err(SeriesError::NotApproved { series: new.clone() }));
    assert_eq!(rule(true, None).check(&mut index, &new), Ok(()));
    assert_eq!(rule(true, Some(2)).check(&mut index, &new), Ok(()));
    assert!(matches!(rule(true, Some(1)).check(&mut index, &new), Err(SeriesError::Limit { .. })));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u32, BTreeMap<String, String>),
    Remove(Vec<u32>),
    Ask(String, String),
}

fn any_step() -> impl Strategy<Value = Step> {
    let metric = "[mn]".prop_map(|metric| (METRIC_NAME.to_owned(), metric));
    let set = proptest::collection::btree_map("[a-c]", "[x-z]{1,2}", 0..4);
    let set = (metric, set).prop_map(|(metric, mut set)| {
        set.extend([metric]);
        set
    });
    prop_oneof![
        6 => (0_u32..120, set).prop_map(|(number, set)| Step::Insert(number, set)),
        1 => proptest::collection::vec(0_u32..120, 0..60).prop_map(Step::Remove),
        1 => ("[mn]", "[a-c]").prop_map(|(metric, label)| Step::Ask(metric, label)),
    ]
}

proptest! {
    #[test]
    fn counts_that_are_kept_up_are_those_of_counting_anew(
        steps in proptest::collection::vec(any_step(), 0..300),
        top in 1_usize..6,
    ) {
        let mut index = LiveIndex::new();
        let mut model: BTreeMap<u32, Labels> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(number, set) => {
                    let labels = Labels::from_pairs(set.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
                    index.insert(SeriesRef(number), &labels).unwrap();
                    model.entry(number).or_insert(labels);
                }
                Step::Remove(dead) => {
                    index.remove(&dead.iter().copied().collect());
                    model.retain(|number, _| !dead.contains(number));
                }
                Step::Ask(metric, label) => {
                    prop_assert_eq!(index.metric_value_count(&metric, &label), values_of(&model, &metric, &label));
                }
            }
        }
        for metric in ["m", "n"] {
            let series = model.values().filter(|labels| labels.get(METRIC_NAME) == Some(metric)).count();
            prop_assert_eq!(index.metric_series(metric), series as u64);
            for label in ["a", "b", "c"] {
                prop_assert_eq!(index.metric_value_count(metric, label), values_of(&model, metric, label));
            }
        }
        check_tops(&index, &model, top)?;
    }
}

fn values_of(model: &BTreeMap<u32, Labels>, metric: &str, label: &str) -> u64 {
    let of_metric = model.values().filter(|labels| labels.get(METRIC_NAME) == Some(metric));
    of_metric.filter_map(|labels| labels.get(label)).collect::<BTreeSet<_>>().len() as u64
}

fn check_tops(index: &LiveIndex, model: &BTreeMap<u32, Labels>, top: usize) -> Result<(), TestCaseError> {
    let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut names: BTreeMap<&str, (BTreeSet<&str>, u64, u64)> = BTreeMap::new();
    for (name, value) in model.values().flat_map(Labels::iter) {
        *pairs.entry((name, value)).or_default() += 1;
        let counts = names.entry(name).or_default();
        counts.0.insert(value);
        counts.1 += 1;
        counts.2 += (name.len() + 1 + value.len() + 1) as u64;
    }
    let found = Cardinality::of(index, top);
    prop_assert_eq!(found.series, model.len() as u64);
    prop_assert_eq!((found.label_pairs, found.label_names), (pairs.len() as u64, names.len() as u64));
    let top_of = |counts: Vec<(u64, String)>| {
        let mut sorted = counts;
        sorted.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        sorted.truncate(top);
        sorted
    };
    let told = |counted: &[tsdb_index::cardinality::Counted]| -> Vec<(u64, String)> {
        counted.iter().map(|one| (one.count, one.name.clone())).collect()
    };
    let metrics = pairs.iter().filter(|((name, _), _)| *name == METRIC_NAME);
    prop_assert_eq!(
        told(&found.top_metrics),
        top_of(metrics.map(|((_, value), series)| (*series, (*value).to_owned())).collect())
    );
    let of_names = |count: fn(&(BTreeSet<&str>, u64, u64)) -> u64| {
        top_of(names.iter().map(|(name, counts)| (count(counts), (*name).to_owned())).collect())
    };
    prop_assert_eq!(told(&found.top_names_by_values), of_names(|counts| counts.0.len() as u64));
    prop_assert_eq!(told(&found.top_names_by_series), of_names(|counts| counts.1));
    prop_assert_eq!(told(&found.top_names_by_bytes), of_names(|counts| counts.2));
    let found: Vec<_> =
        found.top_pairs.iter().map(|pair| (pair.series, format!("{} {}", pair.name, pair.value))).collect();
    prop_assert_eq!(
        found,
        top_of(pairs.iter().map(|((name, value), series)| (*series, format!("{name} {value}"))).collect())
    );
    Ok(())
}

#[test]
fn the_largest_pairs_are_found_by_their_levels() {
    let mut index = LiveIndex::new();
    let mut next = 0;
    for (value, series) in [("small", 3), ("middle", 70), ("large", 1500), ("other", 1499)] {
        for _ in 0..series {
            index.insert(SeriesRef(next), &metric(value, &[("id", &next.to_string())])).unwrap();
            next += 1;
        }
    }
    let top = |index: &LiveIndex, count| {
        let counted = Cardinality::top_values(index, METRIC_NAME, count);
        counted.into_iter().map(|one| (one.name, one.count)).collect::<Vec<_>>()
    };
    let expected = [("large", 1500), ("other", 1499), ("middle", 70), ("small", 3)];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    for count in 0..5 {
        assert_eq!(top(&index, count), expected[..count.min(4)]);
    }
    index.remove(&(73..1573).collect());
    assert_eq!(top(&index, 2), expected[1..3]);
}
