//! The functions of Prometheus, and which functions there are.

use super::budget::{OUTPUT, QUERY, REGEX};
use super::execute::Execution;
use super::number::{Notation, float, to_float};
use super::time;
use super::value::{Sample, Value};
use crate::Period;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tsdb_core::matcher::Search;

/// Names with the least and the most arguments.
const FUNCTIONS: [(&str, usize, usize); 47] = [
    ("and", 1, usize::MAX),
    ("args", 0, usize::MAX),
    ("call", 1, usize::MAX),
    ("eq", 1, usize::MAX),
    ("externalURL", 0, 0),
    ("first", 1, 1),
    ("ge", 2, 2),
    ("graphLink", 1, 1),
    ("gt", 2, 2),
    ("html", 0, usize::MAX),
    ("humanize", 1, 1),
    ("humanize1024", 1, 1),
    ("humanizeDuration", 1, 1),
    ("humanizePercentage", 1, 1),
    ("humanizeTimestamp", 1, 1),
    ("index", 1, usize::MAX),
    ("js", 0, usize::MAX),
    ("label", 2, 2),
    ("le", 2, 2),
    ("len", 1, 1),
    ("lt", 2, 2),
    ("match", 2, 2),
    ("ne", 2, 2),
    ("not", 1, 1),
    ("now", 0, 0),
    ("or", 1, usize::MAX),
    ("parseDuration", 1, 1),
    ("pathPrefix", 0, 0),
    ("print", 0, usize::MAX),
    ("printf", 1, usize::MAX),
    ("println", 0, usize::MAX),
    ("query", 1, 1),
    ("reReplaceAll", 3, 3),
    ("safeHtml", 1, 1),
    ("slice", 1, 4),
    ("sortByLabel", 2, 2),
    ("stripDomain", 1, 1),
    ("stripPort", 1, 1),
    ("strvalue", 1, 1),
    ("tableLink", 1, 1),
    ("title", 1, 1),
    ("toDuration", 1, 1),
    ("toLower", 1, 1),
    ("toTime", 1, 1),
    ("toUpper", 1, 1),
    ("urlQueryEscape", 1, 1),
    ("urlquery", 0, usize::MAX),
];

/// The least and the most arguments of `name`; `None` if there is no such function. `value` is one that Go would not
/// let be a keyword either.
pub(super) fn arity(name: &str) -> Option<(usize, usize)> {
    if name == "value" {
        return Some((1, 1));
    }
    let at = FUNCTIONS.binary_search_by_key(&name, |(name, ..)| name).ok()?;
    FUNCTIONS.get(at).map(|(_, least, most)| (*least, *most))
}

/// What the function `name` of Prometheus gives.
pub(super) fn call(execution: &mut Execution<'_>, name: &str, arguments: &[Value]) -> Result<Value, String> {
    match (name, arguments) {
        ("humanize", [value]) => to_float(value).map(humanize).map(Value::text),
        ("humanize1024", [value]) => to_float(value).map(humanize_1024).map(Value::text),
        ("humanizeDuration", [value]) => to_float(value).map(humanize_duration).map(Value::text),
        ("humanizePercentage", [value]) => {
            to_float(value).map(|value| Value::text(format!("{}%", four_digits(value * 100.0))))
        }
        ("humanizeTimestamp", [value]) => humanize_timestamp(to_float(value)?).map(Value::text),
        ("toTime", [value]) => to_time(to_float(value)?).map(Value::Time),
        // A conversion to an integer that does not fit ends at its bounds.
        ("toDuration", [value]) => to_float(value).map(|seconds| Value::Duration((seconds * 1e9) as i64)),
        ("now", []) => Ok(Value::Float(execution.scope().now() as f64 / 1000.0)),
        ("externalURL", []) => Ok(Value::text(execution.scope().external_url())),
        ("pathPrefix", []) => Ok(Value::text(path_of(execution.scope().external_url()))),
        ("args", values) => {
            let named = values.iter().enumerate().map(|(at, value)| (format!("arg{at}"), value.clone()));
            Ok(Value::Map(Arc::new(BTreeMap::from_iter(named))))
        }
        ("query", [query]) => {
            let query = text(query)?.to_owned();
            execution.spend(QUERY)?;
            execution.scope().query(&query).map(Value::vector)
        }
        ("first", [Value::Vector(samples)]) => match samples.first() {
            Some(sample) => Ok(Value::Sample(Arc::clone(sample))),
            None => Err("first() called on vector with no elements".to_owned()),
        },
        ("sortByLabel", [label, Value::Vector(samples)]) => {
            let label = text(label)?;
            let mut sorted = samples.to_vec();
            sorted.sort_by(|a, b| value_of(a, label).cmp(value_of(b, label)));
            Ok(Value::Vector(sorted.into()))
        }
        ("label", [label, Value::Sample(sample)]) => Ok(Value::text(value_of(sample, text(label)?))),
        ("value", [Value::Sample(sample)]) => Ok(sample.value.clone()),
        ("strvalue", [Value::Sample(sample)]) => Ok(Value::text(value_of(sample, "__value__"))),
        ("first" | "sortByLabel", _) => Err(wrong_type("template.queryResult", arguments)),
        ("label" | "value" | "strvalue", _) => Err(wrong_type("*template.sample", arguments)),
        ("match" | "reReplaceAll", _) => regex(execution, arguments),
        (_, [value]) => of_text(name, text(value)?),
        _ => Err(format!("function {name:?} not defined")),
    }
}

