//! Values and times as text.

use super::{Dialect, LineError};
use std::io::{self, Write};
use tsdb::Timestamp;

/// The NaN that is meant where none is described: the one of Prometheus.
const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Writes a value in a short form that reads back as the same, bit by bit if `exact`.
pub(super) fn write_value(value: f64, exact: bool, out: &mut impl Write) -> io::Result<()> {
    match value {
        _ if value.is_nan() && exact && value.to_bits() != NORMAL_NAN => {
            write!(out, "NaN({:#018x})", value.to_bits())
        }
        _ if value.is_nan() => write!(out, "NaN"),
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        _ if value == 0.0 || (1e-5..1e16).contains(&value.abs()) => write!(out, "{value}"),
        _ => write!(out, "{value:e}"),
    }
}

/// Reads a value.
pub(super) fn parse_value(text: &str) -> Result<f64, LineError> {
    let wrong = || LineError::Number { what: "value", text: text.to_owned() };
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::from_bits(NORMAL_NAN));
    }
    if let Some(bits) = text.strip_prefix("NaN(0x").and_then(|rest| rest.strip_suffix(')')) {
        let value = u64::from_str_radix(bits, 16).map(f64::from_bits);
        return value.ok().filter(|value| value.is_nan()).ok_or_else(wrong);
    }
    text.parse().map_err(|_| wrong())
}

/// Writes a time.
pub(super) fn write_time(timestamp: Timestamp, dialect: Dialect, out: &mut impl Write) -> io::Result<()> {
    if dialect == Dialect::Prometheus {
        return write!(out, "{timestamp}");
    }
    let (sign, ms) = (if timestamp < 0 { "-" } else { "" }, timestamp.unsigned_abs());
    write!(out, "{sign}{}.{:03}", ms / 1000, ms % 1000)
}

/// Reads a time: milliseconds, or seconds of which a fraction below the millisecond is rounded.
pub(super) fn parse_time(text: &str, dialect: Dialect) -> Result<Timestamp, LineError> {
    let found = match dialect {
        Dialect::Prometheus => text.parse().ok(),
        Dialect::Openmetrics => plain_seconds(text).or_else(|| any_seconds(text)),
    };
    let what = if dialect == Dialect::Prometheus { "timestamp in ms" } else { "timestamp in seconds" };
    found.ok_or_else(|| LineError::Number { what, text: text.to_owned() })
}

/// Digits with at most three behind the point: exact, however large.
fn plain_seconds(text: &str) -> Option<Timestamp> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_plain(whole) || !is_plain(fraction) || fraction.len() > 3 {
        return None;
    }
    let ms: i128 = format!("{fraction:0<3}").parse().ok()?;
    let whole: i128 = whole.parse().ok()?;
    Timestamp::try_from(whole.checked_mul(1000)?.checked_add(ms)? * sign).ok()
}

fn any_seconds(text: &str) -> Option<Timestamp> {
    let ms = (text.parse::<f64>().ok()? * 1000.0).round();
    (ms.abs() <= 1e15).then_some(ms as Timestamp)
}
