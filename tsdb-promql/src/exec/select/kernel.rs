//! Functions of windows, over slices.
//!
//! The order of floating-point operations is that of Prometheus, sample by sample through each window; only the
//! bounds slide. Where the result does not depend on that order, [`slide`](super::slide) does less.

use super::super::grid::View;
use super::super::operator::{ABSENT, Scratch, as_point};
use super::super::scalar::Steps;
use super::patience::Patience;
use super::slide::{
    find_pairs, sums_are_exact, with_exact_sums, with_extreme_values, with_extremes, with_ordered, with_pairs,
};
use super::weights::Weights;
use crate::failure::QueryError;
use crate::num::{
    Extrapolation, KahanSum, MeanAccumulator, RateWindow, double_exponential_smoothing, linear_regression,
    median_absolute_deviation, quantile_of_ordered, sums_side_by_side, windowed_variance,
};
use crate::plan::RangeFn;
use tsdb_core::Timestamp;

/// What a kernel needs to know besides the samples.
pub(super) struct KernelInput<'a> {
    /// Times of the samples, ms.
    pub(super) timestamps: &'a [Timestamp],
    /// Their values; none is a stale marker.
    pub(super) values: &'a [f64],
    /// Where the windows end.
    pub(super) view: View,
    /// Times of the steps, ms.
    pub(super) step_time: &'a dyn Fn(usize) -> Timestamp,
    /// Length of the windows, ms.
    pub(super) range_ms: i64,
    /// For how many samples each stands.
    pub(super) weights: &'a Weights,
    /// The scalar arguments.
    pub(super) params: &'a [Steps],
    /// When to stop.
    pub(super) patience: &'a Patience<'a>,
}

impl KernelInput<'_> {
    fn param(&self, index: usize, step: usize) -> f64 {
        self.params.get(index).map_or(f64::NAN, |steps| steps.at(step))
    }

    fn window(&self, (start, end): (usize, usize)) -> (&[Timestamp], &[f64]) {
        (self.timestamps.get(start..end).unwrap_or(&[]), self.values.get(start..end).unwrap_or(&[]))
    }
}

/// Computes `function` over the windows in `scratch`, one slot of `out` for each.
pub(super) fn apply(
    function: RangeFn,
    input: &KernelInput<'_>,
    scratch: &mut Scratch,
    out: &mut [f64],
) -> Result<(), QueryError> {
    match function {
        RangeFn::Rate | RangeFn::Increase => {
            extrapolate_counter(function == RangeFn::Rate, input, scratch, out);
        }
        RangeFn::Delta => extrapolate_gauge(input, scratch, out),
        RangeFn::Changes => {
            let differ = |a: f64, b: f64| a != b && !(a.is_nan() && b.is_nan());
            count_pairs(input, scratch, out, differ);
        }
        RangeFn::Resets => count_pairs(input, scratch, out, |a, b| b < a),
        RangeFn::Min | RangeFn::Max => {
            let Scratch { windows, extremes, .. } = scratch;
            match function {
                RangeFn::Min => with_extreme_values(input.values, windows, extremes, out, |a, b| a < b),
                _ => with_extreme_values(input.values, windows, extremes, out, |a, b| a > b),
            }
        }
        RangeFn::MinTime | RangeFn::MaxTime => time_of_extreme(function, input, scratch, out),
        RangeFn::Quantile => {
            let Scratch { windows, ordered, .. } = scratch;
            let result = |step, ordered: &[f64]| as_point(quantile_of_ordered(input.param(0, step), ordered));
            with_ordered(input.values, windows, ordered, out, input.patience, result);
        }
        RangeFn::Mad => deviation(input, scratch, out),
        RangeFn::Smooth => smooth(input, scratch, out)?,
        _ => plain(function, input, &scratch.windows, out),
    }
    Ok(())
}

/// Calls `f` for each window that is not empty; others, and those without result, are absent.
#[inline]
fn each(
    input: &KernelInput<'_>,
    windows: &[(usize, usize)],
    out: &mut [f64],
    mut f: impl FnMut(usize, &[Timestamp], &[f64]) -> Option<f64>,
) {
    for (step, (window, slot)) in windows.iter().zip(out).enumerate() {
        let (times, values) = input.window(*window);
        let is_absent = values.is_empty() || !input.patience.allows(values.len());
        *slot = if is_absent { ABSENT } else { f(step, times, values).unwrap_or(ABSENT) };
    }
}

