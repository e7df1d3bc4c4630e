//! Calls of functions that are not about windows.

use super::calendar::date;
use super::number::bucket_quantile;
use super::over_time::is_over_time;
use super::select::label;
use super::{Element, Evaluated, LabelMap, Moment, Outcome, Sample, is_metadata, unknown};
use crate::ast::{Call, Expr};
use crate::failure::QueryError;
use std::collections::BTreeMap;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::matcher::Pattern;
use tsdb_core::{METRIC_NAME, MatchOp};

impl Moment<'_> {
    pub(super) fn call(&self, call: &Call) -> Outcome<Evaluated> {
        let name = call.function.as_str();
        if is_over_time(name) {
            return self.over_time(call);
        }
        if let Some(value) = self.scalar_call(name, &call.args)? {
            return Ok(Evaluated::Scalar(value));
        }
        let vector = match name {
            "vector" => vec![nothing_but(self.scalar(&call.args[0])?)],
            "absent" => {
                let found = !self.vector(&call.args[0])?.is_empty();
                absent(found, &call.args[0])
            }
            "absent_over_time" => {
                let found = !self.matrix(&call.args[0])?.is_empty();
                absent(found, &call.args[0])
            }
            "timestamp" => self.timestamps(&call.args[0])?,
            "sort" | "sort_desc" => self.sorted(&call.args[0], name == "sort_desc")?,
            "label_replace" | "label_join" => return self.relabelled(call).map(Evaluated::Vector),
            "histogram_quantile" => self.histogram_quantile(call)?,
            _ if call.args.is_empty() => vec![nothing_but(calendar(name, (self.now / 1000) as f64)?)],
            _ => self.mapped(call)?,
        };
        self.unique(vector).map(Evaluated::Vector)
    }

    fn scalar_call(&self, name: &str, args: &[Expr]) -> Outcome<Option<f64>> {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        Ok(Some(match name {
            "time" => seconds(self.now),
            "pi" => std::f64::consts::PI,
            "start" => seconds(self.start),
            "end" => seconds(self.end),
            "range" => seconds(self.end - self.start),
            "step" => seconds(if self.start == self.end { 0 } else { self.step_ms }),
            "scalar" => {
                let numbers: Vec<f64> = self.vector(&args[0])?.iter().filter_map(Element::number).collect();
                if let [only] = numbers[..] { only } else { f64::NAN }
            }
            "min_of" => smaller(self.scalar(&args[0])?, self.scalar(&args[1])?),
            "max_of" => larger(self.scalar(&args[0])?, self.scalar(&args[1])?),
            _ => return Ok(None),
        }))
    }

    /// Functions of each element on its own.
    fn mapped(&self, call: &Call) -> Outcome<Vec<Element>> {
        let vector = self.vector(&call.args[0])?;
        let params: Outcome<Vec<f64>> = call.args.iter().skip(1).map(|arg| self.scalar(arg)).collect();
        let (params, mut result) = (params?, Vec::new());
        for mut element in vector {
            let value = match &element.sample {
                Sample::Number(number) => of_number(&call.function, *number, &params)?,
                Sample::Histogram(histogram) => of_histogram(&call.function, histogram),
            };
            self.drop_name(&mut element.labels, &mut element.nameless);
            result.extend(value.map(|value| Element { sample: Sample::Number(value), ..element }));
        }
        Ok(result)
    }

    /// Of a selector the times of its samples, of anything else that of the step.
    fn timestamps(&self, arg: &Expr) -> Outcome<Vec<Element>> {
        let mut timed = match arg.without_parens() {
            Expr::Vector(selector) => self.newest(selector)?,
            other => self.vector(other)?.into_iter().map(|element| (element, self.now)).collect(),
        };
        for (element, time) in &mut timed {
            element.sample = Sample::Number(*time as f64 / 1000.0);
            self.drop_name(&mut element.labels, &mut element.nameless);
        }
        Ok(timed.into_iter().map(|(element, _)| element).collect())
    }

    fn sorted(&self, arg: &Expr, descending: bool) -> Outcome<Vec<Element>> {
        let mut vector: Vec<_> = self.vector(arg)?.into_iter().filter(|e| e.number().is_some()).collect();
        if self.start != self.end {
            return Ok(vector);
        }
        vector.sort_by(|a, b| {
            let (a, b) = (a.number().unwrap_or(f64::NAN), b.number().unwrap_or(f64::NAN));
            let order = if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
            order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        });
        Ok(vector)
    }

    fn relabelled(&self, call: &Call) -> Outcome<Vec<Element>> {
        let mut vector = self.vector(&call.args[0])?;
        let destination = self.text(&call.args[1])?;
        let texts: Outcome<Vec<String>> = call.args[2..].iter().map(|arg| self.text(arg)).collect();
        let texts = texts?;
        for element in &mut vector {
            let value = if call.function == "label_join" {
                let values = texts[1..].iter().map(|source| label(&element.labels, source).to_owned());
                Some(values.collect::<Vec<_>>().join(&texts[0]))
            } else {
                let bad = |_| {
                    let message = format!("invalid regular expression in label_replace(): {}", texts[2]);
                    QueryError::execution(message)
                };
                let pattern = Pattern::new(&texts[2]).map_err(bad)?;
                pattern.replace(label(&element.labels, &texts[1]), &texts[0])
            };
            let Some(value) = value else { continue };
            element.nameless &= destination != METRIC_NAME;
            element.labels.remove(&destination);
            if !value.is_empty() {
                element.labels.insert(destination.clone(), value);
            }
        }
        if super::all_differ(&vector) { Ok(vector) } else { Err(QueryError::same_labelset()) }
    }

    fn histogram_quantile(&self, call: &Call) -> Outcome<Vec<Element>> {
        let (q, vector) = (self.scalar(&call.args[0])?, self.vector(&call.args[1])?);
        let mut classic: BTreeMap<LabelMap, Vec<(f64, f64)>> = BTreeMap::new();
        let mut native: BTreeMap<LabelMap, FloatHistogram> = BTreeMap::new();
        for mut element in vector {
            let bound = label(&element.labels, "le").parse::<f64>().ok();
            match (element.sample, bound) {
                (Sample::Histogram(histogram), _) => {
                    native.insert(element.labels, histogram);
                }
                (Sample::Number(count), Some(bound)) => {
                    element.labels.remove("le");
                    if !self.settings.delayed_name_removal {
                        element.labels.retain(|name, _| !is_metadata(name));
                    }
                    classic.entry(element.labels).or_default().push((bound, count));
                }
                (Sample::Number(_), None) => {}
            }
        }
        let mut result = Vec::new();
        for (mut labels, histogram) in native {
            let mut nameless = false;
            let clash = classic.remove(&labels).is_some();
            self.drop_name(&mut labels, &mut nameless);
            let sample = Sample::Number(histogram.quantile(q).value);
            if !clash && classic.remove(&labels).is_none() {
                result.push(Element { labels, nameless, sample });
            }
        }
        result.extend(classic.into_iter().map(|(labels, buckets)| Element {
            labels,
            nameless: true,
            sample: Sample::Number(bucket_quantile(q, buckets)),
        }));
        Ok(result)
    }
}

