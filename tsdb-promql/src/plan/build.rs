//! From the checked syntax tree to the plan: operators, selectors and the marking of what is step invariant.
//!
//! An expression is step invariant if it depends on the time of the step nowhere, which `@` brings about. The
//! highest step invariant nodes are wrapped, so that they are evaluated once and repeated. The rules are those of
//! Prometheus' `PreprocessExpr`, for they are visible: a sort inside such an expression sorts nothing.

use super::node::{
    AggregateNode, BinaryNode, Plan, RangeNode, ScalarNode, Selector, SubqueryNode, VectorNode,
    VectorScalarNode, Window,
};
use crate::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, DurationValue, Expr, Grouping, MatrixSelector, Modifiers,
    RangeExtension, Subquery, Text, UnaryOp, ValueType, VectorSelector,
};
use crate::check::value_type;
use crate::failure::QueryError;
use crate::span::Span;
use std::cell::Cell;
use tsdb_core::read::Projection;
use tsdb_core::{TimeRange, Timestamp};

/// The times of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryTimes {
    /// First step, ms.
    pub(crate) start: Timestamp,
    /// Last possible step, ms.
    pub(crate) end: Timestamp,
    /// Distance of the steps, ms; 0 for an instant query.
    pub(crate) step_ms: i64,
    /// How far back an instant selector looks, ms.
    pub(crate) lookback_ms: i64,
    /// Step of a subquery that names none, ms.
    pub(crate) default_subquery_step_ms: i64,
}

/// A plan and the times it reads.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The plan.
    pub(crate) plan: Plan,
    /// The smallest range that holds all samples the plan may read.
    pub(crate) touched: TimeRange,
}

/// Resolves `expr` for a query at `times`.
pub(crate) fn plan(expr: &Expr, times: QueryTimes) -> Result<Planned, QueryError> {
    let builder = Builder { times, touched: Cell::new(None) };
    let scope = Scope { first: times.start, last: times.end, histograms: HistogramUse::Plain };
    let plan = match value_type(expr) {
        ValueType::Scalar => Plan::Scalar(builder.scalar(expr, scope)?.settle()),
        ValueType::Vector => Plan::Vector(builder.vector(expr, scope)?.settle()),
        ValueType::Matrix => Plan::Range(builder.range(expr, scope)?.node),
        ValueType::String => Plan::String(text(expr)?.to_string_lossy()),
    };
    Ok(Planned { plan, touched: builder.touched.get().unwrap_or(TimeRange::instant(0)) })
}

/// What becomes of the histograms of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HistogramUse {
    /// Nothing is known of it.
    Plain,
    /// Functions ask for their counts and sums alone.
    Totals,
    /// Something looks at their buckets.
    Buckets,
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// The first time at which it is evaluated.
    pub(super) first: Timestamp,
    /// The last time at which it is evaluated.
    pub(super) last: Timestamp,
    histograms: HistogramUse,
}

impl Scope {
    /// The scope seen through `@ at` and `offset`.
    pub(super) fn moved(self, at: Option<Timestamp>, offset_ms: i64) -> Self {
        let (first, last) = at.map_or((self.first, self.last), |at| (at, at));
        Self { first: first.saturating_sub(offset_ms), last: last.saturating_sub(offset_ms), ..self }
    }

    /// The scope within the arguments of `function`.
    pub(super) fn within_call(self, function: &str) -> Self {
        match function {
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => self.with_buckets(),
            "histogram_count" | "histogram_sum" | "histogram_avg"
                if self.histograms == HistogramUse::Plain =>
            {
                Self { histograms: HistogramUse::Totals, ..self }
            }
            _ => self,
        }
    }

    /// The scope within something that looks at buckets.
    fn with_buckets(self) -> Self {
        Self { histograms: HistogramUse::Buckets, ..self }
    }
}

/// A node and whether its value is the same at all steps.
#[derive(Debug)]
pub(super) struct Lowered<N> {
    pub(super) node: N,
    pub(super) invariant: bool,
}

impl<N> Lowered<N> {
    pub(super) const fn new(node: N, invariant: bool) -> Self {
        Self { node, invariant }
    }
}

