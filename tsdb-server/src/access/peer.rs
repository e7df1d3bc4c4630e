//! What is known of the other end of a connection before it has said anything in HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// Its address; unknown where the routes are mounted in another application.
    pub(crate) address: Option<SocketAddr>,
    /// The names in its certificate, which was verified: the subject, as `CN=agent,O=Example`, and the alternative
    /// names, as `dns:agent.example` and `uri:spiffe://example/agent`.
    pub(crate) certificate_names: Arc<[String]>,
}
