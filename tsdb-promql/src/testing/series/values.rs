//! The values of a series line.

use super::histogram::parse_histogram;
use super::{HistogramLiteral, HistogramValue, SequenceValue, push_values};
use crate::lex::{number_value, scan_decimal};
use crate::testing::ScriptError;
use tsdb_core::STALE_NAN;

/// Parses all values of a line.
pub(super) fn parse_values(text: &str) -> Result<Vec<SequenceValue>, ScriptError> {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    if rest.len() == text.len() && !text.is_empty() {
        return Err(ScriptError::new(format!("a blank must follow the label set, found {text:?}")));
    }
    while !rest.is_empty() {
        let after = parse_item(rest, &mut values)?;
        rest = after.trim_start();
        if rest.len() == after.len() && !rest.is_empty() {
            return Err(ScriptError::new(format!("unexpected {rest:?} behind a value")));
        }
    }
    Ok(values)
}

fn parse_item<'a>(text: &'a str, into: &mut Vec<SequenceValue>) -> Result<&'a str, ScriptError> {
    if let Some(rest) = text.strip_prefix("stale") {
        push_values(into, 1, |_| SequenceValue::Float(STALE_NAN))?;
        return Ok(rest);
    }
    if let Some(rest) = text.strip_prefix('_') {
        let (times, rest) = repetition(rest)?;
        push_values(into, times.unwrap_or(1), |_| SequenceValue::Missing)?;
        return Ok(rest);
    }
    if text.starts_with("{{") { parse_histograms(text, into) } else { parse_numbers(text, into) }
}

fn parse_numbers<'a>(text: &'a str, into: &mut Vec<SequenceValue>) -> Result<&'a str, ScriptError> {
    let (first, rest) = signed_number(text)?;
    let (step, rest) = if rest.starts_with(['+', '-']) {
        let (step, rest) = signed_number(rest)?;
        (Some(step), rest)
    } else {
        (None, rest)
    };
    let (times, rest) = repetition(rest)?;
    if step.is_some() && times.is_none() {
        return Err(ScriptError::new(format!("a step needs a repetition: {text:?}")));
    }
    // Repeated addition, not a product: the last bits differ. Without a step, nothing is added: NaN keeps its bits.
    let mut value = first;
    push_values(into, times.unwrap_or(0).saturating_add(1), |index| {
        value += step.filter(|_| index > 0).unwrap_or(-0.0);
        SequenceValue::Float(value)
    })?;
    Ok(rest)
}

/// Parses the optional `xN`.
fn repetition(text: &str) -> Result<(Option<usize>, &str), ScriptError> {
    let Some(rest) = text.strip_prefix('x') else { return Ok((None, text)) };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
    match digits.parse() {
        Ok(times) => Ok((Some(times), rest)),
        Err(_) => Err(ScriptError::new(format!("bad repetition in {text:?}"))),
    }
}

/// Parses a number with an optional sign.
pub(super) fn signed_number(text: &str) -> Result<(f64, &str), ScriptError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or("")),
        Some(b'+') => (false, text.get(1..).unwrap_or("")),
        _ => (false, text),
    };
    let word = unsigned.get(..3).filter(|w| ["inf", "nan"].iter().any(|known| w.eq_ignore_ascii_case(known)));
    let length = word.map(str::len).or_else(|| scan_decimal(unsigned));
    let parsed = length.and_then(|length| unsigned.split_at_checked(length));
    let Some((value, rest)) = parsed.and_then(|(number, rest)| Some((number_value(number)?, rest))) else {
        return Err(ScriptError::new(format!("expected a number, found {text:?}")));
    };
    Ok((if negative { -value } else { value }, rest))
}

/// The number that is all of `line`, if it is one. Unlike the numbers of a series line it may be hexadecimal.
pub(in crate::testing) fn parse_scalar(line: &str) -> Option<f64> {
    let unsigned = line.strip_prefix(['+', '-']).unwrap_or(line);
    let value = number_value(unsigned)?;
    Some(if line.starts_with('-') { -value } else { value })
}

fn parse_histograms<'a>(text: &'a str, into: &mut Vec<SequenceValue>) -> Result<&'a str, ScriptError> {
    let (base, rest) = parse_histogram(text)?;
    let (step, rest) = match rest.as_bytes() {
        [sign @ (b'+' | b'-'), b'{', b'{', ..] => {
            let (step, after) = parse_histogram(rest.get(1..).unwrap_or(""))?;
            (Some((*sign == b'-', step)), after)
        }
        _ => (None, rest),
    };
    let (times, rest) = repetition(rest)?;
    check_step(&base, step.as_ref().map(|(_, step)| step), times)?;
    push_values(into, times.unwrap_or(0).saturating_add(1), |index| {
        SequenceValue::Histogram(Box::new(HistogramValue {
            base: base.clone(),
            step: step.clone().map(|(negative, step)| (step, if negative { -1 } else { 1 })),
            times: index,
        }))
    })?;
    Ok(rest)
}

fn check_step(
    base: &HistogramLiteral,
    step: Option<&HistogramLiteral>,
    times: Option<usize>,
) -> Result<(), ScriptError> {
    let Some(step) = step else { return Ok(()) };
    if times.is_none() {
        return Err(ScriptError::new("a histogram step needs a repetition"));
    }
    if base.schema > step.schema {
        return Err(ScriptError::new(format!(
            "error combining histograms: cannot merge from schema {} to {}",
            step.schema, base.schema
        )));
    }
    Ok(())
}
