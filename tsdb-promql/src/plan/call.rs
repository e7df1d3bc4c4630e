//! From function calls to the plan.

use super::build::{Builder, Lowered, Scope, label_name, mistyped, text};
use super::extended::check_extension;
use super::function::{MapFn, PairFn, RangeFn, calendar_by_name};
use super::node::{
    HistogramFn, HistogramNode, LabelJoinNode, LabelReplaceNode, MapNode, RangeCall, ScalarNode, SortKey,
    SortNode, VectorNode,
};
use crate::ast::{Call, Expr, ValueType};
use crate::check::value_type;
use crate::failure::QueryError;
use tsdb_core::matcher::Pattern;
use tsdb_core::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

pub(super) type LoweredVector = Result<Lowered<VectorNode>, QueryError>;

impl Builder {
    pub(super) fn scalar_call(&self, call: &Call, scope: Scope) -> Result<Lowered<ScalarNode>, QueryError> {
        let seconds = |ms: i64| Ok(Lowered::new(ScalarNode::Number(ms as f64 / 1000.0), true));
        let times = self.times;
        match call.function.as_str() {
            "time" => Ok(Lowered::new(ScalarNode::Time, false)),
            "pi" => Ok(Lowered::new(ScalarNode::Number(std::f64::consts::PI), true)),
            "start" => seconds(times.start),
            "end" => seconds(times.end),
            "range" => seconds(times.end.saturating_sub(times.start)),
            "step" => seconds(if times.start == times.end { 0 } else { times.step_ms }),
            "scalar" => {
                let vector = self.vector(argument(call, 0)?, scope)?;
                Ok(Lowered::new(ScalarNode::OfVector(Box::new(vector.node)), vector.invariant))
            }
            "min_of" => self.pair(PairFn::Min, call, scope),
            "max_of" => self.pair(PairFn::Max, call, scope),
            _ => Err(unknown(call)),
        }
    }

    fn pair(&self, function: PairFn, call: &Call, scope: Scope) -> Result<Lowered<ScalarNode>, QueryError> {
        let lhs = self.scalar(argument(call, 0)?, scope)?;
        let rhs = self.scalar(argument(call, 1)?, scope)?;
        let invariant = lhs.invariant && rhs.invariant;
        let (lhs, rhs) = (Box::new(lhs.under(invariant)), Box::new(rhs.under(invariant)));
        Ok(Lowered::new(ScalarNode::Pair { function, lhs, rhs }, invariant))
    }

    pub(super) fn vector_call(&self, call: &Call, scope: Scope) -> LoweredVector {
        let name = call.function.as_str();
        let scope = scope.within_call(name);
        if let Some(function) = RangeFn::by_name(name) {
            return self.over_range(function, call, scope);
        }
        if let "timestamp" | "start_timestamp" = name
            && let Expr::Vector(selector) = argument(call, 0)?.without_parens()
        {
            let selector = self.selector(selector, selector.span, scope, self.times.lookback_ms)?;
            let invariant = selector.at.is_some();
            let node = match name {
                "timestamp" => VectorNode::TimestampOf(selector),
                _ => VectorNode::StartOf(selector),
            };
            return Ok(Lowered::new(node, invariant));
        }
        if let Some(field) = calendar_by_name(name) {
            if call.args.is_empty() {
                return Ok(Lowered::new(VectorNode::CalendarOfStep(field), false));
            }
            return self.map(MapFn::Calendar(field), call, scope);
        }
        if let Some(function) = MapFn::by_name(name) {
            return self.map(function, call, scope);
        }
        self.other_call(call, scope)
    }

    fn other_call(&self, call: &Call, scope: Scope) -> LoweredVector {
        match call.function.as_str() {
            "vector" => {
                let scalar = self.scalar(argument(call, 0)?, scope)?;
                let invariant = scalar.invariant;
                Ok(Lowered::new(VectorNode::OfScalar(Box::new(scalar.under(invariant))), invariant))
            }
            "absent" => {
                let arg = argument(call, 0)?;
                let vector = self.vector(arg, scope)?;
                let node = VectorNode::Absent { vector: Box::new(vector.node), labels: absent_labels(arg) };
                Ok(Lowered::new(node, vector.invariant))
            }
            "absent_over_time" => {
                let arg = argument(call, 0)?;
                let range = self.range(arg, scope)?;
                check_extension(&range.node, &call.function)?;
                let node = VectorNode::AbsentOverTime { range: range.node, labels: absent_labels(arg) };
                Ok(Lowered::new(node, range.invariant))
            }
            "info" => self.info(call, scope),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sort(call, scope),
            "label_replace" => self.label_replace(call, scope),
            "label_join" => self.label_join(call, scope),
            "histogram_quantile" | "histogram_fraction" | "histogram_quantiles" => {
                self.histogram(call, scope)
            }
            // What an expression computes has no start timestamp.
            "start_timestamp" => {
                let vector = self.vector(argument(call, 0)?, scope)?;
                Ok(Lowered::new(VectorNode::Nothing, vector.invariant))
            }
            _ => Err(unknown(call)),
        }
    }

    fn over_range(&self, function: RangeFn, call: &Call, scope: Scope) -> LoweredVector {
        let mut range = None;
        let mut params = Vec::new();
        for arg in &call.args {
            if value_type(arg) == ValueType::Matrix {
                range = Some(self.range(arg, scope)?);
            } else {
                params.push(self.scalar(arg, scope)?);
            }
        }
        let first = argument(call, 0)?;
        let range = range.ok_or_else(|| mistyped(first, "range vector"))?;
        check_extension(&range.node, &call.function)?;
        // A prediction counts from the time of the step, whatever its samples are.
        let invariant = function != RangeFn::PredictLinear
            && range.invariant
            && params.iter().all(|param| param.invariant);
        let node = RangeCall {
            function,
            range: range.node,
            params: params.into_iter().map(|param| param.under(invariant)).collect(),
            first_arg: first.span(),
        };
        Ok(Lowered::new(VectorNode::OverRange(node), invariant))
    }

