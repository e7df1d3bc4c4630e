//! What a new series may look like, by the way it comes in.

use super::Limit;
use serde::{Deserialize, Serialize};

/// What a new series may look like. Known series are never checked again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesRules {
    /// May names hold any UTF-8 text, or only `[a-zA-Z_:][a-zA-Z0-9_:]*` (labels without the colon)?
    pub utf8_names: bool,
    /// Labels besides the metric name.
    pub max_labels: Limit,
    /// Bytes of a metric or label name.
    pub max_name_bytes: Limit,
    /// Characters of a label value.
    pub max_value_chars: Limit,
    /// Labels that only the server may set.
    pub reserved_labels: Vec<String>,
    /// Labels that must not be stored, since every user or request would make a series of its own.
    pub blocked_labels: Vec<String>,
}

impl SeriesRules {
    pub(super) fn lifted() -> Self {
        Self {
            utf8_names: true,
            max_labels: Limit::NONE,
            max_name_bytes: Limit::NONE,
            max_value_chars: Limit::NONE,
            reserved_labels: Vec::new(),
            blocked_labels: Vec::new(),
        }
    }
}

/// [`SeriesRules`] with the strict defaults of the push API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PushRules(pub SeriesRules);

impl Default for PushRules {
    fn default() -> Self {
        Self(SeriesRules {
            utf8_names: false,
            max_labels: Limit::at(15),
            max_name_bytes: Limit::at(200),
            max_value_chars: Limit::at(200),
            reserved_labels: owned(&["tenant_id", "__name__"]),
            blocked_labels: owned(&["user_id", "email", "request_id", "session_id"]),
        })
    }
}

/// [`SeriesRules`] that let the exporters of a Prometheus through: names as Prometheus 3 allows them, room for the
/// labels of container and cluster exporters, no list of forbidden labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteWriteRules(pub SeriesRules);

impl Default for RemoteWriteRules {
    fn default() -> Self {
        Self(SeriesRules {
            utf8_names: true,
            max_labels: Limit::at(64),
            max_name_bytes: Limit::at(1_024),
            max_value_chars: Limit::at(4_096),
            reserved_labels: Vec::new(),
            blocked_labels: Vec::new(),
        })
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
