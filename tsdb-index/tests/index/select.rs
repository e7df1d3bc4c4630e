//! Selection against the naive filter: every series, every matcher.

use super::fixture::{file, fleet, labels, live, matcher};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tsdb_core::{Labels, MatchOp, Matcher, SeriesRef};
use tsdb_index::{IndexReader, RoaringBitmap};

fn naive(series: &[Labels], matchers: &[Matcher]) -> RoaringBitmap {
    let satisfies = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")));
    (0..).zip(series).filter(|(_, labels)| satisfies(labels)).map(|(number, _)| number).collect()
}

fn assert_same_everywhere(series: &[Labels], matchers: &[Matcher]) {
    let expected = naive(series, matchers);
    let (live, file) = (live(series), IndexReader::open(file(series)).unwrap());
    assert_eq!(live.select(matchers), expected, "live index, {matchers:?}");
    assert_eq!(file.select(matchers).unwrap(), expected, "index file, {matchers:?}");
    for within in [None, Some(&expected)] {
        let chosen: Vec<&Labels> = match within {
            None => series.iter().collect(),
            Some(within) => within.iter().map(|number| &series[number as usize]).collect(),
        };
        let names: BTreeSet<&str> = chosen.iter().flat_map(|labels| labels.iter().map(|(n, _)| n)).collect();
        assert!(live.label_names(within).iter().map(String::as_str).eq(names.iter().copied()));
        assert!(file.label_names(within).unwrap().iter().map(String::as_str).eq(names.iter().copied()));
        for name in names.into_iter().chain(["absent"]) {
            let values: BTreeSet<&str> = chosen.iter().filter_map(|labels| labels.get(name)).collect();
            assert!(live.label_values(name, within).iter().map(String::as_str).eq(values.iter().copied()));
            let of_file = file.label_values(name, within).unwrap();
            assert!(
                of_file.iter().map(String::as_str).eq(values.iter().copied()),
                "{name}: {of_file:?} {values:?}"
            );
        }
    }
}

#[test]
fn an_absent_label_counts_as_empty() {
    let mut series = vec![
        labels(&[("__name__", "up"), ("job", "api"), ("zone", "a")]),
        labels(&[("__name__", "up"), ("job", "db")]),
        labels(&[("__name__", "up")]),
        labels(&[("job", "api")]),
    ];
    series.sort();
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    for matchers in [
        vec![matcher("zone", Equal, "")],
        vec![matcher("zone", NotEqual, "")],
        vec![matcher("zone", NotEqual, "a")],
        vec![matcher("zone", Regex, "a|")],
        vec![matcher("zone", Regex, "b|")],
        vec![matcher("zone", NotRegex, "b|")],
        vec![matcher("zone", Regex, ".*")],
        vec![matcher("zone", NotRegex, ".*")],
        vec![matcher("zone", Regex, ".+")],
        vec![matcher("zone", NotRegex, ".+")],
        vec![matcher("nobody", Regex, ".*")],
        vec![matcher("nobody", Equal, "")],
        vec![matcher("nobody", Equal, "x")],
        vec![matcher("job", Equal, "api"), matcher("zone", Equal, "")],
        vec![matcher("job", Equal, "api"), matcher("job", NotEqual, "api")],
        vec![],
    ] {
        assert_same_everywhere(&series, &matchers);
    }
}

#[test]
fn a_fleet_is_selected_by_every_kind_of_matcher() {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let series = fleet(40);
    let name = || matcher("__name__", Equal, "http_requests_total");
    for matchers in [
        vec![name()],
        vec![name(), matcher("code", Regex, "5..")],
        vec![name(), matcher("code", NotRegex, "5..|404")],
        vec![matcher("__name__", Regex, "http_.*"), matcher("method", Regex, "GET|PUT")],
        vec![matcher("instance", Regex, "10\\.0\\.0\\.1[0-5]:9100"), matcher("le", NotEqual, "")],
        vec![matcher("pod", Regex, ".*00-.*"), name()],
        vec![matcher("instance", Equal, "10.0.0.7:9100"), matcher("pod", Regex, "api-.*[02468]")],
        vec![matcher("instance", Equal, "10.0.0.7:9100"), matcher("pod", NotRegex, "api-.*[02468]")],
        vec![matcher("cluster", NotEqual, "prod-eu")],
        vec![matcher("le", Regex, "0\\.0.*|"), matcher("__name__", NotRegex, "node_.*")],
    ] {
        assert_same_everywhere(&series, &matchers);
    }
}

#[test]
fn series_come_back_from_the_file_with_labels_and_chunks() {
    let series = fleet(12);
    let reader = IndexReader::open(file(&series)).unwrap();
    reader.check().unwrap();
    assert_eq!(reader.series_count() as usize, series.len());
    let mut cursor = reader.cursor();
    let mut found = Vec::new();
    for (number, labels) in (0..).zip(&series) {
        assert_eq!(cursor.labels(number).unwrap(), *labels);
        cursor.chunks(number, &mut found).unwrap();
        assert_eq!(found, super::fixture::chunks(number));
        assert_eq!(reader.labels(number).unwrap(), *labels);
    }
    assert!(reader.labels(reader.series_count()).is_err());
}

#[test]
fn an_empty_index_answers_with_nothing() {
    assert_same_everywhere(&[], &[]);
    IndexReader::open(file(&[])).unwrap().check().unwrap();
}

fn any_series() -> impl Strategy<Value = Vec<Labels>> {
    let value = prop_oneof!["[ab]{1,3}", "x[0-9]{1,2}", "\\PC{1,3}"];
    let set = proptest::collection::btree_map("[a-d]", value, 0..4);
    proptest::collection::vec(set, 0..60).prop_map(|sets| {
        let mut series: Vec<Labels> = sets
            .iter()
            .map(|set| Labels::from_pairs(set.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap())
            .collect();
        series.sort();
        series.dedup();
        series
    })
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let literal = ("[a-e]", any::<bool>(), prop_oneof![Just(String::new()), "[ab]{1,3}", "x[0-9]{1,2}"]);
    let literal = literal.prop_map(|(name, negative, value)| {
        matcher(&name, if negative { MatchOp::NotEqual } else { MatchOp::Equal }, &value)
    });
    let patterns = [
        "a.*", "a|b|ab", "|a", "x[0-4]", "x1.*", ".*1", ".+", ".*", "", "a|x1.+", ".*a.*", "[^a]+", "(a|b)b?",
    ];
    let pattern = ("[a-e]", any::<bool>(), proptest::sample::select(patterns.to_vec()));
    let pattern = pattern.prop_map(|(name, negative, value)| {
        matcher(&name, if negative { MatchOp::NotRegex } else { MatchOp::Regex }, value)
    });
    prop_oneof![literal, pattern]
}

proptest! {
    #[test]
    fn selection_equals_the_naive_filter(
        series in any_series(),
        matchers in proptest::collection::vec(any_matcher(), 0..4),
    ) {
        assert_same_everywhere(&series, &matchers);
    }

    #[test]
    fn any_set_of_series_survives_the_file(series in any_series()) {
        let reader = IndexReader::open(file(&series)).unwrap();
        prop_assert_eq!(reader.check(), Ok(()));
        for (number, labels) in (0..).zip(&series) {
            prop_assert_eq!(&reader.labels(number).unwrap(), labels);
            prop_assert_eq!(live(&series).labels(SeriesRef(number)), Some(labels.clone()));
        }
    }
}