impl Lowered<VectorNode> {
    /// The node, wrapped if it is invariant: for a parent that is not.
    pub(super) fn settle(self) -> VectorNode {
        match self.node {
            node if !self.invariant || matches!(node, VectorNode::Nothing) => node,
            node => VectorNode::StepInvariant(Box::new(node)),
        }
    }

    /// The node for a parent: wrapped unless the parent is itself invariant.
    pub(super) fn under(self, parent_invariant: bool) -> VectorNode {
        if parent_invariant { self.node } else { self.settle() }
    }
}

impl Lowered<ScalarNode> {
    /// The node, wrapped if it is invariant: for a parent that is not.
    pub(super) fn settle(self) -> ScalarNode {
        match self.node {
            node if !self.invariant || matches!(node, ScalarNode::Number(_)) => node,
            node => ScalarNode::StepInvariant(Box::new(node)),
        }
    }

    /// The node for a parent: wrapped unless the parent is itself invariant.
    pub(super) fn under(self, parent_invariant: bool) -> ScalarNode {
        if parent_invariant { self.node } else { self.settle() }
    }
}

pub(super) struct Builder {
    pub(super) times: QueryTimes,
    touched: Cell<Option<TimeRange>>,
}

impl Builder {
    pub(super) fn scalar(&self, expr: &Expr, scope: Scope) -> Result<Lowered<ScalarNode>, QueryError> {
        match expr {
            Expr::Number(number) => Ok(Lowered::new(ScalarNode::Number(number.value), true)),
            Expr::Paren(paren) => self.scalar(&paren.expr, scope),
            Expr::Unary(unary) => {
                let operand = self.scalar(&unary.expr, scope)?;
                Ok(match (unary.op, operand.node) {
                    (UnaryOp::Plus, node) => Lowered::new(node, operand.invariant),
                    (UnaryOp::Minus, ScalarNode::Number(n)) => Lowered::new(ScalarNode::Number(-n), true),
                    (UnaryOp::Minus, node) => {
                        Lowered::new(ScalarNode::Negate(Box::new(node)), operand.invariant)
                    }
                })
            }
            Expr::Binary(binary) => self.scalar_binary(binary, scope),
            Expr::Call(call) => self.scalar_call(call, scope),
            other => Err(mistyped(other, "scalar")),
        }
    }

    fn scalar_binary(&self, binary: &Binary, scope: Scope) -> Result<Lowered<ScalarNode>, QueryError> {
        if is_trimming(binary.op) {
            return Err(QueryError::execution(format!(
                "operator \"{}\" not allowed for Scalar operations",
                binary.op
            )));
        }
        let lhs = self.scalar(&binary.lhs, scope)?;
        let rhs = self.scalar(&binary.rhs, scope)?;
        let invariant = lhs.invariant && rhs.invariant;
        let (lhs, rhs) = (Box::new(lhs.under(invariant)), Box::new(rhs.under(invariant)));
        Ok(Lowered::new(ScalarNode::Binary { op: binary.op, lhs, rhs }, invariant))
    }

