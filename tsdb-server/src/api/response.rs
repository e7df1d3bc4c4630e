//! Answers in the JSON of the Prometheus API, written by hand.
//!
//! `{"status":"success","data":...}` with `warnings` and `infos` behind the data where there are any. Strings escape
//! the quote, the backslash and control characters, nothing else. Rows of a query are written one by one through an
//! [`Outlet`] and let go as they are written.

use super::bound::bytes_at_most;
use super::number::{write_decimal, write_scalar_timestamp, write_timestamp, write_value};
use super::outlet::{Outlet, Stop};
use crate::error::ApiError;
use crate::limits::Limit;
use std::borrow::Borrow;
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
    open(&mut out);
    data(&mut out)?;
    close(warnings, infos, &mut out);
    Ok(out)
}

/// Writes what stands before the data of an answer.
fn open(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
}

/// Writes what stands behind the data of an answer.
fn close(warnings: &[String], infos: &[String], out: &mut Vec<u8>) {
    for (name, sentences) in [("warnings", warnings), ("infos", infos)] {
        if !sentences.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write_strings(sentences, out);
        }
    }
    out.push(b'}');
}

/// Writes a successful answer whose data is a list, element by element.
pub(crate) fn success_list<T>(
    items: impl Iterator<Item = T>,
    write: impl Fn(T, &mut Vec<u8>),
    warnings: &[String],
    out: &mut Outlet,
) -> Result<(), Stop> {
    open(out.buffer());
    write_list(items, out, |item, out| {
        write(item, out.buffer());
        Ok(())
    })?;
    close(warnings, &[], out.buffer());
    Ok(())
}

/// Writes the answer of a query, whose text is `query`, with at most `keep` series and with `stats` behind them.
/// Refuses one that has more than `max_bytes` before anything of it is sent.
pub(crate) fn query_result(
    mut result: QueryResult,
    query: &str,
    keep: Option<usize>,
    stats: &[u8],
    max_bytes: Limit,
    out: &mut Outlet,
) -> Result<(), Stop> {
    let mut warnings = result.annotations.warnings(query);
    let infos = result.annotations.infos(query);
    if keep.is_some_and(|keep| truncate(&mut result.value, keep)) {
        warnings.push("results truncated due to limit".to_owned());
    }
    // Measuring costs as much as writing, so it is left out where no measure could exceed the limit.
    if max_bytes.exceeded_by(bytes_at_most(&result.value)).is_some() {
        let bytes = out.measure(|out| {
            write_value_of(&result.value, out)?;
            close_result(stats, out);
            Ok(())
        })?;
        if let Some(allowed) = max_bytes.exceeded_by(bytes) {
            let message = format!("the answer has {bytes} bytes, max_response_bytes allows {allowed}");
            return Err(ApiError::new(crate::ErrorKind::Execution, message).into());
        }
    }
    open(out.buffer());
    match result.value {
        Value::Vector(samples) => write_vector(samples.into_iter(), out)?,
        Value::Matrix(series) => write_matrix(series.into_iter(), out)?,
        other => write_value_of(&other, out)?,
    }
    close_result(stats, out);
    close(&warnings, &infos, out.buffer());
    Ok(())
}

/// Drops all series behind the first `keep`. `false` if there are none.
fn truncate(value: &mut Value, keep: usize) -> bool {
    let len = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        _ => 0,
    };
    match value {
        Value::Vector(samples) => samples.truncate(keep),
        Value::Matrix(series) => series.truncate(keep),
        _ => {}
    }
    keep < len
}

/// Writes a result, which [`close_result`] closes.
fn write_value_of(value: &Value, out: &mut Outlet) -> Result<(), Stop> {
    match value {
        Value::Scalar(point) => {
            open_result(value.type_name(), out);
            write_scalar(point, out.buffer());
        }
        Value::String(point) => {
            open_result(value.type_name(), out);
            let out = out.buffer();
            out.push(b'[');
            write_scalar_timestamp(point.timestamp, out);
            out.push(b',');
            write_json_string(&point.value, out);
            out.push(b']');
        }
        Value::Vector(samples) => return write_vector(samples.iter(), out),
        Value::Matrix(series) => return write_matrix(series.iter(), out),
        other => {
            let message = format!("results of type {} cannot be written", other.type_name());
            return Err(ApiError::new(crate::ErrorKind::Internal, message).into());
        }
    }
    Ok(())
}

fn open_result(type_name: &str, out: &mut Outlet) {
    let out = out.buffer();
    out.extend_from_slice(b"{\"resultType\":\"");
    out.extend_from_slice(type_name.as_bytes());
    out.extend_from_slice(b"\",\"result\":");
}

fn close_result(stats: &[u8], out: &mut Outlet) {
    out.buffer().extend_from_slice(stats);
    out.buffer().push(b'}');
}

fn write_vector(
    samples: impl Iterator<Item = impl Borrow<VectorSample>>,
    out: &mut Outlet,
) -> Result<(), Stop> {
    open_result("vector", out);
    write_list(samples, out, |sample, out| {
        write_sample(sample.borrow(), out.buffer());
        Ok(())
    })
}

fn write_matrix(
    series: impl Iterator<Item = impl Borrow<SeriesPoints>>,
    out: &mut Outlet,
) -> Result<(), Stop> {
    open_result("matrix", out);
    write_list(series, out, |series, out| write_series(series.borrow(), out))
}

fn write_list<T>(
    items: impl Iterator<Item = T>,
    out: &mut Outlet,
    write: impl Fn(T, &mut Outlet) -> Result<(), Stop>,
) -> Result<(), Stop> {
    out.buffer().push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.buffer().push(b',');
        }
        write(item, out)?;
        out.pass()?;
    }
    out.buffer().push(b']');
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

fn write_series(series: &SeriesPoints, out: &mut Outlet) -> Result<(), Stop> {
    out.buffer().extend_from_slice(b"{\"metric\":");
    write_labels(&series.labels, out.buffer());
    // A series of histograms alone has no values, not even an empty list of them.
    if !series.timestamps.is_empty() || series.histograms.is_empty() {
        out.buffer().extend_from_slice(b",\"values\":");
        let points = series.timestamps.iter().zip(&series.values);
        write_list(points, out, |(timestamp, value), out| {
            write_point(*timestamp, *value, out.buffer());
            Ok(())
        })?;
    }
    if !series.histograms.is_empty() {
        out.buffer().extend_from_slice(b",\"histograms\":");
        write_list(series.histograms.iter(), out, |point, out| {
            write_histogram_point(point.timestamp, &point.histogram, out.buffer());
            Ok(())
        })?;
    }
    out.buffer().push(b'}');
    Ok(())
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
