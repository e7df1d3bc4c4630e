//! Tokens and how error messages name them.

use crate::operator::{AggregateOp, BinaryOp};
use crate::quote::quote;
use crate::span::Span;

/// A token: its kind and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// End of the text.
    End,
    /// A name without colon that is no keyword. Inside braces, every name.
    Identifier,
    /// A name with a colon.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    /// `=~`
    RegexMatch,
    /// `!~`
    RegexNotMatch,
    At,
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

/// Words with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Keyword {
    const ALL: [(&'static str, Self); 19] = [
        ("offset", Self::Offset),
        ("smoothed", Self::Smoothed),
        ("anchored", Self::Anchored),
        ("by", Self::By),
        ("without", Self::Without),
        ("on", Self::On),
        ("ignoring", Self::Ignoring),
        ("group_left", Self::GroupLeft),
        ("group_right", Self::GroupRight),
        ("fill", Self::Fill),
        ("fill_left", Self::FillLeft),
        ("fill_right", Self::FillRight),
        ("bool", Self::Bool),
        ("start", Self::Start),
        ("end", Self::End),
        ("step", Self::Step),
        ("range", Self::Range),
        ("max_of", Self::MaxOf),
        ("min_of", Self::MinOf),
    ];

    /// Is it the name of a function if an opening parenthesis follows?
    pub(crate) const fn is_function(self) -> bool {
        matches!(self, Self::Start | Self::End | Self::Step | Self::Range | Self::MaxOf | Self::MinOf)
    }

    /// May a metric have this name?
    pub(crate) const fn may_be_metric(self) -> bool {
        !matches!(self, Self::Bool | Self::On | Self::Ignoring | Self::GroupLeft | Self::GroupRight)
    }

    /// Is it only a keyword before an opening parenthesis, and an identifier elsewhere?
    pub(crate) const fn needs_paren(self) -> bool {
        matches!(self, Self::Fill | Self::FillLeft | Self::FillRight)
    }
}

/// The meaning of `word`, compared without case.
pub(crate) fn keyword(word: &str) -> Option<TokenKind> {
    let is = |name: &str| name.eq_ignore_ascii_case(word);
    if is("inf") || is("nan") {
        return Some(TokenKind::Number);
    }
    let named = [BinaryOp::And, BinaryOp::Or, BinaryOp::Unless, BinaryOp::Atan2];
    let operator = || named.into_iter().find(|op| is(op.symbol())).map(TokenKind::Operator);
    let aggregate = || AggregateOp::ALL.into_iter().find(|op| is(op.name())).map(TokenKind::Aggregate);
    let other = || Keyword::ALL.into_iter().find(|(name, _)| is(name)).map(|(_, k)| TokenKind::Keyword(k));
    aggregate().or_else(other).or_else(operator)
}

impl Token {
    /// The token as error messages name it.
    pub(crate) fn describe(self, text: &str) -> String {
        let written = self.span.slice(text);
        let quoted = quote(written.as_bytes());
        match self.kind {
            TokenKind::End => "end of input".into(),
            TokenKind::Identifier => format!("identifier {quoted}"),
            TokenKind::MetricIdentifier => format!("metric identifier {quoted}"),
            TokenKind::Number => format!("number {}", abbreviate(written)),
            TokenKind::Duration => format!("duration {}", abbreviate(written)),
            TokenKind::String => format!("string {}", abbreviate(written)),
            TokenKind::Operator(_) | TokenKind::At | TokenKind::RegexMatch | TokenKind::RegexNotMatch => {
                format!("<op:{written}>")
            }
            TokenKind::Aggregate(_) => format!("<aggr:{written}>"),
            TokenKind::Keyword(keyword) if !keyword.is_function() => format!("<{written}>"),
            _ => quoted,
        }
    }
}

/// `written` in quotes, all beyond ten characters cut off.
fn abbreviate(written: &str) -> String {
    if written.len() <= 10 {
        return quote(written.as_bytes());
    }
    let head: String = written.chars().take(10).collect();
    format!("{}...", quote(head.as_bytes()))
}