    pub(super) fn vector(&self, expr: &Expr, scope: Scope) -> Result<Lowered<VectorNode>, QueryError> {
        match expr {
            Expr::Vector(selector) => {
                let selector = self.selector(selector, selector.span, scope, self.times.lookback_ms)?;
                let invariant = selector.at.is_some();
                Ok(Lowered::new(VectorNode::Select(selector), invariant))
            }
            Expr::Paren(paren) => self.vector(&paren.expr, scope),
            Expr::Unary(unary) => {
                let operand = self.vector(&unary.expr, scope)?;
                Ok(match unary.op {
                    UnaryOp::Plus => operand,
                    UnaryOp::Minus => {
                        Lowered::new(VectorNode::Negate(Box::new(operand.node)), operand.invariant)
                    }
                })
            }
            Expr::Binary(binary) => self.vector_binary(binary, scope),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, scope),
            Expr::Call(call) => self.vector_call(call, scope),
            other => Err(mistyped(other, "instant vector")),
        }
    }

    fn vector_binary(&self, binary: &Binary, scope: Scope) -> Result<Lowered<VectorNode>, QueryError> {
        let scope = if is_trimming(binary.op) { scope.with_buckets() } else { scope };
        let scalar_left = value_type(&binary.lhs) == ValueType::Scalar;
        if scalar_left || value_type(&binary.rhs) == ValueType::Scalar {
            let (vector, scalar) =
                if scalar_left { (&binary.rhs, &binary.lhs) } else { (&binary.lhs, &binary.rhs) };
            let vector = self.vector(vector, scope)?;
            let scalar = self.scalar(scalar, scope)?;
            let invariant = vector.invariant && scalar.invariant;
            let node = VectorScalarNode {
                op: binary.op,
                vector: Box::new(vector.under(invariant)),
                scalar: Box::new(scalar.under(invariant)),
                scalar_left,
                return_bool: binary.return_bool,
                span: binary.span,
            };
            return Ok(Lowered::new(VectorNode::VectorScalar(node), invariant));
        }
        let lhs = self.vector(&binary.lhs, scope)?;
        let rhs = self.vector(&binary.rhs, scope)?;
        let invariant = lhs.invariant && rhs.invariant;
        let node = BinaryNode {
            op: binary.op,
            lhs: lhs.under(invariant),
            rhs: rhs.under(invariant),
            matching: binary.matching.clone().unwrap_or_default(),
            return_bool: binary.return_bool,
            span: binary.span,
        };
        Ok(Lowered::new(VectorNode::Binary(Box::new(node)), invariant))
    }

    fn aggregate(&self, aggregate: &Aggregate, scope: Scope) -> Result<Lowered<VectorNode>, QueryError> {
        let vector = self.vector(&aggregate.expr, scope)?;
        let mut grouping = aggregate.grouping.clone();
        let mut value_label = String::new();
        let mut param = None;
        let param_span = aggregate.param.as_ref().map_or(aggregate.span, |p| p.span());
        match (&aggregate.param, aggregate.op) {
            (Some(label), AggregateOp::CountValues) => {
                value_label = label_name(label, |name| format!("invalid label name {name}"))?;
                if !grouping.without {
                    grouping.labels.push(value_label.clone());
                }
            }
            (Some(number), _) => param = Some(self.scalar(number, scope)?),
            (None, _) => {}
        }
        let invariant = vector.invariant && param.as_ref().is_none_or(|p| p.invariant);
        let node = AggregateNode {
            op: aggregate.op,
            vector: vector.under(invariant),
            streamed: false,
            grouping: sorted(grouping),
            param: param.map(|p| p.under(invariant)),
            value_label,
            param_span,
            vector_span: aggregate.expr.span(),
            span: aggregate.span,
        };
        Ok(Lowered::new(VectorNode::Aggregate(Box::new(node)), invariant))
    }

    pub(super) fn range(&self, expr: &Expr, scope: Scope) -> Result<Lowered<RangeNode>, QueryError> {
        match expr {
            Expr::Matrix(matrix) => self.matrix(matrix, scope),
            Expr::Subquery(subquery) => self.subquery(subquery, scope),
            Expr::Paren(paren) => self.range(&paren.expr, scope),
            other => Err(mistyped(other, "range vector")),
        }
    }

    fn matrix(&self, matrix: &MatrixSelector, scope: Scope) -> Result<Lowered<RangeNode>, QueryError> {
        let range_ms = self.window(&matrix.range)?;
        let beyond_ms = if matrix.selector.extension.is_some() { self.times.lookback_ms } else { 0 };
        let reach_ms = range_ms.saturating_add(beyond_ms);
        let selector = self.selector(&matrix.selector, matrix.span, scope, reach_ms)?;
        let window = Window { range_ms, at: selector.at, offset_ms: selector.offset_ms };
        let invariant = window.at.is_some();
        Ok(Lowered::new(RangeNode::Select { selector, window }, invariant))
    }

    fn subquery(&self, subquery: &Subquery, scope: Scope) -> Result<Lowered<RangeNode>, QueryError> {
        let range_ms = self.window(&subquery.range)?;
        let (at, offset_ms) = self.modifiers(&subquery.modifiers)?;
        let step_ms = match &subquery.step {
            Some(step) => self.window(step)?,
            None => 0,
        };
        let step_ms = if step_ms > 0 { step_ms } else { self.times.default_subquery_step_ms.max(1) };
        // Steps pass over samples, so that a reset is found in the buckets of those that are left.
        let mut inner = scope.moved(at, offset_ms).with_buckets();
        inner.first = inner.first.saturating_sub(range_ms);
        let node = SubqueryNode {
            vector: self.vector(&subquery.expr, inner)?.settle(),
            window: Window { range_ms, at, offset_ms },
            step_ms,
        };
        Ok(Lowered::new(RangeNode::Subquery(Box::new(node)), at.is_some()))
    }

    /// `reach_ms`: how far before its time the selection looks.
    pub(super) fn selector(
        &self,
        selector: &VectorSelector,
        span: Span,
        scope: Scope,
        reach_ms: i64,
    ) -> Result<Selector, QueryError> {
        let (at, offset_ms) = self.modifiers(&selector.modifiers)?;
        let seen = scope.moved(at, offset_ms);
        let reach_ahead_ms = match selector.extension {
            Some(RangeExtension::Smoothed) => self.times.lookback_ms,
            _ => 0,
        };
        let first = seen.first.saturating_sub(reach_ms).saturating_add(1);
        self.touch(first, seen.last.saturating_add(reach_ahead_ms));
        let extension = selector.extension;
        let (matchers, projection) = (selector.matchers.clone(), Projection::All);
        let totals_only = scope.histograms == HistogramUse::Totals;
        Ok(Selector { matchers, at, offset_ms, projection, extension, totals_only, windows: false, span })
    }

    pub(super) fn modifiers(&self, modifiers: &Modifiers) -> Result<(Option<Timestamp>, i64), QueryError> {
        let at = modifiers.at.map(|at| match at {
            At::Time(time) => time,
            At::Start => self.times.start,
            At::End => self.times.end,
        });
        Ok((at, self.duration(&modifiers.offset)?))
    }

    fn duration(&self, duration: &DurationValue) -> Result<i64, QueryError> {
        let range_ms = self.times.end.saturating_sub(self.times.start);
        duration.resolve(self.times.step_ms, range_ms).map_err(|e| QueryError::execution(e.to_string()))
    }

    /// The length of a window or of a step, which is positive.
    fn window(&self, duration: &DurationValue) -> Result<i64, QueryError> {
        let range_ms = self.times.end.saturating_sub(self.times.start);
        let length_ms = duration.resolve_positive(self.times.step_ms, range_ms);
        length_ms.map_err(|e| QueryError::execution(e.to_string()))
    }

    pub(super) fn touch(&self, from: Timestamp, to: Timestamp) {
        if let Some(range) = TimeRange::new(from.min(to), to) {
            self.touched.set(Some(self.touched.get().map_or(range, |known| known.union(&range))));
        }
    }
}

/// The value of a string literal.
pub(super) fn text(expr: &Expr) -> Result<&Text, QueryError> {
    match expr.without_parens() {
        Expr::String(string) => Ok(&string.value),
        other => Err(mistyped(other, "string")),
    }
}

/// The value of a string literal as a label name: any UTF-8 text that is not empty.
pub(super) fn label_name(expr: &Expr, refusal: impl Fn(&Text) -> String) -> Result<String, QueryError> {
    let text = text(expr)?;
    match text.as_str() {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(QueryError::execution(refusal(text))),
    }
}

fn sorted(mut grouping: Grouping) -> Grouping {
    grouping.labels.sort_unstable();
    grouping.labels.dedup();
    grouping
}

/// Trimming is for native histograms alone.
fn is_trimming(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
}

/// An expression of another type than its place asks for. The checker refuses such trees, so only trees made by hand
/// come here.
pub(super) fn mistyped(expr: &Expr, wanted: &str) -> QueryError {
    let found = value_type(expr).documented();
    QueryError::execution(format!("expected an expression of type {wanted}, got {found}"))
}
