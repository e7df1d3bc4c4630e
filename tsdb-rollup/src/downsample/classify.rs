//! Counter or gauge? What was declared, else the name, else the shape of the data.

use crate::aggregate::Form;
use tsdb_core::metadata::MetricType;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Labels, is_stale_nan};

/// A counter that begins anew falls below this part of what it had.
const RESTART: f64 = 0.1;

/// What is to be kept of the windows of a series.
///
/// `declared` is the type that its exporter declared for the metric or for the family that it belongs to. Native
/// histograms keep their corners whatever is said of them: a spread of histograms is none. Without a declaration the
/// name decides, and if it does not, a series that rises and falls only as a counter does that begins anew is one.
pub fn form_of(labels: &Labels, declared: MetricType, samples: &SampleColumns) -> Form {
    if samples.histograms.iter().any(Option::is_some) {
        return Form::Corners;
    }
    let name = labels.metric_name();
    let counts = ["_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
    match declared {
        MetricType::Counter => Form::Corners,
        MetricType::Histogram | MetricType::Summary if counts => Form::Corners,
        MetricType::Unknown => by_name(labels, &samples.values),
        _ => Form::Spread,
    }
}

fn by_name(labels: &Labels, values: &[f64]) -> Form {
    let name = labels.metric_name();
    let counts = ["_total", "_count", "_sum"].iter().any(|end| name.ends_with(end));
    let is_bucket = name.ends_with("_bucket") && labels.get("le").is_some();
    if counts || is_bucket || only_rises(values) { Form::Corners } else { Form::Spread }
}

/// Does the series rise, and fall only to begin anew?
fn only_rises(values: &[f64]) -> bool {
    let (mut rises, mut before) = (false, f64::NAN);
    for value in values.iter().copied().filter(|value| !is_stale_nan(*value)) {
        let goes_on = before.is_nan() || value >= before || (value >= 0.0 && value < before * RESTART);
        if value.is_nan() || !goes_on {
            return false;
        }
        rises |= value > before;
        before = value;
    }
    rises
}
