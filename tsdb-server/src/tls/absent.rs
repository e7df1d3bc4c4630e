//! No TLS: what a program has that was built without it.

use super::TlsError;
use crate::access::Peer;
use crate::config::TlsConfig;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// TLS that is never spoken.
#[derive(Debug)]
pub(crate) enum Tls {}

impl Tls {
    /// # Errors
    /// The settings ask for TLS.
    pub(crate) fn open(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        if config.is_on() { Err(TlsError::NotBuilt) } else { Ok(None) }
    }

    pub(crate) fn is_successful(&self) -> bool {
        match *self {}
    }

    pub(crate) fn reload(&self, _always: bool) -> Result<(), TlsError> {
        match *self {}
    }

    pub(crate) async fn accept<S>(&self, stream: S, _peer: Peer) -> io::Result<(S, Peer)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        drop(stream);
        match *self {}
    }
}
