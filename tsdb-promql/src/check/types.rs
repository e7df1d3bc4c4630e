//! The rules that every node of a tree must satisfy.

use super::{signature, value_type};
use crate::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, ValueType, VectorSelector};
use crate::error::{Parse, ParseError, ParseErrorKind};
use crate::parse::ParseOptions;
use crate::span::Span;
use tsdb_core::METRIC_NAME;

/// Checks a tree and settles how its binary operators match.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) options: &'a ParseOptions,
}

impl Checker<'_> {
    /// Checks `expr` and all below it, in the order the text is written.
    pub(super) fn expr(&self, expr: &mut Expr) -> Parse<()> {
        match expr {
            Expr::Number(_) | Expr::String(_) => Ok(()),
            Expr::Vector(e) => self.selector(e, false),
            Expr::Matrix(e) => self.selector(&e.selector, false),
            Expr::Paren(e) => self.expr(&mut e.expr),
            Expr::Unary(e) => {
                self.expr(&mut e.expr)?;
                let found = value_type(&e.expr);
                self.require(is_operand(found), e.span, || ParseErrorKind::UnaryType {
                    found: found.documented(),
                })
            }
            Expr::Subquery(e) => {
                self.expr(&mut e.expr)?;
                let found = value_type(&e.expr);
                self.require(found == ValueType::Vector, e.span, || ParseErrorKind::SubqueryType {
                    found: found.name(),
                })
            }
            Expr::Aggregate(e) => self.aggregate(e),
            Expr::Binary(e) => self.chain(e),
            Expr::Call(e) => self.call(e),
        }
    }

    fn selector(&self, selector: &VectorSelector, may_be_empty: bool) -> Parse<()> {
        let matchers = &selector.matchers;
        if let Some(name) = &selector.name {
            let others = matchers.split_last().map_or(&[][..], |(_, others)| others);
            let other = others.iter().find(|matcher| matcher.name() == METRIC_NAME);
            return other.map_or(Ok(()), |other| {
                let (first, second) = (name.clone(), other.value().into());
                self.fail(selector.span, ParseErrorKind::NameTwice { first, second })
            });
        }
        let selective = may_be_empty || matchers.iter().any(|matcher| !matcher.matches_empty());
        self.require(selective, selector.span, || ParseErrorKind::Rule {
            rule: "vector selector must contain at least one non-empty matcher",
        })
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Parse<()> {
        self.expr(&mut aggregate.expr)?;
        self.expect_type(&aggregate.expr, ValueType::Vector, || "aggregation expression".into())?;
        let Some(param) = &mut aggregate.param else { return Ok(()) };
        self.expr(param)?;
        let wanted = match aggregate.op {
            AggregateOp::CountValues => ValueType::String,
            _ => ValueType::Scalar,
        };
        self.expect_type(param, wanted, || "aggregation parameter".into())
    }

    fn call(&self, call: &mut Call) -> Parse<()> {
        let name = call.function.as_str();
        let name_span = Span::new(call.span.start, call.span.start.saturating_add(name.len() as u32));
        let Some(signature) = signature(name) else {
            return self.fail(name_span, ParseErrorKind::UnknownFunction { name: name.into() });
        };
        let enabled = self.options.experimental_functions || !signature.experimental;
        self.require(enabled, name_span, || ParseErrorKind::FunctionDisabled { name: name.into() })?;
        self.argument_count(signature, call)?;
        let info = name == "info";
        let context = format!("call to function \"{name}\"");
        for (index, arg) in call.args.iter_mut().enumerate() {
            let wanted = signature.arg(index).unwrap_or(ValueType::Vector);
            if info && index == 1 {
                self.info_selector(arg, &context)?;
                continue;
            }
            self.expr(arg)?;
            self.expect_type(arg, wanted, || context.clone())?;
        }
        Ok(())
    }

    fn argument_count(&self, signature: &super::Signature, call: &Call) -> Parse<()> {
        let (found, min, max) = (call.args.len(), signature.min_args(), signature.max_args());
        let (bound, count) = match max {
            Some(max) if min == max && found != max => ("", max),
            _ if found < min => ("at least ", min),
            Some(max) if found > max => ("at most ", max),
            _ => return Ok(()),
        };
        let name = call.function.clone();
        self.fail(call.span, ParseErrorKind::ArgumentCount { name, bound, count, found })
    }

    /// The second argument of `info` is a selector of labels: no name, and it may select everything.
    fn info_selector(&self, arg: &Expr, context: &str) -> Parse<()> {
        self.expect_type(arg, ValueType::Vector, || context.into())?;
        match arg {
            Expr::Vector(selector) if selector.name.is_none() => self.selector(selector, true),
            Expr::Vector(selector) => self.fail(
                selector.span,
                ParseErrorKind::Rule { rule: "expected label selectors only, got vector selector instead" },
            ),
            other => self.fail(other.span(), ParseErrorKind::Rule { rule: "expected label selectors only" }),
        }
    }

    /// Checks a chain of operators from its first operand on. The chain is taken apart and put together again, so
    /// that its length needs no stack.
    fn chain(&self, top: &mut Binary) -> Parse<()> {
        let mut links = Vec::new();
        let mut below = top.lhs.take();
        while let Expr::Binary(link) = &mut below {
            let next = link.lhs.take();
            links.push(std::mem::replace(&mut below, next));
        }
        let mut checked = self.expr(&mut below);
        for mut expr in links.into_iter().rev() {
            if let Expr::Binary(link) = &mut expr {
                *link.lhs = below;
                checked = checked.and_then(|()| self.binary(link));
            }
            below = expr;
        }
        *top.lhs = below;
        checked?;
        self.binary(top)
    }

    /// Checks an operator whose left operand has been checked.
    fn binary(&self, binary: &mut Binary) -> Parse<()> {
        self.expr(&mut binary.rhs)?;
        let types = (value_type(&binary.lhs), value_type(&binary.rhs));
        self.operator(binary, types)?;
        for (operand, found) in [(&binary.lhs, types.0), (&binary.rhs, types.1)] {
            self.require(is_operand(found), operand.span(), || ParseErrorKind::Rule {
                rule: "binary expression must contain only scalar and instant vector types",
            })?;
        }
        if types == (ValueType::Vector, ValueType::Vector) {
            return self.vector_matching(binary);
        }
        self.scalar_matching(binary)?;
        binary.matching = None;
        Ok(())
    }

    fn operator(&self, binary: &Binary, types: (ValueType, ValueType)) -> Parse<()> {
        let operator = self.operator_span(binary);
        let rule = |rule| move || ParseErrorKind::Rule { rule };
        self.require(
            !binary.return_bool || binary.op.is_comparison(),
            operator,
            rule("bool modifier can only be used on comparison operators"),
        )?;
        let scalars = types == (ValueType::Scalar, ValueType::Scalar);
        self.require(
            binary.return_bool || !binary.op.is_comparison() || !scalars,
            operator,
            rule("comparisons between scalars must use BOOL modifier"),
        )?;
        let Some(matching) = binary.matching.as_ref().filter(|matching| matching.on) else { return Ok(()) };
        match matching.labels.iter().find(|label| matching.include.contains(label)) {
            Some(label) => self.fail(operator, ParseErrorKind::OnAndGroup { label: label.clone() }),
            None => Ok(()),
        }
    }

    /// What an operator with a scalar may not have.
    fn scalar_matching(&self, binary: &Binary) -> Parse<()> {
        let rule = |rule| move || ParseErrorKind::Rule { rule };
        if let Some(matching) = &binary.matching {
            self.require(
                matching.labels.is_empty(),
                binary.span,
                rule("vector matching only allowed between instant vectors"),
            )?;
            self.require(
                matching.fill_left.is_none() && matching.fill_right.is_none(),
                binary.span,
                rule("filling in missing series only allowed between instant vectors"),
            )?;
        }
        let operator = binary.op.symbol();
        self.require(!binary.op.is_set(), binary.span, || ParseErrorKind::SetScalar { operator })
    }

    /// What a set operator may not have.
    fn vector_matching(&self, binary: &mut Binary) -> Parse<()> {
        let Some(matching) = binary.matching.as_mut().filter(|_| binary.op.is_set()) else {
            return Ok(());
        };
        let grouped = matches!(matching.cardinality, Cardinality::OneToMany | Cardinality::ManyToOne);
        let operator = binary.op.symbol();
        self.require(!grouped, binary.span, || ParseErrorKind::SetGrouping { operator })?;
        matching.cardinality = Cardinality::ManyToMany;
        let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
        self.require(!filled, binary.span, || ParseErrorKind::Rule {
            rule: "filling in missing series not allowed for set operators",
        })
    }

    /// The operator and its modifiers: what stands between the operands.
    fn operator_span(&self, binary: &Binary) -> Span {
        let between = Span::new(binary.lhs.span().end, binary.rhs.span().start);
        let written = between.slice(self.text);
        let blank_before = written.len() - written.trim_start().len();
        let blank_after = written.len() - written.trim_end().len();
        Span::of(between.start as usize + blank_before, between.end as usize - blank_after)
    }

    fn expect_type(&self, expr: &Expr, wanted: ValueType, context: impl FnOnce() -> String) -> Parse<()> {
        let found = value_type(expr);
        self.require(found == wanted, expr.span(), || ParseErrorKind::Type {
            expected: wanted.documented(),
            context: context(),
            found: found.documented(),
        })
    }

    fn require(&self, satisfied: bool, span: Span, kind: impl FnOnce() -> ParseErrorKind) -> Parse<()> {
        if satisfied { Ok(()) } else { self.fail(span, kind()) }
    }

    fn fail(&self, span: Span, kind: ParseErrorKind) -> Parse<()> {
        Err(ParseError::new(self.text, span, kind))
    }
}

/// May it stand beside an operator?
fn is_operand(found: ValueType) -> bool {
    matches!(found, ValueType::Scalar | ValueType::Vector)
}
