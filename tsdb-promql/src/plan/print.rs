//! Plans as text: a tree of lines, one operator a line, its parts indented below it.
//!
//! INVARIANT: two nodes with the same lines do the same. All that an operator is told stands in its line, except
//! where in the query it was written, which [`NodeRef::spans`] tells.

use super::node::{AggregateNode, BinaryNode, SortNode, VectorNode, VectorScalarNode};
use super::node::{
    HistogramFn, HistogramNode, InfoNode, Plan, RangeNode, ScalarNode, Selector, SortKey, SubqueryNode,
    Window,
};
use super::walk::NodeRef;
use crate::ast::{RangeExtension, format_duration, format_number, format_selector, quote};
use crate::span::Span;
use core::fmt::Write as _;
use tsdb_core::read::Projection;
use tsdb_core::{Labels, Timestamp};

impl Plan {
    /// The plan as a tree of lines.
    pub(crate) fn tree(&self) -> String {
        let mut text = String::new();
        match (self, self.root()) {
            (Self::String(value), _) => text.push_str(&format!("string {}\n", quoted(value))),
            (_, None) => {}
            (_, Some(root)) => root.write_tree(0, &mut Vec::new(), &mut text),
        }
        text
    }
}

impl NodeRef<'_> {
    /// `shown`: the shared nodes whose parts stand in the text.
    fn write_tree(self, level: usize, shown: &mut Vec<usize>, text: &mut String) {
        text.push_str(&"  ".repeat(level));
        text.push_str(&self.describe());
        if let Self::Vector(VectorNode::Shared(shared)) = self {
            if shown.contains(&shared.id) {
                text.push_str(", as above\n");
                return;
            }
            shown.push(shared.id);
        }
        text.push('\n');
        for part in self.parts() {
            part.write_tree(level.saturating_add(1), shown, text);
        }
    }

    /// One line that says what the node does, its parts left out.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Scalar(node) => scalar_line(node),
            Self::Vector(node) => vector_line(node),
            Self::Range(RangeNode::Select { selector, window }) => {
                let text = format!("read {}{}", selector.text(), window_text(*window));
                format!("{text}{}{}", extension_text(selector.extension), selector.parts_text())
            }
            Self::Range(RangeNode::Subquery(node)) => node.line(),
        }
    }

    /// Where in the query stands what the node, its parts left out, was made of.
    pub(super) fn spans(self) -> Vec<Span> {
        match self {
            Self::Vector(
                VectorNode::Select(selector)
                | VectorNode::TimestampOf(selector)
                | VectorNode::StartOf(selector),
            )
            | Self::Range(RangeNode::Select { selector, .. }) => vec![selector.span],
            Self::Vector(VectorNode::OverRange(call)) => vec![call.first_arg],
            Self::Vector(VectorNode::VectorScalar(node)) => vec![node.span],
            Self::Vector(VectorNode::Binary(node)) => vec![node.span],
            Self::Vector(VectorNode::Aggregate(node)) => vec![node.param_span, node.vector_span, node.span],
            Self::Vector(VectorNode::Info(node)) => vec![node.span],
            Self::Vector(VectorNode::Sort(node)) => vec![node.span],
            Self::Vector(VectorNode::Histogram(node)) => {
                let mut spans = vec![node.vector_span];
                match &node.function {
                    HistogramFn::Quantile(_, span) => spans.push(*span),
                    HistogramFn::Fraction(..) => {}
                    HistogramFn::Quantiles(_, all) => spans.extend(all.iter().map(|(_, span)| *span)),
                }
                spans
            }
            _ => Vec::new(),
        }
    }
}

impl Selector {
    /// The conditions, as they are written between braces.
    pub(crate) fn text(&self) -> String {
        format_selector(&self.matchers)
    }

    /// What is selected, and when it is looked at.
    pub(crate) fn line(&self) -> String {
        let extension = extension_text(self.extension);
        let time = time_text(self.at, self.offset_ms);
        format!("{}{extension}{time}{}", self.text(), self.parts_text())
    }

    /// Which parts of series and samples are loaded, unless it is all.
    fn parts_text(&self) -> String {
        let totals = if self.totals_only { ", totals of histograms" } else { "" };
        let windows = if self.windows { ", windows for samples" } else { "" };
        format!("{}{totals}{windows}", labels_text(&self.projection))
    }
}

impl SubqueryNode {
    /// The window and its steps.
    pub(crate) fn line(&self) -> String {
        format!("subquery {} every {}", window_text(self.window), format_duration(self.step_ms))
    }
}

fn scalar_line(node: &ScalarNode) -> String {
    match node {
        ScalarNode::Number(number) => format!("number {}", format_number(*number)),
        ScalarNode::Time => "time of the step".to_owned(),
        ScalarNode::OfVector(_) => "scalar of".to_owned(),
        ScalarNode::Negate(_) => "negate".to_owned(),
        ScalarNode::Binary { op, .. } => format!("scalars {op}"),
        ScalarNode::Pair { function, .. } => format!("{function:?} of two scalars").to_lowercase(),
        ScalarNode::StepInvariant(_) => "once for all steps".to_owned(),
    }
}

