//! Durations such as `1h30m`: integers with units, each unit at most once, from large to small.

/// Units from large to small, and their length in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest duration: what 64 bits of nanoseconds hold, in ms.
const MAX_MS: u64 = i64::MAX as u64 / 1_000_000;

/// Length of the run of digits and unit letters at the beginning of `text`, if it has at least one unit and nothing
/// but such runs before the next character that cannot belong to a name.
pub(super) fn scan_duration(text: &str) -> Option<usize> {
    let length = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
    let word = text.get(..length)?;
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let after = rest.get(digits..)?;
        let unit = match after.as_bytes() {
            [b'm', b's', ..] => 2,
            [b's' | b'm' | b'h' | b'd' | b'w' | b'y', ..] => 1,
            _ => 0,
        };
        if digits == 0 || unit == 0 {
            return None;
        }
        rest = after.get(unit..)?;
    }
    Some(length)
}

/// Milliseconds of the duration `text`; `None` if its units are out of order, come twice, or if it is too long.
/// A bare `0` is a duration.
pub(crate) fn duration_millis(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total, mut smallest) = (text, 0u64, None);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, after) = rest.split_at_checked(digits)?;
        let length = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(length)?;
        let rank = UNITS.iter().position(|(name, _)| *name == unit)?;
        if smallest.is_some_and(|smallest| rank <= smallest) {
            return None;
        }
        smallest = Some(rank);
        let length_ms = UNITS.get(rank).map(|(_, ms)| *ms)?;
        total = count.parse::<u64>().ok()?.checked_mul(length_ms)?.checked_add(total)?;
        rest = after;
    }
    (smallest.is_some() && total <= MAX_MS).then_some(total)
}

/// Seconds of the duration `text`; see [`duration_millis`].
pub(crate) fn duration_seconds(text: &str) -> Option<f64> {
    duration_millis(text).map(|ms| ms as f64 / 1000.0)
}
