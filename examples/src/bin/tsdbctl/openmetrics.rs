//! Lines of the OpenMetrics text format: one sample each.

use std::io::{self, Write};
use tsdb::{Labels, Timestamp};

/// Why a line is no sample.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum LineError {
    /// Something is missing or misplaced.
    #[error("expected {expected} at byte {at}")]
    Expected {
        /// What should stand there.
        expected: &'static str,
        /// Where.
        at: usize,
    },
    /// A number that is none.
    #[error("{text:?} is no {what}")]
    Number {
        /// What it should be.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// Labels that make no series.
    #[error("the labels are invalid: {reason}")]
    Labels {
        /// Why.
        reason: String,
    },
}

/// Writes a series and a blank.
pub(crate) fn write_series(labels: &Labels, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{}", labels.metric_name())?;
    let mut before = "{";
    for (name, value) in labels.iter().filter(|(name, _)| *name != "__name__") {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(out, "{before}{name}=\"{value}\"")?;
        before = ",";
    }
    write!(out, "{} ", if before == "," { "}" } else { "" })
}

/// Writes a value in the shortest form that reads back as the same.
pub(crate) fn write_value(value: f64, out: &mut impl Write) -> io::Result<()> {
    match value {
        _ if value.is_nan() => write!(out, "NaN"),
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        _ => write!(out, "{value}"),
    }
}

/// The sample that `line` tells of; `None` for a comment or an empty line.
pub(crate) fn parse_line(line: &str) -> Result<Option<(Labels, Timestamp, f64)>, LineError> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let name_end =
        line.find(['{', ' ']).ok_or(LineError::Expected { expected: "a value", at: line.len() })?;
    let (name, rest) = line.split_at(name_end);
    if name.is_empty() {
        return Err(LineError::Expected { expected: "the name of a metric", at: 0 });
    }
    let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
    let mut at = name_end;
    if rest.starts_with('{') {
        at += parse_labels(rest, at, &mut pairs)?;
    }
    let tail = line.get(at..).unwrap_or_default();
    let tail = tail.split(" # ").next().unwrap_or_default();
    let mut words = tail.split_ascii_whitespace();
    let value = words.next().ok_or(LineError::Expected { expected: "a value", at })?;
    let time = words.next().ok_or(LineError::Expected { expected: "a timestamp", at: line.len() })?;
    if words.next().is_some() {
        return Err(LineError::Expected { expected: "the end of the line", at });
    }
    let wrong = |what, text: &str| LineError::Number { what, text: text.to_owned() };
    let seconds: f64 = time.parse().map_err(|_| wrong("timestamp in seconds", time))?;
    let ms = (seconds * 1000.0).round();
    if !ms.is_finite() || ms.abs() > 1e15 {
        return Err(wrong("timestamp in seconds", time));
    }
    let value = value.parse().map_err(|_| wrong("value", value))?;
    let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let labels = labels.map_err(|reason| LineError::Labels { reason: reason.to_string() })?;
    Ok(Some((labels, ms as Timestamp, value)))
}

/// Reads `{name="value",...}` at the start of `text`, which stands at byte `at` of the line; returns its length.
fn parse_labels(text: &str, at: usize, pairs: &mut Vec<(String, String)>) -> Result<usize, LineError> {
    let mut place = 1;
    loop {
        let rest = text.get(place..).unwrap_or_default();
        if rest.starts_with('}') {
            return Ok(place + 1);
        }
        let quote = rest.find("=\"").ok_or(LineError::Expected { expected: "a label", at: at + place })?;
        let name = rest.get(..quote).unwrap_or_default();
        place += quote + 2;
        let mut value = String::new();
        let mut is_escaped = false;
        let mut is_closed = false;
        for c in text.get(place..).unwrap_or_default().chars() {
            place += c.len_utf8();
            match (is_escaped, c) {
                (true, 'n') => value.push('\n'),
                (true, c) => value.push(c),
                (false, '"') => {
                    is_closed = true;
                    break;
                }
                (false, '\\') => {}
                (false, c) => value.push(c),
            }
            is_escaped = !is_escaped && c == '\\';
        }
        if !is_closed {
            return Err(LineError::Expected { expected: "the end of a label value", at: at + place });
        }
        pairs.push((name.to_owned(), value));
        match text.as_bytes().get(place) {
            Some(b',') => place += 1,
            Some(b'}') => {}
            _ => return Err(LineError::Expected { expected: "a comma or }", at: at + place }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let pairs = [("__name__", "m"), ("a", "x\\\"\n,} # \u{e9}"), ("b", "2")];
        for labels in [Labels::from_pairs(pairs).unwrap(), Labels::from_pairs([("__name__", "m")]).unwrap()] {
            for value in [0.1, -0.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, 5e-324] {
                let mut line = Vec::new();
                write_series(&labels, &mut line).unwrap();
                write_value(value, &mut line).unwrap();
                let line = String::from_utf8(line).unwrap() + " 1700000000.123";
                assert_eq!(parse_line(&line), Ok(Some((labels.clone(), 1_700_000_000_123, value))), "{line}");
            }
        }
    }

    #[test]
    fn lines_that_are_no_samples_are_refused_with_the_place() {
        for line in
            ["m", "m 1", "m{a=\"b\" 1 2", "m{a=b} 1 2", "m{a=\"b} 1 2", "m x 2", "m 1 x", "m 1 2 3", "{} 1 2"]
        {
            assert!(parse_line(line).is_err(), "{line}");
        }
        assert_eq!(parse_line("# TYPE m counter"), Ok(None));
        let with_exemplar = "m_bucket{le=\"1\"} 5 1.5 # {trace=\"x\"} 0.3 1.4";
        assert_eq!(parse_line(with_exemplar).unwrap().unwrap().1, 1500);
    }
}
