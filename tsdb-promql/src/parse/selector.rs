//! Names and matchers of selectors, and label sets.

use super::{Height, ParseOptions, Parsed, Parser};
use crate::ast::{Expr, Modifiers, VectorSelector};
use crate::error::{Parse, ParseErrorKind};
use crate::lex::{Token, TokenKind};
use crate::span::Span;
use tsdb_core::{METRIC_NAME, MatchOp, Matcher};

const CONTEXT: &str = "label matching";

/// Parses a selector without modifiers, such as `foo{a="b"}`, to its matchers.
pub(crate) fn parse_selector(text: &str, options: &ParseOptions) -> Parse<Vec<Matcher>> {
    let mut parser = Parser::new(text, options)?;
    let name = match parser.current.kind {
        TokenKind::LeftBrace => None,
        _ => Some(parser.metric_name("")?),
    };
    let parsed = parser.selector(name)?;
    parser.expect(TokenKind::End, "", "")?;
    match *parsed.node {
        Expr::Vector(selector) => Ok(selector.matchers),
        _ => Ok(Vec::new()),
    }
}

/// Parses the label set at the beginning of `text`, such as `foo{a="b"}`, to its pairs in the order they are written.
/// The second value is the length of its text.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn parse_metric(text: &str, options: &ParseOptions) -> Parse<(Vec<(String, String)>, usize)> {
    // What follows the label set is another language: it must not reach the lexer.
    let name_length =
        text.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':')).count();
    let length = if text.as_bytes().get(name_length) == Some(&b'{') {
        braces_end(text, name_length)
    } else {
        name_length
    };
    let mut parser = Parser::new(text.get(..length).unwrap_or(text), options)?;
    let mut pairs = Vec::new();
    if parser.current.kind != TokenKind::LeftBrace {
        let name = parser.metric_name("")?;
        pairs.push((METRIC_NAME.into(), parser.written(name).into()));
    }
    if parser.take(TokenKind::LeftBrace)?.is_some() {
        parser.label_set(&mut pairs)?;
    }
    parser.expect(TokenKind::End, "", "")?;
    Ok((pairs, length))
}

/// Offset behind the brace that closes the one at `open`; the end of the text if there is none.
#[cfg(any(test, feature = "testing"))]
fn braces_end(text: &str, open: usize) -> usize {
    let mut at = open;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' | b'\'' | b'`' => {
                let rest = text.get(at..).unwrap_or("");
                at += crate::lex::scan_string(rest).unwrap_or(rest.len());
            }
            b'}' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

impl Parser<'_> {
    /// Takes the current token as the name of a metric.
    fn metric_name(&mut self, context: &'static str) -> Parse<Token> {
        let fits = match self.current.kind {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
            TokenKind::Keyword(keyword) => keyword.may_be_metric(),
            TokenKind::Operator(op) => op.is_set(),
            _ => false,
        };
        if fits { self.advance() } else { Err(self.unexpected(context, "")) }
    }

    /// The rest of a selector behind its name, or a selector without name.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Parse<Parsed<Expr>> {
        let start = name.unwrap_or(self.current).span;
        let mut matchers = Vec::new();
        if self.take(TokenKind::LeftBrace)?.is_some() {
            self.matchers(&mut matchers)?;
        }
        let name = name.map(|token| self.written(token).to_owned());
        if let Some(name) = &name {
            matchers.push(self.matcher(MatchOp::Equal, METRIC_NAME, name, start)?);
        }
        let span = self.span_from(start);
        let modifiers = Modifiers::default();
        let selector = VectorSelector { name, matchers, modifiers, extension: None, span };
        self.node(Expr::Vector(selector), Height::default(), span)
    }

    /// Matchers up to and with the closing brace.
    fn matchers(&mut self, into: &mut Vec<Matcher>) -> Parse<()> {
        while self.current.kind != TokenKind::RightBrace {
            into.push(self.label_matcher()?);
            self.nodes += 1;
            if self.take(TokenKind::Comma)?.is_none() {
                break;
            }
        }
        self.expect(TokenKind::RightBrace, CONTEXT, "\",\" or \"}\"").map(drop)
    }

    fn label_matcher(&mut self) -> Parse<Matcher> {
        let name = match self.current.kind {
            TokenKind::Identifier | TokenKind::String => self.advance()?,
            _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
        };
        let quoted = name.kind == TokenKind::String;
        let Some(op) = self.match_op()? else {
            if !quoted {
                return Err(self.unexpected(CONTEXT, "label matching operator"));
            }
            let value = self.unquoted_utf8(name)?;
            return self.matcher(MatchOp::Equal, METRIC_NAME, &value, name.span);
        };
        let value = self.expect(TokenKind::String, CONTEXT, "string")?;
        let label = if quoted { self.unquoted_utf8(name)? } else { self.written(name).to_owned() };
        let text = self.unquoted_utf8(value)?;
        self.matcher(op, &label, &text, name.span.to(value.span))
    }

    fn match_op(&mut self) -> Parse<Option<MatchOp>> {
        let op = match self.current.kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Operator(crate::ast::BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::RegexMatch => MatchOp::Regex,
            TokenKind::RegexNotMatch => MatchOp::NotRegex,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(op))
    }

    fn matcher(&self, op: MatchOp, name: &str, value: &str, span: Span) -> Parse<Matcher> {
        Matcher::new(op, name, value)
            .map_err(|error| self.error(span, ParseErrorKind::Matcher { message: error.to_string() }))
    }

    /// Labels up to and with the closing brace.
    #[cfg(any(test, feature = "testing"))]
    fn label_set(&mut self, into: &mut Vec<(String, String)>) -> Parse<()> {
        while self.current.kind != TokenKind::RightBrace {
            let pair = self.label()?;
            if into.iter().any(|(name, _)| *name == pair.0) {
                let span = self.current.span;
                return Err(self.error(span, ParseErrorKind::LabelTwice { label: pair.0 }));
            }
            into.push(pair);
            if self.take(TokenKind::Comma)?.is_none() {
                break;
            }
        }
        self.expect(TokenKind::RightBrace, "label set", "\",\" or \"}\"").map(drop)
    }

    #[cfg(any(test, feature = "testing"))]
    fn label(&mut self) -> Parse<(String, String)> {
        let name = match self.current.kind {
            TokenKind::Identifier | TokenKind::String => self.advance()?,
            _ => return Err(self.unexpected("label set", "identifier or \"}\"")),
        };
        if name.kind == TokenKind::String {
            let text = self.unquoted_utf8(name)?;
            if self.take(TokenKind::Assign)?.is_none() {
                return Ok((METRIC_NAME.into(), text));
            }
            let value = self.expect(TokenKind::String, "label set", "string")?;
            return Ok((text, self.unquoted_utf8(value)?));
        }
        self.expect(TokenKind::Assign, "label set", "\"=\"")?;
        let value = self.expect(TokenKind::String, "label set", "string")?;
        Ok((self.written(name).into(), self.unquoted_utf8(value)?))
    }
}
