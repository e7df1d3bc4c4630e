//! Tokens to tree: a Pratt parser with one token of lookahead.
//!
//! It recurses into nested constructs only, counts how deep, and stops at the limits of [`ParseOptions`]; a tree
//! that grows to the left (`1 + 1 + 1 ...`) grows in a loop and has a limit of its own, which may be higher since
//! all stages walk along such chains without recursion or on a stack that fits. It checks the grammar; whether types fit is the matter of [`check`](crate::check).
//!
//! | file | constructs |
//! |---|---|
//! | `expr` | operators by precedence, signs, literals, parentheses |
//! | `selector` | names, matchers |
//! | `postfix` | windows, subqueries, `offset`, `@`, `anchored`, `smoothed` |
//! | `duration` | arithmetic over durations |
//! | `binary` | `bool`, `on`, `group_left`, `fill` |
//! | `aggregate`, `call` | aggregations, grouping labels, function calls |

mod aggregate;
mod binary;
mod call;
mod duration;
mod expr;
mod options;
mod postfix;
mod selector;

pub use options::ParseOptions;
#[cfg(any(test, feature = "testing"))]
pub(crate) use selector::parse_metric;
pub(crate) use selector::parse_selector;

use crate::ast::{BinaryOp, Expr};
use crate::error::{Parse, ParseError, ParseErrorKind};
use crate::lex::{Lexer, Token, TokenKind};
use crate::span::Span;

/// Parses `text` by the grammar alone.
pub(crate) fn parse_syntax(text: &str, options: &ParseOptions) -> Parse<Expr> {
    let mut parser = Parser::new(text, options)?;
    if parser.current.kind == TokenKind::End {
        return Err(parser.error(Span::default(), ParseErrorKind::Empty));
    }
    let parsed = parser.expr(0)?;
    parser.expect(TokenKind::End, "", "")?;
    Ok(*parsed.node)
}

/// A node and the measure of its tree.
#[derive(Debug)]
struct Parsed<T> {
    node: Box<T>,
    height: Height,
}

/// How tall a tree is.
#[derive(Debug, Clone, Copy, Default)]
struct Height {
    /// Levels.
    levels: usize,
    /// Levels without those that only carry a chain of operators on.
    nested: usize,
}

impl Height {
    fn max(self, other: Self) -> Self {
        Self { levels: self.levels.max(other.levels), nested: self.nested.max(other.nested) }
    }

    const fn above(self) -> Self {
        Self { levels: self.levels + 1, nested: self.nested + 1 }
    }
}

#[derive(Debug)]
struct Parser<'a> {
    text: &'a str,
    options: &'a ParseOptions,
    lexer: Lexer<'a>,
    current: Token,
    /// End of the token before `current`.
    previous_end: u32,
    /// Nested constructs around `current`.
    depth: usize,
    /// Of those, aggregations: errors say so.
    aggregations: usize,
    nodes: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: &'a ParseOptions) -> Parse<Self> {
        if text.len() > options.max_length_bytes {
            let kind = ParseErrorKind::Limit { what: "length in bytes", allowed: options.max_length_bytes };
            return Err(ParseError::new(text, Span::default(), kind));
        }
        let mut lexer = Lexer::new(text);
        let current = lexer.next()?;
        Ok(Self { text, options, lexer, current, previous_end: 0, depth: 0, aggregations: 0, nodes: 0 })
    }

    /// Takes the current token and reads the next.
    fn advance(&mut self) -> Parse<Token> {
        let taken = self.current;
        self.previous_end = taken.span.end;
        self.current = self.lexer.next()?;
        Ok(taken)
    }

    /// Takes the current token if it is of `kind`.
    fn take(&mut self, kind: TokenKind) -> Parse<Option<Token>> {
        if self.current.kind == kind { self.advance().map(Some) } else { Ok(None) }
    }

    /// Takes the current token, which must be of `kind`.
    fn expect(&mut self, kind: TokenKind, context: &'static str, expected: &'static str) -> Parse<Token> {
        if self.current.kind == kind { self.advance() } else { Err(self.unexpected(context, expected)) }
    }

    /// Text of a token.
    fn written(&self, token: Token) -> &'a str {
        token.span.slice(self.text)
    }

    /// From the beginning of `start` to the end of the token before the current one.
    fn span_from(&self, start: Span) -> Span {
        Span::new(start.start, self.previous_end)
    }

    fn error(&self, span: Span, kind: ParseErrorKind) -> Box<ParseError> {
        ParseError::new(self.text, span, kind)
    }

    fn rule(&self, span: Span, rule: &'static str) -> Box<ParseError> {
        self.error(span, ParseErrorKind::Rule { rule })
    }

    /// The current token does not fit.
    fn unexpected(&self, context: &'static str, expected: &'static str) -> Box<ParseError> {
        let context = match context {
            "" if self.aggregations > 0 => "aggregation",
            other => other,
        };
        let found = self.current.describe(self.text);
        self.error(self.current.span, ParseErrorKind::Unexpected { found, context, expected })
    }

    /// Parses something nested, one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth >= self.options.max_depth {
            return Err(self.limit("depth", self.options.max_depth, self.current.span));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// A node over children of at most the height `below`, counted against the limits.
    fn node<T>(&mut self, node: T, below: Height, span: Span) -> Parse<Parsed<T>> {
        self.measured(node, below.above(), span)
    }

    /// A binary operator, which carries on the chain to its left.
    fn link(&mut self, node: Expr, lhs: Height, rhs: Height, span: Span) -> Parse<Parsed<Expr>> {
        let levels = lhs.levels.max(rhs.levels) + 1;
        self.measured(node, Height { levels, nested: lhs.nested.max(rhs.nested + 1) }, span)
    }

    fn measured<T>(&mut self, node: T, height: Height, span: Span) -> Parse<Parsed<T>> {
        self.nodes += 1;
        if self.nodes > self.options.max_nodes {
            return Err(self.limit("expressions", self.options.max_nodes, span));
        }
        if height.nested > self.options.max_depth {
            return Err(self.limit("depth", self.options.max_depth, span));
        }
        if height.levels > self.options.max_height {
            return Err(self.limit("height", self.options.max_height, span));
        }
        Ok(Parsed { node: Box::new(node), height })
    }

    fn limit(&self, what: &'static str, allowed: usize, span: Span) -> Box<ParseError> {
        self.error(span, ParseErrorKind::Limit { what, allowed })
    }

    /// Is the current token a sign? Takes it.
    fn take_sign(&mut self) -> Parse<Option<(BinaryOp, Span)>> {
        match self.current.kind {
            TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => Ok(Some((op, self.advance()?.span))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
