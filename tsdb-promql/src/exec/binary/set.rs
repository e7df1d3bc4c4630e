//! The set operators: `and`, `or`, `unless`.

use super::super::absent::Presence;
use super::super::context::Context;
use super::super::groups::{Chosen, Groups, Sight};
use super::super::operator::{ABSENT, Identity, Operator, Scratch, VectorOp};
use super::super::points::Histograms;
use crate::ast::{BinaryOp, VectorMatching};
use crate::failure::QueryError;

/// Rows of an operator, kept at the steps at which their match group is present on the other side, or absent.
struct FilterOp<'c> {
    operator: Operator<'c>,
    /// For each row the presence of its group on the other side; `None` if it has no member there.
    groups: Vec<Option<usize>>,
    presence: Vec<Presence>,
    keep_present: bool,
}

/// The rows of two operators, one behind the other.
struct ChainOp<'c> {
    first: Operator<'c>,
    second: Operator<'c>,
    identities: Vec<Identity>,
}

/// `lhs op rhs` for a set operator.
///
/// # Errors
/// Those of the rows.
pub(in super::super) fn set_operation<'c>(
    context: &'c Context<'c>,
    op: BinaryOp,
    matching: &VectorMatching,
    lhs: Operator<'c>,
    rhs: Operator<'c>,
    steps: usize,
) -> Result<Operator<'c>, QueryError> {
    let sight = match_sight(context, matching);
    if op != BinaryOp::Or {
        let filter = FilterOp::new(context, sight, lhs, &*rhs, steps, op == BinaryOp::And)?;
        return Ok(Box::new(filter));
    }
    // The left side is read twice, so it is computed once.
    let lhs = context.store(&*lhs, steps)?;
    let rest = FilterOp::new(context, sight, rhs, &lhs, steps, false)?;
    let identities = [lhs.rows(), rest.rows()].concat();
    Ok(Box::new(ChainOp { first: Box::new(lhs), second: Box::new(rest), identities }))
}

/// What of the labels decides which series match.
pub(super) fn match_sight<'n>(context: &Context<'_>, matching: &'n VectorMatching) -> Sight<'n> {
    let chosen =
        if matching.on { Chosen::Only(&matching.labels) } else { Chosen::ExceptAndName(&matching.labels) };
    Sight { chosen, dropped_names: context.sees_dropped_names() }
}

impl<'c> FilterOp<'c> {
    fn new(
        context: &Context<'_>,
        sight: Sight<'_>,
        operator: Operator<'c>,
        other: &dyn VectorOp,
        steps: usize,
        keep_present: bool,
    ) -> Result<Self, QueryError> {
        let (mut groups, numbers) = Groups::of(other.rows(), sight);
        let known = groups.len();
        let joined = operator.rows().iter().map(|identity| groups.join(identity, sight));
        let joined: Vec<_> = joined.map(|group| (group < known).then_some(group)).collect();
        let _held = context.budget.hold(known.saturating_mul(steps).div_ceil(8))?;
        let presence: Vec<_> = (0..known).map(|_| Presence::new(steps)).collect();
        context.parallel(numbers.len(), steps, |row, scratch| {
            let (mut slots, mut histograms) = (scratch.take_row(steps), Histograms::new());
            let result = other.eval(row, scratch, &mut slots, &mut histograms);
            if let Some(presence) = numbers.get(row).and_then(|group| presence.get(*group)) {
                presence.note(&slots, &histograms);
            }
            scratch.give_row(slots);
            result
        })?;
        if keep_present {
            let alone = joined.iter().enumerate().filter(|(_, group)| group.is_none()).map(|(row, _)| row);
            context.hear_out(&*operator, alone, steps)?;
        }
        Ok(Self { operator, groups: joined, presence, keep_present })
    }
}

impl VectorOp for FilterOp<'_> {
    fn rows(&self) -> &[Identity] {
        self.operator.rows()
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        let group = self.groups.get(row).copied().flatten();
        match group.and_then(|group| self.presence.get(group)) {
            None if self.keep_present => {
                out.fill(ABSENT);
                histograms.clear();
            }
            None => self.operator.eval(row, scratch, out, histograms)?,
            Some(presence) => {
                self.operator.eval(row, scratch, out, histograms)?;
                for (step, slot) in out.iter_mut().enumerate() {
                    if presence.at(step) != self.keep_present {
                        *slot = ABSENT;
                        histograms.take(step);
                    }
                }
            }
        }
        Ok(())
    }

    fn unique_without_name(&self) -> bool {
        self.operator.unique_without_name()
    }

    fn is_ordered(&self) -> bool {
        self.operator.is_ordered()
    }
    fn is_silent(&self) -> bool {
        self.operator.is_silent()
    }
}

impl VectorOp for ChainOp<'_> {
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
        match row.checked_sub(self.first.rows().len()) {
            None => self.first.eval(row, scratch, out, histograms),
            Some(row) => self.second.eval(row, scratch, out, histograms),
        }
    }
    fn is_silent(&self) -> bool {
        self.first.is_silent() && self.second.is_silent()
    }
}
