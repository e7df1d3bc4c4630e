//! Durations in brackets and behind `offset`, with their arithmetic.

use super::{Height, Parsed, Parser};
use crate::ast::{BinaryOp, DurationExpr, DurationOp, DurationValue, literal_millis};
use crate::error::Parse;
use crate::lex::{Keyword, TokenKind};
use crate::span::Span;

const OFFSET: &str = "offset";
const OFFSET_START: &str = "number, duration, step(), or range()";
const SIGN_PRECEDENCE: u8 = BinaryOp::Mul.precedence() + 1;

impl Parser<'_> {
    /// The length of a window or step.
    pub(super) fn positive_duration(
        &mut self,
        context: &'static str,
        expected: &'static str,
    ) -> Parse<DurationValue> {
        let expr = *self.duration_expr(0, context, expected)?.node;
        let span = expr.span();
        match self.duration_value(expr)? {
            DurationValue::Fixed(..=0) => Err(self.rule(span, "duration must be greater than 0")),
            value => Ok(value),
        }
    }

    /// The duration behind `offset`: a signed operand. Arithmetic needs parentheses, because `a offset 5m - b` is
    /// a difference of vectors.
    pub(super) fn offset_duration(&mut self) -> Parse<DurationValue> {
        let expr = match self.take_sign()? {
            Some((sign, start)) => {
                let operand = self.duration_operand(OFFSET, OFFSET_START)?;
                self.signed_duration(sign, start, operand)?
            }
            None => self.duration_operand(OFFSET, OFFSET_START)?,
        };
        self.duration_value(*expr.node)
    }

    fn duration_value(&self, expr: DurationExpr) -> Parse<DurationValue> {
        match expr {
            DurationExpr::Number(number) => match literal_millis(number.value) {
                Some(ms) => Ok(DurationValue::Fixed(ms)),
                None => Err(self.rule(number.span, "duration out of range")),
            },
            expr => Ok(DurationValue::Expr(Box::new(expr))),
        }
    }

    fn duration_expr(
        &mut self,
        min: u8,
        context: &'static str,
        expected: &'static str,
    ) -> Parse<Parsed<DurationExpr>> {
        let mut lhs = match self.take_sign()? {
            Some((sign, start)) => {
                let operand =
                    self.nested(|parser| parser.duration_expr(SIGN_PRECEDENCE, context, expected))?;
                self.signed_duration(sign, start, operand)?
            }
            None => self.duration_operand(context, expected)?,
        };
        while let TokenKind::Operator(written) = self.current.kind {
            let Some(op) = duration_op(written).filter(|_| written.precedence() >= min) else { break };
            let operator = self.advance()?.span;
            self.check_duration_expressions(lhs.node.span())?;
            let rhs_min = written.precedence() + u8::from(!written.is_right_associative());
            let rhs = self.nested(|parser| parser.duration_expr(rhs_min, context, expected))?;
            self.check_divisor(op, &rhs.node, operator)?;
            let span = lhs.node.span().to(rhs.node.span());
            lhs = self.duration_binary(op, lhs, rhs, span)?;
        }
        Ok(lhs)
    }

    fn duration_binary(
        &mut self,
        op: DurationOp,
        lhs: Parsed<DurationExpr>,
        rhs: Parsed<DurationExpr>,
        span: Span,
    ) -> Parse<Parsed<DurationExpr>> {
        let below = lhs.height.max(rhs.height);
        let (lhs, rhs) = (lhs.node, rhs.node);
        self.node(DurationExpr::Binary { op, lhs, rhs, span }, below, span)
    }

    fn signed_duration(
        &mut self,
        sign: BinaryOp,
        start: Span,
        mut operand: Parsed<DurationExpr>,
    ) -> Parse<Parsed<DurationExpr>> {
        let negative = sign == BinaryOp::Sub;
        let span = start.to(operand.node.span());
        if let DurationExpr::Number(number) = &mut *operand.node {
            number.value = if negative { -number.value } else { number.value };
            number.span = span;
            return Ok(operand);
        }
        if !negative {
            return Ok(operand);
        }
        self.node(DurationExpr::Negate { expr: operand.node, span }, operand.height, span)
    }

    fn duration_operand(
        &mut self,
        context: &'static str,
        expected: &'static str,
    ) -> Parse<Parsed<DurationExpr>> {
        match self.current.kind {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.number_or_duration()?;
                let span = number.span;
                if literal_millis(number.value).is_none() {
                    return Err(self.rule(span, "duration out of range"));
                }
                self.node(DurationExpr::Number(number), Height::default(), span)
            }
            TokenKind::Keyword(Keyword::Step | Keyword::Range) => self.duration_of_query(context, expected),
            TokenKind::Keyword(Keyword::MinOf | Keyword::MaxOf) => {
                self.nested(|parser| parser.duration_choice(context, expected))
            }
            TokenKind::LeftParen => self.nested(|parser| parser.duration_paren(context, expected)),
            _ => Err(self.unexpected(context, expected)),
        }
    }

    /// `step()` or `range()`.
    fn duration_of_query(
        &mut self,
        context: &'static str,
        expected: &'static str,
    ) -> Parse<Parsed<DurationExpr>> {
        let name = self.advance()?;
        self.expect(TokenKind::LeftParen, context, expected)?;
        self.expect(TokenKind::RightParen, context, expected)?;
        let span = self.span_from(name.span);
        self.check_duration_expressions(span)?;
        let node = match name.kind {
            TokenKind::Keyword(Keyword::Step) => DurationExpr::Step(span),
            _ => DurationExpr::Range(span),
        };
        self.node(node, Height::default(), span)
    }

    /// `min_of(a, b)` or `max_of(a, b)`.
    fn duration_choice(
        &mut self,
        context: &'static str,
        expected: &'static str,
    ) -> Parse<Parsed<DurationExpr>> {
        let name = self.advance()?;
        self.expect(TokenKind::LeftParen, context, expected)?;
        let lhs = self.duration_expr(0, context, expected)?;
        self.expect(TokenKind::Comma, context, expected)?;
        let rhs = self.duration_expr(0, context, expected)?;
        self.expect(TokenKind::RightParen, context, expected)?;
        let span = self.span_from(name.span);
        self.check_duration_expressions(span)?;
        let op = match name.kind {
            TokenKind::Keyword(Keyword::MinOf) => DurationOp::Min,
            _ => DurationOp::Max,
        };
        self.duration_binary(op, lhs, rhs, span)
    }

    fn duration_paren(
        &mut self,
        context: &'static str,
        expected: &'static str,
    ) -> Parse<Parsed<DurationExpr>> {
        let open = self.advance()?;
        let inner = self.duration_expr(0, context, expected)?;
        self.expect(TokenKind::RightParen, context, expected)?;
        self.check_duration_expressions(inner.node.span())?;
        let span = self.span_from(open.span);
        self.node(DurationExpr::Paren { expr: inner.node, span }, inner.height, span)
    }

    fn check_duration_expressions(&self, span: Span) -> Parse<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.rule(span, "experimental duration expression is not enabled"))
    }

    fn check_divisor(&self, op: DurationOp, divisor: &DurationExpr, operator: Span) -> Parse<()> {
        let zero = matches!(divisor, DurationExpr::Number(number) if number.value == 0.0);
        match op {
            DurationOp::Div if zero => Err(self.rule(operator, "division by zero")),
            DurationOp::Mod if zero => Err(self.rule(operator, "modulo by zero")),
            _ => Ok(()),
        }
    }
}

fn duration_op(op: BinaryOp) -> Option<DurationOp> {
    match op {
        BinaryOp::Add => Some(DurationOp::Add),
        BinaryOp::Sub => Some(DurationOp::Sub),
        BinaryOp::Mul => Some(DurationOp::Mul),
        BinaryOp::Div => Some(DurationOp::Div),
        BinaryOp::Mod => Some(DurationOp::Mod),
        BinaryOp::Pow => Some(DurationOp::Pow),
        _ => None,
    }
}
