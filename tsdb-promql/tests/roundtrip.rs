//! Random trees: printing and parsing them gives the same tree.
//!
//! The generator builds well-typed trees of the canonical form, the one the parser makes: signs are part of numbers,
//! and parentheses stand wherever the grouping needs them.

#![expect(clippy::expect_used, reason = "a test")]

use proptest::prelude::*;
use tsdb_core::{METRIC_NAME, MatchOp, Matcher};
use tsdb_promql::ast::testing::shape;
use tsdb_promql::ast::*;
use tsdb_promql::check::{Ending, Signature, signatures, value_type};
use tsdb_promql::{ParseOptions, Span, parse};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_printed_tree_parses_to_itself(choices in prop::collection::vec(any::<u8>(), 0..300)) {
        let tree = Generator { choices: &choices, at: 0 }.query();
        let text = tree.to_string();
        let parsed = parse(&text, &ParseOptions::all_features());
        prop_assert!(parsed.is_ok(), "{text}: {parsed:?}");
        let parsed = parsed.expect("checked");
        prop_assert_eq!(shape(&tree), shape(&parsed), "{}", text);
        prop_assert_eq!(&text, &parsed.to_string());
        let broken = tree.pretty();
        let parsed = parse(&broken, &ParseOptions::all_features());
        prop_assert!(parsed.is_ok(), "{broken}: {parsed:?}");
        prop_assert_eq!(shape(&tree), shape(&parsed.expect("checked")), "{}", broken);
    }
}

/// Builds a tree from a sequence of choices; when they run out, the first of everything, which ends it.
struct Generator<'a> {
    choices: &'a [u8],
    at: usize,
}

const DEPTH: usize = 6;

