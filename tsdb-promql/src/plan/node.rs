//! The nodes of a plan.

use super::function::{CalendarField, MapFn, PairFn, RangeFn};
use crate::ast::{AggregateOp, BinaryOp, Grouping, RangeExtension, VectorMatching};
use crate::span::Span;
use tsdb_core::matcher::Pattern;
use tsdb_core::read::Projection;
use tsdb_core::{Labels, Matcher, Timestamp};

/// A query, resolved.
#[derive(Debug)]
pub(crate) enum Plan {
    /// One number for each step.
    Scalar(ScalarNode),
    /// One value for each series and step.
    Vector(VectorNode),
    /// The samples of one window; only as a whole instant query.
    Range(RangeNode),
    /// A text.
    String(String),
}

/// An expression of type scalar.
#[derive(Debug)]
pub(crate) enum ScalarNode {
    /// The same number at all steps.
    Number(f64),
    /// The time of the step in seconds.
    Time,
    /// The only element of a vector, or NaN.
    OfVector(Box<VectorNode>),
    /// `-x`.
    Negate(Box<Self>),
    /// Two scalars and an operator.
    Binary {
        /// The operator; a comparison yields 0 or 1.
        op: BinaryOp,
        /// The left operand.
        lhs: Box<Self>,
        /// The right operand.
        rhs: Box<Self>,
    },
    /// `min_of` and `max_of`.
    Pair {
        /// Which of them.
        function: PairFn,
        /// The first argument.
        lhs: Box<Self>,
        /// The second argument.
        rhs: Box<Self>,
    },
    /// Evaluated at the first step only.
    StepInvariant(Box<Self>),
}

/// An expression of type instant vector.
#[derive(Debug)]
pub(crate) enum VectorNode {
    /// The newest sample of each series.
    Select(Selector),
    /// The time of the newest sample of each series, in seconds.
    TimestampOf(Selector),
    /// When the counting of the newest sample of each series began, in seconds.
    StartOf(Selector),
    /// A function of the windows of each series.
    OverRange(RangeCall),
    /// 1 where no series has a sample in its window.
    AbsentOverTime {
        /// The windows.
        range: RangeNode,
        /// Labels of the result.
        labels: Labels,
    },
    /// 1 where the vector is empty.
    Absent {
        /// The vector.
        vector: Box<Self>,
        /// Labels of the result.
        labels: Labels,
    },
    /// A function of each value on its own.
    Map(MapNode),
    /// `-vector`.
    Negate(Box<Self>),
    /// One series without labels.
    OfScalar(Box<ScalarNode>),
    /// A calendar field of the time of the step.
    CalendarOfStep(CalendarField),
    /// A vector and a scalar.
    VectorScalar(VectorScalarNode),
    /// Two vectors.
    Binary(Box<BinaryNode>),
    /// Series of a group become one, or few.
    Aggregate(Box<AggregateNode>),
    /// `label_replace`.
    LabelReplace(Box<LabelReplaceNode>),
    /// `label_join`.
    LabelJoin(Box<LabelJoinNode>),
    /// The sorting functions.
    Sort(SortNode),
    /// `info`.
    Info(Box<InfoNode>),
    /// Functions of classic histograms.
    Histogram(Box<HistogramNode>),
    /// A vector that is always empty.
    Nothing,
    /// Evaluated at the first step only.
    StepInvariant(Box<Self>),
    /// Evaluated once for all places of the plan with the same number.
    Shared(Box<SharedNode>),
}

/// A vector that several places of a plan need. Each place has it as it was written there, and the first that is
/// evaluated answers for the others.
#[derive(Debug)]
pub(crate) struct SharedNode {
    /// The number of the vector.
    pub(crate) id: usize,
    /// Where the text of this place begins, bytes. Up to that, the texts of all places are the same.
    pub(crate) start: u32,
    /// The vector.
    pub(crate) vector: VectorNode,
}

/// Which series, and when.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    /// Conditions on the labels.
    pub(crate) matchers: Vec<Matcher>,
    /// The time to select at instead of the time of the step, ms.
    pub(crate) at: Option<Timestamp>,
    /// How far before that time, ms.
    pub(crate) offset_ms: i64,
    /// The labels that somebody looks at.
    pub(crate) projection: Projection,
    /// `anchored` or `smoothed`. An instant selector that is anchored is like any other.
    pub(crate) extension: Option<RangeExtension>,
    /// Does nobody look at the buckets of native histograms?
    pub(crate) totals_only: bool,
    /// May windows of the store stand for samples?
    pub(crate) windows: bool,
    /// The text.
    pub(crate) span: Span,
}

/// Where windows lie in relation to the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Length, ms.
    pub(crate) range_ms: i64,
    /// The time to look from instead of the time of the step, ms.
    pub(crate) at: Option<Timestamp>,
    /// How far before that time the window ends, ms.
    pub(crate) offset_ms: i64,
}

/// An expression of type range vector.
#[derive(Debug)]
pub(crate) enum RangeNode {
    /// Stored samples.
    Select {
        /// Which series; its times are those of the window.
        selector: Selector,
        /// The window.
        window: Window,
    },
    /// Values of an expression at steps of its own.
    Subquery(Box<SubqueryNode>),
}

/// An expression evaluated at steps of its own.
#[derive(Debug)]
pub(crate) struct SubqueryNode {
    /// The expression.
    pub(crate) vector: VectorNode,
    /// The window.
    pub(crate) window: Window,
    /// Distance of the steps, ms; positive.
    pub(crate) step_ms: i64,
}

