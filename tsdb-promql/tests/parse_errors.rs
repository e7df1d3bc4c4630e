//! What is no PromQL, and what the parser says about it. The sentences are Prometheus' own where it has one.
#![expect(clippy::panic, reason = "a test")]

use tsdb_promql::{ParseOptions, parse};

fn error(text: &str, options: &ParseOptions) -> String {
    match parse(text, options) {
        Ok(expr) => panic!("{text:?} parses as {expr}"),
        Err(error) => error.to_string(),
    }
}

fn check(table: &[(&str, &str)]) {
    let all = ParseOptions::all_features();
    for (text, expected) in table {
        assert_eq!(error(text, &all), *expected, "{text:?}");
    }
}

#[test]
fn tokens_that_do_not_fit() {
    check(&[
        ("", "unknown position: parse error: no expression found in input"),
        ("  # only a comment", "unknown position: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("* 1", "1:1: parse error: unexpected <op:*>"),
        ("foo bar", "1:5: parse error: unexpected identifier \"bar\""),
        ("foo\n  bar", "2:3: parse error: unexpected identifier \"bar\""),
        ("1 2", "1:3: parse error: unexpected number \"2\""),
        ("foo 5m", "1:5: parse error: unexpected duration \"5m\""),
        ("foo \"a long string\"", "1:5: parse error: unexpected string \"\\\"a long st\"..."),
        ("foo group_left(a) bar", "1:5: parse error: unexpected <group_left>"),
        ("rate(foo[5m]))", "1:14: parse error: unexpected right parenthesis ')'"),
        ("(foo", "1:5: parse error: unclosed left parenthesis"),
        ("foo{", "1:5: parse error: unexpected end of input inside braces"),
        ("foo[5m", "1:7: parse error: unclosed left bracket"),
        ("foo]", "1:4: parse error: unexpected right bracket ']'"),
        ("foo $ bar", "1:5: parse error: unexpected character: '$'"),
        ("foo =~ bar", "1:5: parse error: unexpected character after '=': '~'"),
        ("foo ! bar", "1:5: parse error: unexpected character after '!': ' '"),
        ("\"a", "1:1: parse error: unterminated quoted string"),
        ("`a", "1:1: parse error: unterminated raw string"),
        ("\"\\q\"", "1:1: parse error: unknown escape sequence"),
        ("1..2", "1:1: parse error: bad number or duration syntax: \"1..2\""),
        ("foo[5mm]", "1:5: parse error: bad number or duration syntax: \"5mm\""),
        ("foo[5m1h]", "1:5: parse error: not a valid duration string: \"5m1h\""),
    ]);
}

#[test]
fn selectors_and_matchers() {
    check(&[
        ("foo{a}", "1:6: parse error: unexpected \"}\" in label matching, expected label matching operator"),
        ("foo{a=b}", "1:7: parse error: unexpected identifier \"b\" in label matching, expected string"),
        (
            "foo{a=\"b\" c}",
            "1:11: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
        ),
        ("foo{,}", "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
        ("foo{1}", "1:5: parse error: unexpected character inside braces: '1'"),
        ("foo{{a=\"b\"}}", "1:5: parse error: unexpected left brace '{'"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a!=\"b\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("foo{__name__=\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""),
        ("foo{\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""),
        ("(foo)[5m]", "1:6: parse error: ranges only allowed for vector selectors"),
        ("foo offset 1m [5m]", "1:15: parse error: no offset modifiers allowed before range"),
        ("foo @ 10 [5m]", "1:10: parse error: no @ modifiers allowed before range"),
        (
            "foo[]",
            "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, \
                   step(), or range()",
        ),
        ("foo[5m:1m:1s]", "1:10: parse error: unexpected \":\" in subquery selector, expected \"]\""),
        (
            "foo[5m 1m]",
            "1:8: parse error: unexpected duration \"1m\" in subquery or range, expected \":\" or \"]\"",
        ),
        ("foo[0s]", "1:5: parse error: duration must be greater than 0"),
        ("foo[-5m]", "1:5: parse error: duration must be greater than 0"),
        ("foo[5m/0]", "1:7: parse error: division by zero"),
        ("foo[bar]", "1:5: parse error: unexpected character in duration expression: 'b'"),
        ("foo[300000000000y]", "1:5: parse error: not a valid duration string: \"300000000000y\""),
        ("foo[9300000000]", "1:5: parse error: duration out of range"),
        (
            "foo offset bar",
            "1:12: parse error: unexpected identifier \"bar\" in offset, expected number, duration, \
                            step(), or range()",
        ),
        (
            "1 offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range \
                         vector selector or a subquery",
        ),
        ("foo offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        ("foo @ bar", "1:7: parse error: unexpected identifier \"bar\" in @, expected timestamp"),
        ("foo @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("foo @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        (
            "(foo + bar) @ 1",
            "1:1: parse error: @ modifier must be preceded by an instant vector selector or range \
                            vector selector or a subquery",
        ),
        ("foo[5m:] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
        (
            "foo[5m] anchored smoothed",
            "1:1: parse error: anchored and smoothed modifiers cannot be used together",
        ),
    ]);
}

#[test]
fn operators_and_their_modifiers() {
    check(&[
        ("1 and 2", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("foo or 1", "1:1: parse error: set operator \"or\" not allowed in binary scalar expression"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("foo + bool bar", "1:5: parse error: bool modifier can only be used on comparison operators"),
        ("foo + on(a) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        ("foo and on(a) group_left bar", "1:1: parse error: no grouping allowed for \"and\" operation"),
        (
            "foo + on(a) group_left(a) bar",
            "1:5: parse error: label \"a\" must not occur in ON and GROUP clause at once",
        ),
        ("foo + on(1) bar", "1:10: parse error: unexpected number \"1\" in grouping opts, expected label"),
        (
            "foo + on(a b) bar",
            "1:12: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        ("foo + on bar", "1:10: parse error: unexpected identifier \"bar\" in grouping opts, expected \"(\""),
        ("foo + on(\"\") bar", "1:10: parse error: invalid label name for grouping: \"\""),
        ("foo + group_left bar", "1:7: parse error: unexpected <group_left>"),
        ("foo and fill(0) bar", "1:1: parse error: filling in missing series not allowed for set operators"),
        (
            "foo + fill(0) 1",
            "1:1: parse error: filling in missing series only allowed between instant vectors",
        ),
        (
            "foo[5m] + bar",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "foo + \"a\"",
            "1:7: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, \
                   got \"string\"",
        ),
        (
            "-foo[5m]",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant \
                      vector, got \"range vector\"",
        ),
    ]);
}

#[test]
fn calls_and_aggregations() {
    check(&[
        ("nothing(foo)", "1:1: parse error: unknown function with name \"nothing\""),
        ("1 + RATE(foo[5m])", "1:5: parse error: unknown function with name \"RATE\""),
        (
            "rate(foo)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "abs(foo[5m])",
            "1:5: parse error: expected type instant vector in call to function \"abs\", got range vector",
        ),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        ("round(foo, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        (
            "label_join(foo)",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
        ),
        ("abs(foo,)", "1:8: parse error: trailing commas not allowed in function call args"),
        ("info(foo, bar)", "1:11: parse error: expected label selectors only, got vector selector instead"),
        ("info(foo, {a=\"b\"} + 1)", "1:11: parse error: expected label selectors only"),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "sum(foo, bar)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, \
                          got 2",
        ),
        (
            "topk(foo)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "topk(foo, bar)",
            "1:6: parse error: expected type scalar in aggregation parameter, got instant vector",
        ),
        (
            "count_values(1, foo)",
            "1:14: parse error: expected type string in aggregation parameter, got scalar",
        ),
        ("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar"),
        ("sum by (a) without (b) (foo)", "1:12: parse error: unexpected <without> in aggregation"),
        ("sum(foo bar)", "1:9: parse error: unexpected identifier \"bar\" in aggregation"),
        ("foo[5m][5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"),
    ]);
}

#[test]
fn what_is_switched_off_is_refused_in_the_words_of_prometheus() {
    let plain = ParseOptions::default();
    let mut strict = ParseOptions::default();
    strict.duration_expressions = false;
    let feature = "--enable-feature=promql-experimental-functions";
    for (text, options, expected) in [
        (
            "limitk(1, foo)",
            &plain,
            format!("1:1: parse error: limitk() is experimental and must be enabled with {feature}"),
        ),
        ("info(foo)", &plain, "1:1: parse error: function \"info\" is not enabled".into()),
        (
            "foo + fill(0) bar",
            &plain,
            "1:7: parse error: binop fill modifiers are experimental and not enabled".into(),
        ),
        (
            "foo smoothed",
            &plain,
            "1:1: parse error: smoothed modifier is experimental and not enabled".into(),
        ),
        ("foo[5m * 2]", &strict, "1:5: parse error: experimental duration expression is not enabled".into()),
    ] {
        assert_eq!(error(text, options), expected);
        assert!(parse(text, &ParseOptions::all_features()).is_ok(), "{text}");
    }
}
