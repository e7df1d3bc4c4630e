//! Equalities that hold on one side of a join are asked of the other side too.
//!
//! A series whose matched labels differ from those of all series on the other side takes part in no result, but it
//! may matter in other ways, and then it stays:
//!
//! - Two series of one match group on the side of the one are an error wherever the other side has any series at
//!   all. So the sides are restricted only if the side of the one cannot have two.
//! - Two series may become equal when their names go, which is an error. So names go only from series of one metric.
//! - A function or an aggregation may have something to say about a series. So only those are crossed that are silent
//!   about what is there: with numbers nearly all, with native histograms few.
//! - A series may be one of many that a group is made of. So only equalities that hold for whole groups pass.

use super::super::function::RangeFn;
use super::super::node::{
    AggregateNode, BinaryNode, RangeCall, RangeNode, ScalarNode, Selector, VectorNode, VectorScalarNode,
};
use super::super::walk::NodeMut;
use crate::ast::{AggregateOp, BinaryOp, Cardinality, VectorMatching};
use tsdb_core::{METRIC_NAME, MatchOp, Matcher};

/// Restricts the operands of all joins under `node`, the lower ones first. `histograms`: may there be any?
pub(super) fn propagate(mut node: NodeMut<'_>, histograms: bool) {
    for part in node.reborrow().parts() {
        propagate(part, histograms);
    }
    if let NodeMut::Vector(VectorNode::Binary(join)) = node {
        restrict_sides(join, histograms);
    }
}

fn restrict_sides(join: &mut BinaryNode, histograms: bool) {
    let matching = &join.matching;
    if has_fill(matching) || join.op == BinaryOp::Or {
        return;
    }
    let one_side = if matching.cardinality == Cardinality::OneToMany { &join.lhs } else { &join.rhs };
    if !join.op.is_set() && !has_one_of_each(one_side, matching) {
        return;
    }
    let of_left = matched(fixed(&join.lhs), matching);
    let of_right = matched(fixed(&join.rhs), matching);
    of_left.iter().for_each(|equality| restrict(&mut join.rhs, equality, histograms));
    // What the right side lacks, `unless` lets pass.
    if join.op != BinaryOp::Unless {
        of_right.iter().for_each(|equality| restrict(&mut join.lhs, equality, histograms));
    }
}

const fn has_fill(matching: &VectorMatching) -> bool {
    matching.fill_left.is_some() || matching.fill_right.is_some()
}

fn matched(mut equalities: Vec<Matcher>, matching: &VectorMatching) -> Vec<Matcher> {
    equalities.retain(|equality| is_matched(matching, equality.name()));
    equalities
}

fn is_matched(matching: &VectorMatching, name: &str) -> bool {
    name != METRIC_NAME && matching.labels.iter().any(|label| label == name) == matching.on
}

/// Does every match group have at most one series, whatever the data?
fn has_one_of_each(node: &VectorNode, matching: &VectorMatching) -> bool {
    match node {
        VectorNode::Aggregate(aggregate) if one_for_each_group(aggregate.op) => {
            let grouping = &aggregate.grouping;
            !grouping.without && grouping.labels.iter().all(|label| is_matched(matching, label))
        }
        // Series with one metric name differ in some other label.
        VectorNode::Select(selector) => !matching.on && matching.labels.is_empty() && is_named(selector),
        VectorNode::OverRange(call) => match &call.range {
            RangeNode::Select { selector, .. } => {
                !matching.on && matching.labels.is_empty() && is_named(selector)
            }
            RangeNode::Subquery(subquery) => has_one_of_each(&subquery.vector, matching),
        },
        VectorNode::OfScalar(_) | VectorNode::Absent { .. } | VectorNode::AbsentOverTime { .. } => true,
        VectorNode::StepInvariant(vector) | VectorNode::Negate(vector) => has_one_of_each(vector, matching),
        VectorNode::Map(map) => has_one_of_each(&map.vector, matching),
        VectorNode::VectorScalar(node) => has_one_of_each(&node.vector, matching),
        _ => false,
    }
}

