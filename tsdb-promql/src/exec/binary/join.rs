//! Arithmetic and comparison between two vectors.
//!
//! The sides are called "many" and "one": on the one side, a match group has at most one point at any step. Without
//! `group_left` or `group_right` the left side counts as the many, and its groups too may have but one point.

use super::super::context::Context;
use super::super::groups::{Groups, Sight, members_of};
use super::super::operator::{ABSENT, Identity, Operator, Scratch, Stored, VectorOp, is_absent, is_metadata};
use super::super::points::{Histograms, Point, Rows};
use super::crowd::{CrowdRules, evaluate_crowd};
use super::element::{ElementRules, Refused};
use super::operation::Operation;
use super::set::match_sight;
use crate::ast::{Cardinality, VectorMatching};
use crate::failure::QueryError;
use crate::plan::BinaryNode;
use crate::span::Span;
use std::collections::HashSet;
use tsdb_core::{Labels, LabelsBuilder};

/// How the two sides become one series.
pub(super) struct Rules<'n> {
    /// The operator.
    pub(super) operation: Operation,
    /// How series find each other.
    pub(super) matching: &'n VectorMatching,
    /// What of the labels decides that.
    pub(super) sight: Sight<'n>,
    /// Is the many side the right one?
    pub(super) swapped: bool,
    /// Value that stands in for a missing series of the many side.
    pub(super) many_fill: Option<f64>,
    /// Value that stands in for a missing series of the one side.
    pub(super) one_fill: Option<f64>,
    /// The text of the expression.
    pub(super) span: Span,
}

impl Rules<'_> {
    /// Do match groups have one point on either side?
    pub(super) fn is_one_to_one(&self) -> bool {
        self.matching.cardinality == Cardinality::OneToOne
    }

    pub(super) fn fills(&self) -> bool {
        self.many_fill.is_some() || self.one_fill.is_some()
    }

    /// The slot for a point of the many side and one of the one side.
    #[inline(always)]
    pub(super) fn slot(&self, many: f64, one: f64) -> f64 {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        self.operation.slot(left, right, left)
    }

    /// The point for one of the many side and one of the one side, whatever they are.
    ///
    /// # Errors
    /// Points that the operator does not know.
    pub(super) fn point(
        &self,
        context: &Context<'_>,
        many: &Point,
        one: &Point,
    ) -> Result<Option<Point>, Refused> {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let rules = ElementRules { context, operation: self.operation, span: self.span };
        rules.combine(left, right, left)
    }

    /// The labels of the result of two series.
    pub(super) fn result(&self, many: &Identity, one: &Identity) -> Identity {
        let seen = self.sight.dropped_names;
        // Arithmetic drops the name at once; a comparison that yields 0 and 1 may leave it in sight.
        let drops = self.operation.changes_meaning() || (self.operation.return_bool && !seen);
        let hides = |identity: &Identity, name: &str| identity.drop_name && !seen && is_metadata(name);
        let matching = self.matching;
        let listed = |name: &str| matching.labels.iter().any(|label| label == name);
        let kept = |name: &str| {
            let goes = hides(many, name) || (drops && is_metadata(name));
            !goes && (!self.is_one_to_one() || listed(name) == matching.on)
        };
        let mut labels = many.labels.filter(kept);
        if !matching.include.is_empty() {
            let mut builder = LabelsBuilder::from_labels(&labels);
            for name in &matching.include {
                let value = if hides(one, name) { None } else { one.labels.get(name) };
                builder.set(name, value.unwrap_or(""));
            }
            labels = builder.build().unwrap_or(labels);
        }
        Identity { labels, drop_name: self.operation.return_bool && seen }
    }
}

/// A row of the result.
enum Row {
    /// A series of the many side and one of the one side.
    Pair(usize, usize),
    /// A row that was computed when the operator was built.
    Ready(usize),
}

/// Pairs of series, combined.
struct JoinOp<'c, 'n> {
    context: &'c Context<'c>,
    many: Operator<'c>,
    one: Operator<'c>,
    identities: Vec<Identity>,
    rows: Vec<Row>,
    ready: Stored<'c>,
    rules: Rules<'n>,
}

/// `lhs op rhs` for arithmetic and comparison.
///
/// # Errors
/// Series that match more than they may; those of the rows.
pub(in super::super) fn join<'c>(
    context: &'c Context<'c>,
    node: &'c BinaryNode,
    lhs: Operator<'c>,
    rhs: Operator<'c>,
    steps: usize,
) -> Result<Operator<'c>, QueryError> {
    let matching = &node.matching;
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    let rules = Rules {
        operation: Operation { op: node.op, return_bool: node.return_bool },
        matching,
        sight: match_sight(context, matching),
        swapped,
        // Prometheus turns the sides round for `group_right`, but not the values that fill them.
        many_fill: matching.fill_left,
        one_fill: matching.fill_right,
        span: node.span,
    };
    // A series of the one side meets many of the other: it is computed once.
    let one: Operator<'c> = if rules.is_one_to_one() { one } else { Box::new(context.store(&*one, steps)?) };
    Ok(Box::new(JoinOp::new(context, many, one, rules, steps)?))
}

