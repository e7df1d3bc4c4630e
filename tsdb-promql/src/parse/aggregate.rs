//! Aggregations and lists of grouping labels.

use super::{Parsed, Parser};
use crate::ast::{Aggregate, AggregateOp, Expr, Grouping};
use crate::error::{Parse, ParseErrorKind};
use crate::lex::{Keyword, Token, TokenKind};

const GROUPING: &str = "grouping opts";

impl Parser<'_> {
    /// An aggregation, or a metric with the name of one.
    pub(super) fn aggregate_or_selector(&mut self, op: AggregateOp) -> Parse<Parsed<Expr>> {
        let name = self.advance()?;
        match self.current.kind {
            TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                self.aggregations += 1;
                let aggregate = self.nested(|parser| parser.aggregate(name, op));
                self.aggregations -= 1;
                aggregate
            }
            kind if follows_operand(kind) => self.selector(Some(name)),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn aggregate(&mut self, name: Token, op: AggregateOp) -> Parse<Parsed<Expr>> {
        let before = self.grouping()?;
        let args = self.arguments()?;
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.grouping()?.unwrap_or_default(),
        };
        let span = self.span_from(name.span);
        let kind = self.aggregate_fault(op, args.node.len());
        if let Some(kind) = kind {
            return Err(self.error(span, kind));
        }
        let (height, mut args) = (args.height, args.node.into_iter());
        let param = if op.takes_parameter() { args.next().map(Box::new) } else { None };
        let Some(expr) = args.next().map(Box::new) else {
            return Err(self.rule(span, "no arguments for aggregate expression provided"));
        };
        self.node(Expr::Aggregate(Aggregate { op, expr, param, grouping, span }), height, span)
    }

    fn aggregate_fault(&self, op: AggregateOp, found: usize) -> Option<ParseErrorKind> {
        let expected = 1 + usize::from(op.takes_parameter());
        if found == 0 {
            return Some(ParseErrorKind::Rule { rule: "no arguments for aggregate expression provided" });
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let feature = "promql-experimental-functions";
            return Some(ParseErrorKind::Experimental { what: format!("{op}()"), feature });
        }
        (found != expected).then_some(ParseErrorKind::AggregateArgumentCount { expected, found })
    }

    fn grouping(&mut self) -> Parse<Option<Grouping>> {
        let without = match self.current.kind {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance()?;
        let labels = self.grouping_labels()?;
        Ok(Some(Grouping { labels, without }))
    }

    /// Labels in parentheses.
    pub(super) fn grouping_labels(&mut self) -> Parse<Vec<String>> {
        self.expect(TokenKind::LeftParen, GROUPING, "\"(\"")?;
        let mut labels = Vec::new();
        while self.current.kind != TokenKind::RightParen {
            labels.push(self.grouping_label()?);
            self.nodes += 1;
            if self.take(TokenKind::Comma)?.is_none() {
                break;
            }
        }
        self.expect(TokenKind::RightParen, GROUPING, "\",\" or \")\"")?;
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Parse<String> {
        match self.current.kind {
            TokenKind::String => {
                let token = self.advance()?;
                let name = self.unquoted_utf8(token)?;
                if name.is_empty() {
                    return Err(self.error(token.span, ParseErrorKind::GroupingLabel { found: name }));
                }
                Ok(name)
            }
            kind if is_word(kind) => {
                let token = self.advance()?;
                Ok(self.written(token).into())
            }
            _ => Err(self.unexpected(GROUPING, "label")),
        }
    }
}

/// Is it written as a word that may name a label?
fn is_word(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::Aggregate(_)
        | TokenKind::Keyword(_) => true,
        TokenKind::Operator(op) => op.is_set() || op == crate::ast::BinaryOp::Atan2,
        _ => false,
    }
}

/// May the token stand behind a complete operand?
fn follows_operand(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::End
            | TokenKind::RightParen
            | TokenKind::Comma
            | TokenKind::LeftBrace
            | TokenKind::LeftBracket
            | TokenKind::At
            | TokenKind::Operator(_)
            | TokenKind::Keyword(Keyword::Offset | Keyword::Anchored | Keyword::Smoothed)
    )
}
