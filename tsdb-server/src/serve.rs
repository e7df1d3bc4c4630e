//! Connections: accepted up to a limit, with deadlines, and let finish when the server stops.
//!
//! HTTP/1.1 only: one connection then carries one request at a time, so that the caps on connections are caps on
//! requests, and floods of resets, pings and settings do not exist. Clients that ask for HTTP/2 are answered in HTTP/1.1,
//! or, if they speak it unasked, not at all.
//!
//! The head of a request has a deadline, which also ends idle connections and slow beginnings of TLS; bodies have their
//! own, and so has a client that takes nothing of its answer. The bytes and the number of headers are bounded, and so is
//! the number of connections of an address.

use crate::access::Peer;
use crate::config::HttpConfig;
use crate::connections::{Connections, Place};
use crate::stall::StallGuard;
use crate::state::Server;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Serves `server` on `listener` until `shutdown` completes, then lets requests finish and closes the stores.
///
/// While it runs, it keeps the limits of tenants as the metadata store says, evaluates the rules, reads their files anew at
/// SIGHUP and those of credentials and certificates when they change, and stores the server's own metrics at the interval of
/// the settings.
///
/// # Errors
/// A store that could not be closed.
pub async fn serve(
    listener: TcpListener,
    server: Server,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tsdb::Error> {
    if let Err(error) = server.start_metadata() {
        log::error!("budgets and the catalogue of metrics stay as they are: {error}");
    }
    if let Err(error) = server.start_rules() {
        log::error!("rules are not evaluated: {error}");
    }
    let own_metrics = tokio::spawn(ingest_own_metrics(server.clone()));
    let hangups = tokio::spawn(reload_at_hangups(server.clone()));
    let files = tokio::spawn(watch_files(server.clone()));
    let connections = accept_until(&listener, &server, shutdown).await;
    server.stop();
    drop(listener);
    let grace = server.config().http.shutdown_grace;
    if tokio::time::timeout(grace.as_duration(), connections.shutdown()).await.is_err() {
        log::warn!("requests still run {grace} after the signal to stop; closing without them");
    }
    own_metrics.abort();
    hangups.abort();
    files.abort();
    let closing = tokio::task::spawn_blocking(move || server.close());
    match closing.await {
        Ok(outcome) => outcome,
        Err(_) => Err(tsdb::Error::Closed),
    }
}

/// Completes when the process is asked to stop: SIGINT, and on Unix SIGTERM.
///
/// # Errors
/// The signal handlers cannot be installed.
pub async fn stop_signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

async fn accept_until(
    listener: &TcpListener,
    server: &Server,
    shutdown: impl Future<Output = ()>,
) -> GracefulShutdown {
    let (door, graceful) = (Door::new(server), GracefulShutdown::new());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return graceful,
            accepted = door.accept(listener) => accepted,
        };
        match accepted {
            Ok(Some(arrival)) => {
                tokio::spawn(Arc::clone(&door).connect(arrival, graceful.watcher()));
            }
            Ok(None) => {}
            Err(error) => {
                // Out of file descriptors or the like: the next try may find some.
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// What connections come through.
struct Door {
    server: Server,
    router: Router,
    config: HttpConfig,
    slots: Arc<Semaphore>,
    connections: Connections,
}

/// A connection that was accepted, with the places that it takes.
struct Arrival {
    stream: TcpStream,
    peer: Peer,
    _slot: OwnedSemaphorePermit,
    _place: Option<Place>,
}

impl Door {
    fn new(server: &Server) -> Arc<Self> {
        let config = server.config().http.clone();
        Arc::new(Self {
            server: server.clone(),
            router: server.router(),
            slots: Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS))),
            connections: Connections::default(),
            config,
        })
    }

    /// The next connection; `None` if its address has too many, and it is closed.
    async fn accept(&self, listener: &TcpListener) -> io::Result<Option<Arrival>> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, address) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let is_limited = !self.server.gate().trusts_network_of(address);
        let place = is_limited
            .then(|| self.connections.place(address.ip(), self.config.max_connections_per_address.max(1)));
        if matches!(place, Some(None)) {
            self.server.telemetry().refused_connections.fetch_add(1, Ordering::Relaxed);
            log::debug!("{address} has as many connections as max_connections_per_address allows");
            return Ok(None);
        }
        let peer = Peer { address: Some(address), ..Peer::default() };
        Ok(Some(Arrival { stream, peer, _slot: slot, _place: place.flatten() }))
    }

    async fn connect(self: Arc<Self>, arrival: Arrival, watcher: Watcher) {
        let Arrival { stream, peer, _slot, _place } = arrival;
        let stream = StallGuard::new(stream, self.config.write_timeout.as_duration());
        let served = match self.server.tls() {
            None => self.speak(stream, peer, watcher).await,
            Some(tls) => {
                let patience = self.config.header_timeout.as_duration();
                match tokio::time::timeout(patience, tls.accept(stream, peer)).await {
                    Ok(Ok((stream, peer))) => self.speak(stream, peer, watcher).await,
                    Ok(Err(error)) => {
                        return log::debug!("a connection speaks no TLS that is wanted: {error}");
                    }
                    Err(_) => {
                        return log::debug!("a client took longer than header_timeout to begin with TLS");
                    }
                }
            }
        };
        if let Err(error) = served {
            log::debug!("a connection ended: {error}");
        }
    }

    async fn speak<S>(&self, stream: S, peer: Peer, watcher: Watcher) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let routes = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            routes.call(request)
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.header_timeout.as_duration())
            .max_header_size(self.config.max_header_bytes);
        if self.config.max_headers != USUAL_HEADERS {
            builder.max_headers(self.config.max_headers);
        }
        watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await
    }
}

/// What hyper allows unasked; to ask for a number costs an allocation for each request.
const USUAL_HEADERS: usize = 100;

/// Reads credentials and certificates anew when their files change.
async fn watch_files(server: Server) {
    let interval = server.config().access.reload_interval;
    if interval.as_ms() == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(interval.as_duration());
    loop {
        ticks.tick().await;
        let server = server.clone();
        match tokio::task::spawn_blocking(move || server.reload_access(false)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("what was in force stays: {error}"),
            Err(error) => log::error!("reading credentials and certificates failed inside: {error}"),
        }
    }
}

/// Reads rules, credentials and certificates anew at each SIGHUP; only Unix has this signal.
async fn reload_at_hangups(server: Server) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(error) => return log::warn!("cannot wait for SIGHUP: {error}"),
        };
        while hangups.recv().await.is_some() {
            let server = server.clone();
            match tokio::task::spawn_blocking(move || server.reload()).await {
                Ok(Ok(())) => log::info!("rules, credentials and certificates were read anew"),
                Ok(Err(error)) => log::error!("what was in force stays: {error}"),
                Err(error) => log::error!("reading files anew failed inside: {error}"),
            }
        }
    }
    #[cfg(not(unix))]
    drop(server);
}

async fn ingest_own_metrics(server: Server) {
    let interval = server.config().self_ingest_interval;
    if interval.as_ms() == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(interval.as_duration());
    loop {
        ticks.tick().await;
        let server = server.clone();
        let stored = tokio::task::spawn_blocking(move || server.ingest_own_metrics()).await;
        if let Ok(Err(error)) = stored {
            log::warn!("the server's own metrics were not stored: {error}");
        }
    }
}
