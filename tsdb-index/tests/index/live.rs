//! The live index under insertion and removal, against a map.

use super::fixture::{fleet, labels, live, matcher};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tsdb_core::{Labels, MatchOp, SeriesRef};
use tsdb_index::{LiveIndex, RoaringBitmap};

#[test]
fn a_number_in_use_keeps_its_labels() {
    let mut index = live(&[labels(&[("a", "1")])]);
    index.insert(SeriesRef(0), &labels(&[("a", "2")])).unwrap();
    assert_eq!(index.labels(SeriesRef(0)), Some(labels(&[("a", "1")])));
    assert_eq!(index.labels(SeriesRef(1)), None);
}

#[test]
fn what_all_series_lose_is_gone_and_its_memory_too() {
    let series = fleet(60);
    let mut index = live(&series);
    let full = index.memory_bytes();
    let pairs = index.pair_count();
    for round in 0..20 {
        let all = index.all().clone();
        index.remove(&all);
        assert_eq!((index.pair_count(), index.label_names(None)), (0, Vec::new()));
        for (number, labels) in (0..).zip(&series) {
            index.insert(SeriesRef(number), labels).unwrap();
        }
        assert_eq!(index.pair_count(), pairs);
        assert!(index.memory_bytes() < 3 * full, "round {round}: {} of {full}", index.memory_bytes());
    }
}

#[test]
fn a_dead_series_takes_its_label_values_along() {
    let mut index = live(&[labels(&[("job", "a"), ("pod", "1")]), labels(&[("job", "a"), ("pod", "2")])]);
    index.remove(&RoaringBitmap::from_iter([0, 77]));
    assert_eq!(index.label_values("pod", None), ["2"]);
    assert_eq!(index.labels(SeriesRef(0)), None);
    assert!(index.select(&[matcher("pod", MatchOp::Equal, "1")]).is_empty());
    assert_eq!(index.select(&[matcher("job", MatchOp::Equal, "a")]), RoaringBitmap::from_iter([1]));
}

#[test]
fn sorted_series_are_in_order_of_labels() {
    let mut series = fleet(9);
    series.push(Labels::empty());
    series.push(labels(&[("__name__", "up")]));
    series.reverse();
    series.rotate_left(100);
    let index = live(&series);
    let sorted: Vec<Labels> =
        index.sorted_series(index.all()).into_iter().map(|number| index.labels(number).unwrap()).collect();
    series.sort();
    assert_eq!(sorted, series);
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u32, BTreeMap<String, String>),
    Remove(Vec<u32>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let set = proptest::collection::btree_map("[a-d]", "[a-z]{1,2}", 0..4);
    prop_oneof![
        4 => (0_u32..80, set).prop_map(|(number, set)| Step::Insert(number, set)),
        1 => proptest::collection::vec(0_u32..80, 0..60).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn the_live_index_behaves_like_a_map(steps in proptest::collection::vec(any_step(), 0..120)) {
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
            }
        }
        prop_assert_eq!(index.all(), &model.keys().copied().collect::<RoaringBitmap>());
        for (number, labels) in &model {
            prop_assert_eq!(index.labels(SeriesRef(*number)), Some(labels.clone()));
            for (name, value) in labels {
                let expected: RoaringBitmap =
                    model.iter().filter(|(_, l)| l.get(name) == Some(value)).map(|(n, _)| *n).collect();
                prop_assert_eq!(index.select(&[matcher(name, MatchOp::Equal, value)]), expected);
            }
        }
        let pairs: std::collections::BTreeSet<_> = model.values().flat_map(Labels::iter).collect();
        prop_assert_eq!(index.pair_count(), pairs.len());
    }
}
