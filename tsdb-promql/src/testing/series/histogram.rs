//! Native histograms as scripts write them: `{{schema:1 sum:5 count:4 buckets:[1 2 1]}}`.

use super::values::signed_number;
use crate::testing::ScriptError;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};

/// A native histogram as it is written. What is not written is zero or empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramLiteral {
    /// -4 to 8 for exponential buckets, -53 for custom ones.
    pub schema: i32,
    /// Sum of the observations.
    pub sum: f64,
    /// Number of observations.
    pub count: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// The zero bucket covers this much on both sides of zero.
    pub zero_threshold: f64,
    /// Counts of consecutive positive buckets.
    pub buckets: Vec<f64>,
    /// Index of the first of `buckets`.
    pub offset: i32,
    /// Counts of consecutive negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Index of the first of `negative_buckets`.
    pub negative_offset: i32,
    /// Upper bounds of custom buckets, without +Inf.
    pub custom_values: Vec<f64>,
    /// The reset hint, if one is written.
    pub reset_hint: Option<ResetHint>,
}

/// One histogram of a sequence such as `{{A}}+{{D}}x3`: the base, and how often a step is added to it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramValue {
    /// The first histogram of the sequence.
    pub base: HistogramLiteral,
    /// What each repetition adds, and its sign.
    pub step: Option<(HistogramLiteral, i32)>,
    /// How many repetitions came before.
    pub times: usize,
}

impl HistogramLiteral {
    /// The histogram that is written.
    ///
    /// # Errors
    /// It is none.
    pub fn histogram(&self) -> Result<FloatHistogram, ScriptError> {
        let spans = |offset: i32, counts: &[f64]| {
            let length = u32::try_from(counts.len()).unwrap_or(u32::MAX);
            if length == 0 { Vec::new() } else { vec![Span { offset, length }] }
        };
        let parts = FloatParts {
            reset_hint: self.reset_hint.unwrap_or_default(),
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: spans(self.offset, &self.buckets),
            positive_counts: self.buckets.clone(),
            negative_spans: spans(self.negative_offset, &self.negative_buckets),
            negative_counts: self.negative_buckets.clone(),
            bounds: self.custom_values.clone().into(),
        };
        FloatHistogram::for_evaluation(parts).map_err(|error| ScriptError::new(error.to_string()))
    }
}

impl HistogramValue {
    /// The histogram of this place in the sequence.
    ///
    /// # Errors
    /// It is none, or the step does not fit the base.
    pub fn histogram(&self) -> Result<FloatHistogram, ScriptError> {
        let mut value = self.base.histogram()?;
        let Some((step, sign)) = &self.step else { return Ok(value) };
        let step = step.histogram()?;
        for _ in 0..self.times {
            let done = if *sign < 0 { value.sub(&step) } else { value.add(&step) };
            done.map(drop).map_err(|error| ScriptError::new(error.to_string()))?;
        }
        value.compact(0);
        Ok(value)
    }

    /// Is the reset hint part of what is expected?
    pub fn checks_hint(&self) -> bool {
        self.step.as_ref().map_or(&self.base, |(step, _)| step).reset_hint.is_some()
    }
}

/// Parses the histogram at the beginning of `text`, braces included, and returns what follows it.
pub(super) fn parse_histogram(text: &str) -> Result<(HistogramLiteral, &str), ScriptError> {
    let inner = text.strip_prefix("{{").and_then(|rest| rest.split_once("}}"));
    let Some((inner, after)) = inner else {
        return Err(ScriptError::new(format!("expected a histogram, found {text:?}")));
    };
    let mut histogram = HistogramLiteral::default();
    let mut seen = Vec::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let Some((key, value)) = rest.split_once(':') else {
            return Err(ScriptError::new(format!("missing `:` for histogram descriptor in {rest:?}")));
        };
        if seen.contains(&key) {
            return Err(ScriptError::new(format!("duplicate key {key:?} in histogram")));
        }
        seen.push(key);
        rest = set_field(&mut histogram, key, value)?.trim_start();
    }
    Ok((histogram, after))
}

/// Sets what `key` names from the beginning of `text`, and returns what follows.
fn set_field<'a>(histogram: &mut HistogramLiteral, key: &str, text: &'a str) -> Result<&'a str, ScriptError> {
    let number = |field: &mut f64| {
        let (value, rest) = signed_number(text)?;
        *field = value;
        Ok(rest)
    };
    match key {
        "sum" => number(&mut histogram.sum),
        "count" => number(&mut histogram.count),
        "z_bucket" => number(&mut histogram.zero_count),
        "z_bucket_w" => number(&mut histogram.zero_threshold),
        "schema" => integer(&mut histogram.schema, text),
        "offset" => integer(&mut histogram.offset, text),
        "n_offset" => integer(&mut histogram.negative_offset, text),
        "buckets" => list(&mut histogram.buckets, text),
        "n_buckets" => list(&mut histogram.negative_buckets, text),
        "custom_values" => list(&mut histogram.custom_values, text),
        "counter_reset_hint" => {
            let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
            histogram.reset_hint = Some(match word {
                "unknown" => ResetHint::Unknown,
                "reset" => ResetHint::Reset,
                "not_reset" => ResetHint::NotReset,
                "gauge" => ResetHint::Gauge,
                other => return Err(ScriptError::new(format!("unknown counter reset hint {other:?}"))),
            });
            Ok(rest)
        }
        other => Err(ScriptError::new(format!("bad histogram descriptor found: {other:?}"))),
    }
}

fn integer<'a>(field: &mut i32, text: &'a str) -> Result<&'a str, ScriptError> {
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    *field = word.parse().map_err(|_| ScriptError::new(format!("expected an integer, found {word:?}")))?;
    Ok(rest)
}

fn list<'a>(field: &mut Vec<f64>, text: &'a str) -> Result<&'a str, ScriptError> {
    let Some((inner, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) else {
        return Err(ScriptError::new(format!("expected a list in brackets, found {text:?}")));
    };
    for word in inner.split_whitespace() {
        match signed_number(word)? {
            (value, "") => field.push(value),
            (_, rest) => return Err(ScriptError::new(format!("unexpected {rest:?} in a list"))),
        }
    }
    Ok(rest)
}
