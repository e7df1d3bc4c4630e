//! PromQL: any text is parsed or refused with a place in it, and what a tree prints parses to a tree that prints the
//! same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb_promql::{ParseOptions, parse};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut options = ParseOptions::default();
    options.experimental_functions = true;
    options.extended_range_selectors = true;
    options.fill_modifiers = true;
    let Ok(expr) = parse(text, &options) else { return };
    let printed = expr.to_string();
    match parse(&printed, &options) {
        Ok(again) => {
            assert_eq!(unsigned(again.to_string()), unsigned(printed), "{text:?} prints differently again")
        }
        Err(error) => panic!("{text:?} prints as {printed:?}, which is refused: {error}"),
    }
});

/// Infinity prints with a sign, as in Prometheus. In front of `^` that reads as an operator, which changes nothing.
fn unsigned(mut text: String) -> String {
    while text.contains("+Inf") {
        text = text.replace("+Inf", "Inf");
    }
    text
}
