//! Answers in the JSON of the Prometheus API, written by hand.
//!
//! `{"status":"success","data":...}` with `warnings` and `infos` behind the data where there are any. Strings escape
//! the quote, the backslash and control characters, nothing else.

use super::number::{write_decimal, write_scalar_timestamp, write_timestamp, write_value};
use crate::error::ApiError;
use crate::limits::Limit;
use tsdb_core::Labels;
use tsdb_core::histogram::FloatHistogram;
use tsdb_promql::{QueryResult, ScalarPoint, SeriesPoints, Value, VectorSample};

/// A successful answer: `data` writes its value; the sentences follow it.
pub(crate) fn success(
    data: impl FnOnce(&mut Vec<u8>) -> Result<(), ApiError>,
    warnings: &[String],
    infos: &[String],
) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(1 << 10);
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
    data(&mut out)?;
    for (name, sentences) in [("warnings", warnings), ("infos", infos)] {
        if !sentences.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write_strings(sentences, &mut out);
        }
    }
    out.push(b'}');
    Ok(out)
}

/// The answer of a query, whose text is `query`, with at most `keep` series of at most `max_bytes` in all.
pub(crate) fn query_result(
    result: &QueryResult,
    query: &str,
    keep: Option<usize>,
    max_bytes: Limit,
) -> Result<Vec<u8>, ApiError> {
    let mut warnings = result.annotations.warnings(query);
    let infos = result.annotations.infos(query);
    let len = match &result.value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        _ => 0,
    };
    let kept = keep.unwrap_or(len).min(len);
    if kept < len {
        warnings.push("results truncated due to limit".to_owned());
    }
    success(|out| write_data(&result.value, kept, max_bytes, out), &warnings, &infos)
}

fn write_data(value: &Value, kept: usize, max_bytes: Limit, out: &mut Vec<u8>) -> Result<(), ApiError> {
    out.extend_from_slice(b"{\"resultType\":\"");
    out.extend_from_slice(value.type_name().as_bytes());
    out.extend_from_slice(b"\",\"result\":");
    match value {
        Value::Scalar(point) => write_scalar(point, out),
        Value::String(point) => {
            out.push(b'[');
            write_scalar_timestamp(point.timestamp, out);
            out.push(b',');
            write_json_string(&point.value, out);
            out.push(b']');
        }
        Value::Vector(samples) => write_list(samples.iter().take(kept), max_bytes, out, write_sample)?,
        Value::Matrix(series) => write_list(series.iter().take(kept), max_bytes, out, write_series)?,
        other => {
            let message = format!("results of type {} cannot be written", other.type_name());
            return Err(ApiError::new(crate::ErrorKind::Internal, message));
        }
    }
    out.push(b'}');
    Ok(())
}

/// Writes a list, stopping with an error when the answer grows beyond `max_bytes`.
fn write_list<T>(
    items: impl Iterator<Item = T>,
    max_bytes: Limit,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) -> Result<(), ApiError> {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
        if let Some(allowed) = max_bytes.exceeded_by(out.len()) {
            let message =
                format!("the answer has more than {allowed} bytes, which max_response_bytes allows");
            return Err(ApiError::new(crate::ErrorKind::Execution, message));
        }
    }
    out.push(b']');
    Ok(())
}

fn write_scalar(point: &ScalarPoint, out: &mut Vec<u8>) {
    out.push(b'[');
    write_scalar_timestamp(point.timestamp, out);
    out.extend_from_slice(b",\"");
    write_decimal(point.value, out);
    out.extend_from_slice(b"\"]");
}

fn write_sample(sample: &VectorSample, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(&sample.labels, out);
    match &sample.histogram {
        Some(histogram) => {
            out.extend_from_slice(b",\"histogram\":");
            write_histogram_point(sample.timestamp, histogram, out);
        }
        None => {
            out.extend_from_slice(b",\"value\":");
            write_point(sample.timestamp, sample.value, out);
        }
    }
    out.push(b'}');
}

