//! Exemplars: single observations that stand for a sample, usually with the trace they came from.

use crate::{Labels, Timestamp};

/// One observation behind a sample. Source: OpenMetrics 1.0, section "Exemplars".
#[derive(Debug, Clone)]
pub struct Exemplar {
    /// Labels of the observation itself, such as `trace_id`; not those of its series.
    pub labels: Labels,
    /// When it was observed, in milliseconds since the Unix epoch.
    pub timestamp: Timestamp,
    /// What was observed.
    pub value: f64,
}

/// Bitwise equality of the value: NaN payloads and signed zeros are data.
impl PartialEq for Exemplar {
    fn eq(&self, other: &Self) -> bool {
        self.timestamp == other.timestamp
            && self.value.to_bits() == other.value.to_bits()
            && self.labels == other.labels
    }
}

impl Eq for Exemplar {}
