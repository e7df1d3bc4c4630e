//! Patterns: any text is compiled or refused, and the look-ups of a matcher answer as the pattern itself does.
//!
//! The input is a pattern, a line break and values, one a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb_core::matcher::Pattern;
use tsdb_core::{MatchOp, Matcher};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, values) = text.split_once('\n').unwrap_or((text, ""));
    let matcher = Matcher::new(MatchOp::Regex, "job", text);
    let Ok(pattern) = Pattern::new(text) else {
        // Captures make a pattern larger, and look-ups need none: only what is no pattern is refused by both.
        return;
    };
    let matcher = matcher.expect("what compiles with captures compiles without");
    for value in values.lines().chain(["", "a", text]) {
        assert_eq!(matcher.matches(value), pattern.is_match(value), "{text:?} {value:?}");
        let replaced = pattern.replace(value, "<$1${name}$0>");
        assert_eq!(replaced.is_some(), pattern.is_match(value));
    }
});
