//! What the lexer makes of texts.

use super::*;

fn kinds(text: &str) -> Vec<TokenKind> {
    let mut lexer = Lexer::new(text);
    let mut kinds = Vec::new();
    loop {
        let token = lexer.next().unwrap_or_else(|error| panic!("{text}: {error}"));
        if token.kind == TokenKind::End {
            return kinds;
        }
        kinds.push(token.kind);
    }
}

fn error(text: &str) -> String {
    let mut lexer = Lexer::new(text);
    loop {
        match lexer.next() {
            Err(error) => return error.to_string(),
            Ok(token) => assert_ne!(token.kind, TokenKind::End, "{text} lexes"),
        }
    }
}

#[test]
fn numbers_have_many_forms() {
    let values = [
        ("0", 0.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("1_000", 1000.0),
        ("1_0.0_1", 10.01),
        ("0x1F", 31.0),
        ("0x_1f", 31.0),
        ("017", 15.0),
        ("08", 8.0),
        ("9223372036854775808", 9_223_372_036_854_775_808.0),
        ("iNf", f64::INFINITY),
    ];
    for (text, value) in values {
        assert_eq!(kinds(text), [TokenKind::Number], "{text}");
        assert_eq!(number_value(text), Some(value), "{text}");
    }
    assert!(number_value("NaN").unwrap().is_nan());
}

#[test]
fn malformed_numbers_are_refused() {
    for text in ["1__0", "1_", "1.2.3", "0x", "1e", "1e+", "0b1", "1abc", "5m3", "1hs", "0x1p2", "1..2"] {
        assert!(error(text).contains("bad number or duration syntax"), "{text}: {}", error(text));
    }
}

#[test]
fn durations_go_from_large_units_to_small_ones() {
    let millis =
        [("1h30m", 5_400_000), ("1500ms", 1500), ("1y", 31_536_000_000), ("1w2d", 777_600_000), ("0", 0)];
    for (text, ms) in millis {
        assert_eq!(duration_millis(text), Some(ms), "{text}");
    }
    for text in ["5m5m", "30m1h", "1hs", "", "1", "5", "99999999999y", "m", "-5m", "1.5h"] {
        assert_eq!(duration_millis(text), None, "{text}");
    }
    assert_eq!(kinds("5m1h"), [TokenKind::Duration]);
}

#[test]
fn strings_follow_the_rules_of_go() {
    let values: [(&str, &[u8]); 7] = [
        (r#""a\tb""#, b"a\tb"),
        (r"'\'\\'", b"'\\"),
        (r#""\x41\101\u0041\U00000041""#, b"AAAA"),
        (r#""\xff""#, b"\xff"),
        ("`a\\n\nb`", b"a\\n\nb"),
        ("\"\u{fc}\\\"\u{fc}\"", "\u{fc}\"\u{fc}".as_bytes()),
        ("''", b""),
    ];
    for (text, bytes) in values {
        assert_eq!(scan_string(text), Ok(text.len()), "{text}");
        assert_eq!(unquote(text).unwrap(), bytes, "{text}");
    }
    for text in
        ["\"a", "\"a\nb\"", r#""\'""#, r#""\q""#, r#""\400""#, r#""\ud800""#, r#""\x4""#, "`a", "\"\\"]
    {
        assert!(scan_string(text).is_err(), "{text}");
    }
}

#[test]
fn keywords_are_names_inside_braces() {
    use TokenKind::*;
    assert_eq!(kinds("{sum=\"a\"}"), [LeftBrace, Identifier, Assign, String, RightBrace]);
    assert_eq!(kinds("a:b"), [MetricIdentifier]);
    assert_eq!(kinds("fill (1)")[0], Keyword(super::Keyword::Fill));
    assert_eq!(kinds("fill + 1")[0], Identifier);
    assert_eq!(kinds("SUM"), [Aggregate(crate::operator::AggregateOp::Sum)]);
}

#[test]
fn comments_end_with_their_line() {
    assert_eq!(kinds("1 # + 2\n+ 3").len(), 3);
    assert_eq!(kinds("{a=\"b\" # c\n}").len(), 5);
}

#[test]
fn open_brackets_are_found_at_the_end() {
    assert_eq!(error("(1"), "1:3: parse error: unclosed left parenthesis");
    assert_eq!(error("1)"), "1:2: parse error: unexpected right parenthesis ')'");
    assert_eq!(error("a{"), "1:3: parse error: unexpected end of input inside braces");
    assert_eq!(error("a[5m"), "1:5: parse error: unclosed left bracket");
}
