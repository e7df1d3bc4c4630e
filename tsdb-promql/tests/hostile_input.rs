//! Texts made to hurt: far too long, far too deep, or random. Each is parsed or refused with a clear error; none may
//! overflow the stack, also not where a tree is printed, walked or dropped.
#![expect(clippy::panic, reason = "a test")]

use proptest::prelude::*;
use tsdb_core::Labels;
use tsdb_core::testing::MemStore;
use tsdb_promql::ast::{Expr, Visitor, walk};
use tsdb_promql::{Engine, ParseOptions, QueryErrorKind, Value, parse};

fn refused(text: &str, reason: &str) {
    match parse(text, &ParseOptions::all_features()) {
        Ok(_) => panic!("a text of {} bytes parses", text.len()),
        Err(error) => assert!(error.to_string().contains(reason), "{error}"),
    }
}

#[test]
fn a_megabyte_is_refused() {
    refused(&"a".repeat(1 << 20), "limit on length in bytes: 524288");
    refused(&"(".repeat(1 << 20), "limit on length in bytes: 524288");
}

#[test]
fn deep_nesting_is_refused() {
    let depth = "limit on depth: 100";
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("-", "a", ""),
        ("abs(", "a", ")"),
        ("sum(", "a", ")"),
        ("sum by (a) (", "a", ")"),
        ("1 ^ ", "1", ""),
        ("a + (", "a", ")"),
        ("topk(1, ", "a", ")"),
        ("(", "", ""),
        ("abs(", "", ""),
    ] {
        refused(&format!("{}{inner}{}", open.repeat(10_000), close.repeat(10_000)), depth);
    }
    refused(&format!("a[{}5m{}]", "(".repeat(10_000), ")".repeat(10_000)), depth);
    refused(&format!("a[{}5m]", "-".repeat(10_000)), depth);
    refused(&format!("a[5m{}]", "^5m".repeat(10_000)), depth);
    refused(&format!("a[{}", "min_of(1,".repeat(10_000)), depth);
    refused(&format!("a offset {}", "(".repeat(10_000)), depth);
}

#[test]
fn long_chains_are_refused() {
    for link in [" + 1", " or a", " * on(a) group_left(b) c"] {
        refused(&format!("a{}", link.repeat(5_000)), "limit on height: 2000");
    }
    for link in [" ^ 1", "[5m:1m]"] {
        refused(&format!("a{}", link.repeat(5_000)), "limit on depth: 100");
    }
    refused(&format!("a[5m{}]", " + 1m".repeat(10_000)), "limit on depth: 100");
}

#[test]
fn broad_texts_are_refused() {
    refused(
        &format!("label_join(a, \"b\", \"c\"{})", ", \"d\"".repeat(30_000)),
        "limit on expressions: 20000",
    );
    refused(&format!("a{{{}}}", "b=\"c\",".repeat(30_000)), "limit on expressions: 20000");
    refused(&format!("sum by ({}) (a)", "b,".repeat(30_000)), "limit on expressions: 20000");
}

#[test]
fn the_tallest_tree_is_safe_to_use() {
    struct Count(usize);
    impl Visitor for Count {
        fn enter(&mut self, _: &Expr, _: &[&Expr]) -> bool {
            self.0 += 1;
            true
        }
    }
    for text in [
        format!("{}1{}", "(".repeat(99), ")".repeat(99)),
        format!("a{}", " or a".repeat(1999)),
        format!("{}a{}", "sum(".repeat(90), " + 1".repeat(1900) + &")".repeat(90)),
        format!("{}a", "-".repeat(99)),
        format!("{}a{}", "sum(".repeat(99), ")".repeat(99)),
        format!("1{}", "^1".repeat(99)),
    ] {
        let expr = parse(&text, &ParseOptions::all_features()).unwrap_or_else(|error| panic!("{error}"));
        let mut count = Count(0);
        walk(&expr, &mut count);
        assert!(count.0 >= 100);
        assert_eq!(expr.clone(), expr);
        assert!(expr.to_string().len() >= text.len());
        assert!(!format!("{expr:?}").is_empty());
        assert!(!expr.pretty().is_empty());
    }
}

