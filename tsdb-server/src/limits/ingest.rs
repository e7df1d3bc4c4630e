//! How much a tenant may write.

use super::Limit;
use crate::Period;
use serde::{Deserialize, Serialize};

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
    /// How far behind the newest sample of the tenant one may come that is not newer than all of its series; `0s` takes
    /// none. Two hours is what senders buffer while a server is away.
    pub out_of_order_window: Period,
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
            out_of_order_window: Period::from_secs(7_200),
            body_timeout: Period::from_secs(30),
            concurrency: Limit::at(64),
        }
    }
}

impl IngestLimits {
    pub(super) fn lifted() -> Self {
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
            out_of_order_window: Period::from_secs(7_200),
            body_timeout: Period::from_secs(300),
            concurrency: Limit::at(64),
        }
    }
}
