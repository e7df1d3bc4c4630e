//! Series that have become equal.
//!
//! When names are dropped or labels rewritten, several series may end up with the same labels. They are one series
//! then, unless two of them have a point at the same step: that is an error.

use super::context::Context;
use super::groups::{Chosen, Groups, Sight, members_of};
use super::operator::{ABSENT, Identity, Operator, Scratch, VectorOp, is_absent};
use crate::failure::QueryError;

/// When equal series are an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// If they have points at the same step.
    SameStep,
    /// If more than one has points at all.
    Ever,
}

/// Rows of an operator, those with equal labels made one.
struct MergeOp<'c> {
    operator: Operator<'c>,
    identities: Vec<Identity>,
    members: Vec<Vec<usize>>,
    clash: Clash,
}

/// `operator` with rows of equal labels made one, as the labels are seen inside the query.
pub(super) fn merge_equal<'c>(context: &Context<'_>, operator: Operator<'c>, clash: Clash) -> Operator<'c> {
    // Names that stay in sight cannot make series equal before the query ends.
    merge_seen(operator, clash, context.sees_dropped_names())
}

/// `operator` with rows of equal labels made one, as the result shows them.
pub(super) fn merge_shown(operator: Operator<'_>, clash: Clash) -> Operator<'_> {
    merge_seen(operator, clash, false)
}

fn merge_seen(operator: Operator<'_>, clash: Clash, dropped_names: bool) -> Operator<'_> {
    if operator.unique_without_name() || operator.rows().len() < 2 {
        return operator;
    }
    let sight = Sight { chosen: Chosen::All, dropped_names };
    let (groups, numbers) = Groups::of(operator.rows(), sight);
    if groups.len() == operator.rows().len() {
        return operator;
    }
    let members = members_of(&numbers, groups.len());
    let identities = groups.founders().to_vec();
    Box::new(MergeOp { operator, identities, members, clash })
}

impl MergeOp<'_> {
    fn add(&self, part: &[f64], out: &mut [f64]) -> Result<(), QueryError> {
        if self.clash == Clash::Ever {
            let points = |slots: &[f64]| slots.iter().any(|slot| !is_absent(*slot));
            if points(part) && points(out) {
                return Err(QueryError::same_labelset());
            }
        }
        for (slot, new) in out.iter_mut().zip(part).filter(|(_, new)| !is_absent(**new)) {
            if !is_absent(*slot) {
                return Err(QueryError::same_labelset());
            }
            *slot = *new;
        }
        Ok(())
    }
}

impl VectorOp for MergeOp<'_> {
    fn rows(&self) -> &[Identity] {
        &self.identities
    }

    fn eval(&self, row: usize, scratch: &mut Scratch, out: &mut [f64]) -> Result<(), QueryError> {
        out.fill(ABSENT);
        match self.members.get(row).map_or(&[][..], Vec::as_slice) {
            [only] => self.operator.eval(*only, scratch, out),
            several => {
                let mut part = scratch.take_row(out.len());
                let mut all = several.iter();
                let result = all.try_for_each(|member| {
                    self.operator.eval(*member, scratch, &mut part)?;
                    self.add(&part, out)
                });
                scratch.give_row(part);
                result
            }
        }
    }

    fn is_ordered(&self) -> bool {
        self.operator.is_ordered()
    }
}
