//! `topk` and `bottomk`: the largest or smallest points of each group and step, under their own labels.

use super::super::operator::{ABSENT, Identity, NoSeries, Operator, Stored, is_absent};
use super::super::points::{Histogram, Histograms, Rows};
use super::super::scalar::Steps;
use super::Input;
use crate::failure::QueryError;
use crate::num::{ascending_nan_last, descending_nan_last};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The best points of each group and step; those of an instant query in order, group by group.
pub(super) fn top<'c>(
    input: &Input<'_, 'c>,
    param: &Steps,
    largest: bool,
) -> Result<Operator<'c>, QueryError> {
    let counts = counts(param, input.steps)?;
    let order: fn(&f64, &f64) -> Ordering = if largest { descending_nan_last } else { ascending_nan_last };
    if counts.iter().all(|count| *count == 0) {
        input.context.hear_out(input.operator, 0..input.operator.rows().len(), input.steps)?;
        return Ok(Box::new(NoSeries));
    }
    let largest_group = input.groups.members.iter().map(Vec::len).max().unwrap_or(0);
    let parts = input.context.parallel(
        input.groups.members.len(),
        input.steps.saturating_mul(largest_group),
        |group, scratch| {
            let members = input.groups.members.get(group).map_or(&[][..], Vec::as_slice);
            let mut best = Best::new(input, members.len(), &counts, order)?;
            let (mut slots, mut histograms) = (scratch.take_row(input.steps), Histograms::new());
            for row in members {
                input.context.budget.check()?;
                input.operator.eval(*row, scratch, &mut slots, &mut histograms)?;
                if histograms.iter().next().is_some() {
                    input.ignore_histograms(input.node.span);
                }
                best.offer(*row, &slots);
            }
            scratch.give_row(slots);
            Ok(best.steps)
        },
    )?;
    chosen_rows(input, parts, Vec::new())
}

/// How many points are wanted at each step.
///
/// # Errors
/// A parameter that is no number or that no integer holds.
pub(super) fn counts(param: &Steps, steps: usize) -> Result<Vec<usize>, QueryError> {
    let all = || param.iter(steps);
    if all().all(|k| k < 1.0) {
        return Ok(vec![0; steps]);
    }
    if all().any(f64::is_nan) {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    // Two to the 63rd is the first number that 64-bit integers do not hold.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if let Some(k) = all().find(|k| *k <= -BOUND) {
        return Err(QueryError::execution(format!("Scalar value {} underflows int64", go_number(k))));
    }
    if let Some(k) = all().find(|k| *k >= BOUND) {
        return Err(QueryError::execution(format!("Scalar value {} overflows int64", go_number(k))));
    }
    // The conversion saturates at both ends.
    Ok(all().map(|k| k as usize).collect())
}

/// A number beyond 64-bit integers as Go prints it: with a sign in the exponent.
fn go_number(number: f64) -> String {
    if number.is_infinite() {
        return (if number > 0.0 { "+Inf" } else { "-Inf" }).to_owned();
    }
    format!("{number:e}").replace('e', "e+")
}

/// The best points so far: for each step, rows and values in order.
struct Best<'a> {
    counts: &'a [usize],
    order: fn(&f64, &f64) -> Ordering,
    steps: Vec<Vec<(usize, f64)>>,
    _held: super::super::budget::Held<'a>,
}

impl<'a> Best<'a> {
    fn new(
        input: &'a Input<'_, '_>,
        members: usize,
        counts: &'a [usize],
        order: fn(&f64, &f64) -> Ordering,
    ) -> Result<Self, QueryError> {
        let places = counts.iter().fold(0usize, |sum, count| sum.saturating_add(*count.min(&members)));
        let held = input.context.budget.hold(places)?;
        Ok(Self { counts, order, steps: vec![Vec::new(); counts.len()], _held: held })
    }

    fn offer(&mut self, row: usize, slots: &[f64]) {
        for ((best, count), slot) in self.steps.iter_mut().zip(self.counts).zip(slots) {
            if is_absent(*slot) {
                continue;
            }
            // Of equal points, the one that came first is kept: rows come in the order of their labels.
            let place = best.partition_point(|(_, value)| (self.order)(value, slot) != Ordering::Greater);
            if place < *count {
                best.truncate(count.saturating_sub(1));
                best.insert(place, (row, *slot));
            }
        }
    }
}

/// The rows that were chosen at any step, with the points of those steps. A histogram, given with its row and step, is
/// chosen as an absent slot.
pub(super) fn chosen_rows<'c>(
    input: &Input<'_, 'c>,
    groups: Vec<Vec<Vec<(usize, f64)>>>,
    chosen_histograms: Vec<(usize, usize, Histogram)>,
) -> Result<Operator<'c>, QueryError> {
    let mut places = BTreeMap::new();
    let mut identities: Vec<Identity> = Vec::new();
    let mut slots = Vec::new();
    for group in &groups {
        for (step, chosen) in group.iter().enumerate() {
            for (row, value) in chosen {
                let place = *places.entry(*row).or_insert_with(|| {
                    identities.extend(input.operator.rows().get(*row).cloned());
                    identities.len().saturating_sub(1)
                });
                let needed = identities.len().saturating_mul(input.steps);
                if slots.len() < needed {
                    input.context.budget.check_room(needed)?;
                    slots.resize(needed, ABSENT);
                }
                if let Some(slot) = slots.get_mut(place.saturating_mul(input.steps) + step) {
                    *slot = *value;
                }
            }
        }
    }
    let mut histograms = vec![Histograms::new(); identities.len()];
    for (row, step, histogram) in chosen_histograms {
        if let Some(row) = places.get(&row).and_then(|place| histograms.get_mut(*place)) {
            row.set(step, input.steps, histogram);
        }
    }
    let stored = Stored::new(input.context, identities, Rows::new(slots, histograms), input.steps)?;
    Ok(Box::new(if input.steps == 1 { stored.ordered() } else { stored }))
}
