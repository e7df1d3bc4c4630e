//! Numbers as Go's `fmt` writes and `strconv` reads them.

use super::value::Value;

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// `%e`: one digit, a point, digits, an exponent.
    Exponent,
    /// `%f`: digits, a point, digits.
    Point,
    /// `%g`: whichever is shorter.
    Shorter,
}

/// `value` with `precision` digits behind the point, or significant digits of the shorter notation; without, with the
/// fewest digits that give it back.
pub(super) fn float(value: f64, notation: Notation, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match notation {
        Notation::Exponent => with_exponent(&scientific(value, precision)),
        Notation::Point => match precision {
            Some(digits) => format!("{value:.digits$}"),
            None => format!("{value}"),
        },
        Notation::Shorter => shorter(value, precision),
    }
}

fn scientific(value: f64, precision: Option<usize>) -> String {
    match precision {
        Some(digits) => format!("{value:.digits$e}"),
        None => format!("{value:e}"),
    }
}

/// The exponent with a sign and at least two digits.
fn with_exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn shorter(value: f64, precision: Option<usize>) -> String {
    let significant = precision.map(|digits| digits.max(1));
    let text = scientific(value, significant.map(|digits| digits - 1));
    let exponent: i64 = text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    // Without a precision Go decides as if it were 6.
    let limit = significant.map_or(6, |digits| i64::try_from(digits).unwrap_or(i64::MAX));
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if value != 0.0 && (exponent < -4 || exponent >= limit) {
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return with_exponent(&format!("{}e{exponent}", trim(digits)));
    }
    match significant {
        None => format!("{value}"),
        Some(digits) => {
            let behind = i64::try_from(digits).unwrap_or(i64::MAX).saturating_sub(1 + exponent).max(0);
            trim(&format!("{value:.*}", usize::try_from(behind).unwrap_or(0)))
        }
    }
}

/// The number that `value` is or spells.
pub(super) fn to_float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(number) => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        Value::Duration(ns) => Ok(*ns as f64 / 1e9),
        Value::String(text) => {
            // What Rust reads and Go does not, and the other way round, is beyond what people write.
            text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))
        }
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}