fn plain(function: RangeFn, input: &KernelInput<'_>, windows: &[(usize, usize)], out: &mut [f64]) {
    match function {
        RangeFn::Sum => {
            summed(input, windows, out, |sum, _| sum.value(), sum);
        }
        RangeFn::Avg if input.weights.are_ones() => summed(input, windows, out, mean_of_sum, mean),
        RangeFn::Avg => weighted_means(input, windows, out),
        RangeFn::Count => {
            for (window, slot) in windows.iter().zip(out) {
                *slot = if window.0 < window.1 { input.weights.count(*window) as f64 } else { ABSENT };
            }
        }
        RangeFn::Present => each(input, windows, out, |_, _, _| Some(1.0)),
        RangeFn::First => each(input, windows, out, |_, _, v| v.first().copied()),
        RangeFn::Last => each(input, windows, out, |_, _, v| v.last().copied()),
        RangeFn::FirstTime => each(input, windows, out, |_, t, _| t.first().map(|t| *t as f64 / 1000.0)),
        RangeFn::LastTime => each(input, windows, out, |_, t, _| t.last().map(|t| *t as f64 / 1000.0)),
        RangeFn::Stddev => each(input, windows, out, |_, _, v| Some(windowed_variance(v).sqrt())),
        RangeFn::Stdvar => each(input, windows, out, |_, _, v| Some(windowed_variance(v))),
        RangeFn::Irate => each(input, windows, out, |_, t, v| last_change(t, v, true)),
        RangeFn::Idelta => each(input, windows, out, |_, t, v| last_change(t, v, false)),
        RangeFn::Deriv => each(input, windows, out, |_, t, v| {
            (v.len() > 1).then(|| linear_regression(t, v, t.first().copied().unwrap_or(0)).0)
        }),
        RangeFn::PredictLinear => each(input, windows, out, |step, t, v| {
            let (slope, intercept) = linear_regression(t, v, (input.step_time)(step));
            (v.len() > 1).then(|| slope * input.param(0, step) + intercept)
        }),
        _ => out.fill(ABSENT),
    }
}

/// Windows whose sums are computed side by side.
const LANES: usize = 4;

/// For each window `of_sum` of its sum and count; `alone` of its values where that does not work.
///
/// A compensated sum is one long chain of additions that wait for each other. Neighbouring windows are mostly
/// equally long, so the chains of several are computed together.
fn summed(
    input: &KernelInput<'_>,
    windows: &[(usize, usize)],
    out: &mut [f64],
    of_sum: impl Fn(KahanSum, f64) -> f64,
    alone: impl Fn(&[f64]) -> f64,
) {
    if sums_are_exact(input.values) {
        let exact = |sum, count| of_sum(KahanSum::starting_at(sum), count);
        return with_exact_sums(input.values, windows, out, exact);
    }
    for (windows, slots) in windows.chunks(LANES).zip(out.chunks_mut(LANES)) {
        let len = |(start, end): &(usize, usize)| end.saturating_sub(*start);
        let common = windows.iter().map(len).min().unwrap_or(0);
        if !input.patience.allows(windows.iter().map(len).sum()) {
            return;
        }
        let starts: Option<[usize; LANES]> =
            windows.iter().map(|(start, _)| *start).collect::<Vec<_>>().try_into().ok();
        let sums = starts.and_then(|starts| sums_side_by_side(input.values, starts, common));
        for (lane, (window, slot)) in windows.iter().zip(slots).enumerate() {
            let (_, values) = input.window(*window);
            let begun = sums.as_ref().and_then(|sums| sums.lane(lane));
            *slot = match begun {
                _ if values.is_empty() => ABSENT,
                None => alone(values),
                Some(mut sum) => {
                    values.iter().skip(common).for_each(|value| sum.add(*value));
                    let finite = sum.sum.is_finite();
                    if finite { of_sum(sum, values.len() as f64) } else { alone(values) }
                }
            };
        }
    }
}

/// The values are sums of as many samples as their weights say.
fn weighted_means(input: &KernelInput<'_>, windows: &[(usize, usize)], out: &mut [f64]) {
    for (window, slot) in windows.iter().zip(out) {
        let (_, values) = input.window(*window);
        let is_absent = values.is_empty() || !input.patience.allows(values.len());
        let mut sum = KahanSum::default();
        values.iter().for_each(|value| sum.add(*value));
        let count = input.weights.count(*window) as f64;
        *slot = match sum.sum.is_finite() {
            _ if is_absent => ABSENT,
            true => mean_of_sum(sum, count),
            false => sum.value() / count,
        };
    }
}

fn mean_of_sum(sum: KahanSum, count: f64) -> f64 {
    sum.sum / count + sum.compensation / count
}

#[inline]
fn sum(values: &[f64]) -> f64 {
    let mut sum = KahanSum::default();
    for value in values {
        sum.add(*value);
    }
    sum.value()
}

#[inline]
fn mean(values: &[f64]) -> f64 {
    let mut mean = MeanAccumulator::default();
    for value in values {
        mean.add(*value);
    }
    mean.value().unwrap_or(f64::NAN)
}

fn last_change(times: &[Timestamp], values: &[f64], counter: bool) -> Option<f64> {
    let ([.., before, after], [.., old, new]) = (times, values) else { return None };
    let interval_ms = after.wrapping_sub(*before);
    if interval_ms == 0 {
        return None;
    }
    // A counter that fell began anew at zero.
    let change = if counter && new < old { *new } else { new - old };
    Some(as_point(if counter { change / (interval_ms as f64 / 1000.0) } else { change }))
}

