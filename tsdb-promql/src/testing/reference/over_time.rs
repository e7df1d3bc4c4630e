//! Functions of windows.

use super::number::{extreme, mean, quantile, regression, sum, variance};
use super::{Element, Evaluated, Moment, Outcome, Sample, Series, unknown};
use crate::ast::{Call, Expr, ValueType};
use crate::check::value_type;
use crate::failure::QueryError;
use tsdb_core::Timestamp;
use tsdb_core::histogram::{FloatHistogram, ResetHint};

/// What a function sees of one series.
struct View {
    start: Timestamp,
    end: Timestamp,
    now: Timestamp,
    all: Vec<(Timestamp, Sample)>,
    numbers: Vec<(Timestamp, f64)>,
    histograms: Vec<(Timestamp, FloatHistogram)>,
    params: Vec<f64>,
}

/// Is `name` a function of windows?
pub(super) fn is_over_time(name: &str) -> bool {
    let rates =
        ["rate", "increase", "delta", "irate", "idelta", "changes", "resets", "deriv", "predict_linear"];
    rates.contains(&name)
        || name == "double_exponential_smoothing"
        || (name.ends_with("_over_time") && name != "absent_over_time")
}

impl Moment<'_> {
    pub(super) fn over_time(&self, call: &Call) -> Outcome<Evaluated> {
        let is_range = |arg: &&Expr| value_type(arg) == ValueType::Matrix;
        let Some(range) = call.args.iter().find(is_range) else { return unknown("the range") };
        let params: Outcome<Vec<f64>> =
            call.args.iter().filter(|arg| !is_range(arg)).map(|arg| self.scalar(arg)).collect();
        let (params, (start, end)) = (params?, self.window(range)?);
        let mut result = Vec::new();
        for Series { mut labels, mut nameless, samples } in self.matrix(range)? {
            let view = View::new(start, end, self.now, samples, params.clone());
            let sample = view.apply(&call.function)?;
            if !["first_over_time", "last_over_time"].contains(&call.function.as_str()) {
                self.drop_name(&mut labels, &mut nameless);
            }
            result.extend(sample.map(|sample| Element { labels, nameless, sample }));
        }
        self.unique(result).map(Evaluated::Vector)
    }
}

impl View {
    fn new(
        start: Timestamp,
        end: Timestamp,
        now: Timestamp,
        all: Vec<(Timestamp, Sample)>,
        params: Vec<f64>,
    ) -> Self {
        let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
        for (time, sample) in &all {
            match sample {
                Sample::Number(number) => numbers.push((*time, *number)),
                Sample::Histogram(histogram) => histograms.push((*time, histogram.clone())),
            }
        }
        Self { start, end, now, all, numbers, histograms, params }
    }

    fn apply(&self, function: &str) -> Outcome<Option<Sample>> {
        let mixed = !self.numbers.is_empty() && !self.histograms.is_empty();
        let number = |value: f64| Ok(Some(Sample::Number(value)));
        let seconds = |sample: Option<&(Timestamp, Sample)>| {
            Ok(sample.map(|(time, _)| Sample::Number(*time as f64 / 1000.0)))
        };
        match function {
            "rate" | "increase" | "delta" | "sum_over_time" | "avg_over_time" if mixed => Ok(None),
            "rate" | "increase" | "delta" => Ok(self.rate(function != "delta", function == "rate")),
            "irate" | "idelta" => Ok(self.last_change(function == "irate")),
            "sum_over_time" | "avg_over_time" if self.numbers.is_empty() => {
                let all: Vec<_> = self.histograms.iter().map(|(_, histogram)| histogram).collect();
                Ok(total(&all, function == "avg_over_time").map(Sample::Histogram))
            }
            "count_over_time" => number(self.all.len() as f64),
            "present_over_time" => number(1.0),
            "first_over_time" => Ok(self.all.first().map(|(_, sample)| sample.clone())),
            "last_over_time" => Ok(self.all.last().map(|(_, sample)| sample.clone())),
            "ts_of_first_over_time" => seconds(self.all.first()),
            "ts_of_last_over_time" => seconds(self.all.last()),
            "changes" => number(self.count_pairs(changed)),
            "resets" => number(self.count_pairs(fell)),
            "double_exponential_smoothing" => Ok(self.smoothed()?.map(Sample::Number)),
            _ if self.numbers.is_empty() => Ok(None),
            _ => self.of_numbers(function).map(|value| value.map(Sample::Number)),
        }
    }

