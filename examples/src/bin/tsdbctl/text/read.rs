//! Lines to samples and descriptions.

use super::histogram::parse_histogram;
use super::number::{parse_time, parse_value};
use super::scan::{Scan, unescape};
use super::{Dialect, Line, LineError, Sample, Value};
use std::sync::Arc;
use tsdb::{Labels, Timestamp};
use tsdb_core::metadata::MetricType;
use tsdb_core::{Exemplar, NO_START};

/// What `line` says.
pub(crate) fn parse_line(line: &str, dialect: Dialect) -> Result<Line, LineError> {
    match line.strip_prefix('#') {
        _ if line.trim().is_empty() => Ok(Line::Blank),
        Some(comment) => parse_comment(comment, dialect),
        None => parse_sample(line, dialect).map(|sample| Line::Sample(Box::new(sample))),
    }
}

fn parse_comment(comment: &str, dialect: Dialect) -> Result<Line, LineError> {
    if comment == " EOF" && dialect == Dialect::Openmetrics {
        return Ok(Line::End);
    }
    let mut scan = Scan::new(comment);
    scan.blanks();
    let keyword = ["TYPE", "HELP", "UNIT"].into_iter().find(|keyword| scan.eat(keyword));
    let Some(keyword) = keyword.filter(|_| scan.blanks()) else { return Ok(Line::Blank) };
    let family = match scan.eat("\"") {
        true => scan.quoted()?,
        false => scan.word(&[' ', '\t'], "the name of a metric")?.to_owned(),
    };
    scan.blanks();
    Ok(match keyword {
        "TYPE" => Line::Type(family, parse_type(scan.rest().trim_end())?),
        "HELP" => Line::Help(family, unescape(scan.rest(), None).unwrap_or_default().0),
        _ => Line::Unit(family, scan.rest().trim_end().to_owned()),
    })
}

fn parse_type(text: &str) -> Result<MetricType, LineError> {
    Ok(match text {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::Stateset,
        "unknown" | "untyped" => MetricType::Unknown,
        _ => return Err(LineError::Number { what: "type of a metric", text: text.to_owned() }),
    })
}

fn parse_sample(line: &str, dialect: Dialect) -> Result<Sample, LineError> {
    let mut scan = Scan::new(line);
    let labels = parse_series(&mut scan)?;
    let value = match scan.eat("{") {
        true => Value::Histogram(Arc::new(parse_histogram(&mut scan)?)),
        false => Value::Number(parse_value(scan.word(BLANKS, "a value")?)?),
    };
    scan.blanks();
    let timestamp = parse_time(scan.word(BLANKS, "a timestamp")?, dialect)?;
    scan.blanks();
    let start = match scan.eat("st@") {
        true => parse_time(scan.word(BLANKS, "a start timestamp")?, dialect)?,
        false => NO_START,
    };
    let mut exemplars = Vec::new();
    loop {
        scan.blanks();
        if scan.rest().is_empty() {
            return Ok(Sample { labels, timestamp, start, value, exemplars });
        }
        scan.expect("#", "an exemplar or the end of the line")?;
        exemplars.push(parse_exemplar(&mut scan, timestamp, dialect)?);
    }
}

const BLANKS: &[char] = &[' ', '\t'];

/// Reads a series and the blanks behind it.
fn parse_series(scan: &mut Scan<'_>) -> Result<Labels, LineError> {
    let mut pairs = Vec::new();
    if !scan.rest().starts_with('{') {
        let name = scan.word(&['{', ' ', '\t'], "the name of a metric")?;
        pairs.push(("__name__".to_owned(), name.to_owned()));
    }
    if scan.eat("{") {
        parse_labels(scan, &mut pairs)?;
    }
    if !pairs.iter().any(|(name, _)| name == "__name__") {
        return Err(LineError::Expected { expected: "the name of a metric", at: 0 });
    }
    if !scan.blanks() {
        return Err(scan.expected("a blank and a value"));
    }
    to_labels(&pairs)
}

fn to_labels(pairs: &[(String, String)]) -> Result<Labels, LineError> {
    let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    labels.map_err(|reason| LineError::Labels { reason: reason.to_string() })
}

/// Reads `name="value",...}`. A text in quotes alone is the name of the metric.
fn parse_labels(scan: &mut Scan<'_>, pairs: &mut Vec<(String, String)>) -> Result<(), LineError> {
    loop {
        scan.blanks();
        if scan.eat("}") {
            return Ok(());
        }
        let is_quoted = scan.eat("\"");
        let name = match is_quoted {
            true => scan.quoted()?,
            false => scan.word(&['=', ',', '}', '"', ' ', '\t'], "the name of a label")?.to_owned(),
        };
        scan.blanks();
        if scan.eat("=") {
            scan.blanks();
            scan.expect("\"", "a quote")?;
            pairs.push((name, scan.quoted()?));
        } else if is_quoted {
            pairs.push(("__name__".to_owned(), name));
        } else {
            return Err(scan.expected("= and a value"));
        }
        scan.blanks();
        if !scan.eat(",") && !scan.rest().starts_with('}') {
            return Err(scan.expected("a comma or }"));
        }
    }
}

/// Reads an exemplar; one without a time of its own has that of its sample.
fn parse_exemplar(scan: &mut Scan<'_>, sample: Timestamp, dialect: Dialect) -> Result<Exemplar, LineError> {
    scan.blanks();
    scan.expect("{", "the labels of an exemplar")?;
    let mut pairs = Vec::new();
    parse_labels(scan, &mut pairs)?;
    scan.blanks();
    let value = parse_value(scan.word(BLANKS, "the value of an exemplar")?)?;
    scan.blanks();
    let timestamp = match scan.rest() {
        rest if rest.is_empty() || rest.starts_with('#') => sample,
        _ => parse_time(scan.word(BLANKS, "a timestamp")?, dialect)?,
    };
    Ok(Exemplar { labels: to_labels(&pairs)?, timestamp, value })
}