impl Generator<'_> {
    fn pick(&mut self, options: usize) -> usize {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(choice) % options
    }

    fn coin(&mut self) -> bool {
        self.pick(2) == 1
    }

    fn one<T: Clone>(&mut self, options: &[T]) -> T {
        options[self.pick(options.len())].clone()
    }

    fn number(&mut self) -> f64 {
        self.one(&[0.0, 1.0, 2.5, -3.0, 1e-9, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.1])
    }

    fn text(&mut self) -> String {
        self.one(&["", "a", "a b", "\"", "\\", "\n", "{}", "\u{fc}\u{1f600}", "\u{200b}", "'`"]).into()
    }

    fn label(&mut self) -> String {
        self.one(&["job", "le", "sum", "on", "a.b", "a:b", "\u{fc}", "with \"quotes\"", "bool", "9"]).into()
    }

    fn labels(&mut self) -> Vec<String> {
        (0..self.pick(3)).map(|_| self.label()).collect()
    }

    fn query(&mut self) -> Expr {
        match self.pick(8) {
            0 => self.string(),
            1 => self.matrix(DEPTH),
            2 => self.subquery(DEPTH),
            3 => self.scalar(DEPTH),
            _ => self.vector(DEPTH),
        }
    }

    fn of_type(&mut self, wanted: ValueType, depth: usize) -> Expr {
        match wanted {
            ValueType::Scalar => self.scalar(depth),
            ValueType::Vector => self.vector(depth),
            ValueType::String => self.string(),
            ValueType::Matrix if self.coin() => self.subquery(depth),
            ValueType::Matrix => self.matrix(depth),
        }
    }

    fn string(&mut self) -> Expr {
        let value = if self.pick(4) == 3 { Text::from(vec![0xff, b'a']) } else { Text::from(&*self.text()) };
        Expr::String(StringLiteral { value, span: Span::default() })
    }

    fn literal(&mut self) -> Expr {
        let duration = self.coin();
        let value = if duration { self.one(&[300.0, 0.001, 5400.0, -60.0]) } else { self.number() };
        Expr::Number(NumberLiteral { value, duration, span: Span::default() })
    }

    fn scalar(&mut self, depth: usize) -> Expr {
        let Some(depth) = depth.checked_sub(1) else { return self.literal() };
        match self.pick(6) {
            0 | 1 => self.literal(),
            2 => paren(self.scalar(depth)),
            3 => self.call(ValueType::Scalar, depth),
            4 => {
                let (lhs, rhs) = (self.scalar(depth), self.scalar(depth));
                let scalar_ops: Vec<_> = BinaryOp::ALL.into_iter().filter(|op| !op.is_set()).collect();
                let op = self.one(&scalar_ops);
                binary(op, lhs, rhs, op.is_comparison(), None)
            }
            _ => {
                let operand = self.scalar(depth);
                self.unary(operand)
            }
        }
    }

    fn vector(&mut self, depth: usize) -> Expr {
        let Some(depth) = depth.checked_sub(1) else { return Expr::Vector(self.selector()) };
        match self.pick(8) {
            0 | 1 => {
                let mut selector = self.selector();
                selector.modifiers = self.modifiers(depth);
                selector.extension = self.extension();
                Expr::Vector(selector)
            }
            2 => paren(self.vector(depth)),
            3 => self.call(ValueType::Vector, depth),
            4 => self.aggregate(depth),
            5 => {
                let operand = self.vector(depth);
                self.unary(operand)
            }
            6 => {
                let (vector, scalar) = (self.vector(depth), self.scalar(depth));
                let ops: Vec<_> = BinaryOp::ALL.into_iter().filter(|op| !op.is_set()).collect();
                let op = self.one(&ops);
                let return_bool = op.is_comparison() && self.coin();
                let (lhs, rhs) = if self.coin() { (vector, scalar) } else { (scalar, vector) };
                binary(op, lhs, rhs, return_bool, None)
            }
            _ => {
                let (lhs, rhs) = (self.vector(depth), self.vector(depth));
                let op = self.one(&BinaryOp::ALL);
                let matching = self.matching(op);
                let return_bool = op.is_comparison() && self.coin();
                binary(op, lhs, rhs, return_bool, Some(matching))
            }
        }
    }

    fn unary(&mut self, operand: Expr) -> Expr {
        let op = if self.coin() { UnaryOp::Minus } else { UnaryOp::Plus };
        let stands_alone = match &operand {
            Expr::Binary(e) => e.op == BinaryOp::Pow,
            Expr::Number(_) => false,
            _ => true,
        };
        let expr = Box::new(if stands_alone { operand } else { paren(operand) });
        Expr::Unary(Unary { op, expr, span: Span::default() })
    }

    fn matching(&mut self, op: BinaryOp) -> VectorMatching {
        let mut matching =
            VectorMatching { on: self.coin(), labels: self.labels(), ..VectorMatching::default() };
        if op.is_set() {
            return VectorMatching { cardinality: Cardinality::ManyToMany, ..matching };
        }
        let cardinalities = [Cardinality::OneToOne, Cardinality::ManyToOne, Cardinality::OneToMany];
        matching.cardinality = self.one(&cardinalities);
        if matching.cardinality != Cardinality::OneToOne {
            let include = self.labels();
            matching.include = include.into_iter().filter(|label| !matching.labels.contains(label)).collect();
        }
        matching.fill_left = self.coin().then(|| self.number());
        matching.fill_right = self.coin().then(|| self.number());
        matching
    }

    fn aggregate(&mut self, depth: usize) -> Expr {
        let op = self.one(&AggregateOp::ALL);
        let param = op.takes_parameter().then(|| match op {
            AggregateOp::CountValues => self.string(),
            _ => self.scalar(depth),
        });
        let expr = Box::new(self.vector(depth));
        let grouping = Grouping { labels: self.labels(), without: self.coin() };
        Expr::Aggregate(Aggregate { op, expr, param: param.map(Box::new), grouping, span: Span::default() })
    }

    fn call(&mut self, returns: ValueType, depth: usize) -> Expr {
        let fits = |s: &&Signature| s.returns == returns && s.name != "info";
        let fitting: Vec<_> = signatures().iter().filter(fits).collect();
        let signature = self.one(&fitting);
        let surplus = match signature.ending {
            Ending::Exact => 0,
            Ending::UpTo(times) => self.pick(times + 1),
            Ending::Repeat => self.pick(3),
        };
        let count = signature.min_args() + surplus;
        let wanted = (0..count).filter_map(|index| signature.arg(index));
        let args = wanted.map(|wanted| self.of_type(wanted, depth)).collect();
        Expr::Call(Call { function: signature.name.into(), args, span: Span::default() })
    }

    fn selector(&mut self) -> VectorSelector {
        let names = [Some("foo"), Some("a:b"), Some("sum"), Some("offset"), Some("fill"), Some("and"), None];
        let name: Option<String> = self.one(&names).map(Into::into);
        let mut matchers: Vec<_> = (0..self.pick(3)).map(|_| self.matcher()).collect();
        match &name {
            Some(name) => matchers.push(equal(METRIC_NAME, name)),
            None => matchers.push(equal(METRIC_NAME, "my.metric")),
        }
        let modifiers = Modifiers::default();
        VectorSelector { name, matchers, modifiers, extension: None, span: Span::default() }
    }

    fn matcher(&mut self) -> Matcher {
        let (name, value) = (self.label(), self.text());
        match self.pick(4) {
            0 => equal(&name, &value),
            1 => Matcher::new(MatchOp::NotEqual, name, value).expect("a plain text"),
            2 => Matcher::new(MatchOp::Regex, name, "a.*|b\\d").expect("a good pattern"),
            _ => Matcher::new(MatchOp::NotRegex, name, "").expect("a good pattern"),
        }
    }

    fn extension(&mut self) -> Option<RangeExtension> {
        self.one(&[None, Some(RangeExtension::Anchored), Some(RangeExtension::Smoothed)])
    }

    fn modifiers(&mut self, depth: usize) -> Modifiers {
        let times = [0, 1, -1, 1_500, 1_700_000_000_123, -62_135_596_800_000];
        let at = match self.pick(4) {
            0 => None,
            1 => Some(At::Start),
            2 => Some(At::End),
            _ => Some(At::Time(self.one(&times))),
        };
        let offset = match self.pick(3) {
            0 => DurationValue::ZERO,
            1 => DurationValue::Fixed(self.one(&[1, -1, 300_000, -5_400_000, 31_536_000_000, 86_400_001])),
            _ => DurationValue::Expr(Box::new(self.offset_expr(depth))),
        };
        Modifiers { at, offset }
    }

    fn window(&mut self, depth: usize) -> DurationValue {
        let fixed = DurationValue::Fixed(self.one(&[300_000, 1, 604_800_000, 90_061_001]));
        if self.coin() {
            return fixed;
        }
        match self.duration(depth) {
            DurationExpr::Number(_) => fixed,
            expr => DurationValue::Expr(Box::new(expr)),
        }
    }

    fn matrix(&mut self, depth: usize) -> Expr {
        let mut selector = self.selector();
        selector.modifiers = self.modifiers(depth);
        selector.extension = self.extension();
        Expr::Matrix(MatrixSelector { selector, range: self.window(depth), span: Span::default() })
    }

    fn subquery(&mut self, depth: usize) -> Expr {
        let inner = self.vector(depth.saturating_sub(1));
        let inner = match inner {
            Expr::Binary(_) | Expr::Unary(_) => paren(inner),
            other => other,
        };
        let step = self.coin().then(|| self.window(depth));
        let (range, modifiers) = (self.window(depth), self.modifiers(depth));
        Expr::Subquery(Subquery { expr: Box::new(inner), range, step, modifiers, span: Span::default() })
    }

    /// A duration that may stand behind `offset`: arithmetic is in parentheses.
    fn offset_expr(&mut self, depth: usize) -> DurationExpr {
        let span = Span::default();
        let operand = match self.duration(depth) {
            DurationExpr::Negate { expr, .. } => *expr,
            other => other,
        };
        let operand = match operand {
            DurationExpr::Number(_) => DurationExpr::Paren { expr: Box::new(operand), span },
            DurationExpr::Binary { op, .. } if !op.is_function() => {
                DurationExpr::Paren { expr: Box::new(operand), span }
            }
            other => other,
        };
        if self.coin() { DurationExpr::Negate { expr: Box::new(operand), span } } else { operand }
    }

    fn duration(&mut self, depth: usize) -> DurationExpr {
        let span = Span::default();
        let literal = |generator: &mut Self| {
            let duration = generator.coin();
            let value = if duration { generator.one(&[300.0, 0.001]) } else { generator.one(&[2.0, 0.5]) };
            DurationExpr::Number(NumberLiteral { value, duration, span })
        };
        let Some(depth) = depth.checked_sub(1) else { return literal(self) };
        match self.pick(6) {
            0 => literal(self),
            1 => DurationExpr::Step(span),
            2 => DurationExpr::Range(span),
            3 => DurationExpr::Paren { expr: Box::new(self.duration(depth)), span },
            4 => {
                let expr = DurationExpr::Paren { expr: Box::new(self.duration(depth)), span };
                DurationExpr::Negate { expr: Box::new(expr), span }
            }
            _ => {
                let ops =
                    [DurationOp::Add, DurationOp::Mul, DurationOp::Pow, DurationOp::Min, DurationOp::Max];
                let op = self.one(&ops);
                let mut operand = || {
                    let operand = self.duration(depth);
                    let stands_alone = op.is_function()
                        || !matches!(operand, DurationExpr::Binary { .. } | DurationExpr::Negate { .. });
                    Box::new(if stands_alone {
                        operand
                    } else {
                        DurationExpr::Paren { expr: Box::new(operand), span }
                    })
                };
                DurationExpr::Binary { op, lhs: operand(), rhs: operand(), span }
            }
        }
    }
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(MatchOp::Equal, name, value).expect("a plain text")
}

