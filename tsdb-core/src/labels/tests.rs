//! Laws of label sets.

use super::*;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

#[test]
fn pairs_come_back_sorted_by_name() {
    let set = labels(&[("job", "api"), ("__name__", "up"), ("instance", "a:1")]);
    let pairs: Vec<_> = set.iter().collect();
    assert_eq!(pairs, [("__name__", "up"), ("instance", "a:1"), ("job", "api")]);
    assert_eq!(set.metric_name(), "up");
    assert_eq!(set.get("absent"), None);
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    assert_eq!(Labels::from_pairs([("a", "1"), ("a", "2")]), Err(LabelError::Duplicate { name: "a".into() }));
}

#[test]
fn an_empty_value_is_no_label_and_an_empty_name_is_refused() {
    assert_eq!(labels(&[("a", ""), ("b", "x")]), labels(&[("b", "x")]));
    assert!(Labels::from_pairs([("", "x")]).is_err());
}

#[test]
fn display_writes_promql() {
    assert_eq!(labels(&[("__name__", "up")]).to_string(), "up");
    assert_eq!(labels(&[("__name__", "up"), ("a", "q\"")]).to_string(), "up{a=\"q\\\"\"}");
    assert_eq!(
        labels(&[("__name__", "my.metric"), ("a.b", "c")]).to_string(),
        "{\"my.metric\", \"a.b\"=\"c\"}"
    );
    assert_eq!(Labels::empty().to_string(), "{}");
}

#[test]
fn lengths_in_the_wire_form_are_varints_of_one_byte_and_more() {
    let varint = |value: usize| match u8::try_from(value) {
        Ok(short @ 0..0x80) => vec![short],
        _ => vec![(value & 0x7f) as u8 | 0x80, (value >> 7) as u8],
    };
    for len in 115..135 {
        let value = "x".repeat(len);
        let behind = [vec![0x0a, 1, b'a', 0x12], varint(len), value.clone().into_bytes()].concat();
        let mut out = Vec::new();
        write_wire(&labels(&[("a", &value)]), &mut out);
        assert_eq!(out, [vec![0x0a], varint(behind.len()), behind].concat(), "{len}");
    }
}

#[test]
fn wire_form_is_the_remote_write_bytes() {
    let mut out = Vec::new();
    write_wire(&labels(&[("a", "bc"), ("d", &"x".repeat(200))]), &mut out);
    assert_eq!(out.get(..9), Some(&[0x0a, 7, 0x0a, 1, b'a', 0x12, 2, b'b', b'c'][..]));
    assert_eq!(out.get(9..12), Some(&[0x0a, 0xce, 0x01][..]));
    assert_eq!(out.len(), 9 + 3 + 206);
}

proptest! {
    #[test]
    fn a_set_behaves_like_a_map(map in proptest::collection::btree_map(".{1,80}", ".{1,5000}", 0..6)) {
        let set = Labels::from_pairs(map.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
        let back: BTreeMap<_, _> = set.iter().map(|(n, v)| (n.into(), v.into())).collect();
        prop_assert_eq!(&back, &map);
        prop_assert_eq!(set.len(), map.len());
        for (name, value) in &map {
            prop_assert_eq!(set.get(name), Some(value.as_str()));
        }
        let sorted = Labels::from_sorted_pairs(map.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        prop_assert_eq!(sorted, Some(set));
    }

    #[test]
    fn order_is_the_order_of_pairs(
        a in proptest::collection::btree_map("[ab]{1,2}", "[xy]{1,2}", 0..4),
        b in proptest::collection::btree_map("[ab]{1,2}", "[xy]{1,2}", 0..4),
    ) {
        let set = |m: &BTreeMap<String, String>| {
            Labels::from_pairs(m.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()
        };
        prop_assert_eq!(set(&a).cmp(&set(&b)), a.iter().cmp(b.iter()));
    }
}

/// Values of xxh64 over the encoding, written out by hand; those of `m` are where promtool 3.5.3 includes the series.
#[test]
fn series_are_sampled_by_the_hash_that_prometheus_samples_them_by() {
    let hash = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap().sampling_hash();
    assert_eq!(hash(&[]), 0xef46_db37_51d8_e999);
    assert_eq!(hash(&[("hello", "world")]), 0x69c0_684e_519b_cec4);
    assert_eq!(hash(&[("__name__", "metric"), ("label", "value")]), 0xbc49_f7d3_a647_b9b5);
    assert_eq!(hash(&[("__name__", "m"), ("a", &"x".repeat(300))]), 0xa589_d1f2_be92_a732);
    for (value, below) in
        [("0", 3), ("1", 62), ("2", 47), ("3", 57), ("4", 41), ("5", 15), ("6", 11), ("7", 7)]
    {
        let sixty_fourths = hash(&[("__name__", "m"), ("a", value)]) >> 58;
        assert_eq!(sixty_fourths + 1, below, "{value}");
    }
}
