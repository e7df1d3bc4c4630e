//! The values that templates work with.

use std::collections::BTreeMap;
use std::sync::Arc;
use tsdb_core::Labels;
use tsdb_core::histogram::FloatHistogram;

/// A value. The names of Go's types, which errors give, are those of Prometheus.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// No value.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Arc<str>),
    /// What a map of labels does not have is the empty string.
    Labels(Labels),
    /// Arguments of a template by name.
    Map(Arc<BTreeMap<String, Self>>),
    Sample(Arc<Sample>),
    Vector(Arc<[Arc<Sample>]>),
    Histogram(Arc<FloatHistogram>),
    /// A time in UTC, ns since the Unix epoch.
    Time(i64),
    /// A length of time, ns.
    Duration(i64),
    Data(Arc<AlertData>),
}

/// A sample of a vector.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Its labels, the name of the metric among them.
    pub(crate) labels: Labels,
    /// A number or a histogram.
    pub(crate) value: Value,
}

/// What the templates of an alert are given.
#[derive(Debug, Clone)]
pub(crate) struct AlertData {
    /// Labels of the sample that the alert is for.
    pub(crate) labels: Labels,
    /// Labels that tell this server from others.
    pub(crate) external_labels: Labels,
    /// Where people reach this server.
    pub(crate) external_url: String,
    /// The number or histogram of the sample.
    pub(crate) value: Value,
}

impl Value {
    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    pub(crate) fn vector(samples: Vec<Sample>) -> Self {
        Self::Vector(samples.into_iter().map(Arc::new).collect())
    }

    /// Is it true where a condition is asked for?
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Duration(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::String(text) => !text.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Vector(samples) => !samples.is_empty(),
            Self::Sample(_) | Self::Histogram(_) | Self::Time(_) | Self::Data(_) => true,
        }
    }

    /// Its type, as Go names it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::String(_) => "string",
            Self::Labels(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Sample(_) => "*template.sample",
            Self::Vector(_) => "template.queryResult",
            Self::Histogram(_) => "*histogram.FloatHistogram",
            Self::Time(_) => "*time.Time",
            Self::Duration(_) => "*time.Duration",
            Self::Data(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; \
                 Value interface {} }"
            }
        }
    }
}
