//! Function calls and argument lists.

use super::{Height, Parsed, Parser};
use crate::ast::{Call, Expr};
use crate::error::Parse;
use crate::lex::{Token, TokenKind};

impl Parser<'_> {
    /// The call of `name`; the opening parenthesis is the current token.
    pub(super) fn call(&mut self, name: Token) -> Parse<Parsed<Expr>> {
        let args = self.arguments()?;
        let span = self.span_from(name.span);
        let function = self.written(name).into();
        self.node(Expr::Call(Call { function, args: *args.node, span }), args.height, span)
    }

    /// Expressions in parentheses, with the height of the tallest.
    pub(super) fn arguments(&mut self) -> Parse<Parsed<Vec<Expr>>> {
        self.expect(TokenKind::LeftParen, "", "")?;
        let mut args = Parsed { node: Box::default(), height: Height::default() };
        if self.take(TokenKind::RightParen)?.is_some() {
            return Ok(args);
        }
        loop {
            let arg = self.expr(0)?;
            args.height = args.height.max(arg.height);
            args.node.push(*arg.node);
            let Some(comma) = self.take(TokenKind::Comma)? else { break };
            if self.current.kind == TokenKind::RightParen {
                return Err(self.rule(comma.span, "trailing commas not allowed in function call args"));
            }
        }
        self.expect(TokenKind::RightParen, "", "")?;
        Ok(args)
    }
}
