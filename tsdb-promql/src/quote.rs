//! Quoting as Go does it: error messages, annotations and the printer show texts this way.

use core::fmt::{self, Write};

/// `bytes` in double quotes with Go's escapes: what is not UTF-8 as `\xff`, what is not printable as `\u200b`.
/// Source: Go `strconv.Quote`.
pub fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut quoted, c));
        for byte in chunk.invalid() {
            push_formatted(&mut quoted, format_args!("\\x{byte:02x}"));
        }
    }
    quoted.push('"');
    quoted
}

fn push_escaped(out: &mut String, c: char) {
    let code = u32::from(c);
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        _ if code < 0x20 || code == 0x7f => push_formatted(out, format_args!("\\x{code:02x}")),
        _ if c.escape_debug().len() == 1 => out.push(c),
        _ if code < 0x1_0000 => push_formatted(out, format_args!("\\u{code:04x}")),
        _ => push_formatted(out, format_args!("\\U{code:08x}")),
    }
}

fn push_formatted(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shown_is_escaped() {
        assert_eq!(quote(b"a\"b\\c\n\t"), r#""a\"b\\c\n\t""#);
        assert_eq!(quote(b"\x00\x7f\xff"), r#""\x00\x7f\xff""#);
        assert_eq!(quote("\u{fc}\u{200b}\u{e0001}".as_bytes()), "\"\u{fc}\\u200b\\U000e0001\"");
    }
}
