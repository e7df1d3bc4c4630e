//! Connections that speak TLS.

use super::files::Files;
use super::{TlsError, names};
use crate::access::Peer;
use crate::config::TlsConfig;
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// TLS as the settings ask for it.
pub(crate) struct Tls {
    config: TlsConfig,
    current: RwLock<Arc<ServerConfig>>,
    /// What the files held when they were read last, used or not.
    seen: Mutex<Option<[u8; 32]>>,
    successful: AtomicBool,
}

impl Tls {
    /// `None` if the settings ask for none.
    ///
    /// # Errors
    /// The files cannot be used.
    pub(crate) fn open(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        if !config.is_on() {
            return Ok(None);
        }
        let files = Files::read(config)?;
        Ok(Some(Self {
            current: RwLock::new(Arc::new(files.server_config(config)?)),
            seen: Mutex::new(Some(files.fingerprint())),
            successful: AtomicBool::new(true),
            config: config.clone(),
        }))
    }

    /// Were the files usable when they were read last?
    pub(crate) fn is_successful(&self) -> bool {
        self.successful.load(Ordering::Relaxed)
    }

    /// Reads the files anew; if not `always`, then only if they have changed.
    ///
    /// # Errors
    /// They cannot be used; what was in force stays.
    pub(crate) fn reload(&self, always: bool) -> Result<(), TlsError> {
        let mut seen = self.seen.lock();
        let read = Files::read(&self.config);
        let found = read.as_ref().ok().map(Files::fingerprint);
        if !always && *seen == found {
            return Ok(());
        }
        *seen = found;
        let made = read.and_then(|files| files.server_config(&self.config));
        self.successful.store(made.is_ok(), Ordering::Relaxed);
        *self.current.write() = Arc::new(made?);
        log::info!("the certificate was read from {}", self.config.certificate_file.display());
        Ok(())
    }

    /// Greets the client; what its certificate says becomes part of `peer`.
    ///
    /// # Errors
    /// The client does not speak TLS as asked, or has no certificate that is believed.
    pub(crate) async fn accept<S>(&self, stream: S, mut peer: Peer) -> io::Result<(TlsStream<S>, Peer)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let current = Arc::clone(&self.current.read());
        let stream = TlsAcceptor::from(current).accept(stream).await?;
        let (_, session) = stream.get_ref();
        if let Some(certificate) = session.peer_certificates().and_then(|chain| chain.first()) {
            peer.certificate_names = names::of(certificate).into();
        }
        Ok((stream, peer))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.config).finish_non_exhaustive()
    }
}