/// Is the result of the aggregation one series for each group?
const fn one_for_each_group(op: AggregateOp) -> bool {
    !keeps_series(op) && !matches!(op, AggregateOp::CountValues)
}

/// Does the aggregation pass on some of its series with all their labels?
pub(super) const fn keeps_series(op: AggregateOp) -> bool {
    matches!(op, AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio)
}

/// Are all series of one metric?
pub(super) fn is_named(selector: &Selector) -> bool {
    let names = |matcher: &Matcher| {
        matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && !matcher.value().is_empty()
    };
    selector.matchers.iter().any(names)
}

/// Equalities, not with the empty text, that hold for every series of the result.
fn fixed(node: &VectorNode) -> Vec<Matcher> {
    match node {
        VectorNode::Select(selector) | VectorNode::TimestampOf(selector) | VectorNode::StartOf(selector) => {
            equalities(selector)
        }
        VectorNode::OverRange(call) => match &call.range {
            RangeNode::Select { selector, .. } => equalities(selector),
            RangeNode::Subquery(subquery) => fixed(&subquery.vector),
        },
        VectorNode::Map(map) => fixed(&map.vector),
        VectorNode::VectorScalar(node) => fixed(&node.vector),
        VectorNode::Negate(vector) | VectorNode::StepInvariant(vector) => fixed(vector),
        VectorNode::Sort(sort) => fixed(&sort.vector),
        VectorNode::Aggregate(aggregate) => {
            let mut found = fixed(&aggregate.vector);
            found.retain(|equality| survives(aggregate, equality.name()));
            found
        }
        VectorNode::Binary(join) => fixed_by_join(join),
        _ => Vec::new(),
    }
}

fn fixed_by_join(join: &BinaryNode) -> Vec<Matcher> {
    match join.op {
        BinaryOp::Or => Vec::new(),
        BinaryOp::Unless => fixed(&join.lhs),
        BinaryOp::And => {
            let mut found = fixed(&join.lhs);
            found.append(&mut matched(fixed(&join.rhs), &join.matching));
            found
        }
        _ if has_fill(&join.matching) => Vec::new(),
        _ => {
            let mut found = fixed(&join.lhs);
            found.append(&mut fixed(&join.rhs));
            found.retain(|equality| !join.matching.include.iter().any(|name| name == equality.name()));
            matched(found, &join.matching)
        }
    }
}

fn equalities(selector: &Selector) -> Vec<Matcher> {
    let fixes = |matcher: &&Matcher| {
        matcher.op() == MatchOp::Equal && matcher.name() != METRIC_NAME && !matcher.value().is_empty()
    };
    selector.matchers.iter().filter(fixes).cloned().collect()
}

/// Do series of the result have the label of their operands?
fn survives(aggregate: &AggregateNode, label: &str) -> bool {
    label != aggregate.value_label && (keeps_series(aggregate.op) || is_of_group(aggregate, label))
}

/// Do all series of a group agree in `label`?
fn is_of_group(aggregate: &AggregateNode, label: &str) -> bool {
    aggregate.grouping.labels.iter().any(|name| name == label) != aggregate.grouping.without
}

/// Drops series without `equality` from what `node` reads, if that takes nothing but such series from its result and
/// nobody can tell.
fn restrict(node: &mut VectorNode, equality: &Matcher, histograms: bool) {
    if let Some(selector) = source(node, equality.name(), histograms)
        && !selector.matchers.contains(equality)
    {
        selector.matchers.push(equality.clone());
    }
}

