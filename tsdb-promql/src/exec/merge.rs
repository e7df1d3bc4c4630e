//! Series that have become equal.
//!
//! When names are dropped or labels rewritten, several series may end up with the same labels. They are one series
//! then, unless two of them have a point at the same step: that is an error.

use super::context::Context;
use super::groups::{Chosen, Groups, Sight, members_of};
use super::operator::{ABSENT, Identity, Operator, Scratch, VectorOp, is_absent};
use super::points::Histograms;
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
    fn add(
        &self,
        (part, mut more): (&[f64], Histograms),
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        let steps = out.len();
        if self.clash == Clash::Ever {
            let points = |slots: &[f64], histograms: &Histograms| {
                histograms.iter().next().is_some() || slots.iter().any(|slot| !is_absent(*slot))
            };
            if points(part, &more) && points(out, histograms) {
                return Err(QueryError::same_labelset());
            }
        }
        for (step, (slot, new)) in out.iter_mut().zip(part).enumerate() {
            let histogram = more.take(step);
            if is_absent(*new) && histogram.is_none() {
                continue;
            }
            if !is_absent(*slot) || histograms.at(step).is_some() {
                return Err(QueryError::same_labelset());
            }
            *slot = *new;
            if let Some(histogram) = histogram {
                histograms.set(step, steps, histogram);
            }
        }
        Ok(())
    }
}

impl VectorOp for MergeOp<'_> {
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
        out.fill(ABSENT);
        histograms.clear();
        match self.members.get(row).map_or(&[][..], Vec::as_slice) {
            [only] => self.operator.eval(*only, scratch, out, histograms),
            several => {
                let mut part = scratch.take_row(out.len());
                let mut all = several.iter();
                let result = all.try_for_each(|member| {
                    let mut more = Histograms::new();
                    self.operator.eval(*member, scratch, &mut part, &mut more)?;
                    self.add((&part, more), out, histograms)
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
