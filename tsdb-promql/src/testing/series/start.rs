//! Start timestamps: offsets from the time of each sample, as in `foo@st _ -30s-1mx2`.

use super::push_values;
use crate::lex::duration_millis;
use crate::testing::ScriptError;

/// Parses the offsets of an `@st` line, in ms; `None` for `_`.
pub(in crate::testing) fn parse_start_offsets(text: &str) -> Result<Vec<Option<i64>>, ScriptError> {
    let mut offsets = Vec::new();
    for item in text.split_whitespace() {
        parse_item(item, &mut offsets)?;
    }
    Ok(offsets)
}

fn parse_item(item: &str, into: &mut Vec<Option<i64>>) -> Result<(), ScriptError> {
    let bad = || ScriptError::new(format!("bad start timestamp {item:?}"));
    let (head, times) = match item.split_once('x') {
        Some((head, times)) => (head, Some(times.parse::<usize>().map_err(|_| bad())?)),
        None => (item, None),
    };
    if head == "_" {
        return push_values(into, times.unwrap_or(1), |_| None);
    }
    // A sign behind the first character begins the step.
    let split = head.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-'));
    let (first, step) = head.split_at(split.map_or(head.len(), |(at, _)| at));
    let first = signed_duration(first).ok_or_else(bad)?;
    let step = if step.is_empty() { 0 } else { signed_duration(step).ok_or_else(bad)? };
    let mut offset = first;
    push_values(into, times.unwrap_or(0).saturating_add(1), |index| {
        offset = if index == 0 { first } else { offset.saturating_add(step) };
        Some(offset)
    })
}

fn signed_duration(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let ms = i64::try_from(duration_millis(unsigned)?).ok()?;
    Some(if negative { -ms } else { ms })
}