#[test]
fn the_tallest_tree_is_safe_to_evaluate() {
    let store = MemStore::new();
    store.put(&Labels::from_pairs([("__name__", "a")]).unwrap(), 0, 1.0);
    let engine = Engine::default();
    for text in [
        format!("{}1{}", "(".repeat(99), ")".repeat(99)),
        format!("a{}", " or a".repeat(99)),
        format!("a{}", " + 1".repeat(99)),
        format!("{}a", "-".repeat(99)),
        format!("{}a{}", "sum(".repeat(99), ")".repeat(99)),
        format!("1{}", "^1".repeat(99)),
        format!("{}a{}", "abs(".repeat(99), ")".repeat(99)),
        format!("{}a{}", "label_replace(".repeat(99), ", \"b\", \"c\", \"d\", \"e\")".repeat(99)),
        format!("{}a{}", "1 - (".repeat(49), ")".repeat(49)),
    ] {
        assert!(engine.instant(&store, &text, 0).is_ok(), "{text}");
        assert!(engine.range(&store, &text, 0, 60_000, 1000).is_ok(), "{text}");
    }
}

#[test]
fn long_chains_are_safe_to_evaluate() {
    let store = MemStore::new();
    store.put(&Labels::from_pairs([("__name__", "a")]).unwrap(), 0, 1.0);
    store.put(&Labels::from_pairs([("__name__", "b")]).unwrap(), 0, 2.0);
    let engine = Engine::default();
    for (link, expected) in [
        (" or b", None),
        (" and a", None),
        (" unless a", None),
        (" + 1", Some(1991.0)),
        (" + a", Some(1991.0)),
        (" > b", None),
        (" + on() group_left b", Some(3981.0)),
        (" + sum(a)", Some(1991.0)),
        (" * scalar(a)", Some(1.0)),
    ] {
        let text = format!("a{}", link.repeat(1990));
        let result = engine.instant(&store, &text, 0).unwrap_or_else(|error| panic!("{link}: {error}"));
        if let (Some(expected), Value::Vector(found)) = (expected, result.value) {
            assert_eq!(found.iter().map(|sample| sample.value).collect::<Vec<_>>(), [expected], "{link}");
        }
        assert!(engine.range(&store, &text, 0, 60_000, 1000).is_ok(), "{link}");
    }
    let scalars = engine.instant(&store, &format!("1{}", " + 1".repeat(1999)), 0).unwrap();
    assert!(matches!(scalars.value, Value::Scalar(point) if point.value == 2000.0));
}

#[test]
fn towers_of_subqueries_end_at_a_limit() {
    let store = MemStore::new();
    store.put(&Labels::from_pairs([("__name__", "a")]).unwrap(), 0, 1.0);
    let tower = format!("{}a{}", "max_over_time(".repeat(5), "[365d:1s])".repeat(5));
    let error = Engine::default().instant(&store, &tower, 0).unwrap_err();
    assert_eq!(error.kind(), QueryErrorKind::Execution, "{error}");
}

#[test]
fn long_words_are_harmless() {
    let long = "9".repeat(100_000);
    refused(&long, "error parsing number");
    refused(&format!("a[{long}s]"), "not a valid duration string");
    assert!(parse(&format!("\"{}\"", "\\n".repeat(100_000)), &ParseOptions::all_features()).is_ok());
}

/// Pieces that texts are made of.
const PIECES: [&str; 64] = [
    "a",
    "sum",
    "rate",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "@",
    "start",
    "end",
    "step",
    "range",
    "min_of",
    "max_of",
    "anchored",
    "smoothed",
    "fill",
    "fill_left",
    "and",
    "or",
    "unless",
    "atan2",
    "inf",
    "nan",
    "1",
    "0x1f",
    "1e3",
    "5m",
    "1h30m",
    "\"s\"",
    "'t'",
    "`u`",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "!=",
    "=~",
    "!~",
    "==",
    ">=",
    "</",
    ">/",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "\n",
    "#",
    "topk",
    "info",
    "\u{fc}",
    "\"\\xff\"",
];

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_sequence_of_tokens_is_parsed_or_refused(picks in prop::collection::vec(0..PIECES.len(), 0..40)) {
        let pieces: Vec<_> = picks.iter().filter_map(|pick| PIECES.get(*pick).copied()).collect();
        check(&pieces.join(" "))?;
        check(&pieces.concat())?;
    }
}

#[test]
fn what_ends_too_early_is_refused_at_its_end() {
    for text in ["!", "up !", "{!", "{a!", "=!", "1 =", "\"", "a[", "#"] {
        check(text).unwrap();
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match parse(text, &ParseOptions::all_features()) {
        Ok(expr) => {
            let printed = expr.to_string();
            let again = parse(&printed, &ParseOptions::all_features());
            prop_assert!(again.is_ok(), "{text:?} prints as {printed:?}, which does not parse: {again:?}");
        }
        Err(error) => {
            prop_assert!(error.span.end as usize <= text.len() && error.span.start <= error.span.end);
        }
    }
    Ok(())
}