    fn of_numbers(&self, function: &str) -> Outcome<Option<f64>> {
        let values: Vec<f64> = self.numbers.iter().map(|(_, value)| *value).collect();
        Ok(Some(match function {
            "sum_over_time" => sum(&values),
            "avg_over_time" => mean(&values),
            "min_over_time" => extreme(&values, false),
            "max_over_time" => extreme(&values, true),
            "ts_of_min_over_time" => self.time_of(extreme(&values, false)),
            "ts_of_max_over_time" => self.time_of(extreme(&values, true)),
            "stddev_over_time" => variance(&values).sqrt(),
            "stdvar_over_time" => variance(&values),
            "quantile_over_time" => quantile(self.params[0], &values),
            "mad_over_time" if values.iter().any(|value| value.is_nan()) => f64::NAN,
            "mad_over_time" => {
                let middle = quantile(0.5, &values);
                quantile(0.5, &values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
            }
            "deriv" | "predict_linear" if values.len() < 2 => return Ok(None),
            "deriv" => regression(&self.points(), self.numbers[0].0 as f64 / 1000.0).0,
            "predict_linear" => {
                let (slope, intercept) = regression(&self.points(), self.now as f64 / 1000.0);
                slope * self.params[0] + intercept
            }
            other => return unknown(other),
        }))
    }

    fn points(&self) -> Vec<(f64, f64)> {
        self.numbers.iter().map(|(time, value)| (*time as f64 / 1000.0, *value)).collect()
    }

    /// The time of the last number that is `value`; where all are NaN, that of the last.
    fn time_of(&self, value: f64) -> f64 {
        let found = self.numbers.iter().rfind(|(_, other)| *other == value || value.is_nan());
        found.map_or(f64::NAN, |(time, _)| *time as f64 / 1000.0)
    }

    fn count_pairs(&self, holds: impl Fn(&Sample, &Sample) -> bool) -> f64 {
        (1..self.all.len()).filter(|at| holds(&self.all[at - 1].1, &self.all[*at].1)).count() as f64
    }

    fn smoothed(&self) -> Outcome<Option<f64>> {
        let (level, trend) = (self.params[0], self.params[1]);
        for (name, short, factor) in [("smoothing", "sf", level), ("trend", "tf", trend)] {
            if factor <= 0.0 || factor >= 1.0 {
                let message = format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:.6}");
                return Err(QueryError::execution(message));
            }
        }
        let [(_, first), (_, second), ..] = self.numbers[..] else { return Ok(None) };
        let (mut smooth, mut slope) = (first, second - first);
        for (index, (_, value)) in self.numbers.iter().enumerate().skip(1) {
            let next = level * value + (1.0 - level) * (smooth + slope);
            // The trend that the next sample sees.
            if index + 1 < self.numbers.len() {
                slope = trend * (next - smooth) + (1.0 - trend) * slope;
            }
            smooth = next;
        }
        Ok(Some(smooth))
    }

    fn last_change(&self, rate: bool) -> Option<Sample> {
        let [.., (before, old), (after, new)] = &self.all[..] else { return None };
        let seconds = (after - before) as f64 / 1000.0;
        match (old, new) {
            (Sample::Number(old), Sample::Number(new)) => {
                let change = if rate && new < old { *new } else { new - old };
                Some(Sample::Number(if rate { change / seconds } else { change }))
            }
            (Sample::Histogram(old), Sample::Histogram(new)) => {
                let mut change = new.clone();
                if !rate || !new.detect_reset(old) {
                    change.sub(old).map(drop).ok()?;
                }
                change.set_reset_hint(ResetHint::Gauge);
                change.compact(0);
                if rate {
                    change.div(seconds);
                }
                Some(Sample::Histogram(change))
            }
            _ => None,
        }
    }

