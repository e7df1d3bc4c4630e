//! What may stand between a binary operator and its right operand: `bool`, matching, grouping and filling.

use super::Parser;
use crate::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::error::Parse;
use crate::lex::{Keyword, TokenKind};
use crate::span::Span;

impl Parser<'_> {
    /// All modifiers: does the operator return bool, and how do series match?
    pub(super) fn binary_modifiers(&mut self) -> Parse<(bool, VectorMatching)> {
        let return_bool = self.take(TokenKind::Keyword(Keyword::Bool))?.is_some();
        let mut matching = VectorMatching::default();
        if self.at_keyword(Keyword::On) || self.at_keyword(Keyword::Ignoring) {
            matching.on = self.at_keyword(Keyword::On);
            self.advance()?;
            matching.labels = self.grouping_labels()?;
            self.group_modifier(&mut matching)?;
        }
        self.fill_modifiers(&mut matching)?;
        Ok((return_bool, matching))
    }

    fn group_modifier(&mut self, matching: &mut VectorMatching) -> Parse<()> {
        matching.cardinality = match self.current.kind {
            TokenKind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
            TokenKind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.advance()?;
        if self.current.kind == TokenKind::LeftParen {
            matching.include = self.grouping_labels()?;
        }
        Ok(())
    }

    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Parse<()> {
        let start = self.current.span;
        let (mut left, mut right) = (None, None);
        match self.current.kind {
            TokenKind::Keyword(Keyword::Fill) => {
                left = Some(self.fill_value()?);
                right = left;
            }
            TokenKind::Keyword(Keyword::FillLeft) => {
                left = Some(self.fill_value()?);
                if self.at_keyword(Keyword::FillRight) {
                    right = Some(self.fill_value()?);
                }
            }
            TokenKind::Keyword(Keyword::FillRight) => {
                right = Some(self.fill_value()?);
                if self.at_keyword(Keyword::FillLeft) {
                    left = Some(self.fill_value()?);
                }
            }
            _ => return Ok(()),
        }
        self.check_fill_modifiers(start)?;
        (matching.fill_left, matching.fill_right) = (left, right);
        Ok(())
    }

    fn check_fill_modifiers(&self, start: Span) -> Parse<()> {
        if self.options.fill_modifiers {
            return Ok(());
        }
        let span = self.span_from(start);
        Err(self.rule(span, "binop fill modifiers are experimental and not enabled"))
    }

    /// The keyword and the signed number in parentheses behind it.
    fn fill_value(&mut self) -> Parse<f64> {
        self.advance()?;
        self.expect(TokenKind::LeftParen, "", "")?;
        let negative = self.take_sign()?.is_some_and(|(sign, _)| sign == BinaryOp::Sub);
        if !matches!(self.current.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("", ""));
        }
        let value = self.number_or_duration()?.value;
        self.expect(TokenKind::RightParen, "", "")?;
        Ok(if negative { -value } else { value })
    }
}
