//! What is asked of each histogram.

use super::super::context::Context;
use super::super::grid::Grid;
use super::super::scalar::{Steps, eval_scalar};
use crate::annotation::{Annotation, format_general};
use crate::failure::QueryError;
use crate::plan::{HistogramFn, HistogramNode, ScalarNode};
use crate::span::Span;

/// What is asked of each histogram; one series of results for each.
pub(super) enum Question {
    /// A quantile.
    Quantile {
        /// Which, at each step.
        quantile: Steps,
        /// If there is one: asked at the steps alone at which the quantile is this one.
        only: Option<f64>,
    },
    /// The fraction of observations between two bounds.
    Fraction(Steps, Steps),
}

impl Question {
    /// Is it asked at `step`?
    pub(super) fn is_asked_at(&self, step: usize) -> bool {
        match self {
            Self::Quantile { quantile, only: Some(only) } => quantile.at(step).total_cmp(only).is_eq(),
            _ => true,
        }
    }
}

/// A label that tells the answers to several questions apart.
pub(super) type ExtraLabel = Option<(String, String)>;

/// The questions of `node`, each with the label of its answers.
///
/// # Errors
/// Those of the scalars.
pub(super) fn questions(
    context: &Context<'_>,
    node: &HistogramNode,
    grid: Grid,
) -> Result<(Vec<Question>, Vec<ExtraLabel>), QueryError> {
    match &node.function {
        HistogramFn::Quantile(scalar, span) => {
            let quantile = quantile_steps(context, scalar, *span, grid)?;
            Ok((vec![Question::Quantile { quantile, only: None }], vec![None]))
        }
        HistogramFn::Fraction(lower, upper) => {
            let bounds = (eval_scalar(context, lower, grid)?, eval_scalar(context, upper, grid)?);
            Ok((vec![Question::Fraction(bounds.0, bounds.1)], vec![None]))
        }
        HistogramFn::Quantiles(label, scalars) => {
            let mut questions = Vec::new();
            let mut extra_labels = Vec::new();
            for (scalar, span) in scalars {
                let quantile = quantile_steps(context, scalar, *span, grid)?;
                for (value, only) in different(&quantile, grid) {
                    extra_labels.push(Some((label.clone(), open_metrics_number(value))));
                    questions.push(Question::Quantile { quantile: quantile.clone(), only });
                }
            }
            Ok((questions, extra_labels))
        }
    }
}

fn quantile_steps(
    context: &Context<'_>,
    scalar: &ScalarNode,
    span: Span,
    grid: Grid,
) -> Result<Steps, QueryError> {
    let steps = eval_scalar(context, scalar, grid)?;
    for quantile in steps.iter(if steps.is_constant() { 1 } else { grid.steps() }) {
        if !(0.0..=1.0).contains(&quantile) {
            context.annotate(Annotation::InvalidQuantile { quantile }, span);
        }
    }
    Ok(steps)
}

/// The different numbers among `steps`; none is restricted to its steps if there is but one.
fn different(steps: &Steps, grid: Grid) -> Vec<(f64, Option<f64>)> {
    if steps.is_constant() {
        return vec![(steps.at(0), None)];
    }
    let mut all: Vec<f64> = steps.iter(grid.steps()).collect();
    all.sort_by(f64::total_cmp);
    all.dedup_by(|a, b| a.total_cmp(b).is_eq());
    all.into_iter().map(|value| (value, Some(value))).collect()
}

/// A number as OpenMetrics writes it in labels: whole numbers with `.0`.
fn open_metrics_number(number: f64) -> String {
    let text = format_general(if number == 0.0 { 0.0 } else { number });
    if number.is_finite() && !text.contains(['e', '.']) { text + ".0" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_labels_are_those_of_open_metrics() {
        let cases = [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (-0.0, "0.0"),
            (0.00001, "1e-05"),
            (100.0, "100.0"),
            (1e9, "1e+09"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (number, text) in cases {
            assert_eq!(open_metrics_number(number), text);
        }
    }
}
