//! Patterns behave as Prometheus' do, are look-ups where they can be, and are refused where they explode.

use super::super::{Implied, PatternError, Rest, SyntaxFault};
use super::*;
use alloc::vec::Vec;
use alloc::{format, string::ToString, vec};
use proptest::prelude::*;

/// The lines of a recorded table, cut into fields.
fn table(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| !line.starts_with("# "));
    lines.map(|line| line.split('\t').map(unescape).collect()).collect()
}

fn unescape(field: &str) -> String {
    let mut parts = field.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_dialect_is_that_of_prometheus() {
    let rows = table(include_str!("dialect.tsv"));
    assert!(rows.len() > 500);
    let mut wrong = Vec::new();
    for row in rows {
        let (pattern, expected) = (&row[0], row[1].as_str());
        let value = row.get(2).map_or("", String::as_str);
        let answer = |accepted| if accepted { "yes" } else { "no" };
        let with_captures = Pattern::new(pattern).map_or("refused", |p| answer(p.is_match(value)));
        let without = Acceptor::regex(pattern).map_or("refused", |a| answer(a.accepts(value)));
        if with_captures != expected || without != expected {
            wrong.push(format!("{pattern:?} {value:?}: {expected} but {with_captures}, {without}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn replacement_is_that_of_prometheus() {
    let rows = table(include_str!("replace.tsv"));
    assert!(rows.len() > 30);
    for row in rows {
        let [pattern, value, template, expected] = &*row else { panic!("{row:?}") };
        let replaced = Pattern::new(pattern).unwrap().replace(value, template).unwrap_or_default();
        assert_eq!(replaced, *expected, "{pattern:?} {value:?} {template:?}");
    }
}

#[test]
fn a_pattern_stands_alone() {
    // Neither can the text reach out of its parenthesis, nor does an open quotation swallow what follows.
    assert!(Pattern::new("a)|(b").is_err());
    assert!(Pattern::new(r"\Qa.b").unwrap().is_match("a.b"));
}

#[test]
fn no_match_is_not_an_empty_replacement() {
    let pattern = Pattern::new("(a)").unwrap();
    assert_eq!(pattern.replace("b", "$1"), None);
    assert_eq!(pattern.replace("a", "$7").as_deref(), Some(""));
}

#[test]
fn errors_name_rule_place_and_fragment() {
    let error = Pattern::new("ab(c|[z-a])").unwrap_err();
    assert_eq!(
        error,
        PatternError::Syntax { fault: SyntaxFault::InvalidRange, offset: 6, fragment: "z-a".into() }
    );
    assert_eq!(error.to_string(), "invalid character class range at byte 6: `z-a`");
}

fn implied(pattern: &str) -> Implied {
    Acceptor::regex(pattern).unwrap().implied
}

fn texts(texts: &[&str]) -> Box<[Box<str>]> {
    texts.iter().map(|text| Box::from(*text)).collect()
}

#[test]
fn lists_of_literals_become_sets() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[""]),
        ("foo", &["foo"]),
        (r"foo\.bar", &["foo.bar"]),
        ("foo|bar", &["bar", "foo"]),
        ("(foo|bar)", &["bar", "foo"]),
        ("^(?:foo|bar)$", &["bar", "foo"]),
        ("^foo$|^bar$", &["bar", "foo"]),
        ("a|b|(c|(d|e))", &["a", "b", "c", "d", "e"]),
        ("a|a", &["a"]),
        ("foo|", &["", "foo"]),
        ("a(b|c)d", &["abd", "acd"]),
        ("x[0-2]", &["x0", "x1", "x2"]),
        ("https?", &["http", "https"]),
        ("a{2,3}", &["aa", "aaa"]),
        ("(?i)1-2", &["1-2"]),
        (r"\x{d800}", &[]),
    ];
    for (pattern, expected) in cases {
        assert_eq!(implied(pattern), Implied::Literals(texts(expected)), "{pattern}");
    }
}

#[test]
fn gaps_next_to_literals_become_prefixes_suffixes_and_substrings() {
    use Rest::{Anything, Constrained, Something};
    let prefixes = |list: &[&str], rest| Implied::Prefixes { prefixes: texts(list), rest };
    let suffix = |text: &str, before| Implied::Suffix { suffix: text.into(), before };
    let contains = |text: &str, before, after| Implied::Contains { needle: text.into(), before, after };
    let cases = [
        (".*", Implied::Everything),
        ("(.*)", Implied::Everything),
        ("^.*?$", Implied::Everything),
        ("|.*", Implied::Everything),
        (".+", Implied::NonEmpty),
        ("(?-s).*", Implied::Nothing),
        ("foo.*", prefixes(&["foo"], Anything)),
        ("^foo.+$", prefixes(&["foo"], Something)),
        ("(api|web)-.*", prefixes(&["api-", "web-"], Anything)),
        ("api-.*|web-.*", prefixes(&["api-", "web-"], Anything)),
        ("a.*|ab.*", prefixes(&["a"], Anything)),
        ("foo|bar.*", prefixes(&["bar", "foo"], Constrained)),
        ("foo[0-9]+", prefixes(&["foo"], Constrained)),
        ("foo(?i)bar", prefixes(&["foo"], Constrained)),
        (".*foo", suffix("foo", Anything)),
        (".+foo", suffix("foo", Something)),
        (".*foo.*", contains("foo", Anything, Anything)),
        (".+foo.*", contains("foo", Something, Anything)),
        (".*foo.*bar", Implied::Nothing),
        ("(?i)foo", Implied::Nothing),
        ("[a-z]+", Implied::Nothing),
        (r"\bfoo", Implied::Nothing),
    ];
    for (pattern, expected) in cases {
        assert_eq!(implied(pattern), expected, "{pattern}");
    }
}

#[test]
fn an_exact_fact_needs_no_engine() {
    for pattern in ["foo|bar", "foo.*", "(a|b).+", ".*", ".+", ".*foo.+", ".+foo"] {
        assert!(Acceptor::regex(pattern).unwrap().engine.is_none(), "{pattern}");
    }
}

#[test]
fn a_long_list_of_literals_is_a_set() {
    let names: Vec<String> = (0..9000).map(|n| format!("host-{n}")).collect();
    let acceptor = Acceptor::regex(&names.join("|")).unwrap();
    assert!(acceptor.engine.is_none());
    assert!(acceptor.accepts("host-8999") && !acceptor.accepts("host-9000"));
}

#[test]
fn exploding_patterns_are_refused_by_name_of_the_limit() {
    let too_large = PatternError::TooLarge { limit: MAX_COMPILED_BYTES };
    let too_large_patterns = [
        r"(\pL{100}){10}".to_string(),
        r"(?i)(\pL{30}[^\pN]{3}){20}".to_string(),
        r"\pL".repeat(40_000),
        format!("[{}]", r"\pL".repeat(40_000)),
        format!("(?i){}", "k".repeat(120_000)),
    ];
    for pattern in too_large_patterns {
        assert_eq!(Acceptor::regex(&pattern).err().as_ref(), Some(&too_large));
        assert_eq!(Pattern::new(&pattern).unwrap_err(), too_large);
    }
    let long = "a".repeat(MAX_LENGTH + 1);
    assert_eq!(
        Pattern::new(&long).unwrap_err(),
        PatternError::TooLong { length: long.len(), limit: MAX_LENGTH }
    );
    let repeat = Pattern::new("(a{1000}){1000}").unwrap_err();
    assert!(matches!(repeat, PatternError::Syntax { fault: SyntaxFault::InvalidRepeatCount, .. }));
}

#[test]
fn groups_nest_to_the_limit_and_not_beyond() {
    let nested = |depth| format!("{}x.{}", "(a|(?:".repeat(depth / 2), ")*)".repeat(depth / 2));
    assert!(Acceptor::regex(&nested(syntax::MAX_NESTING)).unwrap().accepts("a"));
    assert!(Pattern::new(&nested(syntax::MAX_NESTING)).unwrap().is_match("a"));
    let error = PatternError::TooDeep { limit: syntax::MAX_NESTING };
    assert_eq!(Pattern::new(&nested(syntax::MAX_NESTING + 2)).unwrap_err(), error);
    assert_eq!(Pattern::new(&"(".repeat(100_000)).unwrap_err(), error);
}

#[test]
fn hostile_texts_end_quickly_in_an_answer() {
    let hostile = [
        "{1".repeat(50_000),
        "[[:".repeat(40_000),
        "(a)".repeat(40_000),
        "a{0}".repeat(30_000),
        "(|)".repeat(40_000),
        format!("{}(x){}", "a|".repeat(10_000), "(y)".repeat(20_000)),
        format!("({}){}", vec!["b"; 20_000].join("|"), "(x)".repeat(20_000)),
        format!("{}.*{}", "(a|b|c|d|e|f|g|".repeat(200), ")".repeat(200)),
        format!("{}z", ".*".repeat(10_000)),
        "(?:a?){1000}a{1000}".to_string(),
        "((((a{10}){10}){10})*)*".to_string(),
        r"\Q".repeat(50_000),
        "(?i)".repeat(30_000),
        "\\".repeat(99_999),
        "[".repeat(100_000),
        "|".repeat(100_000),
    ];
    for pattern in hostile {
        if let Ok(acceptor) = Acceptor::regex(&pattern) {
            let _ = acceptor.accepts(&"a".repeat(2000));
        }
    }
}

/// Patterns that are mostly of the kinds that look-ups decide.
fn lookup_patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[a-c]{0,3}",
        2 => Just(".*".to_string()),
        1 => Just(".+".to_string()),
        1 => Just("[ab]".to_string()),
        1 => Just("a?".to_string()),
        1 => Just("^".to_string()),
        1 => Just("$".to_string()),
        1 => Just(r"\b".to_string()),
        1 => Just("(?i:a)".to_string()),
        1 => Just("b{0,2}".to_string()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            prop::collection::vec(inner, 1..4).prop_map(|parts| parts.join("|")),
        ]
    })
}

