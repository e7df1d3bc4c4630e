//! Several stores against a naive union of their series, for any labels and matchers.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tsdb_core::testing::MemStore;
use tsdb_core::write::Appendable;
use tsdb_core::{Exemplar, MatchOp};

const TENANTS: [&str; 3] = ["a", "b", "c"];
const NAMES: [&str; 5] =
    ["job", "__name__", TENANT_LABEL, "original___tenant_id__", "original_original___tenant_id__"];

type Pairs = BTreeMap<&'static str, &'static str>;

/// The labels as the module says they are shown, in other words: every name that ends in the label's and has only
/// prefixes before gets one more.
fn naive_labels(tenant: &str, pairs: &Pairs) -> Labels {
    let mut shown: Vec<(String, String)> = vec![("__tenant_id__".into(), tenant.into())];
    for (name, value) in pairs {
        let hidden = name.ends_with("__tenant_id__");
        shown.push((if hidden { format!("original_{name}") } else { (*name).into() }, (*value).into()));
    }
    Labels::from_pairs(shown.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap()
}

fn pairs() -> impl Strategy<Value = Pairs> {
    let pair = (proptest::sample::select(&NAMES[..]), proptest::sample::select(&["a", "b", "x"][..]));
    proptest::collection::btree_map(pair.0, pair.1, 1..4)
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    let values = ["a", "b", "x", "", "a|b", ".+"];
    let one = (
        proptest::sample::select(ops.to_vec()),
        proptest::sample::select(NAMES.to_vec()),
        proptest::sample::select(values.to_vec()),
    );
    proptest::collection::vec(one.prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap()), 0..4)
}

fn satisfies(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
}

proptest! {
    #[test]
    fn several_stores_read_as_the_union_of_their_series(
        series in proptest::collection::vec((0..TENANTS.len(), pairs(), -5i32..5), 0..24),
        matchers in matchers(),
    ) {
        let stores: Vec<Arc<MemStore>> = TENANTS.iter().map(|_| Arc::default()).collect();
        let mut union: BTreeMap<Labels, f64> = BTreeMap::new();
        for (number, pairs, value) in &series {
            let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (*name, *value))).unwrap();
            stores[*number].put(&labels, 7, f64::from(*value));
            union.insert(naive_labels(TENANTS[*number], pairs), f64::from(*value));
        }
        union.retain(|labels, _| satisfies(labels, &matchers));
        let members = TENANTS.iter().zip(&stores);
        let across = Across::new(
            members.map(|(name, s)| (TenantId::new(name).unwrap(), Arc::<MemStore>::clone(s) as Arc<dyn Store>)).collect(),
        );
        let querier = across.querier(TimeRange::ALL).unwrap();
        let set = querier.select(&matchers, &SelectHints::over(TimeRange::ALL)).unwrap();
        let mut columns = SampleColumns::new();
        let mut found = BTreeMap::new();
        for index in 0..set.len() {
            set.read(index, &mut columns).unwrap();
            prop_assert_eq!(&columns.timestamps, &[7]);
            prop_assert!(found.insert(set.labels(index), columns.values[0]).is_none(), "two equal series");
        }
        prop_assert_eq!(&found, &union);
        prop_assert_eq!(set.labels(set.len()), Labels::empty());
        let names: BTreeSet<_> = union.keys().flat_map(|l| l.iter().map(|(name, _)| name.to_owned())).collect();
        prop_assert_eq!(querier.label_names(&matchers).unwrap(), names.into_iter().collect::<Vec<_>>());
        for name in NAMES.iter().copied().chain(["original_original_original___tenant_id__"]) {
            let values: BTreeSet<_> = union.keys().filter_map(|l| l.get(name)).map(str::to_owned).collect();
            let told = querier.label_values(name, &matchers).unwrap();
            prop_assert_eq!(told, values.into_iter().collect::<Vec<_>>(), "{}", name);
        }
    }
}

#[test]
fn exemplars_and_metadata_are_those_of_all_tenants() {
    let stores: Vec<Arc<MemStore>> = TENANTS.iter().map(|_| Arc::default()).collect();
    let labels = Labels::from_pairs([("__name__", "m")]).unwrap();
    for (number, store) in stores.iter().enumerate() {
        let mut appender = store.appender();
        let series = appender.series(&labels).unwrap();
        appender.append(series, 1, 1.0);
        let exemplar = Exemplar { labels: Labels::empty(), value: number as f64, timestamp: 1 };
        appender.append_exemplar(series, exemplar);
        let help = if number == 2 { "other" } else { "same" };
        appender.set_metadata("m", Metadata { help: help.into(), ..Metadata::default() });
        appender.commit().unwrap();
    }
    let members = TENANTS.iter().zip(&stores);
    let across = Across::new(
        members
            .map(|(name, s)| (TenantId::new(name).unwrap(), Arc::<MemStore>::clone(s) as Arc<dyn Store>))
            .collect(),
    );
    let not_b = Matcher::new(MatchOp::NotEqual, TENANT_LABEL, "b").unwrap();
    let found = across.exemplars(&[vec![not_b]], TimeRange::ALL).unwrap();
    let told: Vec<_> =
        found.iter().map(|s| (s.labels.get(TENANT_LABEL).unwrap(), s.exemplars[0].value)).collect();
    assert_eq!(told, [("a", 0.0), ("c", 2.0)]);
    let helps: Vec<_> =
        across.metadata().into_iter().map(|(_, metadata)| metadata.help.to_string()).collect();
    assert_eq!(helps, ["same", "other"]);
}