fn nothing_but(number: f64) -> Element {
    Element { labels: LabelMap::new(), nameless: false, sample: Sample::Number(number) }
}

/// 1 under the labels that the selector fixes once, unless something was `found`.
fn absent(found: bool, arg: &Expr) -> Vec<Element> {
    let matchers = match arg.without_parens() {
        Expr::Vector(selector) => selector.matchers.clone(),
        Expr::Matrix(matrix) => matrix.selector.matchers.clone(),
        _ => Vec::new(),
    };
    let mut labels = LabelMap::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        let seen = matchers.iter().take_while(|other| !std::ptr::eq(*other, matcher));
        let again = seen.into_iter().any(|o| o.name() == matcher.name() && o.op() == MatchOp::Equal);
        if matcher.op() == MatchOp::Equal && !again {
            labels.insert(matcher.name().to_owned(), matcher.value().to_owned());
        } else {
            labels.remove(matcher.name());
        }
    }
    labels.retain(|_, value| !value.is_empty());
    let one = Element { labels, ..nothing_but(1.0) };
    if found { Vec::new() } else { vec![one] }
}

/// The smaller number; NaN if one is, unless the other is minus infinity.
fn smaller(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// The larger number; NaN if one is, unless the other is infinity.
fn larger(a: f64, b: f64) -> f64 {
    -smaller(-a, -b)
}

fn of_histogram(function: &str, histogram: &FloatHistogram) -> Option<f64> {
    Some(match function {
        "histogram_count" => histogram.count(),
        "histogram_sum" => histogram.sum(),
        "histogram_avg" => histogram.sum() / histogram.count(),
        "histogram_stddev" => histogram.standard_deviation(),
        "histogram_stdvar" => histogram.variance(),
        _ => return None,
    })
}

fn of_number(function: &str, x: f64, params: &[f64]) -> Outcome<Option<f64>> {
    let param = |index: usize| params.get(index).copied();
    Ok(Some(match function {
        name if name.starts_with("histogram_") => return Ok(None),
        "abs" => x.abs(),
        "ceil" => x.ceil(),
        "floor" => x.floor(),
        "exp" => x.exp(),
        "sqrt" => x.sqrt(),
        "ln" => x.ln(),
        "log2" => x.log2(),
        "log10" => x.log10(),
        "sgn" => {
            if x == 0.0 || x.is_nan() {
                x
            } else {
                x.signum()
            }
        }
        "deg" => x * 180.0 / std::f64::consts::PI,
        "rad" => x * std::f64::consts::PI / 180.0,
        "sin" => x.sin(),
        "cos" => x.cos(),
        "tan" => x.tan(),
        "asin" => x.asin(),
        "acos" => x.acos(),
        "atan" => x.atan(),
        "sinh" => x.sinh(),
        "cosh" => x.cosh(),
        "tanh" => x.tanh(),
        "asinh" => x.asinh(),
        "acosh" => x.acosh(),
        "atanh" => x.atanh(),
        "round" => {
            let inverse = 1.0 / param(0).unwrap_or(1.0);
            (x * inverse + 0.5).floor() / inverse
        }
        "clamp" => match (param(0), param(1)) {
            (Some(min), Some(max)) if max >= min || min.is_nan() || max.is_nan() => {
                larger(min, smaller(max, x))
            }
            _ => return Ok(None),
        },
        "clamp_min" => larger(param(0).unwrap_or(f64::NAN), x),
        "clamp_max" => smaller(param(0).unwrap_or(f64::NAN), x),
        other => calendar(other, x)?,
    }))
}

fn calendar(function: &str, seconds: f64) -> Outcome<f64> {
    let date = date(seconds as i64);
    Ok(match function {
        "year" => date.year,
        "month" => date.month,
        "day_of_month" => date.day,
        "day_of_year" => date.day_of_year,
        "day_of_week" => date.day_of_week,
        "days_in_month" => date.days_in_month,
        "hour" => date.hour,
        "minute" => date.minute,
        other => return unknown(&format!("the function {other}")),
    } as f64)
}