fn write_series(series: &SeriesPoints, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(&series.labels, out);
    // A series of histograms alone has no values, not even an empty list of them.
    if !series.timestamps.is_empty() || series.histograms.is_empty() {
        out.extend_from_slice(b",\"values\":[");
        for (index, (timestamp, value)) in series.timestamps.iter().zip(&series.values).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_point(*timestamp, *value, out);
        }
        out.push(b']');
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":[");
        for (index, point) in series.histograms.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_histogram_point(point.timestamp, &point.histogram, out);
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// Writes `[time,{count,sum,buckets}]`, each bucket as `[rule,lower,upper,count]`. Buckets that hold nothing are left
/// out, and so is the list if no bucket is left.
fn write_histogram_point(timestamp: i64, histogram: &FloatHistogram, out: &mut Vec<u8>) {
    out.push(b'[');
    write_timestamp(timestamp, out);
    out.extend_from_slice(b",{\"count\":\"");
    write_value(histogram.count(), out);
    out.extend_from_slice(b"\",\"sum\":\"");
    write_value(histogram.sum(), out);
    out.push(b'"');
    for (index, bucket) in histogram.buckets().filter(|bucket| bucket.count != 0.0).enumerate() {
        out.extend_from_slice(if index == 0 { b",\"buckets\":[[" } else { b",[" });
        out.push(b'0'.saturating_add(bucket.boundary_rule()));
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.extend_from_slice(b",\"");
            write_value(number, out);
            out.push(b'"');
        }
        out.push(b']');
    }
    if histogram.buckets().any(|bucket| bucket.count != 0.0) {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

fn write_point(timestamp: i64, value: f64, out: &mut Vec<u8>) {
    out.push(b'[');
    write_timestamp(timestamp, out);
    out.extend_from_slice(b",\"");
    write_value(value, out);
    out.extend_from_slice(b"\"]");
}

/// Writes a label set as an object.
pub(crate) fn write_labels(labels: &Labels, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_string(name, out);
        out.push(b':');
        write_json_string(value, out);
    }
    out.push(b'}');
}

/// Writes an array of strings.
pub(crate) fn write_strings(strings: &[String], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, text) in strings.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_string(text, out);
    }
    out.push(b']');
}

/// Writes a string with its quotes.
pub(crate) fn write_json_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\') {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, tail)) = tail.split_first() else { break };
        match special {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *special]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(control >> 4), digit(control & 15)]);
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::histogram::{FloatParts, Span};

    #[test]
    fn strings_escape_what_prometheus_escapes() {
        let mut out = Vec::new();
        write_json_string("<x>&'\u{e9}\u{2028}\"\\\t\u{1}\u{7f}\n\r\u{8}", &mut out);
        let expected = "\"<x>&'\u{e9}\u{2028}\\\"\\\\\\t\\u0001\u{7f}\\n\\r\\u0008\"";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn every_string_is_read_back_by_a_json_parser() {
        for text in ["", "plain", "\0\u{1f}\"\\/", "\u{10ffff}", "</script>"] {
            let mut out = Vec::new();
            write_json_string(text, &mut out);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn histograms_show_count_sum_and_the_buckets_that_hold_something() {
        let parts = FloatParts {
            count: 12.5,
            sum: 18.5,
            zero_count: 2.0,
            zero_threshold: 0.25,
            positive_spans: vec![Span { offset: 1, length: 3 }],
            positive_counts: vec![4.0, 0.0, 1.5],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_counts: vec![5.0],
            ..FloatParts::default()
        };
        let written = |parts| {
            let mut out = Vec::new();
            write_histogram_point(1_500, &FloatHistogram::new(parts).unwrap(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(parts),
            "[1.500,{\"count\":\"12.5\",\"sum\":\"18.5\",\"buckets\":[[1,\"-1\",\"-0.5\",\"5\"],\
             [3,\"-0.25\",\"0.25\",\"2\"],[0,\"1\",\"2\",\"4\"],[0,\"4\",\"8\",\"1.5\"]]}]"
        );
        assert_eq!(written(FloatParts::default()), "[1.500,{\"count\":\"0\",\"sum\":\"0\"}]");
    }

    #[test]
    fn sentences_follow_the_data_only_where_there_are_any() {
        let data = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"[]");
            Ok(())
        };
        assert_eq!(success(data, &[], &[]).unwrap(), b"{\"status\":\"success\",\"data\":[]}");
        let both = success(data, &["w".into()], &["i".into()]).unwrap();
        assert_eq!(both, b"{\"status\":\"success\",\"data\":[],\"warnings\":[\"w\"],\"infos\":[\"i\"]}");
    }
}
