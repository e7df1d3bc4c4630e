//! What the parser makes of texts.

use super::*;
use crate::check::parse;

fn all() -> ParseOptions {
    ParseOptions::all_features()
}

/// How the parser groups `text`: every operator with its operands in parentheses.
fn grouped(text: &str) -> String {
    fn group(expr: &Expr) -> String {
        match expr {
            Expr::Binary(e) => format!("({} {} {})", group(&e.lhs), e.op, group(&e.rhs)),
            Expr::Unary(e) => format!("({}{})", e.op, group(&e.expr)),
            Expr::Paren(e) => group(&e.expr),
            other => other.to_string(),
        }
    }
    group(&parse(text, &all()).unwrap_or_else(|error| panic!("{text}: {error}")))
}

#[test]
fn operators_bind_by_precedence_and_associate() {
    assert_eq!(grouped("1 + 2 * 3 ^ 4 ^ 5"), "(1 + (2 * (3 ^ (4 ^ 5))))");
    assert_eq!(grouped("1 - 2 - 3"), "((1 - 2) - 3)");
    assert_eq!(grouped("a or b and c unless d or e"), "((a or ((b and c) unless d)) or e)");
    assert_eq!(grouped("a > b + c atan2 d"), "(a > (b + (c atan2 d)))");
    assert_eq!(grouped("a </ 1 == b"), "((a </ 1) == b)");
}

#[test]
fn a_sign_binds_looser_than_power_and_joins_numbers() {
    assert_eq!(grouped("-1 ^ 2"), "(-(1 ^ 2))");
    assert_eq!(grouped("-a ^ b * c"), "((-(a ^ b)) * c)");
    assert_eq!(grouped("2 ^ -a * b"), "((2 ^ (-a)) * b)");
    assert_eq!(grouped("--5"), "5");
    assert_eq!(grouped("-a offset 5m"), "(-a offset 5m)");
}

#[test]
fn a_duration_behind_offset_ends_with_its_operand() {
    assert_eq!(grouped("a offset 100 + 2"), "(a offset 1m40s + 2)");
    assert_eq!(grouped("a offset -2 ^ 2"), "(a offset -2s ^ 2)");
    assert_eq!(grouped("a offset (100 + 2)"), "a offset (100 + 2)");
    assert_eq!(grouped("a offset -step() * 2"), "(a offset -step() * 2)");
}

#[test]
fn keywords_name_metrics_and_labels() {
    for text in ["sum", "offset", "by", "and", "start", "fill", "step{a=\"b\"}", "max_of + min_of", "bool:x"]
    {
        parse(text, &all()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    assert_eq!(
        grouped("sum by (on, bool, atan2, sum, \"a.b\") (x)"),
        "sum by (on, bool, atan2, sum, \"a.b\") (x)"
    );
    assert!(parse("bool", &all()).is_err());
}

#[test]
fn spans_cover_the_text_of_their_nodes() {
    let text = "sum by (a) (rate(foo{b=\"c\"}[5m] offset 1m)) + -2";
    let expr = parse(text, &all()).unwrap();
    let Expr::Binary(binary) = &expr else { panic!("{expr:?}") };
    assert_eq!(binary.span.slice(text), text);
    assert_eq!(binary.rhs.span().slice(text), "-2");
    let Expr::Aggregate(sum) = &*binary.lhs else { panic!("{expr:?}") };
    assert_eq!(sum.span.slice(text), "sum by (a) (rate(foo{b=\"c\"}[5m] offset 1m))");
    let Expr::Call(rate) = &*sum.expr else { panic!("{expr:?}") };
    assert_eq!(rate.span.slice(text), "rate(foo{b=\"c\"}[5m] offset 1m)");
    assert_eq!(rate.args[0].span().slice(text), "foo{b=\"c\"}[5m] offset 1m");
}

#[test]
fn the_limits_are_exact() {
    let options = ParseOptions { max_depth: 3, max_nodes: 4, max_length_bytes: 20, ..all() };
    assert!(parse("((1))", &options).is_ok());
    assert!(parse("(((1)))", &options).is_err());
    assert!(parse("1 + 1 + 1", &ParseOptions { max_nodes: 5, ..options.clone() }).is_ok());
    assert!(
        parse("1 + 1 + 1 + 1", &ParseOptions { max_nodes: 7, max_height: 3, ..options.clone() }).is_err()
    );
    assert!(parse("1 + 1 + 1 + 1", &ParseOptions { max_nodes: 7, max_height: 4, ..options.clone() }).is_ok());
    assert!(parse("[1, 2, 3, 4, 5, 6, 7, 8]", &options).unwrap_err().to_string().contains("20"));
}

#[test]
fn label_sets_end_where_another_language_begins() {
    let (pairs, length) = parse_metric("foo{a=\"}\",\"b.c\"='d'} 1 2", &all()).unwrap();
    assert_eq!(length, "foo{a=\"}\",\"b.c\"='d'}".len());
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("__name__", "foo"), ("a", "}"), ("b.c", "d")]);
    assert!(parse_metric("foo{a=\"1\",a=\"2\"}", &all()).is_err());
    assert!(parse_metric("foo{a!=\"1\"}", &all()).is_err());
}

#[test]
fn selectors_stand_alone() {
    assert_eq!(parse_selector("{a=~\"b.*\"}", &all()).unwrap().len(), 1);
    assert_eq!(parse_selector("up", &all()).unwrap().len(), 1);
    assert!(parse_selector("up offset 5m", &all()).is_err());
    assert!(parse_selector("1", &all()).is_err());
}

#[test]
fn long_expressions_are_broken_into_lines() {
    let text = "sum by (job, instance) (rate(http_requests_total{job=\"api\",instance=\"0\"}[5m])) / on (job) \
                group_left () count by (job) (up) > 0.5";
    assert_eq!(
        parse(text, &all()).unwrap().pretty(),
        "    sum by (job, instance) (rate(http_requests_total{instance=\"0\",job=\"api\"}[5m]))\n  \
         / on (job) group_left ()\n    count by (job) (up)\n>\n  0.5"
    );
    assert_eq!(parse("sum( foo )", &all()).unwrap().pretty(), "sum(foo)");
}
