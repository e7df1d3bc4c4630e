//! How many distinct series tenants have over all servers of a fleet, about.
//!
//! Each server shares a sketch per tenant on a [`Board`] and reads what all of them together count. A thread does this every
//! few seconds; neither ingest nor any limit waits for it or depends on it. While the board is away the last estimates stay,
//! and say how old they are.

mod tracker;

pub(crate) use tracker::{Estimate, FleetStatus, Tracker};

use std::time::Duration;
use tsdb::Sketch;
use tsdb_core::TenantId;

/// Where the servers of a fleet share their sketches.
pub(crate) trait Board: Send + Sync {
    /// Puts the sketches of this server in place of those that it put before, and answers, for each, what all servers count
    /// together; `None` where the sketches of a tenant cannot be counted.
    ///
    /// # Errors
    /// The board is away: some sketches may have been put.
    fn exchange(&self, own: &[(TenantId, Sketch)]) -> Result<Vec<Option<FleetCount>>, BoardError>;
}

/// The series of a tenant over a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FleetCount {
    /// Distinct series, with a standard error of 0.81 %.
    pub(crate) series: u64,
    /// Servers that have some.
    pub(crate) servers: u64,
}

/// A board that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub(crate) struct BoardError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl BoardError {
    #[cfg(feature = "redis")]
    pub(crate) fn new(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Box::new(source) }
    }
}

/// A tracker that cannot be as the settings say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// The server can speak to no such place.
    #[error("url: {source}")]
    Url {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server cannot speak to any.
    #[error("url: this server was built without the feature redis")]
    NoRedis,
    /// Sketches would be gone before they are shared again.
    #[error("expiry: {} s, which is no more than the interval of {} s", expiry.as_secs_f64(), interval.as_secs_f64())]
    Expiry {
        /// How long sketches stay.
        expiry: Duration,
        /// How often they are shared.
        interval: Duration,
    },
    /// There is no randomness for the name of this server.
    #[error("the operating system gives no random numbers")]
    NoName,
}
