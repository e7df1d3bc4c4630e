//! Classic histograms among loaded series as native ones with custom buckets: what `load_with_nhcb` adds.

use super::script::{Load, ScriptError};
use super::series::SequenceValue;
use std::collections::BTreeMap;
use tsdb_core::histogram::{FloatHistogram, FloatParts, Schema, Span};
use tsdb_core::{Labels, METRIC_NAME, Timestamp};

/// The classic histogram of one time.
#[derive(Debug, Default)]
struct Classic {
    /// Cumulative counts by upper bound, in no order.
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: Option<f64>,
}

/// A series of native histograms.
pub(super) type ConvertedSeries = (Labels, Vec<(Timestamp, FloatHistogram)>);

type Samples = BTreeMap<Timestamp, Classic>;

/// The native histograms of the classic ones that `load` holds, under their base names.
///
/// # Errors
/// Counts that are negative, not cumulative or in contradiction to each other.
pub(super) fn custom_histograms(load: &Load) -> Result<Vec<ConvertedSeries>, ScriptError> {
    let mut groups: BTreeMap<Labels, Samples> = BTreeMap::new();
    for series in &load.series {
        let name = series.labels.metric_name();
        let suffix = ["_bucket", "_sum", "_count"].into_iter().find(|suffix| name.ends_with(suffix));
        let Some((suffix, base)) = suffix.and_then(|suffix| Some((suffix, name.strip_suffix(suffix)?)))
        else {
            continue;
        };
        let bound = series.labels.get("le").and_then(|le| le.parse::<f64>().ok()).filter(|le| !le.is_nan());
        if suffix == "_bucket" && bound.is_none() {
            continue;
        }
        let others = series.labels.iter().filter(|(name, _)| *name != METRIC_NAME && *name != "le");
        let labels = Labels::from_pairs(others.chain([(METRIC_NAME, base)]))
            .map_err(|error| ScriptError::new(error.to_string()))?;
        let samples = groups.entry(labels).or_default();
        for (index, value) in series.values.iter().enumerate() {
            let SequenceValue::Float(value) = value else { continue };
            let at = load.step_ms.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX));
            let classic = samples.entry(at).or_default();
            match (suffix, bound) {
                ("_bucket", Some(bound)) if classic.buckets.iter().all(|(known, _)| *known != bound) => {
                    classic.buckets.push((bound, *value));
                }
                ("_sum", _) => classic.sum = *value,
                ("_count", _) => classic.count = Some(*value),
                _ => {}
            }
        }
    }
    let converted = groups.into_iter().map(|(labels, samples)| {
        let all = samples.into_iter().map(|(at, classic)| Ok((at, classic.convert()?)));
        Ok((labels, all.collect::<Result<Vec<_>, ScriptError>>()?))
    });
    converted.collect()
}

impl Classic {
    fn convert(mut self) -> Result<FloatHistogram, ScriptError> {
        self.buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let highest = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.unwrap_or(highest);
        match self.buckets.last() {
            Some((bound, held)) if *bound == f64::INFINITY => {
                if *held != count {
                    return Err(ScriptError::new(format!(
                        "the count is {count}, the +Inf bucket holds {held}"
                    )));
                }
            }
            _ => self.buckets.push((f64::INFINITY, count)),
        }
        let mut below = 0.0;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for (bound, cumulative) in &self.buckets {
            if *cumulative < below {
                return Err(ScriptError::new(format!("the bucket {bound} is negative or not cumulative")));
            }
            counts.push(cumulative - below);
            below = *cumulative;
        }
        let bounds = self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
        let parts = FloatParts {
            schema: Schema::CUSTOM.number(),
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).unwrap_or(u32::MAX) }],
            positive_counts: counts,
            bounds: bounds.collect(),
            ..FloatParts::default()
        };
        let mut histogram =
            FloatHistogram::for_evaluation(parts).map_err(|error| ScriptError::new(error.to_string()))?;
        histogram.compact(0);
        Ok(histogram)
    }
}