/// The selector that `node` gets its series from with their `label` as it is, if all between is silent.
fn source<'n>(node: &'n mut VectorNode, label: &str, histograms: bool) -> Option<&'n mut Selector> {
    match node {
        VectorNode::Select(selector) => selector.extension.is_none().then_some(selector),
        VectorNode::TimestampOf(selector) | VectorNode::StartOf(selector) => {
            (selector.extension.is_none() && is_named(selector)).then_some(selector)
        }
        VectorNode::OverRange(call) => {
            let silent =
                is_silent(call, histograms) && (call.function.keeps_name() || is_of_one_name(&call.range));
            match &mut call.range {
                _ if !silent => None,
                RangeNode::Select { selector, .. } => Some(selector),
                RangeNode::Subquery(subquery) => source(&mut subquery.vector, label, histograms),
            }
        }
        VectorNode::Map(map) => unnamed(&mut map.vector, label, histograms),
        VectorNode::Negate(vector) => unnamed(vector, label, histograms),
        VectorNode::VectorScalar(VectorScalarNode { op, vector, .. }) => {
            let silent = !op.is_trim() && !histograms;
            if silent { unnamed(vector, label, histograms) } else { None }
        }
        VectorNode::StepInvariant(vector) => source(vector, label, histograms),
        VectorNode::Sort(sort) => source(&mut sort.vector, label, histograms),
        VectorNode::Aggregate(aggregate) => {
            let silent = match aggregate.op {
                AggregateOp::CountValues => false,
                AggregateOp::Count | AggregateOp::Group | AggregateOp::LimitK | AggregateOp::LimitRatio => {
                    true
                }
                _ => !histograms,
            };
            let passes = silent && is_of_group(aggregate, label);
            if passes { source(&mut aggregate.vector, label, histograms) } else { None }
        }
        VectorNode::Binary(join) if matches!(join.op, BinaryOp::And | BinaryOp::Unless) => {
            source(&mut join.lhs, label, histograms)
        }
        _ => None,
    }
}

/// The source of `vector`, whose names go.
fn unnamed<'n>(vector: &'n mut VectorNode, label: &str, histograms: bool) -> Option<&'n mut Selector> {
    if differs_without_names(vector) { source(vector, label, histograms) } else { None }
}

/// Are all series different also without their names?
fn differs_without_names(vector: &VectorNode) -> bool {
    match vector {
        VectorNode::Select(selector) | VectorNode::TimestampOf(selector) | VectorNode::StartOf(selector) => {
            is_named(selector)
        }
        VectorNode::OverRange(call) => is_of_one_name(&call.range),
        VectorNode::Map(map) => differs_without_names(&map.vector),
        VectorNode::VectorScalar(node) => differs_without_names(&node.vector),
        VectorNode::Negate(vector) | VectorNode::StepInvariant(vector) => differs_without_names(vector),
        VectorNode::Sort(sort) => differs_without_names(&sort.vector),
        VectorNode::Aggregate(aggregate) if keeps_series(aggregate.op) => {
            differs_without_names(&aggregate.vector)
        }
        VectorNode::Aggregate(node) => {
            let grouping = &node.grouping;
            grouping.without || !grouping.labels.iter().any(|label| label.starts_with("__"))
        }
        VectorNode::Binary(join) => {
            matches!(join.op, BinaryOp::And | BinaryOp::Unless) && differs_without_names(&join.lhs)
        }
        _ => false,
    }
}

fn is_of_one_name(range: &RangeNode) -> bool {
    match range {
        RangeNode::Select { selector, .. } => is_named(selector),
        RangeNode::Subquery(subquery) => differs_without_names(&subquery.vector),
    }
}

/// Does the function say nothing and refuse nothing, whatever its samples are?
fn is_silent(call: &RangeCall, histograms: bool) -> bool {
    if call.range.extension().is_some() {
        return false;
    }
    match call.function {
        // Its factors may be refused.
        RangeFn::Smooth => false,
        RangeFn::Quantile => {
            !histograms && matches!(call.params[..], [ScalarNode::Number(q)] if (0.0..=1.0).contains(&q))
        }
        // Rates of what is not named as a counter are remarked upon.
        RangeFn::Rate | RangeFn::Increase => !histograms && is_named_as_counter(&call.range),
        function => !histograms || function.is_silent_about_histograms(),
    }
}

fn is_named_as_counter(range: &RangeNode) -> bool {
    let RangeNode::Select { selector, .. } = range else { return false };
    let counts = |name: &str| ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end));
    let named = |matcher: &Matcher| {
        matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && counts(matcher.value())
    };
    selector.matchers.iter().any(named)
}
