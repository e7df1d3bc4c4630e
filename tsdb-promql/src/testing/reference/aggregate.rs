//! Aggregations.

use super::number::{extreme, mean, quantile, sum, variance};
use super::over_time::total;
use super::{Element, LabelMap, Moment, Outcome, Sample, is_metadata, to_labels, unknown};
use crate::ast::{Aggregate, AggregateOp, format_number};
use crate::failure::QueryError;
use std::collections::BTreeMap;

impl Moment<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate) -> Outcome<Vec<Element>> {
        let vector = self.vector(&aggregate.expr)?;
        let mut label = String::new();
        let mut param = f64::NAN;
        match (&aggregate.param, aggregate.op) {
            (Some(text), AggregateOp::CountValues) => label = self.text(text)?,
            (Some(number), _) => param = self.scalar(number)?,
            (None, _) => {}
        }
        let count = match aggregate.op {
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK => count_of(param)?,
            _ => 0,
        };
        if aggregate.op == AggregateOp::LimitRatio && param.is_nan() {
            return Err(QueryError::execution("Ratio value is NaN"));
        }
        let mut groups: BTreeMap<LabelMap, Vec<Element>> = BTreeMap::new();
        for element in vector {
            groups.entry(group_of(&element.labels, aggregate, &label)).or_default().push(element);
        }
        let mut result = Vec::new();
        for (labels, mut members) in groups {
            // Of equals the first is chosen.
            members.sort_by(|a, b| a.labels.cmp(&b.labels));
            match aggregate.op {
                AggregateOp::TopK => result.extend(best(members, count, true)),
                AggregateOp::BottomK => result.extend(best(members, count, false)),
                AggregateOp::LimitK => result.extend(members.into_iter().take(count)),
                AggregateOp::LimitRatio => {
                    result.extend(members.into_iter().filter(|member| sampled(member, param)));
                }
                AggregateOp::CountValues => result.extend(values(&labels, &members, &label)),
                op => {
                    let nameless = members.iter().any(|member| member.nameless);
                    let sample = of_group(op, &members, param)?;
                    result.extend(sample.map(|sample| Element { labels, nameless, sample }));
                }
            }
        }
        self.unique(result)
    }
}

fn group_of(labels: &LabelMap, aggregate: &Aggregate, value_label: &str) -> LabelMap {
    let grouping = &aggregate.grouping;
    let mut group = labels.clone();
    if grouping.without {
        group.retain(|name, _| !grouping.labels.contains(name) && !is_metadata(name));
        group.remove(value_label);
    } else {
        group.retain(|name, _| grouping.labels.contains(name));
    }
    group
}

fn of_group(op: AggregateOp, members: &[Element], param: f64) -> Outcome<Option<Sample>> {
    let numbers: Vec<f64> = members.iter().filter_map(Element::number).collect();
    let histograms: Vec<_> = members
        .iter()
        .filter_map(|member| match &member.sample {
            Sample::Histogram(histogram) => Some(histogram),
            Sample::Number(_) => None,
        })
        .collect();
    let number = |value: f64| Ok(Some(Sample::Number(value)));
    match op {
        AggregateOp::Count => number(members.len() as f64),
        AggregateOp::Group => number(1.0),
        AggregateOp::Sum | AggregateOp::Avg if numbers.is_empty() => {
            Ok(total(&histograms, op == AggregateOp::Avg).map(Sample::Histogram))
        }
        AggregateOp::Sum | AggregateOp::Avg if !histograms.is_empty() => Ok(None),
        _ if numbers.is_empty() => Ok(None),
        AggregateOp::Sum => number(sum(&numbers)),
        AggregateOp::Avg => number(mean(&numbers)),
        AggregateOp::Min => number(extreme(&numbers, false)),
        AggregateOp::Max => number(extreme(&numbers, true)),
        AggregateOp::Stddev => number(variance(&numbers).sqrt()),
        AggregateOp::Stdvar => number(variance(&numbers)),
        AggregateOp::Quantile => number(quantile(param, &numbers)),
        other => unknown(other.name()),
    }
}

/// The number of elements that a parameter asks for.
fn count_of(param: f64) -> Outcome<usize> {
    if param < 1.0 {
        return Ok(0);
    }
    if param.is_nan() {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    if param >= 2f64.powi(63) {
        let number =
            if param.is_infinite() { "+Inf".to_owned() } else { format!("{param:e}").replace('e', "e+") };
        return Err(QueryError::execution(format!("Scalar value {number} overflows int64")));
    }
    Ok(param as usize)
}

/// The `count` largest numbers, or the smallest; NaN is worse than any.
fn best(members: Vec<Element>, count: usize, largest: bool) -> Vec<Element> {
    let mut numbers: Vec<(f64, Element)> =
        members.into_iter().filter_map(|member| Some((member.number()?, member))).collect();
    numbers.sort_by(|(a, _), (b, _)| {
        let order = if largest { b.partial_cmp(a) } else { a.partial_cmp(b) };
        order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    });
    numbers.into_iter().take(count).map(|(_, member)| member).collect()
}

fn sampled(member: &Element, ratio: f64) -> bool {
    let place = to_labels(&member.labels).sampling_hash() as f64 / u64::MAX as f64;
    let ratio = ratio.clamp(-1.0, 1.0);
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

/// How often each value occurs, under that value as a label.
fn values(labels: &LabelMap, members: &[Element], label: &str) -> Vec<Element> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for member in members {
        let text = match &member.sample {
            Sample::Number(number) => format_number(*number),
            Sample::Histogram(histogram) => histogram.to_string(),
        };
        *counts.entry(text).or_default() += 1.0;
    }
    let element = |(text, count)| {
        let mut labels = labels.clone();
        labels.insert(label.to_owned(), text);
        Element { labels, nameless: false, sample: Sample::Number(count) }
    };
    counts.into_iter().map(element).collect()
}
