//! From the operator of a whole query to its value.

use super::budget::Held;
use super::context::Context;
use super::grid::Grid;
use super::merge::{Clash, merge_shown};
use super::operator::{Operator, Scratch, is_absent};
use super::points::{Histogram, Histograms};
use super::scalar::Steps;
use super::select::{RangeSource, cut_to_window};
use crate::failure::QueryError;
use crate::plan::RangeNode;
use crate::value::{HistogramPoint, SeriesPoints, Value, VectorSample};
use tsdb_core::Labels;
use tsdb_core::sample::SampleColumns;

/// The points of an instant query.
///
/// # Errors
/// Those of the rows; equal labels.
pub(super) fn instant_vector(
    context: &Context<'_>,
    operator: Operator<'_>,
    grid: Grid,
) -> Result<Value, QueryError> {
    let operator = merge_shown(operator, Clash::SameStep);
    let points = context.parallel(operator.rows().len(), 1, |row, scratch| {
        let (mut slot, mut histograms) = ([super::operator::ABSENT], Histograms::new());
        operator.eval(row, scratch, &mut slot, &mut histograms)?;
        let [value] = slot;
        let histogram = histograms.take(0);
        Ok((histogram.is_some() || !is_absent(value)).then_some((value, histogram)))
    })?;
    let rows = operator.rows().iter().zip(points);
    let mut samples: Vec<_> = rows
        .filter_map(|(identity, point)| {
            let labels = identity.shown().into_owned();
            Some(match point? {
                (_, Some(histogram)) => VectorSample::of_histogram(labels, grid.first(), histogram),
                (value, None) => VectorSample::new(labels, grid.first(), value),
            })
        })
        .collect();
    if !operator.is_ordered() {
        samples.sort_by_cached_key(|sample| sort_key(&sample.labels));
    }
    let _held = hold(context, samples.len())?;
    Ok(Value::Vector(samples))
}

fn hold<'b>(context: &'b Context<'_>, samples: usize) -> Result<Held<'b>, QueryError> {
    context.budget.hold(samples).map_err(|error| error.asked_by(|| "the result".to_owned()))
}

/// The series of a range query, sorted by labels.
///
/// # Errors
/// Those of the rows; equal labels.
pub(super) fn range_vector(
    context: &Context<'_>,
    operator: Operator<'_>,
    grid: Grid,
) -> Result<Value, QueryError> {
    let operator = merge_shown(operator, Clash::SameStep);
    let rows = context.parallel(operator.rows().len(), grid.steps(), |row, scratch| {
        let (mut slots, mut histograms) = (scratch.take_row(grid.steps()), Histograms::new());
        let result = operator.eval(row, scratch, &mut slots, &mut histograms);
        let series = points(grid, &slots);
        scratch.give_row(slots);
        result?;
        let histograms = histogram_points(grid, &histograms);
        let held = hold(context, series.0.len().saturating_add(histograms.len()))?;
        Ok((series, histograms, held))
    })?;
    let labelled = operator.rows().iter().zip(rows);
    let (series, _held): (Vec<_>, Vec<_>) = labelled
        .filter(|(_, ((times, _), histograms, _))| !(times.is_empty() && histograms.is_empty()))
        .map(|(identity, ((times, values), histograms, held))| {
            let series = SeriesPoints::new(identity.shown().into_owned(), times, values);
            (SeriesPoints { histograms, ..series }, held)
        })
        .unzip();
    Ok(Value::Matrix(by_labels(series)))
}

fn points(grid: Grid, slots: &[f64]) -> (Vec<i64>, Vec<f64>) {
    let count = slots.iter().filter(|slot| !is_absent(**slot)).count();
    let (mut times, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (step, slot) in slots.iter().enumerate() {
        if !is_absent(*slot) {
            times.push(grid.time(step));
            values.push(*slot);
        }
    }
    (times, values)
}

fn histogram_points(grid: Grid, histograms: &Histograms) -> Vec<HistogramPoint> {
    let point = |(step, histogram): (usize, &Histogram)| HistogramPoint {
        timestamp: grid.time(step),
        histogram: histogram.clone(),
    };
    histograms.iter().map(point).collect()
}

fn by_labels(mut series: Vec<SeriesPoints>) -> Vec<SeriesPoints> {
    series.sort_by_cached_key(|series| sort_key(&series.labels));
    series
}

/// Bytes that compare as the labels do, but at once instead of pair by pair.
///
/// Names and values stand one behind the other, each followed by two zeros; a zero inside is followed by a one. So
/// an end is smaller than anything that goes on.
fn sort_key(labels: &Labels) -> Vec<u8> {
    let mut key = Vec::with_capacity(labels.encoded_len().saturating_add(16));
    for (name, value) in labels {
        for text in [name.as_bytes(), value.as_bytes()] {
            if text.contains(&0) {
                key.extend(
                    text.iter().flat_map(|byte| std::iter::once(*byte).chain((*byte == 0).then_some(1))),
                );
            } else {
                key.extend_from_slice(text);
            }
            key.extend_from_slice(&[0, 0]);
        }
    }
    key
}

/// A scalar over a range: one series without labels.
pub(super) fn range_scalar(steps: &Steps, grid: Grid) -> Value {
    let series =
        SeriesPoints::new(Labels::empty(), grid.times().collect(), steps.iter(grid.steps()).collect());
    Value::Matrix(vec![series])
}

/// The samples of one window.
///
/// # Errors
/// Those of storage and of the expression.
pub(super) fn window(
    context: &Context<'_>,
    node: &RangeNode,
    source: &RangeSource<'_>,
    grid: Grid,
) -> Result<Value, QueryError> {
    let read = |row: usize, scratch: &mut Scratch| {
        let mut samples = SampleColumns::new();
        source.read(context, row, scratch, &mut samples)?;
        cut_to_window(context, node, grid, &mut samples)?;
        let held = hold(context, samples.len())?;
        Ok((samples, held))
    };
    let rows = context.parallel(source.rows().len(), 1, read)?;
    let labelled = source.rows().iter().zip(rows);
    let (series, _held): (Vec<_>, Vec<_>) = labelled
        .filter(|(_, (samples, _))| !samples.is_empty())
        .map(|(identity, (samples, held))| {
            let labels = identity.shown().into_owned();
            (series_of(labels, samples), held)
        })
        .unzip();
    Ok(Value::Matrix(by_labels(series)))
}

fn series_of(labels: Labels, samples: SampleColumns) -> SeriesPoints {
    if samples.histograms.is_empty() {
        return SeriesPoints::new(labels, samples.timestamps, samples.values);
    }
    let mut series = SeriesPoints::new(labels, Vec::new(), Vec::new());
    for ((timestamp, value), histogram) in
        samples.timestamps.into_iter().zip(samples.values).zip(samples.histograms)
    {
        match histogram {
            Some(histogram) => series.histograms.push(HistogramPoint { timestamp, histogram }),
            None => {
                series.timestamps.push(timestamp);
                series.values.push(value);
            }
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn labels() -> impl Strategy<Value = Labels> {
        let text = "[a\0\u{1}b]{1,3}";
        proptest::collection::btree_map(text, text, 0..3).prop_map(|pairs: BTreeMap<String, String>| {
            Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()
        })
    }

    proptest! {
        #[test]
        fn sort_keys_compare_as_labels(a in labels(), b in labels()) {
            prop_assert_eq!(sort_key(&a).cmp(&sort_key(&b)), a.cmp(&b));
        }
    }
}