    fn rate(&self, counter: bool, per_second: bool) -> Option<Sample> {
        if self.histograms.is_empty() {
            let [(first_time, first), .., (last_time, last)] = self.numbers[..] else { return None };
            let mut change = last - first;
            for at in 1..self.numbers.len() {
                let (before, after) = (self.numbers[at - 1].1, self.numbers[at].1);
                if counter && after < before {
                    change += before;
                }
            }
            let factor =
                self.stretch((first_time, last_time, self.numbers.len()), counter.then_some((first, change)));
            let value = change * factor;
            return Some(Sample::Number(if per_second { value / self.seconds() } else { value }));
        }
        let [(first_time, first), .., (last_time, last)] = &self.histograms[..] else { return None };
        let mut change = self.histogram_change(first, last, counter)?;
        let counted = counter.then_some((first.count(), change.count()));
        change.mul(self.stretch((*first_time, *last_time, self.histograms.len()), counted));
        if per_second {
            change.div(self.seconds());
        }
        Some(Sample::Histogram(change))
    }

    fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }

    /// How much longer than the time between the samples the series is taken to last. `counter`: its first value and
    /// its change.
    fn stretch(
        &self,
        (first, last, samples): (Timestamp, Timestamp, usize),
        counter: Option<(f64, f64)>,
    ) -> f64 {
        let covered = (last - first) as f64;
        let gap = covered / (samples - 1) as f64;
        let reach = |distance: f64| if distance < gap * 1.1 { distance } else { gap / 2.0 };
        let mut before = reach((first - self.start) as f64);
        if let Some((value, change)) = counter
            && change > 0.0
            && value >= 0.0
        {
            before = before.min(covered * (value / change));
        }
        (covered + before + reach((self.end - last) as f64)) / covered
    }

    fn histogram_change(
        &self,
        first: &FloatHistogram,
        last: &FloatHistogram,
        counter: bool,
    ) -> Option<FloatHistogram> {
        let all: Vec<_> = self.histograms.iter().map(|(_, histogram)| histogram).collect();
        let from = usize::from(counter && all[1].detect_reset(first));
        let looked_at = if counter { all[from..].to_vec() } else { vec![first, last] };
        if looked_at.iter().any(|histogram| histogram.is_custom() != last.is_custom()) {
            return None;
        }
        let coarsest = looked_at.iter().map(|histogram| histogram.schema()).min()?;
        let mut change = last.copy_to_schema(coarsest)?;
        if from == 0 {
            change.sub(first).map(drop).ok()?;
        }
        for at in 1..all.len() {
            if counter && at > from && all[at].detect_reset(all[at - 1]) {
                change.add(all[at - 1]).map(drop).ok()?;
            }
        }
        change.set_reset_hint(ResetHint::Gauge);
        change.compact(0);
        Some(change)
    }
}

/// The sum of histograms, or their mean; `None` if they do not fit.
pub(super) fn total(all: &[&FloatHistogram], mean: bool) -> Option<FloatHistogram> {
    let (first, others) = all.split_first()?;
    let mut total = FloatHistogram::clone(first);
    for other in others {
        total.add(other).map(drop).ok()?;
    }
    if mean {
        total.div(all.len() as f64);
    }
    total.compact(0);
    Some(total)
}

fn changed(before: &Sample, after: &Sample) -> bool {
    match (before, after) {
        (Sample::Number(a), Sample::Number(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Sample::Histogram(a), Sample::Histogram(b)) => !a.same_data(b),
        _ => true,
    }
}

fn fell(before: &Sample, after: &Sample) -> bool {
    match (before, after) {
        (Sample::Number(a), Sample::Number(b)) => b < a,
        (Sample::Histogram(a), Sample::Histogram(b)) => b.detect_reset(a),
        _ => true,
    }
}
