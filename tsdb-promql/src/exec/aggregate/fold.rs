//! Aggregations that take series one after the other.
//!
//! A group is cut into chunks of series whose size does not depend on the number of threads; chunks are computed in
//! parallel, each in the order of its series, and joined in order. So a result is the same on any machine.

use super::super::operator::{ABSENT, Scratch, as_point, is_absent};
use super::super::points::{Histograms, Rows};
use super::Input;
use super::histograms::{Member, with_histograms};
use crate::failure::QueryError;
use crate::num::{KahanSum, MeanAccumulator, VarianceAccumulator};
use std::sync::{Mutex, PoisonError};

/// Takes in the points of one group at one step.
pub(super) trait Accumulator: Copy + Default + Send {
    /// Takes another point in.
    fn add(&mut self, value: f64);
    /// Takes in what `later` has taken in.
    fn merge(&mut self, later: Self);
    /// The result; `None` if there was no point.
    fn finish(self) -> Option<f64>;
}

/// Series of one group that one thread takes in order.
const CHUNK: usize = 64;

/// The results of all groups, one row behind the other.
pub(super) fn fold<A: Accumulator>(input: &Input<'_, '_>) -> Result<Rows, QueryError> {
    let steps = input.steps;
    let chunks: Vec<(usize, &[usize])> = input
        .groups
        .members
        .iter()
        .enumerate()
        .flat_map(|(group, members)| members.chunks(CHUNK).map(move |chunk| (group, chunk)))
        .collect();
    let _held = input.context.budget.hold(chunks.len().saturating_mul(steps))?;
    let mut slots = vec![ABSENT; input.groups.members.len().saturating_mul(steps)];
    let places: Vec<Mutex<&mut [f64]>> = slots.chunks_mut(steps.max(1)).map(Mutex::new).collect();
    let largest = chunks.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
    // Most groups are one chunk: those are finished at once, and what they have taken in is forgotten.
    let met = Mutex::new(Vec::new());
    let open = input.context.parallel(chunks.len(), steps.saturating_mul(largest), |index, scratch| {
        let Some((group, rows)) = chunks.get(index) else { return Ok(None) };
        let (totals, histograms) = accumulate::<A>(input, rows, scratch)?;
        if !histograms.is_empty() {
            met.lock().unwrap_or_else(PoisonError::into_inner).push((index, *group, histograms));
        }
        let members = input.groups.members.get(*group).map_or(0, Vec::len);
        if members > rows.len() {
            return Ok(Some((*group, totals)));
        }
        finish(&places, *group, &totals);
        Ok(None)
    })?;
    let mut open = open.into_iter().flatten().peekable();
    while let Some((group, mut totals)) = open.next() {
        while let Some((_, later)) = open.next_if(|(of, _)| *of == group) {
            for (total, later) in totals.iter_mut().zip(later) {
                total.merge(later);
            }
        }
        finish(&places, group, &totals);
    }
    drop(places);
    let met = met.into_inner().unwrap_or_else(PoisonError::into_inner);
    if met.is_empty() { Ok(Rows::of_numbers(slots)) } else { with_histograms(input, slots, met) }
}

fn finish<A: Accumulator>(places: &[Mutex<&mut [f64]>], group: usize, totals: &[A]) {
    let Some(place) = places.get(group) else { return };
    let mut row = place.lock().unwrap_or_else(PoisonError::into_inner);
    for (slot, total) in row.iter_mut().zip(totals) {
        *slot = total.finish().map_or(ABSENT, as_point);
    }
}

fn accumulate<A: Accumulator>(
    input: &Input<'_, '_>,
    rows: &[usize],
    scratch: &mut Scratch,
) -> Result<(Vec<A>, Vec<Member>), QueryError> {
    let mut accumulators = vec![A::default(); input.steps];
    let mut slots = scratch.take_row(input.steps);
    let (mut histograms, mut members) = (Histograms::new(), Vec::new());
    for row in rows {
        input.context.budget.check()?;
        input.operator.eval(*row, scratch, &mut slots, &mut histograms)?;
        if !histograms.is_empty() {
            members.push(Member { row: *row, histograms: std::mem::take(&mut histograms) });
        }
        for (accumulator, slot) in accumulators.iter_mut().zip(&slots) {
            if !is_absent(*slot) {
                accumulator.add(*slot);
            }
        }
    }
    scratch.give_row(slots);
    Ok((accumulators, members))
}

