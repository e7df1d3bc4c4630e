//! Numbers: decimal with fraction, exponent and `_` between digits, octal with a leading 0, hexadecimal, `Inf`, `NaN`.

/// Length of the number at the beginning of `text`; `None` if there is none, or if a letter, digit or underscore
/// follows it.
pub(crate) fn scan_number(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let length = match bytes {
        [b'0', b'x' | b'X', rest @ ..] => 2 + hex_digits(rest)?,
        _ => decimal(bytes)?,
    };
    let follows = bytes.get(length).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    (!follows).then_some(length)
}

/// Length of the decimal number at the beginning of `text`, whatever follows it: in `1x3` the `1`.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn scan_decimal(text: &str) -> Option<usize> {
    decimal(text.as_bytes())
}

fn hex_digits(bytes: &[u8]) -> Option<usize> {
    let length = bytes.iter().take_while(|b| b.is_ascii_hexdigit() || **b == b'_').count();
    let digits = bytes.get(..length)?;
    (digits.last()? != &b'_' && !has_double_underscore(digits)).then_some(length)
}

fn decimal(bytes: &[u8]) -> Option<usize> {
    let whole = digits(bytes)?;
    let mut length = whole;
    let mut fraction = 0;
    if bytes.get(length) == Some(&b'.') {
        fraction = digits(bytes.get(length + 1..)?)?;
        length += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        length += 1 + usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(bytes.get(length..)?)?;
        length += exponent;
        return (exponent > 0).then_some(length);
    }
    Some(length)
}

/// Length of a run of digits with single underscores between them; `None` if an underscore is misplaced.
fn digits(bytes: &[u8]) -> Option<usize> {
    let length = bytes.iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    let run = bytes.get(..length)?;
    let misplaced = run.first() == Some(&b'_') || run.last() == Some(&b'_') || has_double_underscore(run);
    (!misplaced).then_some(length)
}

fn has_double_underscore(run: &[u8]) -> bool {
    run.windows(2).any(|pair| pair == b"__")
}

/// Value of the number `text`, without sign; `None` if it is none. Integers may have the prefix of another base, as
/// in C: `017` is fifteen.
pub(crate) fn number_value(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let plain = text.replace('_', "");
    let prefixed = |prefix: usize, radix| i64::from_str_radix(plain.get(prefix..)?, radix).ok();
    let integer = match plain.as_bytes() {
        [b'0', b'x' | b'X', ..] => return prefixed(2, 16).map(|n| n as f64),
        [b'0', b'b' | b'B', ..] => return prefixed(2, 2).map(|n| n as f64),
        [b'0', b'o' | b'O', ..] => return prefixed(2, 8).map(|n| n as f64),
        [b'0', _, ..] => prefixed(1, 8),
        _ => plain.parse().ok(),
    };
    if let Some(integer) = integer {
        return Some(integer as f64);
    }
    // Rust also reads words such as "infinity".
    let numeric = plain.bytes().next().is_some_and(|b| b.is_ascii_digit() || b == b'.');
    let value: f64 = numeric.then(|| plain.parse().ok())??;
    value.is_finite().then_some(value)
}
