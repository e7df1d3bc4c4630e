//! Native histograms in aggregations of numbers: summed up, counted, or left out.

use super::super::native::{Findings, mean, sum};
use super::super::operator::{ABSENT, is_absent};
use super::super::points::{Histogram, Histograms, Rows, slots_of};
use super::Input;
use crate::annotation::Annotation;
use crate::ast::AggregateOp;
use crate::failure::QueryError;
use std::sync::Arc;

/// A series of a group that has histograms.
pub(super) struct Member {
    /// The row.
    pub(super) row: usize,
    /// Its histograms.
    pub(super) histograms: Histograms,
}

/// The rows of all groups: `slots` is what the aggregation made of the numbers, `met` the histograms that were met,
/// each with the number of its chunk and of its group.
///
/// # Errors
/// More memory of histograms, those that were met and those of the result, than the budget has left.
pub(super) fn with_histograms(
    input: &Input<'_, '_>,
    mut slots: Vec<f64>,
    mut met: Vec<(usize, usize, Vec<Member>)>,
) -> Result<Rows, QueryError> {
    met.sort_by_key(|(chunk, ..)| *chunk);
    let mut groups: Vec<Vec<Member>> = input.groups.members.iter().map(|_| Vec::new()).collect();
    for (_, group, mut members) in met {
        if let Some(group) = groups.get_mut(group) {
            group.append(&mut members);
        }
    }
    let budget = &input.context.budget;
    let met = groups.iter().flatten().map(|member| slots_of_all(&member.histograms)).sum();
    let _held = budget.hold(met)?;
    let mut rows = Vec::with_capacity(groups.len());
    for (members, slots) in groups.iter().zip(slots.chunks_mut(input.steps.max(1))) {
        input.context.budget.check()?;
        let mut histograms = Histograms::new();
        for step in 0..slots.len() {
            let found: Vec<_> =
                members.iter().filter_map(|member| Some((member.row, member.histograms.at(step)?))).collect();
            if !found.is_empty() {
                aggregate_step(input, &found, slots, &mut histograms, step);
            }
        }
        budget.keep(slots_of_all(&histograms))?;
        rows.push(histograms);
    }
    Ok(Rows::new(slots, rows))
}

fn slots_of_all(histograms: &Histograms) -> usize {
    histograms.iter().map(|(_, histogram)| slots_of(histogram)).sum()
}

fn aggregate_step(
    input: &Input<'_, '_>,
    found: &[(usize, &Histogram)],
    slots: &mut [f64],
    histograms: &mut Histograms,
    step: usize,
) {
    let steps = slots.len();
    let Some(slot) = slots.get_mut(step) else { return };
    match input.node.op {
        AggregateOp::Count => *slot = if is_absent(*slot) { 0.0 } else { *slot } + found.len() as f64,
        AggregateOp::Group => *slot = 1.0,
        AggregateOp::Sum | AggregateOp::Avg => {
            if !is_absent(*slot) {
                input.context.annotate(Annotation::MixedFloatsHistogramsAggregation, input.node.vector_span);
                *slot = ABSENT;
            } else if let Some(total) = total(input, found) {
                histograms.set(step, steps, total);
            }
        }
        _ => input.ignore_histograms(input.node.vector_span),
    }
}

fn total(input: &Input<'_, '_>, found: &[(usize, &Histogram)]) -> Option<Histogram> {
    let mut findings = Findings::default();
    let all = found.iter().map(|(_, histogram)| histogram.as_ref());
    let total = match input.node.op {
        AggregateOp::Avg => mean(all, &mut findings),
        _ => sum(all, &mut findings),
    };
    let span = input.node.vector_span;
    match total {
        Err(misfit) => {
            let row = found.get(misfit.0).and_then(|(row, _)| input.operator.rows().get(*row));
            let metric = row.map_or(String::new(), |identity| {
                let hidden = identity.drop_name && !input.context.sees_dropped_names();
                if hidden { String::new() } else { identity.labels.metric_name().to_owned() }
            });
            input.context.annotate(Annotation::MixedExponentialCustomHistograms { metric }, span);
            None
        }
        Ok(total) => {
            findings.annotate(input.context, span);
            let mut total = total?;
            total.compact(0);
            Some(Arc::new(total))
        }
    }
}
