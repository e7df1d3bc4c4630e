//! `quantile`: all points of a group and step at one time.

use super::super::operator::{ABSENT, as_point, is_absent};
use super::super::scalar::Steps;
use super::Input;
use crate::annotation::Annotation;
use crate::failure::QueryError;
use crate::num::quantile;
use crate::span::Span;

/// The quantiles of all groups, one row behind the other.
pub(super) fn quantiles(
    input: &Input<'_, '_>,
    param: &Steps,
    param_span: Span,
) -> Result<Vec<f64>, QueryError> {
    warn(input, param, param_span);
    let mut result = Vec::with_capacity(input.groups.members.len().saturating_mul(input.steps));
    let mut values = Vec::new();
    for members in &input.groups.members {
        let computed = input.context.compute(input.operator, members, input.steps)?;
        if computed.has_histograms() {
            input.ignore_histograms(input.node.vector_span);
        }
        let slots = computed.slots;
        let _held = input.context.budget.hold(slots.len())?;
        for step in 0..input.steps {
            values.clear();
            let points = slots.iter().skip(step).step_by(input.steps.max(1));
            values.extend(points.filter(|slot| !is_absent(**slot)));
            let found = !values.is_empty();
            result.push(if found { as_point(quantile(param.at(step), &mut values)) } else { ABSENT });
        }
    }
    Ok(result)
}

/// Of all parameters out of bounds, the most extreme ones are shown.
fn warn(input: &Input<'_, '_>, param: &Steps, span: Span) {
    let bad = |quantile: f64| input.context.annotate(Annotation::InvalidQuantile { quantile }, span);
    let all = || param.iter(if param.is_constant() { 1 } else { input.steps });
    if all().any(f64::is_nan) {
        bad(f64::NAN);
    }
    let (largest, smallest) = (all().fold(f64::NAN, f64::max), all().fold(f64::NAN, f64::min));
    if largest > 1.0 {
        bad(largest);
    }
    if smallest < 0.0 {
        bad(smallest);
    }
}