proptest! {
    #[test]
    fn look_ups_answer_as_the_engine_does(
        pattern in lookup_patterns(),
        values in prop::collection::vec("[a-cA\n-]{0,6}", 8),
    ) {
        let engine = Pattern::new(&pattern).unwrap();
        let acceptor = Acceptor::regex(&pattern).unwrap();
        for value in values.iter().map(String::as_str).chain(["", "a", "ab", "abc"]) {
            prop_assert_eq!(acceptor.accepts(value), engine.is_match(value), "{:?} {:?}", pattern, value);
            if let Some(decided) = acceptor.implied.decides(value) {
                prop_assert_eq!(decided, engine.is_match(value), "{:?} {:?}", pattern, value);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in r"[a-z(){}\[\]\\^$.|?*+,:<>PQEpdwx0-9&-]{0,40}|\PC{0,20}") {
        if let Ok(pattern) = Pattern::new(&text) {
            let acceptor = Acceptor::regex(&text).unwrap();
            prop_assert_eq!(acceptor.accepts("abc"), pattern.is_match("abc"));
        }
    }

    #[test]
    fn quoted_text_matches_itself_alone(text in r"\PC{0,20}", other in r"\PC{0,20}") {
        let escaped: String = text
            .chars()
            .flat_map(|c| (c.is_ascii() && !c.is_ascii_alphanumeric()).then_some('\\').into_iter().chain([c]))
            .collect();
        let pattern = Pattern::new(&escaped).unwrap();
        prop_assert!(pattern.is_match(&text));
        prop_assert_eq!(pattern.is_match(&other), text == other);
        prop_assert_eq!(implied(&escaped), Implied::Literals(texts(&[&text])));
    }
}
