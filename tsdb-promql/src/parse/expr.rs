//! Operators by precedence, signs, literals and parentheses.

use super::{Height, Parsed, Parser};
use crate::ast::{Binary, BinaryOp, Expr, NumberLiteral, Paren, StringLiteral, Unary, UnaryOp};
use crate::error::{Parse, ParseErrorKind};
use crate::lex::{Keyword, Token, TokenKind, duration_seconds, number_value, unquote};
use crate::span::Span;

/// A sign binds as `*` does: only `^` and what stands behind an operand bind tighter.
const SIGN_PRECEDENCE: u8 = BinaryOp::Mul.precedence() + 1;

impl Parser<'_> {
    /// An expression whose operators bind at least as tightly as `min`.
    pub(super) fn expr(&mut self, min: u8) -> Parse<Parsed<Expr>> {
        let mut lhs = self.operand()?;
        while let TokenKind::Operator(op) = self.current.kind {
            if op.precedence() < min {
                break;
            }
            lhs = self.binary(lhs, op)?;
        }
        Ok(lhs)
    }

    fn binary(&mut self, lhs: Parsed<Expr>, op: BinaryOp) -> Parse<Parsed<Expr>> {
        self.advance()?;
        let (return_bool, matching) = self.binary_modifiers()?;
        let rhs_min = if op.is_right_associative() { op.precedence() } else { op.precedence() + 1 };
        let rhs = self.nested(|parser| parser.expr(rhs_min))?;
        let span = lhs.node.span().to(rhs.node.span());
        let (left, right) = (lhs.height, rhs.height);
        let (lhs, rhs, matching) = (lhs.node, rhs.node, Some(matching));
        let binary = Binary { op, lhs, rhs, return_bool, matching, span };
        self.link(Expr::Binary(binary), left, right, span)
    }

    /// An operand with its sign and with all that stands behind it.
    fn operand(&mut self) -> Parse<Parsed<Expr>> {
        match self.take_sign()? {
            Some((sign, span)) => self.nested(|parser| parser.signed(sign, span)),
            None => {
                let primary = self.primary()?;
                self.postfix(primary)
            }
        }
    }

    fn signed(&mut self, sign: BinaryOp, start: Span) -> Parse<Parsed<Expr>> {
        let mut operand = self.expr(SIGN_PRECEDENCE)?;
        let span = start.to(operand.node.span());
        let negative = sign == BinaryOp::Sub;
        if let Expr::Number(number) = &mut *operand.node {
            number.value = if negative { -number.value } else { number.value };
            number.span = span;
            return Ok(operand);
        }
        let op = if negative { UnaryOp::Minus } else { UnaryOp::Plus };
        let unary = Unary { op, expr: operand.node, span };
        self.node(Expr::Unary(unary), operand.height, span)
    }

    fn primary(&mut self) -> Parse<Parsed<Expr>> {
        match self.current.kind {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.number_or_duration()?;
                let span = number.span;
                self.node(Expr::Number(number), Height::default(), span)
            }
            TokenKind::String => self.string(),
            TokenKind::LeftParen => self.nested(Self::paren),
            TokenKind::LeftBrace => self.selector(None),
            TokenKind::Identifier => self.call_or_selector(),
            TokenKind::Aggregate(op) => self.aggregate_or_selector(op),
            TokenKind::Keyword(keyword) if keyword.is_function() => self.call_or_selector(),
            TokenKind::Keyword(keyword) if keyword.may_be_metric() => self.named_selector(),
            TokenKind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
            | TokenKind::MetricIdentifier => self.named_selector(),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn paren(&mut self) -> Parse<Parsed<Expr>> {
        let open = self.advance()?;
        let inner = self.expr(0)?;
        self.expect(TokenKind::RightParen, "", "")?;
        let span = self.span_from(open.span);
        self.node(Expr::Paren(Paren { expr: inner.node, span }), inner.height, span)
    }

    fn string(&mut self) -> Parse<Parsed<Expr>> {
        let token = self.advance()?;
        let value = self.unquoted(token)?.into();
        self.node(Expr::String(StringLiteral { value, span: token.span }), Height::default(), token.span)
    }

    fn call_or_selector(&mut self) -> Parse<Parsed<Expr>> {
        let name = self.advance()?;
        match self.current.kind {
            TokenKind::LeftParen => self.nested(|parser| parser.call(name)),
            _ => self.selector(Some(name)),
        }
    }

    fn named_selector(&mut self) -> Parse<Parsed<Expr>> {
        let name = self.advance()?;
        self.selector(Some(name))
    }

    /// A number or a duration without sign; the current token is one of them.
    pub(super) fn number_or_duration(&mut self) -> Parse<NumberLiteral> {
        let token = self.advance()?;
        let duration = token.kind == TokenKind::Duration;
        let text = self.written(token);
        let value = if duration { duration_seconds(text) } else { number_value(text) };
        let Some(value) = value else {
            let found = text.into();
            let kind =
                if duration { ParseErrorKind::Duration { found } } else { ParseErrorKind::Number { found } };
            return Err(self.error(token.span, kind));
        };
        Ok(NumberLiteral { value, duration, span: token.span })
    }

    /// Bytes of a string token.
    pub(super) fn unquoted(&self, token: Token) -> Parse<Vec<u8>> {
        unquote(self.written(token)).map_err(|rule| self.rule(token.span, rule))
    }

    /// Text of a string token that must be UTF-8.
    pub(super) fn unquoted_utf8(&self, token: Token) -> Parse<String> {
        let bytes = self.unquoted(token)?;
        String::from_utf8(bytes).map_err(|_| self.rule(token.span, "names and patterns must be valid UTF-8"))
    }

    /// Is the current token `keyword`?
    pub(super) fn at_keyword(&self, keyword: Keyword) -> bool {
        self.current.kind == TokenKind::Keyword(keyword)
    }
}
