//! What the queries of a tenant may cost.

use super::Limit;
use crate::Period;
use serde::{Deserialize, Serialize};

/// What a query may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryLimits {
    /// The longest a query may run; a request may ask for less.
    pub timeout: Period,
    /// Queries that run at the same time. Others of the tenant wait, and so do they when all places of the server are
    /// taken (`[queries] concurrency`); then the tenants that wait take turns.
    pub concurrency: Limit,
    /// Queries that wait for their turn at the same time; further ones are answered with 429.
    pub max_queued: Limit,
    /// How long a query may wait for its turn.
    pub max_queue_wait: Period,
    /// A range query that is asked again in the same words within this time is given the same answer again, although newer
    /// samples have come: for dashboards that are refreshed more often than is good for the server. `0s` for never; an
    /// answer that is still right is given again in any case.
    pub min_refresh: Period,
    /// Are results of range queries kept for later ones? They are kept as long as they are right.
    pub result_cache: bool,
    /// Results of the last so much time are not kept, whether or not they are right.
    pub cache_delay: Period,
    /// Queries that are answered with 403.
    pub blocked: Vec<BlockedQuery>,
    /// A query that takes longer, from its arrival on, is logged with what it cost, and listed by
    /// `GET /api/v1/status/slow_queries`; `0s` for none.
    pub slow_query: Period,
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
            max_queued: Limit::at(200),
            max_queue_wait: Period::from_secs(30),
            min_refresh: Period::from_ms(0),
            result_cache: true,
            cache_delay: Period::from_ms(0),
            blocked: Vec::new(),
            slow_query: Period::from_secs(10),
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
    pub(super) fn lifted() -> Self {
        Self {
            timeout: Period::from_secs(3_600),
            concurrency: Limit::at(20),
            max_queued: Limit::NONE,
            max_queue_wait: Period::from_secs(3_600),
            min_refresh: Period::from_ms(0),
            result_cache: true,
            cache_delay: Period::from_ms(0),
            blocked: Vec::new(),
            slow_query: Period::from_ms(0),
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

/// Queries that may not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockedQuery {
    /// The text of the query, blanks around it left out; or a regular expression that matches all of that.
    pub pattern: String,
    /// Is it a regular expression?
    #[serde(default)]
    pub regex: bool,
}