impl<'c, 'n> JoinOp<'c, 'n> {
    fn new(
        context: &'c Context<'c>,
        many: Operator<'c>,
        one: Operator<'c>,
        rules: Rules<'n>,
        steps: usize,
    ) -> Result<Self, QueryError> {
        let (mut groups, one_groups) = Groups::of(one.rows(), rules.sight);
        let join = |identity| groups.join(identity, rules.sight);
        let many_groups: Vec<_> = many.rows().iter().map(join).collect();
        let one_members = members_of(&one_groups, groups.len());
        let many_members = members_of(&many_groups, groups.len());
        let mut identities = Vec::new();
        let mut rows = Vec::new();
        let mut crowds = Vec::new();
        let (mut many_met, mut one_met) = (vec![false; many.rows().len()], vec![false; one.rows().len()]);
        for (many_members, one_members) in many_members.into_iter().zip(one_members) {
            match pair_up(&rules, many.rows(), one.rows(), &many_members, &one_members) {
                Some(results) => {
                    for ((row, one), identity) in results {
                        identities.push(identity);
                        rows.push(Row::Pair(row, one));
                        meet(&mut many_met, &[row]);
                        meet(&mut one_met, &[one]);
                    }
                }
                None => {
                    meet(&mut many_met, &many_members);
                    meet(&mut one_met, &one_members);
                    crowds.push((many_members, one_members));
                }
            }
        }
        context.hear_out(&*many, alone(&many_met), steps)?;
        context.hear_out(&*one, alone(&one_met), steps)?;
        let crowd_rules = CrowdRules { context, rules: &rules, many: &*many, one: &*one, steps };
        let (mut slots, mut histograms) = (Vec::new(), Vec::new());
        for (ready, (identity, row, more)) in evaluate_crowd(&crowd_rules, &crowds)?.into_iter().enumerate() {
            rows.push(Row::Ready(ready));
            identities.push(identity);
            slots.extend_from_slice(&row);
            histograms.push(more);
        }
        let ready = Stored::new(context, Vec::new(), Rows::new(slots, histograms), steps)?;
        Ok(Self { context, many, one, identities, rows, ready, rules })
    }
}

fn meet(met: &mut [bool], rows: &[usize]) {
    for row in rows {
        if let Some(met) = met.get_mut(*row) {
            *met = true;
        }
    }
}

/// The rows that meet none of the other side.
fn alone(met: &[bool]) -> impl Iterator<Item = usize> {
    met.iter().enumerate().filter(|(_, met)| !**met).map(|(row, _)| row)
}

type PairedRow = ((usize, usize), Identity);

/// The rows of a match group in which series meet without looking at their points; `None` if that takes a look:
/// when the one side has several series, when two results would have the same labels, when missing ones are filled.
fn pair_up(
    rules: &Rules<'_>,
    many: &[Identity],
    one: &[Identity],
    many_members: &[usize],
    one_members: &[usize],
) -> Option<Vec<PairedRow>> {
    if rules.fills() {
        return None;
    }
    let (one_row, rest) = match one_members {
        [] => return Some(Vec::new()),
        [first, rest @ ..] => (*first, rest),
    };
    if !rest.is_empty() || (rules.is_one_to_one() && many_members.len() > 1) {
        return None;
    }
    let one_identity = one.get(one_row)?;
    let mut results = Vec::with_capacity(many_members.len());
    let mut seen: HashSet<Labels> = HashSet::new();
    for row in many_members {
        let identity = rules.result(many.get(*row)?, one_identity);
        if many_members.len() > 1 && !seen.insert(identity.labels.clone()) {
            return None;
        }
        results.push(((*row, one_row), identity));
    }
    Some(results)
}

impl JoinOp<'_, '_> {
    fn combine_numbers(&self, out: &mut [f64], ones: &[f64]) {
        for (slot, one) in out.iter_mut().zip(ones) {
            *slot = if is_absent(*slot) || is_absent(*one) { ABSENT } else { self.rules.slot(*slot, *one) };
        }
    }

    fn combine(&self, out: &mut [f64], histograms: &mut Histograms, ones: &[f64], more: &Histograms) {
        for step in 0..out.len() {
            let pair = Point::at(out, histograms, step).zip(Point::at(ones, more, step));
            let result =
                pair.and_then(|(many, one)| self.rules.point(self.context, &many, &one).unwrap_or(None));
            Point::put(result, out, histograms, step);
        }
    }
}

impl VectorOp for JoinOp<'_, '_> {
    fn rows(&self) -> &[Identity] {
        &self.identities
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        match self.rows.get(row) {
            None => {
                out.fill(ABSENT);
                histograms.clear();
            }
            Some(Row::Ready(ready)) => self.ready.eval(*ready, scratch, out, histograms)?,
            Some(Row::Pair(many, one)) => {
                self.many.eval(*many, scratch, out, histograms)?;
                let (mut ones, mut more) = (scratch.take_row(out.len()), Histograms::new());
                let result = self.one.eval(*one, scratch, &mut ones, &mut more);
                if histograms.is_empty() && more.is_empty() && !self.rules.operation.op.is_trim() {
                    self.combine_numbers(out, &ones);
                } else {
                    self.combine(out, histograms, &ones, &more);
                }
                scratch.give_row(ones);
                result?;
            }
        }
        Ok(())
    }

    fn is_ordered(&self) -> bool {
        self.many.is_ordered()
    }
    fn is_silent(&self) -> bool {
        let numbers = !self.context.may_hold_histograms && !self.rules.operation.op.is_trim();
        numbers && self.many.is_silent() && self.one.is_silent()
    }
}
