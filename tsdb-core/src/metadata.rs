//! What is known of a metric besides its samples.

use alloc::string::String;

/// Type of a metric as its exporter declared it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum MetricType {
    /// Not declared.
    #[default]
    Unknown,
    /// Only goes up, or restarts from zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations in buckets.
    Histogram,
    /// A histogram whose counts go up and down.
    GaugeHistogram,
    /// Quantiles computed by the exporter.
    Summary,
    /// Constant 1 with descriptive labels.
    Info,
    /// Booleans that exclude each other.
    Stateset,
}

impl MetricType {
    /// The name used by the Prometheus API and OpenMetrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::Stateset => "stateset",
        }
    }
}

/// Type, unit and help text of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// The declared type.
    pub metric_type: MetricType,
    /// Unit of the values, such as `seconds`; may be empty.
    pub unit: String,
    /// Explanation for people; may be empty.
    pub help: String,
}
