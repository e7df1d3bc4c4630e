//! Walking through a line.

use super::LineError;

/// A line and a place in it.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Steps over `token` if it stands here.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        let is_here = self.rest().starts_with(token);
        if is_here {
            self.at += token.len();
        }
        is_here
    }

    /// Steps over `token`, which must stand here.
    pub(super) fn expect(&mut self, token: &str, expected: &'static str) -> Result<(), LineError> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(expected)) }
    }

    pub(super) fn expected(&self, expected: &'static str) -> LineError {
        LineError::Expected { expected, at: self.at }
    }

    /// Steps over blanks; says whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        let before = self.at;
        while self.eat(" ") || self.eat("\t") {}
        self.at > before
    }

    /// Takes all up to the first of `ends` or the end of the line; something must be there.
    pub(super) fn word(&mut self, ends: &[char], expected: &'static str) -> Result<&'a str, LineError> {
        let rest = self.rest();
        let word = rest.get(..rest.find(ends).unwrap_or(rest.len())).unwrap_or_default();
        if word.is_empty() {
            return Err(self.expected(expected));
        }
        self.at += word.len();
        Ok(word)
    }

    /// Takes a text in quotes, the first of which has been stepped over.
    pub(super) fn quoted(&mut self) -> Result<String, LineError> {
        let (value, len) = unescape(self.rest(), Some('"'))
            .ok_or(LineError::Expected { expected: "a closing quote", at: self.text.len() })?;
        self.at += len;
        Ok(value)
    }
}

/// Undoes the escaping of a text up to `end`, or all of it; also says how far that went, `end` included. `None` if `end`
/// does not come.
pub(super) fn unescape(text: &str, end: Option<char>) -> Option<(String, usize)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match (is_escaped, c) {
            (true, 'n') => value.push('\n'),
            (true, '\\' | '"') => value.push(c),
            (true, other) => value.extend(['\\', other]),
            (false, '\\') => {}
            (false, c) if Some(c) == end => return Some((value, at + c.len_utf8())),
            (false, c) => value.push(c),
        }
        is_escaped = !is_escaped && c == '\\';
    }
    if is_escaped {
        value.push('\\');
    }
    end.is_none().then_some((value, text.len()))
}
