//! Every bound that admission and queries respect, with the defaults that protect.
//!
//! Limits are values: whoever enforces one names it in its refusal. [`Limits::lifted`] is what `--no-limits` means.
//! What keeps the process itself alive (depth of JSON, length of a varint, points in time that exist) is no limit
//! and cannot be lifted.

use crate::Period;
use serde::{Deserialize, Serialize};

/// An upper bound that may be absent; written as a whole number, 0 for "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limit {
    allowed: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { allowed: 0 };

    /// At most `allowed`; 0 means no limit.
    pub const fn at(allowed: u64) -> Self {
        Self { allowed }
    }

    /// The bound, if there is one.
    pub const fn get(self) -> Option<u64> {
        if self.allowed == 0 { None } else { Some(self.allowed) }
    }

    /// The bound as a length, the largest possible one if there is none.
    pub fn as_len(self) -> usize {
        self.get().and_then(|allowed| usize::try_from(allowed).ok()).unwrap_or(usize::MAX)
    }

    /// The bound that `found` exceeds; `None` if it keeps within it.
    pub fn exceeded_by(self, found: usize) -> Option<u64> {
        self.get().filter(|allowed| u64::try_from(found).unwrap_or(u64::MAX) > *allowed)
    }
}

/// All limits of one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How much may be written.
    pub ingest: IngestLimits,
    /// What a series pushed as JSON may look like.
    pub push: PushRules,
    /// What a series sent by remote write may look like.
    pub remote_write: RemoteWriteRules,
    /// What a query may cost.
    pub query: QueryLimits,
}

impl Limits {
    /// Nothing is limited: for benchmarks and trusted use.
    pub fn lifted() -> Self {
        Self {
            ingest: IngestLimits::lifted(),
            push: PushRules(SeriesRules::lifted()),
            remote_write: RemoteWriteRules(SeriesRules::lifted()),
            query: QueryLimits::lifted(),
        }
    }
}

/// How much may be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestLimits {
    /// Bytes of a request body as sent.
    pub max_body_bytes: Limit,
    /// Bytes of a request body when decompressed.
    pub max_decoded_bytes: Limit,
    /// Samples in one request.
    pub max_samples_per_request: Limit,
    /// Strings in the table of one remote-write 2.0 request.
    pub max_symbols_per_request: Limit,
    /// Buckets of a native histogram. One with more is made coarser until it fits; one of custom buckets, which cannot
    /// be, is refused.
    pub max_histogram_buckets: Limit,
    /// Characters of the labels of an exemplar, names and values together. OpenMetrics allows 128.
    pub max_exemplar_chars: Limit,
    /// Descriptions of metrics in one request. Each counts as a sample towards the rate.
    pub max_metadata_per_request: Limit,
    /// Bytes of a metric's name, unit or help text in a description. A longer help or unit is cut, a description with
    /// a longer name dropped.
    pub max_metadata_bytes: Limit,
    /// Samples a second, over time.
    pub samples_per_second: Limit,
    /// Samples that may come at once after a pause.
    pub burst_samples: Limit,
    /// How far ahead of the server's clock a sample may lie; `0s` for no limit.
    pub max_future: Period,
    /// How far behind the server's clock a sample may lie; `0s` leaves it to the store.
    pub max_past: Period,
    /// How long a client may take to send a body.
    pub body_timeout: Period,
    /// Write requests worked on at the same time; further ones wait.
    pub concurrency: Limit,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: Limit::at(32 << 20),
            max_decoded_bytes: Limit::at(64 << 20),
            max_samples_per_request: Limit::at(500_000),
            max_symbols_per_request: Limit::at(1_000_000),
            max_histogram_buckets: Limit::at(400),
            max_exemplar_chars: Limit::at(128),
            max_metadata_per_request: Limit::at(20_000),
            max_metadata_bytes: Limit::at(1_024),
            samples_per_second: Limit::at(50_000),
            burst_samples: Limit::at(500_000),
            max_future: Period::from_secs(600),
            max_past: Period::from_ms(0),
            body_timeout: Period::from_secs(30),
            concurrency: Limit::at(64),
        }
    }
}

impl IngestLimits {
    fn lifted() -> Self {
        Self {
            max_body_bytes: Limit::NONE,
            max_decoded_bytes: Limit::NONE,
            max_samples_per_request: Limit::NONE,
            max_symbols_per_request: Limit::NONE,
            max_histogram_buckets: Limit::NONE,
            max_exemplar_chars: Limit::NONE,
            max_metadata_per_request: Limit::NONE,
            max_metadata_bytes: Limit::NONE,
            samples_per_second: Limit::NONE,
            burst_samples: Limit::NONE,
            max_future: Period::from_ms(0),
            max_past: Period::from_ms(0),
            body_timeout: Period::from_secs(300),
            concurrency: Limit::at(64),
        }
    }
}

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
    fn lifted() -> Self {
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

/// What a query may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryLimits {
    /// The longest a query may run; a request may ask for less.
    pub timeout: Period,
    /// Queries that run at the same time.
    pub concurrency: Limit,
    /// How long a query may wait for its turn.
    pub max_queue_wait: Period,
    /// Bytes of a query text.
    pub max_query_bytes: Limit,
    /// Steps of a range query.
    pub max_points: Limit,
    /// Samples that one query may hold in memory.
    pub max_samples: Limit,
    /// Series that the selectors of one query may find together. This and the limits on estimates are checked
    /// before a query reads anything; `POST /api/v1/query_explain` tells the figures of a query.
    pub max_series: Limit,
    /// Samples that one query may read, by the estimate of storage.
    pub max_estimated_samples: Limit,
    /// Points, one for each selected series and step, that one query may compute.
    pub max_estimated_points: Limit,
    /// Memory in bytes that these samples and points would take if they were held at one time.
    pub max_estimated_bytes: Limit,
    /// How deep the parentheses, calls and operands of a query may nest.
    pub max_depth: Limit,
    /// Time between start and end of a query; `0s` for no limit.
    pub max_range: Period,
    /// Bytes of a request with a query in it.
    pub max_body_bytes: Limit,
    /// Bytes of an answer.
    pub max_response_bytes: Limit,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            timeout: Period::from_secs(120),
            concurrency: Limit::at(20),
            max_queue_wait: Period::from_secs(30),
            max_query_bytes: Limit::at(64 << 10),
            max_points: Limit::at(11_000),
            max_samples: Limit::at(50_000_000),
            max_series: Limit::NONE,
            max_estimated_samples: Limit::NONE,
            max_estimated_points: Limit::NONE,
            max_estimated_bytes: Limit::NONE,
            max_depth: Limit::at(100),
            max_range: Period::from_ms(0),
            max_body_bytes: Limit::at(2 << 20),
            max_response_bytes: Limit::at(512 << 20),
        }
    }
}

impl QueryLimits {
    fn lifted() -> Self {
        Self {
            timeout: Period::from_secs(3_600),
            concurrency: Limit::at(20),
            max_queue_wait: Period::from_secs(3_600),
            max_query_bytes: Limit::at(16 << 20),
            max_points: Limit::NONE,
            max_samples: Limit::NONE,
            max_series: Limit::NONE,
            max_estimated_samples: Limit::NONE,
            max_estimated_points: Limit::NONE,
            max_estimated_bytes: Limit::NONE,
            max_depth: Limit::at(100),
            max_range: Period::from_ms(0),
            max_body_bytes: Limit::at(32 << 20),
            max_response_bytes: Limit::NONE,
        }
    }
}