/// `sum`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Summed {
    sum: KahanSum,
    seen: bool,
}

impl Accumulator for Summed {
    #[inline]
    fn add(&mut self, value: f64) {
        self.sum.add(value);
        self.seen = true;
    }

    fn merge(&mut self, later: Self) {
        self.sum.merge(later.sum);
        self.seen |= later.seen;
    }

    fn finish(self) -> Option<f64> {
        self.seen.then(|| self.sum.value())
    }
}

impl Accumulator for MeanAccumulator {
    #[inline]
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }

    fn merge(&mut self, later: Self) {
        Self::merge(self, later);
    }

    fn finish(self) -> Option<f64> {
        self.value()
    }
}

impl Accumulator for VarianceAccumulator {
    #[inline]
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }

    fn merge(&mut self, later: Self) {
        Self::merge(self, later);
    }

    fn finish(self) -> Option<f64> {
        self.value()
    }
}

/// `min`: NaN only if there is nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Smallest(Option<f64>);

/// `max`: NaN only if there is nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Largest(Option<f64>);

impl Accumulator for Smallest {
    #[inline]
    fn add(&mut self, value: f64) {
        if self.0.is_none_or(|old| value < old || old.is_nan()) {
            self.0 = Some(value);
        }
    }

    fn merge(&mut self, later: Self) {
        later.0.into_iter().for_each(|value| self.add(value));
    }

    fn finish(self) -> Option<f64> {
        self.0
    }
}

impl Accumulator for Largest {
    #[inline]
    fn add(&mut self, value: f64) {
        if self.0.is_none_or(|old| value > old || old.is_nan()) {
            self.0 = Some(value);
        }
    }

    fn merge(&mut self, later: Self) {
        later.0.into_iter().for_each(|value| self.add(value));
    }

    fn finish(self) -> Option<f64> {
        self.0
    }
}

/// `count`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted(u64);

impl Accumulator for Counted {
    #[inline]
    fn add(&mut self, _value: f64) {
        self.0 += 1;
    }

    fn merge(&mut self, later: Self) {
        self.0 += later.0;
    }

    fn finish(self) -> Option<f64> {
        (self.0 > 0).then_some(self.0 as f64)
    }
}

/// `group`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct One(bool);

impl Accumulator for One {
    #[inline]
    fn add(&mut self, _value: f64) {
        self.0 = true;
    }

    fn merge(&mut self, later: Self) {
        self.0 |= later.0;
    }

    fn finish(self) -> Option<f64> {
        self.0.then_some(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded<A: Accumulator>(values: &[f64], cut: usize) -> Option<f64> {
        let (mut first, mut second) = (A::default(), A::default());
        values[..cut].iter().for_each(|v| first.add(*v));
        values[cut..].iter().for_each(|v| second.add(*v));
        first.merge(second);
        first.finish()
    }

    #[test]
    fn nan_is_smallest_or_largest_only_without_others() {
        for cut in 0..=2 {
            assert_eq!(folded::<Smallest>(&[f64::NAN, 2.0], cut), Some(2.0));
            assert_eq!(folded::<Largest>(&[2.0, f64::NAN], cut), Some(2.0));
            assert!(folded::<Largest>(&[f64::NAN, f64::NAN], cut).unwrap().is_nan());
        }
    }

    #[test]
    fn where_a_group_is_cut_does_not_matter() {
        let values = [1e16, 1.0, -1e16, 3.0];
        for cut in 0..=values.len() {
            assert_eq!(folded::<Summed>(&values, cut), Some(4.0));
            assert_eq!(folded::<Counted>(&values, cut), Some(4.0));
            assert_eq!(folded::<MeanAccumulator>(&values, cut), Some(1.0));
            assert_eq!(folded::<One>(&values, cut), Some(1.0));
        }
        assert_eq!(folded::<Summed>(&[], 0), None);
    }
}
