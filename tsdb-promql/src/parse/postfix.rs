//! What stands behind an operand: windows, subqueries, `offset`, `@`, `anchored` and `smoothed`.

use super::{Parsed, Parser};
use crate::ast::{At, DurationValue, Expr, MatrixSelector, Modifiers, RangeExtension, Subquery};
use crate::error::{Parse, ParseErrorKind};
use crate::lex::{Keyword, TokenKind};
use crate::span::Span;

const WINDOW: &str = "subquery or range selector";
const WINDOW_START: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    pub(super) fn postfix(&mut self, operand: Parsed<Expr>) -> Parse<Parsed<Expr>> {
        let mut operand = operand;
        loop {
            match self.current.kind {
                TokenKind::LeftBracket => operand = self.window(operand)?,
                TokenKind::At => self.at(&mut operand.node)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(&mut operand.node)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.extension(&mut operand.node, RangeExtension::Anchored)?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.extension(&mut operand.node, RangeExtension::Smoothed)?;
                }
                _ => return Ok(operand),
            }
        }
    }

    fn window(&mut self, operand: Parsed<Expr>) -> Parse<Parsed<Expr>> {
        let open = self.advance()?;
        let range = self.positive_duration(WINDOW, WINDOW_START)?;
        match self.current.kind {
            TokenKind::RightBracket => self.matrix(operand, range, open.span),
            TokenKind::Colon => self.subquery(operand, range),
            _ => Err(self.unexpected("subquery or range", "\":\" or \"]\"")),
        }
    }

    fn matrix(&mut self, operand: Parsed<Expr>, range: DurationValue, open: Span) -> Parse<Parsed<Expr>> {
        self.advance()?;
        let brackets = self.span_from(open);
        let Expr::Vector(selector) = *operand.node else {
            return Err(self.rule(brackets, "ranges only allowed for vector selectors"));
        };
        if !selector.modifiers.offset.is_zero() {
            return Err(self.rule(brackets, "no offset modifiers allowed before range"));
        }
        if selector.modifiers.at.is_some() {
            return Err(self.rule(brackets, "no @ modifiers allowed before range"));
        }
        let span = self.span_from(selector.span);
        self.node(Expr::Matrix(MatrixSelector { selector, range, span }), operand.height, span)
    }

    fn subquery(&mut self, operand: Parsed<Expr>, range: DurationValue) -> Parse<Parsed<Expr>> {
        self.advance()?;
        let step = match self.current.kind {
            TokenKind::RightBracket => None,
            _ => Some(
                self.positive_duration("subquery selector", "number, duration, step(), range(), or \"]\"")?,
            ),
        };
        self.expect(TokenKind::RightBracket, "subquery selector", "\"]\"")?;
        let span = self.span_from(operand.node.span());
        let modifiers = Modifiers::default();
        let subquery = Subquery { expr: operand.node, range, step, modifiers, span };
        self.node(Expr::Subquery(subquery), operand.height, span)
    }

    fn offset(&mut self, target: &mut Expr) -> Parse<()> {
        self.advance()?;
        let offset = self.offset_duration()?;
        let span = target.span();
        let Some((modifiers, end)) = modifiers_of(target) else {
            return Err(self.rule(
                span,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a \
                 subquery",
            ));
        };
        if !modifiers.offset.is_zero() {
            return Err(self.rule(span, "offset may not be set multiple times"));
        }
        modifiers.offset = offset;
        *end = self.previous_end;
        Ok(())
    }

    fn at(&mut self, target: &mut Expr) -> Parse<()> {
        self.advance()?;
        let span = target.span();
        let at = self.at_time(span)?;
        let Some((modifiers, end)) = modifiers_of(target) else {
            return Err(self.rule(
                span,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        if modifiers.at.is_some() {
            return Err(self.rule(span, "@ <timestamp> may not be set multiple times"));
        }
        modifiers.at = Some(at);
        *end = self.previous_end;
        Ok(())
    }

    fn at_time(&mut self, target: Span) -> Parse<At> {
        let preprocessor = match self.current.kind {
            TokenKind::Keyword(Keyword::Start) => Some(At::Start),
            TokenKind::Keyword(Keyword::End) => Some(At::End),
            _ => None,
        };
        if let Some(at) = preprocessor {
            self.advance()?;
            self.expect(TokenKind::LeftParen, "@", "timestamp")?;
            self.expect(TokenKind::RightParen, "@", "timestamp")?;
            return Ok(at);
        }
        let negative = self.take_sign()?.is_some_and(|(sign, _)| sign == crate::ast::BinaryOp::Sub);
        if !matches!(self.current.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("@", "timestamp"));
        }
        let seconds = self.number_or_duration()?.value;
        let seconds = if negative { -seconds } else { seconds };
        let millis = (seconds * 1000.0).round();
        if !seconds.is_finite() || millis.abs() >= i64::MAX as f64 {
            let found = crate::ast::format_number(seconds);
            return Err(self.error(target, ParseErrorKind::Timestamp { found }));
        }
        Ok(At::Time(millis as i64))
    }

    fn extension(&mut self, target: &mut Expr, extension: RangeExtension) -> Parse<()> {
        self.advance()?;
        let span = target.span();
        let anchored = extension == RangeExtension::Anchored;
        let pick = |if_anchored, if_smoothed| if anchored { if_anchored } else { if_smoothed };
        if !self.options.extended_range_selectors {
            return Err(self.rule(
                span,
                pick(
                    "anchored modifier is experimental and not enabled",
                    "smoothed modifier is experimental and not enabled",
                ),
            ));
        }
        let (place, end) = match target {
            Expr::Vector(vector) => (&mut vector.extension, &mut vector.span.end),
            Expr::Matrix(matrix) => (&mut matrix.selector.extension, &mut matrix.span.end),
            Expr::Subquery(_) => {
                return Err(self.rule(
                    span,
                    pick(
                        "anchored modifier is not supported for subqueries",
                        "smoothed modifier is not supported for subqueries",
                    ),
                ));
            }
            _ => {
                return Err(self.rule(
                    span,
                    pick("anchored modifier not implemented", "smoothed modifier not implemented"),
                ));
            }
        };
        if place.is_some_and(|set| set != extension) {
            return Err(self.rule(span, "anchored and smoothed modifiers cannot be used together"));
        }
        *place = Some(extension);
        *end = self.previous_end;
        Ok(())
    }
}

/// The modifiers of a selector or subquery, and the end of its span; `None` for other expressions.
fn modifiers_of(target: &mut Expr) -> Option<(&mut Modifiers, &mut u32)> {
    match target {
        Expr::Vector(vector) => Some((&mut vector.modifiers, &mut vector.span.end)),
        Expr::Matrix(matrix) => Some((&mut matrix.selector.modifiers, &mut matrix.span.end)),
        Expr::Subquery(subquery) => Some((&mut subquery.modifiers, &mut subquery.span.end)),
        _ => None,
    }
}
