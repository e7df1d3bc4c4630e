//! Detection of counter resets.

use super::*;

#[track_caller]
fn reset(previous: &str, current: &str) -> bool {
    h(current).detect_reset(&h(previous))
}

#[test]
fn a_hint_decides() {
    assert!(reset("count:1", "count:2 counter_reset_hint:reset"));
    assert!(!reset("count:2", "count:1 counter_reset_hint:not_reset"));
    assert!(reset("count:2", "count:1 counter_reset_hint:gauge"));
    assert!(!reset("count:2 counter_reset_hint:reset", "count:2"));
}

#[test]
fn a_count_that_went_down_or_disappeared_is_a_reset() {
    let before = "count:9 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 3] n_buckets:[2 1]";
    assert!(!reset(before, before));
    for (current, expected) in [
        ("count:10 z_bucket:2 z_bucket_w:0.001 buckets:[1 1 3] n_buckets:[2 1]", false),
        ("count:10 z_bucket:1 z_bucket_w:0.001 buckets:[2 1 3] n_buckets:[2 1]", true),
        ("count:10 z_bucket:2 z_bucket_w:0.001 buckets:[1 2 2] n_buckets:[2 1]", true),
        ("count:10 z_bucket:2 z_bucket_w:0.001 buckets:[1 2] n_buckets:[2 1]", true),
        ("count:10 z_bucket:2 z_bucket_w:0.001 offset:1 buckets:[2 3] n_buckets:[2 1]", true),
        ("count:10 z_bucket:2 z_bucket_w:0.001 buckets:[1 1 3] n_buckets:[2 0]", true),
        ("count:10 z_bucket:2 z_bucket_w:0.001 offset:-1 buckets:[1 1 0 3] n_buckets:[2 1]", false),
        ("count:8 z_bucket:2 z_bucket_w:0.001 buckets:[1 1 3] n_buckets:[2 1]", true),
    ] {
        assert_eq!(reset(before, current), expected, "{current}");
    }
    // Buckets that held nothing may go.
    assert!(!reset("count:4 buckets:[1 0 3 0 0]", "count:4 offset:-1 buckets:[0 1 0 3]"));
}

#[test]
fn a_finer_schema_is_a_reset_and_a_coarser_one_is_compared_as_such() {
    assert!(reset("schema:0 count:1 buckets:[1]", "schema:1 count:1 buckets:[1]"));
    assert!(!reset("schema:1 count:3 offset:1 buckets:[1 2]", "schema:0 count:3 offset:1 buckets:[3]"));
    assert!(reset("schema:1 count:3 offset:1 buckets:[1 2]", "schema:0 count:3 offset:1 buckets:[2]"));
}

#[test]
fn a_smaller_zero_bucket_is_a_reset_and_a_larger_one_takes_buckets_in() {
    assert!(reset("z_bucket:1 count:1 z_bucket_w:0.1", "z_bucket:1 count:1 z_bucket_w:0.01"));
    assert!(!reset("z_bucket:1 z_bucket_w:0.25 count:3 buckets:[2]", "z_bucket:3 count:3 z_bucket_w:1"));
    assert!(reset("z_bucket:1 z_bucket_w:0.25 count:3 buckets:[2]", "z_bucket:2 count:3 z_bucket_w:1"));
    // It cuts through a bucket that holds something.
    assert!(reset("z_bucket:1 z_bucket_w:0.25 count:3 buckets:[2]", "z_bucket:3 count:3 z_bucket_w:0.75"));
    assert!(!reset(
        "z_bucket:1 z_bucket_w:0.25 count:3 buckets:[0 2]",
        "z_bucket:1 count:3 z_bucket_w:0.75 buckets:[0 2]"
    ));
}

#[test]
fn custom_buckets_are_compared_within_the_bounds_both_have() {
    assert!(reset("count:1 buckets:[1]", "schema:-53 count:1 buckets:[1]"));
    assert!(reset("schema:-53 count:1 buckets:[1]", "count:1 buckets:[1]"));
    let before = "schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]";
    assert!(reset(before, "schema:-53 sum:56 count:15 custom_values:[2 3 4 6] buckets:[1 0 1 5 8]"));
    assert!(!reset(before, "schema:-53 sum:56 count:15 custom_values:[2 3 4 6] buckets:[1 1 1 5 7]"));
    assert!(!reset(before, "schema:-53 count:16 custom_values:[1 3] buckets:[0 0 16]"));
    assert!(reset(before, "schema:-53 count:16 custom_values:[2 4 6] buckets:[2 2 4 8]"));
}
