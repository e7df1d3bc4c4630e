//! Native histograms as text: `{count:59,sum:120,schema:7,zero_threshold:0.0001,zero_count:0,positive_spans:[1:2],...}`.
//!
//! The form is that of the draft of OpenMetrics 2.0, with two more fields: `custom_values`, the upper bounds of custom
//! buckets, and `reset_hint:gauge`.

use super::LineError;
use super::number::{parse_value, write_value};
use super::scan::Scan;
use std::io::{self, Write};
use std::str::FromStr;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};

/// Writes a histogram.
pub(super) fn write_histogram(histogram: &FloatHistogram, out: &mut impl Write) -> io::Result<()> {
    let parts = histogram.to_parts();
    for (before, value) in [("{count:", parts.count), (",sum:", parts.sum)] {
        write!(out, "{before}")?;
        write_value(value, true, out)?;
    }
    write!(out, ",schema:{}", parts.schema)?;
    for (before, value) in [(",zero_threshold:", parts.zero_threshold), (",zero_count:", parts.zero_count)] {
        write!(out, "{before}")?;
        write_value(value, true, out)?;
    }
    let sides = [
        ("negative", &parts.negative_spans, &parts.negative_counts),
        ("positive", &parts.positive_spans, &parts.positive_counts),
    ];
    for (side, spans, counts) in sides.into_iter().filter(|(_, spans, _)| !spans.is_empty()) {
        write!(out, ",{side}_spans:[")?;
        for (index, Span { offset, length }) in spans.iter().enumerate() {
            write!(out, "{}{offset}:{length}", if index == 0 { "" } else { "," })?;
        }
        write!(out, "],{side}_buckets:")?;
        write_list(counts, out)?;
    }
    if !parts.bounds.is_empty() {
        write!(out, ",custom_values:")?;
        write_list(&parts.bounds, out)?;
    }
    write!(out, "{}", if parts.reset_hint == ResetHint::Gauge { ",reset_hint:gauge}" } else { "}" })
}

fn write_list(values: &[f64], out: &mut impl Write) -> io::Result<()> {
    for (index, value) in values.iter().enumerate() {
        write!(out, "{}", if index == 0 { "[" } else { "," })?;
        write_value(*value, true, out)?;
    }
    write!(out, "{}", if values.is_empty() { "[]" } else { "]" })
}

/// Reads a histogram whose opening brace has been stepped over.
pub(super) fn parse_histogram(scan: &mut Scan<'_>) -> Result<FloatHistogram, LineError> {
    let mut parts = FloatParts::default();
    let mut missing = vec!["count", "sum", "schema"];
    loop {
        let field = scan.word(&[':', ' ', '}'], "a field of a native histogram")?;
        scan.expect(":", "a colon")?;
        missing.retain(|name| *name != field);
        parse_field(field, scan, &mut parts)?;
        if scan.eat("}") {
            break;
        }
        scan.expect(",", "a comma or }")?;
    }
    if let Some(field) = missing.first() {
        return Err(LineError::Histogram { reason: format!("it has no {field}") });
    }
    FloatHistogram::new(parts).map_err(|error| LineError::Histogram { reason: error.to_string() })
}

fn parse_field(field: &str, scan: &mut Scan<'_>, parts: &mut FloatParts) -> Result<(), LineError> {
    match field {
        "count" => parts.count = number(scan)?,
        "sum" => parts.sum = number(scan)?,
        "schema" => parts.schema = integer(scan.word(ENDS, "a schema")?, "schema")?,
        "zero_threshold" => parts.zero_threshold = number(scan)?,
        "zero_count" => parts.zero_count = number(scan)?,
        "positive_spans" => parts.positive_spans = list(scan, span)?,
        "negative_spans" => parts.negative_spans = list(scan, span)?,
        "positive_buckets" => parts.positive_counts = list(scan, number)?,
        "negative_buckets" => parts.negative_counts = list(scan, number)?,
        "custom_values" => parts.bounds = list(scan, number)?.into(),
        "reset_hint" => {
            scan.expect("gauge", "gauge")?;
            parts.reset_hint = ResetHint::Gauge;
        }
        other => return Err(LineError::Histogram { reason: format!("no field is called {other:?}") }),
    }
    Ok(())
}

/// What ends a value.
const ENDS: &[char] = &[',', '}', ']', ' '];

fn list<T>(
    scan: &mut Scan<'_>,
    one: impl Fn(&mut Scan<'_>) -> Result<T, LineError>,
) -> Result<Vec<T>, LineError> {
    scan.expect("[", "a list")?;
    let mut found = Vec::new();
    while !scan.eat("]") {
        if !found.is_empty() {
            scan.expect(",", "a comma or ]")?;
        }
        found.push(one(scan)?);
    }
    Ok(found)
}

fn number(scan: &mut Scan<'_>) -> Result<f64, LineError> {
    parse_value(scan.word(ENDS, "a number")?)
}

fn span(scan: &mut Scan<'_>) -> Result<Span, LineError> {
    let offset = integer(scan.word(&[':', ',', ']', ' '], "the offset of a span")?, "offset")?;
    scan.expect(":", "a colon")?;
    Ok(Span { offset, length: integer(scan.word(ENDS, "the length of a span")?, "length")? })
}

fn integer<T: FromStr>(text: &str, what: &'static str) -> Result<T, LineError> {
    text.parse().map_err(|_| LineError::Number { what, text: text.to_owned() })
}