/// The functions that take a text.
fn of_text(name: &str, text: &str) -> Result<Value, String> {
    Ok(match name {
        "toUpper" => Value::text(text.to_uppercase()),
        "toLower" => Value::text(text.to_lowercase()),
        "title" => Value::text(title(text)),
        "safeHtml" => Value::text(text),
        "urlQueryEscape" => Value::text(gotmpl::url_encode(text)),
        "graphLink" => Value::text(format!("/graph?g0.expr={}&g0.tab=0", gotmpl::url_encode(text))),
        "tableLink" => Value::text(format!("/graph?g0.expr={}&g0.tab=1", gotmpl::url_encode(text))),
        "stripPort" => Value::text(split_host_port(text).map_or(text, |(host, _)| host)),
        "stripDomain" => Value::text(strip_domain(text)),
        "parseDuration" => {
            let (sign, magnitude) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
            let period: Period =
                magnitude.parse().map_err(|_| format!("not a valid duration string: {text:?}"))?;
            Value::Float(sign * period.as_ms() as f64 / 1000.0)
        }
        _ => return Err(format!("function {name:?} not defined")),
    })
}

fn regex(execution: &mut Execution<'_>, arguments: &[Value]) -> Result<Value, String> {
    execution.spend(REGEX)?;
    let texts = arguments.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let search = |pattern: &str| Search::new(pattern).map_err(|error| error.to_string());
    match texts[..] {
        [pattern, value] => Ok(Value::Bool(search(pattern)?.is_in(value))),
        [pattern, replacement, value] => {
            let replaced = search(pattern)?.replace_all(value, replacement, OUTPUT);
            replaced.map(Value::text).map_err(|error| error.to_string())
        }
        _ => Err("wrong number of args".to_owned()),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
    }
}

fn wrong_type(expected: &str, arguments: &[Value]) -> String {
    let got = arguments.last().map_or("<nil>", Value::type_name);
    format!("wrong type for value; expected {expected}; got {got}")
}

fn value_of<'a>(sample: &'a Sample, label: &str) -> &'a str {
    sample.labels.get(label).unwrap_or("")
}

/// As the verb `%.4g` writes it.
fn four_digits(value: f64) -> String {
    float(value, Notation::Shorter, Some(4))
}

fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four_digits(value);
    }
    match value.abs() >= 1.0 {
        true => scaled(value, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]),
        false => small(value),
    }
}

fn humanize_1024(value: f64) -> String {
    match value.abs() <= 1.0 || !value.is_finite() {
        true => four_digits(value),
        false => scaled(value, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]),
    }
}

/// Divided by `base` until it is below it, with the prefix that says how often.
fn scaled(mut value: f64, base: f64, prefixes: &[&str]) -> String {
    let mut used = "";
    for prefix in prefixes {
        if value.abs() < base {
            break;
        }
        used = prefix;
        value /= base;
    }
    four_digits(value) + used
}

/// Multiplied by a thousand until it is one or more, with the prefix that says how often.
fn small(mut value: f64) -> String {
    let mut used = "";
    for prefix in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        used = prefix;
        value *= 1000.0;
    }
    four_digits(value) + used
}

fn humanize_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return four_digits(seconds);
    }
    if seconds == 0.0 {
        return four_digits(seconds) + "s";
    }
    if seconds.abs() < 1.0 {
        return small(seconds) + "s";
    }
    let (sign, magnitude) = if seconds < 0.0 { ("-", -seconds) } else { ("", seconds) };
    // Beyond the integers it is their bound, as good as any other number of days.
    let whole = magnitude as i64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    let rest = whole % 60;
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four_digits(magnitude)),
        (0, 0, _) => format!("{sign}{minutes}m {rest}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {rest}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {rest}s"),
    }
}

fn humanize_timestamp(seconds: f64) -> Result<String, String> {
    match seconds.is_finite() {
        true => Ok(time::format(to_time(seconds)?, time::PRINTED)),
        false => Ok(four_digits(seconds)),
    }
}

/// The time so many seconds after the epoch, ns; whole milliseconds.
fn to_time(seconds: f64) -> Result<i64, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let ns = seconds * 1e9;
    if !(-9_223_372_036_854_775_808.0..=9_223_372_036_854_775_807.0).contains(&ns) {
        let written = float(seconds, Notation::Shorter, None);
        return Err(format!(
            "{written} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    Ok(ns as i64 / 1_000_000 * 1_000_000)
}

/// Each word with a capital; the other letters stay.
fn title(text: &str) -> String {
    let mut out = String::new();
    let mut within = false;
    for c in text.chars() {
        let of_word = c.is_alphanumeric() || (within && matches!(c, '\'' | '\u{2019}' | '_'));
        if of_word && !within {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        within = of_word;
    }
    out
}

/// Host and port of `host:port` or `[host]:port`.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (host, port) = inner.split_once(']')?;
        let port = port.strip_prefix(':')?;
        return (!port.contains([':', '[', ']']) && !host.contains('[')).then_some((host, port));
    }
    let (host, port) = text.rsplit_once(':')?;
    (!host.contains(':') && !text.contains(['[', ']'])).then_some((host, port))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or("");
    if port.is_empty() { name.to_owned() } else { format!("{name}:{port}") }
}

fn path_of(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    behind_scheme.find('/').and_then(|at| behind_scheme.get(at..)).unwrap_or("")
}
