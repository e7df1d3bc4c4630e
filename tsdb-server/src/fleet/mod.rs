//! How many distinct series tenants have over all servers of a fleet: about, and exactly where there are not too many.
//!
//! Each server shares a sketch per tenant on a [`Board`], and the hashes of its series if there are few enough, and reads what
//! all of them together count. A thread does this every few seconds; neither ingest nor any limit waits for it or depends on
//! it. While the board is away the last estimates stay, and say how old they are.

mod tracker;

pub(crate) use tracker::{Estimate, FleetStatus, Tracker};

use crate::store::Store;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tsdb::Sketch;
use tsdb_core::TenantId;

/// Where the servers of a fleet share what they know of their series.
pub(crate) trait Board: Send + Sync {
    /// Puts the sketches of this server in place of those that it put before, adds the hashes of its series to those of the
    /// others, and answers, for each tenant, what all servers count together; `None` where the sketches of a tenant cannot be
    /// counted.
    ///
    /// # Errors
    /// The board is away: some may have been put.
    fn exchange(&self, own: &[Share]) -> Result<Vec<Option<FleetCount>>, BoardError>;
}

/// What a server has to share of a tenant.
pub(crate) struct Share {
    pub(crate) tenant: TenantId,
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "the one board there is"))]
    pub(crate) sketch: Sketch,
    store: Arc<dyn Store>,
    /// More series are not shared one by one; none are where it is not known yet which there are.
    most: usize,
}

impl Share {
    /// Hashes of the series: of all of them if `anew`, else of those that came since this was last asked. `None` if there are
    /// too many, or if they must be asked for anew.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "the one board there is"))]
    pub(crate) fn hashes(&self, anew: bool) -> Option<Vec<u64>> {
        if self.most == 0 { None } else { self.store.series_hashes(anew, self.most) }
    }
}

/// The series of a tenant over a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FleetCount {
    /// Distinct series, with a standard error of 0.81 %.
    pub(crate) series: u64,
    /// Distinct series, exactly, if no server has too many of them.
    pub(crate) exact: Option<u64>,
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
    /// The authorities of its certificate cannot be read.
    #[error("ca_file: {}: {source}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
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
