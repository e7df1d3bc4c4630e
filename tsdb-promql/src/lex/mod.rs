//! Text to tokens.
//!
//! The lexer is asked for one token at a time and keeps only what the meaning of the next characters depends on: an
//! open brace (names are never keywords there), an open bracket (only durations and their arithmetic there) and the
//! count of open parentheses. Whitespace and comments separate tokens and are dropped.

mod duration;
mod number;
mod string;
mod token;

#[cfg(any(test, feature = "testing"))]
pub(crate) use duration::duration_millis;
pub(crate) use duration::duration_seconds;
#[cfg(any(test, feature = "testing"))]
pub(crate) use number::scan_decimal;
pub(crate) use number::{number_value, scan_number};
pub(crate) use string::{scan_string, unquote};
pub(crate) use token::{Keyword, Token, TokenKind};

use crate::error::{Parse, ParseError, ParseErrorKind};
use crate::operator::BinaryOp;
use crate::span::Span;

/// Cuts a text into tokens.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    open_parens: usize,
    in_braces: bool,
    in_brackets: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, open_parens: 0, in_braces: false, in_brackets: false }
    }

    /// The next token; [`TokenKind::End`] again and again at the end of the text.
    pub(crate) fn next(&mut self) -> Parse<Token> {
        self.skip_blanks();
        let start = self.at;
        let Some(c) = self.peek() else { return self.end() };
        let kind = match c {
            '"' | '\'' | '`' if !self.in_brackets => self.string(start)?,
            _ if self.in_braces => self.in_braces(start, c)?,
            '0'..='9' => self.number_or_duration(start)?,
            '.' if self.byte(1).is_some_and(|b| b.is_ascii_digit()) => self.number_or_duration(start)?,
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.word(start, c)?,
            _ => self.punctuation(start, c)?,
        };
        Ok(Token { kind, span: Span::of(start, self.at) })
    }

    fn end(&self) -> Parse<Token> {
        let span = Span::of(self.text.len(), self.text.len());
        let rule = match self {
            Self { in_braces: true, .. } => "unexpected end of input inside braces",
            Self { open_parens: 1.., .. } => "unclosed left parenthesis",
            Self { in_brackets: true, .. } => "unclosed left bracket",
            _ => return Ok(Token { kind: TokenKind::End, span }),
        };
        Err(ParseError::new(self.text, span, ParseErrorKind::Rule { rule }))
    }

    fn in_braces(&mut self, start: usize, c: char) -> Parse<TokenKind> {
        if c.is_ascii_alphabetic() || c == '_' {
            self.skip_while(is_name_byte);
            return Ok(TokenKind::Identifier);
        }
        match (c, self.byte(1)) {
            (',', _) => Ok(self.take(1, TokenKind::Comma)),
            ('=', Some(b'~')) => Ok(self.take(2, TokenKind::RegexMatch)),
            ('=', _) => Ok(self.take(1, TokenKind::Assign)),
            ('!', Some(b'~')) => Ok(self.take(2, TokenKind::RegexNotMatch)),
            ('!', Some(b'=')) => Ok(self.take(2, TokenKind::Operator(BinaryOp::NotEqual))),
            ('!', _) => Err(self.bad(start, 1, "unexpected character after '!' inside braces:")),
            ('}', _) => {
                self.in_braces = false;
                Ok(self.take(1, TokenKind::RightBrace))
            }
            ('{', _) => Err(self.bad(start, 0, "unexpected left brace")),
            _ => Err(self.bad(start, 0, "unexpected character inside braces:")),
        }
    }

    fn punctuation(&mut self, start: usize, c: char) -> Parse<TokenKind> {
        let operator = TokenKind::Operator;
        Ok(match (c, self.byte(1)) {
            ('(', _) => {
                self.open_parens += 1;
                self.take(1, TokenKind::LeftParen)
            }
            (')', _) if self.open_parens == 0 => {
                return Err(self.bad(start, 0, "unexpected right parenthesis"));
            }
            (')', _) => {
                self.open_parens -= 1;
                self.take(1, TokenKind::RightParen)
            }
            (']', _) => self.close_bracket(start)?,
            (',', _) => self.take(1, TokenKind::Comma),
            ('+', _) => self.take(1, operator(BinaryOp::Add)),
            ('-', _) => self.take(1, operator(BinaryOp::Sub)),
            ('*', _) => self.take(1, operator(BinaryOp::Mul)),
            ('/', _) => self.take(1, operator(BinaryOp::Div)),
            ('%', _) => self.take(1, operator(BinaryOp::Mod)),
            ('^', _) => self.take(1, operator(BinaryOp::Pow)),
            ('[', _) if self.in_brackets => return Err(self.bad(start, 0, "unexpected left bracket")),
            _ if self.in_brackets => {
                return Err(self.bad(start, 0, "unexpected character in duration expression:"));
            }
            ('[', _) => {
                self.in_brackets = true;
                self.take(1, TokenKind::LeftBracket)
            }
            ('{', _) => {
                self.in_braces = true;
                self.take(1, TokenKind::LeftBrace)
            }
            ('@', _) => self.take(1, TokenKind::At),
            _ => return self.comparison(start, c),
        })
    }

    fn close_bracket(&mut self, start: usize) -> Parse<TokenKind> {
        if !self.in_brackets {
            return Err(self.bad(start, 0, "unexpected right bracket"));
        }
        self.in_brackets = false;
        Ok(self.take(1, TokenKind::RightBracket))
    }

    fn comparison(&mut self, start: usize, c: char) -> Parse<TokenKind> {
        let operator = TokenKind::Operator;
        Ok(match (c, self.byte(1)) {
            ('=', Some(b'=')) => self.take(2, operator(BinaryOp::Equal)),
            ('=', Some(b'~')) => return Err(self.bad(start, 1, "unexpected character after '=':")),
            ('=', _) => self.take(1, TokenKind::Assign),
            ('!', Some(b'=')) => self.take(2, operator(BinaryOp::NotEqual)),
            ('!', _) => return Err(self.bad(start, 1, "unexpected character after '!':")),
            ('<', Some(b'=')) => self.take(2, operator(BinaryOp::LessOrEqual)),
            ('<', Some(b'/')) => self.take(2, operator(BinaryOp::TrimUpper)),
            ('<', _) => self.take(1, operator(BinaryOp::Less)),
            ('>', Some(b'=')) => self.take(2, operator(BinaryOp::GreaterOrEqual)),
            ('>', Some(b'/')) => self.take(2, operator(BinaryOp::TrimLower)),
            ('>', _) => self.take(1, operator(BinaryOp::Greater)),
            _ => return Err(self.bad(start, 0, "unexpected character:")),
        })
    }

    fn word(&mut self, start: usize, first: char) -> Parse<TokenKind> {
        if self.in_brackets && first == ':' {
            return Ok(self.take(1, TokenKind::Colon));
        }
        let colons = !self.in_brackets;
        self.skip_while(|b| is_name_byte(b) || (b == b':' && colons));
        let word = self.text.get(start..self.at).unwrap_or("");
        let kind = token::keyword(word);
        if self.in_brackets {
            return match kind {
                Some(TokenKind::Keyword(
                    Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf,
                )) => Ok(kind.unwrap_or(TokenKind::Identifier)),
                _ => Err(self.bad(start, 0, "unexpected character in duration expression:")),
            };
        }
        Ok(match kind {
            Some(TokenKind::Keyword(keyword)) if keyword.needs_paren() && !self.paren_follows() => {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        })
    }

    fn number_or_duration(&mut self, start: usize) -> Parse<TokenKind> {
        let rest = self.text.get(start..).unwrap_or("");
        let (kind, length) = match scan_number(rest) {
            Some(length) => (TokenKind::Number, length),
            None => match duration::scan_duration(rest) {
                Some(length) => (TokenKind::Duration, length),
                None => {
                    let length = rest.bytes().take_while(|b| is_name_byte(*b) || *b == b'.').count();
                    let span = Span::of(start, start + length);
                    let found = span.slice(self.text).into();
                    return Err(ParseError::new(self.text, span, ParseErrorKind::BadNumber { found }));
                }
            },
        };
        self.at = start + length;
        Ok(kind)
    }

    fn string(&mut self, start: usize) -> Parse<TokenKind> {
        let rest = self.text.get(start..).unwrap_or("");
        match scan_string(rest) {
            Ok(length) => {
                self.at = start + length;
                Ok(TokenKind::String)
            }
            Err(rule) => {
                let span = Span::of(start, self.text.len());
                Err(ParseError::new(self.text, span, ParseErrorKind::Rule { rule }))
            }
        }
    }

    /// An error about the character at `index` from `start`.
    fn bad(&self, start: usize, index: usize, rule: &'static str) -> Box<ParseError> {
        let rest = self.text.get(start..).unwrap_or("");
        let (offset, found) = rest.char_indices().nth(index).unwrap_or((rest.len(), '\0'));
        // What is missed behind the end has no place in the text.
        let end = (start + offset + found.len_utf8()).min(self.text.len());
        let span = Span::of(start, end);
        ParseError::new(self.text, span, ParseErrorKind::BadCharacter { rule, found })
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn take(&mut self, length: usize, kind: TokenKind) -> TokenKind {
        self.at += length;
        kind
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        self.at += rest.iter().take_while(|b| wanted(**b)).count();
    }

    fn skip_blanks(&mut self) {
        loop {
            self.skip_while(is_blank);
            if self.byte(0) != Some(b'#') {
                return;
            }
            self.skip_while(|b| b != b'\n' && b != b'\r');
        }
    }

    fn paren_follows(&self) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        rest.iter().find(|b| !is_blank(**b)) == Some(&b'(')
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests;
