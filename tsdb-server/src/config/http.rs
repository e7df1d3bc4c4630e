//! Settings of connections and shutdown.

use crate::Period;
use serde::{Deserialize, Serialize};

/// Connections and shutdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Connections open at the same time; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request, and how long a connection may idle between two.
    pub header_timeout: Period,
    /// How long a client may leave an answer untaken before the connection is closed.
    pub write_timeout: Period,
    /// How long requests may run on after a signal to stop.
    pub shutdown_grace: Period,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            header_timeout: Period::from_secs(60),
            write_timeout: Period::from_secs(60),
            shutdown_grace: Period::from_secs(20),
        }
    }
}
