//! Strings: `"..."` and `'...'` with Go's escapes, and raw ones between back quotes.
//!
//! Source: the Go language specification, "Rune literals" and "String literals". As in Prometheus, a quoted string
//! may escape only its own quote, and ends with its line.

/// Length of the string at the beginning of `text`, quotes included.
///
/// # Errors
/// The rule that the text breaks.
pub(crate) fn scan_string(text: &str) -> Result<usize, &'static str> {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return Err("unterminated quoted string") };
    if quote == '`' {
        return match text.get(1..).and_then(|rest| rest.find('`')) {
            Some(length) => Ok(length + 2),
            None => Err("unterminated raw string"),
        };
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return Err("unterminated quoted string"),
            '\\' => {
                let escape = text.get(at..).unwrap_or("");
                let (_, length) = unescape(escape, quote)?;
                // The backslash is taken already; all others of an escape are ASCII, one byte each.
                for _ in 1..length {
                    chars.next();
                }
            }
            c if c == quote => return Ok(at + 1),
            _ => {}
        }
    }
    Err("unterminated quoted string")
}

/// Bytes of the string `text`, which has its quotes.
///
/// # Errors
/// The rule that the text breaks. A text that [`scan_string`] measured breaks none.
pub(crate) fn unquote(text: &str) -> Result<Vec<u8>, &'static str> {
    let quote = text.chars().next().unwrap_or('"');
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
    if quote == '`' {
        return Ok(inner.into());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        bytes.extend_from_slice(plain.as_bytes());
        let (meaning, length) = unescape(escape, quote)?;
        match meaning {
            Meaning::Byte(byte) => bytes.push(byte),
            Meaning::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = escape.get(length..).unwrap_or("");
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

enum Meaning {
    Byte(u8),
    Char(char),
}

const UNTERMINATED: &str = "escape sequence not terminated";
const BAD_DIGIT: &str = "illegal character in escape sequence";
const BAD_CODE: &str = "escape sequence is an invalid Unicode code point";

/// What the escape at the beginning of `text` means, and its length with the backslash.
fn unescape(text: &str, quote: char) -> Result<(Meaning, usize), &'static str> {
    let byte = |byte| Ok((Meaning::Byte(byte), 2));
    match text.chars().nth(1) {
        None => Err(UNTERMINATED),
        Some('a') => byte(0x07),
        Some('b') => byte(0x08),
        Some('f') => byte(0x0c),
        Some('n') => byte(b'\n'),
        Some('r') => byte(b'\r'),
        Some('t') => byte(b'\t'),
        Some('v') => byte(0x0b),
        Some('\\') => byte(b'\\'),
        Some(c) if c == quote => Ok((Meaning::Char(c), 2)),
        Some('0'..='7') => {
            let code = u8::try_from(digits(text, 1, 3, 8)?).map_err(|_| BAD_CODE)?;
            Ok((Meaning::Byte(code), 4))
        }
        Some('x') => {
            let code = u8::try_from(digits(text, 2, 2, 16)?).map_err(|_| BAD_CODE)?;
            Ok((Meaning::Byte(code), 4))
        }
        Some('u') => Ok((Meaning::Char(char::from_u32(digits(text, 2, 4, 16)?).ok_or(BAD_CODE)?), 6)),
        Some('U') => Ok((Meaning::Char(char::from_u32(digits(text, 2, 8, 16)?).ok_or(BAD_CODE)?), 10)),
        Some(_) => Err("unknown escape sequence"),
    }
}

/// Value of `count` digits from the byte `from` of `text`.
fn digits(text: &str, from: usize, count: usize, radix: u32) -> Result<u32, &'static str> {
    let mut value = 0u32;
    let mut chars = text.get(from..).unwrap_or("").chars();
    for _ in 0..count {
        let digit = chars.next().ok_or(UNTERMINATED)?.to_digit(radix).ok_or(BAD_DIGIT)?;
        // Eight hexadecimal digits just fit.
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    Ok(value)
}