    fn map(&self, function: MapFn, call: &Call, scope: Scope) -> LoweredVector {
        let vector = self.vector(argument(call, 0)?, scope)?;
        let params =
            call.args.iter().skip(1).map(|arg| self.scalar(arg, scope)).collect::<Result<Vec<_>, _>>()?;
        let invariant =
            function != MapFn::Timestamp && vector.invariant && params.iter().all(|param| param.invariant);
        let node = MapNode {
            function,
            vector: Box::new(vector.under(invariant)),
            params: params.into_iter().map(|param| param.under(invariant)).collect(),
        };
        Ok(Lowered::new(VectorNode::Map(node), invariant))
    }

    fn sort(&self, call: &Call, scope: Scope) -> LoweredVector {
        let vector = self.vector(argument(call, 0)?, scope)?;
        let key = if call.function.starts_with("sort_by_label") {
            let labels = call.args.iter().skip(1).map(|arg| Ok(text(arg)?.to_string_lossy()));
            SortKey::Labels(labels.collect::<Result<_, QueryError>>()?)
        } else {
            SortKey::Value
        };
        let descending = call.function.ends_with("_desc");
        let node = SortNode { vector: Box::new(vector.node), key, descending, span: call.span };
        Ok(Lowered::new(VectorNode::Sort(node), vector.invariant))
    }

    fn label_replace(&self, call: &Call, scope: Scope) -> LoweredVector {
        let vector = self.vector(argument(call, 0)?, scope)?;
        let destination = label_name(argument(call, 1)?, |name| {
            format!("invalid destination label name in label_replace(): {}", name.to_string_lossy())
        })?;
        let text = |index| Ok::<_, QueryError>(text(argument(call, index)?)?.to_string_lossy());
        let pattern_text = text(4)?;
        let pattern = Pattern::new(&pattern_text).map_err(|_| {
            QueryError::execution(format!("invalid regular expression in label_replace(): {pattern_text}"))
        })?;
        let node = LabelReplaceNode {
            vector: vector.node,
            destination,
            template: text(2)?,
            source: text(3)?,
            pattern,
        };
        Ok(Lowered::new(VectorNode::LabelReplace(Box::new(node)), vector.invariant))
    }

    fn label_join(&self, call: &Call, scope: Scope) -> LoweredVector {
        let vector = self.vector(argument(call, 0)?, scope)?;
        let separator = text(argument(call, 2)?)?.to_string_lossy();
        let source = |arg| {
            label_name(arg, |name| {
                format!("invalid source label name in label_join(): {}", name.to_string_lossy())
            })
        };
        let sources = call.args.iter().skip(3).map(source).collect::<Result<Vec<_>, _>>()?;
        let destination = label_name(argument(call, 1)?, |name| {
            format!("invalid destination label name in label_join(): {}", name.to_string_lossy())
        })?;
        let node = LabelJoinNode { vector: vector.node, destination, separator, sources };
        Ok(Lowered::new(VectorNode::LabelJoin(Box::new(node)), vector.invariant))
    }

    fn histogram(&self, call: &Call, scope: Scope) -> LoweredVector {
        let mut vector = None;
        let mut scalars = Vec::new();
        for arg in &call.args {
            match value_type(arg) {
                ValueType::Vector => vector = Some((self.vector(arg, scope)?, arg.span())),
                ValueType::Scalar => scalars.push((self.scalar(arg, scope)?, arg.span())),
                _ => {}
            }
        }
        let (vector, vector_span) = vector.ok_or_else(|| unknown(call))?;
        let invariant = vector.invariant && scalars.iter().all(|(scalar, _)| scalar.invariant);
        let mut scalars = scalars.into_iter().map(|(scalar, span)| (scalar.under(invariant), span));
        let mut next = || scalars.next().ok_or_else(|| unknown(call));
        let function = match call.function.as_str() {
            "histogram_quantile" => {
                let (quantile, span) = next()?;
                HistogramFn::Quantile(quantile, span)
            }
            "histogram_fraction" => HistogramFn::Fraction(next()?.0, next()?.0),
            _ => HistogramFn::Quantiles(text(argument(call, 1)?)?.to_string_lossy(), scalars.collect()),
        };
        let node = HistogramNode { function, vector: vector.under(invariant), vector_span };
        Ok(Lowered::new(VectorNode::Histogram(Box::new(node)), invariant))
    }
}

pub(super) fn argument(call: &Call, index: usize) -> Result<&Expr, QueryError> {
    call.args.get(index).ok_or_else(|| {
        QueryError::execution(format!("{} lacks its argument number {}", call.function, index + 1))
    })
}

/// The checker knows all functions and their arguments, so only trees made by hand come here.
fn unknown(call: &Call) -> QueryError {
    QueryError::execution(format!("unknown function or wrong arguments: {}", call.function))
}

/// What is known of a series that does not exist: the labels that the selector fixes once.
fn absent_labels(expr: &Expr) -> Labels {
    let matchers: &[Matcher] = match expr.without_parens() {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        _ => &[],
    };
    let mut builder = LabelsBuilder::new();
    let mut seen = Vec::new();
    for matcher in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            builder.remove(matcher.name());
        }
    }
    builder.build().unwrap_or_default()
}
