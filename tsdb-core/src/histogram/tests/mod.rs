//! The histogram model against cases of Prometheus' own scripts, against a naive twin, and against hostile input.

mod compact;
mod hostile;
mod laws;
mod reset;
mod text;
mod trim;
mod upstream;

use super::*;
use alloc::string::String;
use alloc::vec::Vec;

/// The histogram that a test script would write as `{{text}}`.
fn h(text: &str) -> FloatHistogram {
    FloatHistogram::for_evaluation(parts(text)).unwrap()
}

fn parts(text: &str) -> FloatParts {
    let mut parts = FloatParts::default();
    let (mut offset, mut negative_offset) = (0, 0);
    for field in split_fields(text) {
        let (key, value) = field.split_once(':').unwrap();
        let number = || value.parse::<f64>().unwrap();
        let list = || {
            value
                .trim_matches(['[', ']'])
                .split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect::<Vec<f64>>()
        };
        match key {
            "schema" => parts.schema = value.parse().unwrap(),
            "count" => parts.count = number(),
            "sum" => parts.sum = number(),
            "z_bucket" => parts.zero_count = number(),
            "z_bucket_w" => parts.zero_threshold = number(),
            "offset" => offset = value.parse().unwrap(),
            "n_offset" => negative_offset = value.parse().unwrap(),
            "buckets" => parts.positive_counts = list(),
            "n_buckets" => parts.negative_counts = list(),
            "custom_values" => parts.bounds = list().into(),
            "counter_reset_hint" => {
                parts.reset_hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    other => panic!("{other}"),
                }
            }
            other => panic!("{other}"),
        }
    }
    parts.positive_spans = one_span(offset, &parts.positive_counts);
    parts.negative_spans = one_span(negative_offset, &parts.negative_counts);
    parts
}

fn one_span(offset: i32, counts: &[f64]) -> Vec<Span> {
    alloc::vec![Span { offset, length: counts.len().try_into().unwrap() }]
}

/// Splits at spaces outside of brackets.
fn split_fields(text: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match fields.last_mut() {
            Some(list) if list.contains('[') && !list.ends_with(']') => {
                list.push(' ');
                list.push_str(word);
            }
            _ => fields.push(word.into()),
        }
    }
    fields
}

/// Tolerance of the test scripts.
const TOLERANCE: f64 = 1e-6;

#[track_caller]
fn assert_same(found: &FloatHistogram, expected: &str) {
    let mut compact = found.clone();
    compact.compact(0);
    assert!(found.nearly_equals(&h(expected), TOLERANCE), "expected {}, found {compact}", h(expected));
}

#[track_caller]
fn assert_near(found: f64, expected: f64) {
    let near = found == expected || (found.is_nan() && expected.is_nan());
    assert!(
        near || (found - expected).abs() <= TOLERANCE * expected.abs(),
        "expected {expected}, found {found}"
    );
}
