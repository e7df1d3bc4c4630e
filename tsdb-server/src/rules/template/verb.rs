//! `printf`: Go's verbs.

use super::budget::OUTPUT;
use super::number::{Notation, float};
use super::print::printed;
use super::value::Value;

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// The widest field and the most digits.
const MAX_NUMBER: usize = 1_000;

/// `format` with each verb replaced by the next of `values`. Mistakes are written out as Go writes them.
pub(super) fn sprintf(format: &str, values: &[Value]) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), format);
    let mut values = values.iter();
    while let Some(at) = rest.find('%') {
        let (text, verb) = rest.split_at(at);
        out.push_str(text);
        let (flags, verb) = flags(verb.get(1..).unwrap_or(""), &mut values)?;
        let Some(letter) = verb.chars().next() else {
            out.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = verb.get(letter.len_utf8()..).unwrap_or("");
        if letter == '%' {
            out.push('%');
        } else if let Some(value) = values.next() {
            out.push_str(&written(value, letter, flags));
        } else {
            out.push_str(&format!("%!{letter}(MISSING)"));
        }
        if out.len() > OUTPUT {
            return Err(format!("a string has more than {OUTPUT} bytes"));
        }
    }
    out.push_str(rest);
    let extra: Vec<_> = values.map(|value| format!("{}={}", value.type_name(), printed(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out)
}

/// The flags, width and precision at the beginning of `text`, and what follows.
fn flags<'t, 'v>(
    text: &'t str,
    values: &mut impl Iterator<Item = &'v Value>,
) -> Result<(Flags, &'t str), String> {
    let mut flags = Flags::default();
    let verb = text.trim_start_matches(['+', '-', '#', ' ', '0']);
    for flag in text.get(..text.len() - verb.len()).unwrap_or("").chars() {
        match flag {
            '+' => flags.plus = true,
            '-' => flags.minus = true,
            '#' => flags.sharp = true,
            ' ' => flags.space = true,
            _ => flags.zero = true,
        }
    }
    let (width, verb) = number(verb, values)?;
    flags.width = width.unwrap_or(0);
    let Some(behind) = verb.strip_prefix('.') else { return Ok((flags, verb)) };
    let (precision, verb) = number(behind, values)?;
    flags.precision = Some(precision.unwrap_or(0));
    Ok((flags, verb))
}

/// A number in digits, or a star for the next value.
fn number<'t, 'v>(
    text: &'t str,
    values: &mut impl Iterator<Item = &'v Value>,
) -> Result<(Option<usize>, &'t str), String> {
    let (given, behind) = match text.strip_prefix('*') {
        Some(behind) => match values.next() {
            Some(Value::Int(number)) => (usize::try_from(*number).ok(), behind),
            _ => (None, behind),
        },
        None => {
            let behind = text.trim_start_matches(|c: char| c.is_ascii_digit());
            let digits = text.get(..text.len() - behind.len()).unwrap_or("");
            (if digits.is_empty() { None } else { Some(digits.parse().unwrap_or(usize::MAX)) }, behind)
        }
    };
    match given {
        Some(number) if number > MAX_NUMBER => Err(format!("a width or precision is above {MAX_NUMBER}")),
        given => Ok((given, behind)),
    }
}

fn written(value: &Value, verb: char, flags: Flags) -> String {
    let known = match (value, verb) {
        (Value::String(text), 's' | 'v') => Some((cut(text, flags), false)),
        (Value::String(text), 'q') => Some((format!("{:?}", cut(text, flags)), false)),
        (Value::String(text), 'x' | 'X') => {
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            Some((if verb == 'X' { hex.to_uppercase() } else { hex }, false))
        }
        (Value::Bool(value), 't' | 'v') => Some((value.to_string(), false)),
        (Value::Int(number) | Value::Duration(number), 'd' | 'b' | 'o' | 'x' | 'X') => {
            Some((integer(*number, verb, flags), true))
        }
        (Value::Int(number), 'v') => Some((integer(*number, 'd', flags), true)),
        (Value::Int(number), 'c' | 'q' | 'U') => {
            let letter = u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            Some((
                match verb {
                    'c' => letter.to_string(),
                    'q' => format!("{letter:?}"),
                    _ => format!("U+{:04X}", u32::from(letter)),
                },
                false,
            ))
        }
        (Value::Float(number), 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'v') => {
            Some((real(*number, verb, flags), number.is_finite()))
        }
        (_, 'v') | (Value::Histogram(_) | Value::Time(_) | Value::Duration(_), 's') => {
            Some((printed(value), false))
        }
        (Value::Labels(_) | Value::Map(_) | Value::Vector(_), 's') => Some((printed(value), false)),
        (_, 'T') => Some((value.type_name().to_owned(), false)),
        _ => None,
    };
    match known {
        Some((text, numeric)) => padded(text, flags, numeric),
        None if matches!(value, Value::Nil) => format!("%!{verb}(<nil>)"),
        None => format!("%!{verb}({}={})", value.type_name(), printed(value)),
    }
}

fn cut(text: &str, flags: Flags) -> String {
    text.chars().take(flags.precision.unwrap_or(usize::MAX)).collect()
}

fn integer(number: i64, verb: char, flags: Flags) -> String {
    let magnitude = number.unsigned_abs();
    let digits = match verb {
        'b' => format!("{magnitude:b}"),
        'o' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        _ => magnitude.to_string(),
    };
    let digits = format!("{digits:0>width$}", width = flags.precision.unwrap_or(1));
    let prefix = match verb {
        'b' if flags.sharp => "0b",
        'o' if flags.sharp => "0",
        'x' if flags.sharp => "0x",
        'X' if flags.sharp => "0X",
        _ => "",
    };
    format!("{}{prefix}{digits}", sign(number < 0, flags))
}

fn real(number: f64, verb: char, flags: Flags) -> String {
    let (notation, usual) = match verb {
        'e' | 'E' => (Notation::Exponent, Some(6)),
        'f' | 'F' => (Notation::Point, Some(6)),
        _ => (Notation::Shorter, None),
    };
    let text = float(number, notation, flags.precision.or(usual));
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.as_str()),
    };
    // An infinity has its sign always.
    let text = match text.strip_prefix('+') {
        Some(_) => text.to_owned(),
        None => format!("{}{text}", sign(negative, flags)),
    };
    if verb.is_ascii_uppercase() {
        text.to_uppercase().replace("INF", "Inf").replace("NAN", "NaN")
    } else {
        text
    }
}

fn sign(negative: bool, flags: Flags) -> &'static str {
    match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

/// `text` in a field of the width asked for; zeros go between the sign and the digits.
fn padded(text: String, flags: Flags, numeric: bool) -> String {
    let missing = flags.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if flags.minus {
        return text + &" ".repeat(missing);
    }
    if !flags.zero {
        return " ".repeat(missing) + &text;
    }
    let signs = if numeric { text.len() - text.trim_start_matches(['+', '-', ' ']).len() } else { 0 };
    let (sign, digits) = text.split_at(signs);
    format!("{sign}{}{digits}", "0".repeat(missing))
}