fn paren(expr: Expr) -> Expr {
    Expr::Paren(Paren { expr: Box::new(expr), span: Span::default() })
}

/// A binary expression, its operands in parentheses where precedence alone would group them otherwise.
fn binary(op: BinaryOp, lhs: Expr, rhs: Expr, return_bool: bool, matching: Option<VectorMatching>) -> Expr {
    let both = (value_type(&lhs), value_type(&rhs)) == (ValueType::Vector, ValueType::Vector);
    let lhs = if stands_left_of(op, &lhs) { lhs } else { paren(lhs) };
    let rhs = if stands_right_of(op, &rhs) { rhs } else { paren(rhs) };
    let matching = matching.filter(|_| both);
    let (lhs, rhs) = (Box::new(lhs), Box::new(rhs));
    Expr::Binary(Binary { op, lhs, rhs, return_bool, matching, span: Span::default() })
}

fn stands_left_of(op: BinaryOp, operand: &Expr) -> bool {
    match operand {
        Expr::Binary(e) if op.is_right_associative() => e.op.precedence() > op.precedence(),
        Expr::Binary(e) => e.op.precedence() >= op.precedence(),
        Expr::Unary(_) => op != BinaryOp::Pow,
        Expr::Number(number) => {
            op != BinaryOp::Pow
                || number.value.is_nan()
                || number.value.is_sign_positive() && number.value.is_finite()
        }
        _ => true,
    }
}

fn stands_right_of(op: BinaryOp, operand: &Expr) -> bool {
    match operand {
        Expr::Binary(e) if op.is_right_associative() => e.op.precedence() >= op.precedence(),
        Expr::Binary(e) => e.op.precedence() > op.precedence(),
        _ => true,
    }
}
