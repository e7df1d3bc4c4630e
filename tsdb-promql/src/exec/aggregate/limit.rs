//! `limitk` and `limit_ratio`: some series of each group, whatever their values.

use super::super::groups::{Chosen, Sight};
use super::super::operator::{ABSENT, Identity, NoSeries, Operator, Scratch, VectorOp, is_absent};
use super::super::points::Histograms;
use super::super::scalar::Steps;
use super::Input;
use super::top::{chosen_rows, counts};
use crate::annotation::Annotation;
use crate::failure::QueryError;
use crate::span::Span;

/// At each step the first points of each group.
pub(super) fn limit_k<'c>(input: &Input<'_, 'c>, param: &Steps) -> Result<Operator<'c>, QueryError> {
    let counts = counts(param, input.steps)?;
    let silent = input.operator.is_silent();
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 && silent {
        return Ok(Box::new(NoSeries));
    }
    let (mut groups, mut chosen_histograms, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for members in &input.groups.members {
        // A list for each step, three words long, and two words for each point in it.
        let words = most.min(members.len()).saturating_mul(2).saturating_add(3);
        held.push(input.context.budget.hold(input.steps.saturating_mul(words))?);
        let mut chosen: Vec<Vec<(usize, f64)>> = vec![Vec::new(); input.steps];
        input.context.with_scratch(|scratch| {
            let (mut slots, mut histograms) = (scratch.take_row(input.steps), Histograms::new());
            for row in members {
                input.context.budget.check()?;
                if silent && chosen.iter().zip(&counts).all(|(chosen, count)| chosen.len() >= *count) {
                    break;
                }
                input.operator.eval(*row, scratch, &mut slots, &mut histograms)?;
                let places = chosen.iter_mut().zip(&counts).zip(&slots).enumerate();
                for (step, ((chosen, count), slot)) in places.filter(|(_, ((c, count), _))| c.len() < **count)
                {
                    if let Some(histogram) = histograms.take(step) {
                        chosen.push((*row, ABSENT));
                        chosen_histograms.push((*row, step, histogram));
                    } else if !is_absent(*slot) && chosen.len() < *count {
                        chosen.push((*row, *slot));
                    }
                }
            }
            scratch.give_row(slots);
            Ok::<_, QueryError>(())
        })?;
        groups.push(chosen);
    }
    chosen_rows(input, groups, chosen_histograms)
}

/// Series whose hash lies in the part of all hashes that the parameter asks for: from below if it is positive, from
/// above if it is negative, so that `r` and `r - 1` together choose all series once.
pub(super) fn limit_ratio<'c>(
    input: &Input<'_, 'c>,
    param: &Steps,
    span: Span,
) -> Result<Operator<'c>, QueryError> {
    let all = || param.iter(input.steps);
    if all().any(f64::is_nan) {
        return Err(QueryError::execution("Ratio value is NaN"));
    }
    let (largest, smallest) = (all().fold(0.0, f64::max), all().fold(0.0, f64::min));
    for (ratio, capped) in [(largest, 1.0), (smallest, -1.0)] {
        if ratio.abs() > 1.0 {
            input.context.annotate(Annotation::InvalidRatio { ratio, capped }, span);
        }
    }
    let sight = Sight { chosen: Chosen::All, dropped_names: input.context.sees_dropped_names() };
    let rows = input.operator.rows().iter();
    let offsets = rows.map(|identity| sight.labels(identity).sampling_hash() as f64 / u64::MAX as f64);
    let sampled = Sampled { offsets: offsets.collect(), ratios: param.clone(), input };
    Ok(Box::new(input.context.store(&sampled, input.steps)?))
}

/// The rows of the input at the steps at which they are chosen.
struct Sampled<'a, 'i, 'c> {
    offsets: Vec<f64>,
    ratios: Steps,
    input: &'a Input<'i, 'c>,
}

impl VectorOp for Sampled<'_, '_, '_> {
    fn rows(&self) -> &[Identity] {
        self.input.operator.rows()
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        let offset = self.offsets.get(row).copied().unwrap_or(0.0);
        self.input.operator.eval(row, scratch, out, histograms)?;
        for (step, slot) in out.iter_mut().enumerate() {
            let ratio = self.ratios.at(step).clamp(-1.0, 1.0);
            let chosen = if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio };
            if !chosen {
                *slot = ABSENT;
                histograms.take(step);
            }
        }
        Ok(())
    }
}
