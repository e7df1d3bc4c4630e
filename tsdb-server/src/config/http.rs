//! Settings of connections and shutdown.

use crate::Period;
use serde::{Deserialize, Serialize};

/// Connections and shutdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Connections open at the same time; further ones wait to be accepted.
    pub max_connections: usize,
    /// Connections of one address, but those of `access.trusted_networks`; further ones are closed.
    pub max_connections_per_address: usize,
    /// Bytes of the head of a request; a larger one answers 431.
    pub max_header_bytes: usize,
    /// Headers of a request; more answer 431.
    pub max_headers: usize,
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
            max_connections_per_address: 512,
            max_header_bytes: 128 << 10,
            max_headers: 100,
            header_timeout: Period::from_secs(60),
            write_timeout: Period::from_secs(60),
            shutdown_grace: Period::from_secs(20),
        }
    }
}