fn extrapolate_counter(per_second: bool, input: &KernelInput<'_>, scratch: &mut Scratch, out: &mut [f64]) {
    let Scratch { windows, positions, losses, .. } = scratch;
    find_pairs(input.values, positions, |a, b| b < a);
    let extrapolation = Extrapolation { counter: true, per_second };
    // A gauge that is taken for a counter is reset so often that adding up anew for each window would cost most.
    let exact = !positions.is_empty() && sums_are_exact(input.values);
    if exact {
        add_up_losses(input.values, losses);
    }
    let lost_until = |at: usize| losses.get(at).copied().unwrap_or(ABSENT);
    with_pairs(positions, windows, out, |step, window, resets| {
        if exact && resets.len() > 1 {
            let lost = lost_until(window.1 - 1) - lost_until(window.0);
            return extrapolated(extrapolation, input, step, window, std::iter::once(lost));
        }
        let lost = resets.iter().filter_map(|at| input.values.get(at - 1)).copied();
        extrapolated(extrapolation, input, step, window, lost)
    });
}

/// Fills `losses` with what the resets up to each of the values have cost.
fn add_up_losses(values: &[f64], losses: &mut Vec<f64>) {
    losses.clear();
    let (mut lost, mut before) = (0.0, f64::NEG_INFINITY);
    losses.extend(values.iter().map(|value| {
        if *value < before {
            lost += before;
        }
        before = *value;
        lost
    }));
}

fn extrapolate_gauge(input: &KernelInput<'_>, scratch: &Scratch, out: &mut [f64]) {
    let extrapolation = Extrapolation { counter: false, per_second: false };
    for (step, (window, slot)) in scratch.windows.iter().zip(out).enumerate() {
        *slot = extrapolated(extrapolation, input, step, *window, std::iter::empty());
    }
}

/// `lost`: what a counter had before each of its resets, in order of time.
#[inline]
fn extrapolated(
    extrapolation: Extrapolation,
    input: &KernelInput<'_>,
    step: usize,
    window: (usize, usize),
    lost: impl Iterator<Item = f64>,
) -> f64 {
    let (times, values) = input.window(window);
    let samples = input.weights.count(window);
    let ([first_time, .., last_time], [first_value, .., last_value]) = (times, values) else {
        return ABSENT;
    };
    let end = input.view.time(step);
    let window = RateWindow {
        start: end.saturating_sub(input.range_ms),
        end,
        first_time: *first_time,
        last_time: *last_time,
        first_value: *first_value,
        change: lost.fold(last_value - first_value, |change, value| change + value),
        samples,
    };
    extrapolation.apply(&window)
}

fn count_pairs(
    input: &KernelInput<'_>,
    scratch: &mut Scratch,
    out: &mut [f64],
    holds: impl Fn(f64, f64) -> bool,
) {
    let Scratch { windows, positions, .. } = scratch;
    find_pairs(input.values, positions, holds);
    with_pairs(positions, windows, out, |_, _, inside| inside.len() as f64);
}

fn time_of_extreme(function: RangeFn, input: &KernelInput<'_>, scratch: &mut Scratch, out: &mut [f64]) {
    let Scratch { windows, candidates, .. } = scratch;
    let time = |at: usize| input.timestamps.get(at).map_or(ABSENT, |t| *t as f64 / 1000.0);
    // Of equal values, the last tells the time.
    match function {
        RangeFn::MinTime => with_extremes(input.values, windows, candidates, out, |a, b| a <= b, time),
        _ => with_extremes(input.values, windows, candidates, out, |a, b| a >= b, time),
    }
}

fn deviation(input: &KernelInput<'_>, scratch: &mut Scratch, out: &mut [f64]) {
    let Scratch { windows, ordered, .. } = scratch;
    each(input, windows, out, |_, _, values| {
        ordered.clear();
        ordered.extend_from_slice(values);
        Some(as_point(median_absolute_deviation(ordered)))
    });
}

fn smooth(input: &KernelInput<'_>, scratch: &Scratch, out: &mut [f64]) -> Result<(), QueryError> {
    check_smoothing(input.params, &scratch.windows)?;
    each(input, &scratch.windows, out, |step, _, values| {
        double_exponential_smoothing(values, input.param(0, step), input.param(1, step))
    });
    Ok(())
}

/// Checks the factors of `double_exponential_smoothing` wherever there is something to smooth.
///
/// # Errors
/// A factor that does not lie between 0 and 1.
pub(super) fn check_smoothing(params: &[Steps], windows: &[(usize, usize)]) -> Result<(), QueryError> {
    let param = |index: usize, step: usize| params.get(index).map_or(f64::NAN, |steps| steps.at(step));
    for (step, _) in windows.iter().enumerate().filter(|(_, (start, end))| start < end) {
        for (name, short, factor) in [("smoothing", "sf", param(0, step)), ("trend", "tf", param(1, step))] {
            // NaN passes, as it does in Prometheus.
            if factor <= 0.0 || factor >= 1.0 {
                return Err(QueryError::execution(format!(
                    "invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:.6}"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
