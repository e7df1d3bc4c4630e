//! Matchers: the empty rule, equality, and how they print.

use super::*;
use alloc::string::ToString;
use std::collections::HashSet;

fn matcher(op: MatchOp, value: &str) -> Matcher {
    Matcher::new(op, "job", value).unwrap()
}

#[test]
fn each_operator_compares_in_its_way() {
    assert!(matcher(MatchOp::Equal, "a.c").matches("a.c"));
    assert!(!matcher(MatchOp::Equal, "a.c").matches("abc"));
    assert!(matcher(MatchOp::NotEqual, "a.c").matches("abc"));
    assert!(matcher(MatchOp::Regex, "a.c").matches("abc"));
    assert!(!matcher(MatchOp::Regex, "a.c").matches("xabc"));
    assert!(!matcher(MatchOp::NotRegex, "a.c").matches("abc"));
    assert!(matcher(MatchOp::NotRegex, "a.c").matches("xabc"));
}

#[test]
fn a_missing_label_counts_as_empty() {
    assert!(matcher(MatchOp::Equal, "").matches_empty());
    assert!(matcher(MatchOp::NotEqual, "x").matches_empty());
    assert!(!matcher(MatchOp::NotEqual, "").matches_empty());
    assert!(matcher(MatchOp::Regex, ".*").matches_empty());
    assert!(matcher(MatchOp::Regex, "a|").matches_empty());
    assert!(!matcher(MatchOp::Regex, ".+").matches_empty());
    assert!(matcher(MatchOp::NotRegex, ".+").matches_empty());
}

#[test]
fn facts_are_about_the_comparison_before_negation() {
    let equal = Implied::Literals(["x".into()].into());
    assert_eq!(*matcher(MatchOp::Equal, "x").implied(), equal);
    assert_eq!(*matcher(MatchOp::NotEqual, "x").implied(), equal);
    assert_eq!(*matcher(MatchOp::NotRegex, ".+").implied(), Implied::NonEmpty);
}

#[test]
fn matchers_are_equal_as_they_are_written() {
    let mut set = HashSet::new();
    assert!(set.insert(matcher(MatchOp::Regex, "a|b")));
    assert!(!set.insert(matcher(MatchOp::Regex, "a|b")));
    assert!(set.insert(matcher(MatchOp::Regex, "b|a")));
    assert!(set.insert(matcher(MatchOp::NotRegex, "a|b")));
    assert!(set.insert(Matcher::new(MatchOp::Regex, "instance", "a|b").unwrap()));
}

#[test]
fn a_bad_pattern_is_refused_with_the_label_it_is_for() {
    let error = Matcher::new(MatchOp::Regex, "job", "a(b").unwrap_err();
    assert_eq!(error.to_string(), "pattern for label \"job\": missing closing ) at byte 1: `(b`");
    assert!(Matcher::new(MatchOp::Equal, "job", "a(b").is_ok());
}

#[test]
fn a_matcher_prints_as_promql() {
    assert_eq!(matcher(MatchOp::Regex, "a|b").to_string(), r#"job=~"a|b""#);
    assert_eq!(matcher(MatchOp::NotEqual, "a\"\\\n\u{1}").to_string(), r#"job!="a\"\\\n\u0001""#);
    let dotted = Matcher::new(MatchOp::Equal, "service.name", "x").unwrap();
    assert_eq!(dotted.to_string(), r#""service.name"="x""#);
}