fn vector_line(node: &VectorNode) -> String {
    match node {
        VectorNode::Select(selector) => format!("select {}", selector.line()),
        VectorNode::TimestampOf(selector) => format!("timestamp of {}", selector.line()),
        VectorNode::StartOf(selector) => format!("start timestamp of {}", selector.line()),
        VectorNode::OverRange(call) => call.function.hint().to_owned(),
        VectorNode::AbsentOverTime { labels, .. } => format!("absent_over_time{}", result_text(labels)),
        VectorNode::Absent { labels, .. } => format!("absent{}", result_text(labels)),
        VectorNode::Map(node) => format!("map {:?}", node.function).to_lowercase(),
        VectorNode::Negate(_) => "negate".to_owned(),
        VectorNode::OfScalar(_) => "vector of".to_owned(),
        VectorNode::CalendarOfStep(field) => format!("{field:?} of the step").to_lowercase(),
        VectorNode::VectorScalar(node) => vector_scalar_line(node),
        VectorNode::Binary(node) => join_line(node),
        VectorNode::Aggregate(node) => aggregate_line(node),
        VectorNode::LabelReplace(node) => {
            let (to, template) = (quoted(&node.destination), quoted(&node.template));
            let (source, pattern) = (quoted(&node.source), quoted(node.pattern.as_str()));
            format!("label_replace {to} = {template} from {source} =~ {pattern}")
        }
        VectorNode::LabelJoin(node) => {
            let sources: Vec<_> = node.sources.iter().map(|source| quoted(source)).collect();
            let (to, separator) = (quoted(&node.destination), quoted(&node.separator));
            format!("label_join {to} = {} by {separator}", sources.join(", "))
        }
        VectorNode::Sort(node) => sort_line(node),
        VectorNode::Info(node) => info_line(node),
        VectorNode::Histogram(node) => node.line(),
        VectorNode::Nothing => "nothing".to_owned(),
        VectorNode::StepInvariant(_) => "once for all steps".to_owned(),
        VectorNode::Shared(shared) => format!("shared #{}", shared.id),
    }
}

fn vector_scalar_line(node: &VectorScalarNode) -> String {
    let side = if node.scalar_left { "scalar on the left" } else { "scalar on the right" };
    format!("{}{}, {side}", node.op, boolean(node.return_bool))
}

fn join_line(node: &BinaryNode) -> String {
    format!("join {}{}{}", node.op, boolean(node.return_bool), node.matching)
}

fn aggregate_line(node: &AggregateNode) -> String {
    let mut line = format!("{}{}", node.op, node.grouping).trim_end().to_owned();
    if !node.value_label.is_empty() {
        line.push_str(&format!(" as {}", quoted(&node.value_label)));
    }
    if node.streamed {
        line.push_str(", series by series");
    }
    line
}

fn sort_line(node: &SortNode) -> String {
    let direction = if node.descending { "descending" } else { "ascending" };
    match &node.key {
        SortKey::Value => format!("sort {direction}"),
        SortKey::Labels(labels) => {
            let labels: Vec<_> = labels.iter().map(|label| quoted(label)).collect();
            format!("sort {direction} by {}", labels.join(", "))
        }
    }
}

fn info_line(node: &InfoNode) -> String {
    let (names, data) = (format_selector(&node.names), format_selector(&node.data));
    format!("info {names} {data}{}", time_text(node.at, node.offset_ms))
}

impl HistogramNode {
    /// The function.
    pub(crate) fn line(&self) -> String {
        match &self.function {
            HistogramFn::Quantile(..) => "histogram_quantile".to_owned(),
            HistogramFn::Fraction(..) => "histogram_fraction".to_owned(),
            HistogramFn::Quantiles(label, _) => format!("histogram_quantiles as {}", quoted(label)),
        }
    }
}

const fn boolean(return_bool: bool) -> &'static str {
    if return_bool { " bool" } else { "" }
}

const fn extension_text(extension: Option<RangeExtension>) -> &'static str {
    match extension {
        None => "",
        Some(RangeExtension::Anchored) => " anchored",
        Some(RangeExtension::Smoothed) => " smoothed",
    }
}

fn window_text(window: Window) -> String {
    format!("[{}]{}", format_duration(window.range_ms), time_text(window.at, window.offset_ms))
}

fn time_text(at: Option<Timestamp>, offset_ms: i64) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if let Some(at) = at {
        let _ = write!(text, " @ {at} ms");
    }
    if offset_ms != 0 {
        let sign = if offset_ms < 0 { "-" } else { "" };
        let _ = write!(text, " offset {sign}{}", format_duration(offset_ms.saturating_abs()));
    }
    text
}

fn labels_text(projection: &Projection) -> String {
    match projection {
        Projection::Only(names) => {
            let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            format!(", of the labels only {}", names.join(", "))
        }
        _ => String::new(),
    }
}

fn result_text(labels: &Labels) -> String {
    if labels.is_empty() { String::new() } else { format!(" as {labels}") }
}

fn quoted(text: &str) -> String {
    quote(text.as_bytes())
}