/// A function of windows.
#[derive(Debug)]
pub(crate) struct RangeCall {
    /// The function.
    pub(crate) function: RangeFn,
    /// The windows.
    pub(crate) range: RangeNode,
    /// The scalar arguments in the order they are written.
    pub(crate) params: Vec<ScalarNode>,
    /// The text of the first argument.
    pub(crate) first_arg: Span,
}

/// A function of each value on its own.
#[derive(Debug)]
pub(crate) struct MapNode {
    /// The function.
    pub(crate) function: MapFn,
    /// The values.
    pub(crate) vector: Box<VectorNode>,
    /// The scalar arguments behind the vector.
    pub(crate) params: Vec<ScalarNode>,
}

/// A vector and a scalar with an operator between.
#[derive(Debug)]
pub(crate) struct VectorScalarNode {
    /// The operator.
    pub(crate) op: BinaryOp,
    /// The vector.
    pub(crate) vector: Box<VectorNode>,
    /// The scalar.
    pub(crate) scalar: Box<ScalarNode>,
    /// Does the scalar stand on the left?
    pub(crate) scalar_left: bool,
    /// Does a comparison yield 0 and 1 instead of filtering?
    pub(crate) return_bool: bool,
    /// The text.
    pub(crate) span: Span,
}

/// Two vectors with an operator between.
#[derive(Debug)]
pub(crate) struct BinaryNode {
    /// The operator.
    pub(crate) op: BinaryOp,
    /// The left operand.
    pub(crate) lhs: VectorNode,
    /// The right operand.
    pub(crate) rhs: VectorNode,
    /// How series find each other.
    pub(crate) matching: VectorMatching,
    /// Does a comparison yield 0 and 1 instead of filtering?
    pub(crate) return_bool: bool,
    /// The text.
    pub(crate) span: Span,
}

/// An aggregation.
#[derive(Debug)]
pub(crate) struct AggregateNode {
    /// Which one.
    pub(crate) op: AggregateOp,
    /// What is aggregated.
    pub(crate) vector: VectorNode,
    /// Are series taken one by one as they are computed? Else all are computed first.
    pub(crate) streamed: bool,
    /// Which series form a group; labels sorted and unique.
    pub(crate) grouping: Grouping,
    /// The number among the parameters.
    pub(crate) param: Option<ScalarNode>,
    /// The label of `count_values`.
    pub(crate) value_label: String,
    /// The text of the parameter.
    pub(crate) param_span: Span,
    /// The text of the vector.
    pub(crate) vector_span: Span,
    /// The text of all.
    pub(crate) span: Span,
}

/// `label_replace(vector, destination, template, source, pattern)`.
#[derive(Debug)]
pub(crate) struct LabelReplaceNode {
    /// The series.
    pub(crate) vector: VectorNode,
    /// The label that is written.
    pub(crate) destination: String,
    /// What is written.
    pub(crate) template: String,
    /// The label that is read.
    pub(crate) source: String,
    /// What its value must match.
    pub(crate) pattern: Pattern,
}

/// `label_join(vector, destination, separator, sources...)`.
#[derive(Debug)]
pub(crate) struct LabelJoinNode {
    /// The series.
    pub(crate) vector: VectorNode,
    /// The label that is written.
    pub(crate) destination: String,
    /// What stands between the values.
    pub(crate) separator: String,
    /// The labels that are read.
    pub(crate) sources: Vec<String>,
}

/// `info(vector, selector)`.
#[derive(Debug)]
pub(crate) struct InfoNode {
    /// The series that get labels.
    pub(crate) vector: VectorNode,
    /// Conditions on the names of the info metrics; at least one.
    pub(crate) names: Vec<Matcher>,
    /// Conditions on the other labels of info series. If there are any, only labels that they name are added.
    pub(crate) data: Vec<Matcher>,
    /// The time to look for info series at instead of the time of the step, ms.
    pub(crate) at: Option<Timestamp>,
    /// How far before that time, ms.
    pub(crate) offset_ms: i64,
    /// The text of the call.
    pub(crate) span: Span,
}

/// A sorting function.
#[derive(Debug)]
pub(crate) struct SortNode {
    /// What is sorted.
    pub(crate) vector: Box<VectorNode>,
    /// By what.
    pub(crate) key: SortKey,
    /// From large to small?
    pub(crate) descending: bool,
    /// The text of the call.
    pub(crate) span: Span,
}

/// What is sorted by.
#[derive(Debug)]
pub(crate) enum SortKey {
    /// The value.
    Value,
    /// The values of these labels, in natural order.
    Labels(Vec<String>),
}

/// A function of histograms, classic or native.
#[derive(Debug)]
pub(crate) struct HistogramNode {
    /// Which one.
    pub(crate) function: HistogramFn,
    /// The buckets.
    pub(crate) vector: VectorNode,
    /// The text of the buckets.
    pub(crate) vector_span: Span,
}

/// Which function of classic histograms, with its scalars.
#[derive(Debug)]
pub(crate) enum HistogramFn {
    /// `histogram_quantile`, and where its quantile stands.
    Quantile(ScalarNode, Span),
    /// `histogram_fraction`.
    Fraction(ScalarNode, ScalarNode),
    /// `histogram_quantiles`: the label that names the quantile, and the quantiles.
    Quantiles(String, Vec<(ScalarNode, Span)>),
}

impl RangeNode {
    /// How the windows reach beyond their borders.
    pub(crate) fn extension(&self) -> Option<RangeExtension> {
        match self {
            Self::Select { selector, .. } => selector.extension,
            Self::Subquery(_) => None,
        }
    }

    /// Where the windows lie.
    pub(crate) fn window(&self) -> Window {
        match self {
            Self::Select { window, .. } => *window,
            Self::Subquery(subquery) => subquery.window,
        }
    }
}
