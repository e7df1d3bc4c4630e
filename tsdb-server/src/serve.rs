//! Connections: accepted up to a limit, with deadlines, and let finish when the server stops.
//!
//! HTTP/1.1 only. The head of a request has a deadline, which also ends idle connections; bodies have their own, and so
//! has a client that takes nothing of its answer.

use crate::config::HttpConfig;
use crate::stall::StallGuard;
use crate::state::Server;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Serves `server` on `listener` until `shutdown` completes, then lets requests finish and closes the stores.
///
/// While it runs, it keeps the limits of tenants as the metadata store says, evaluates the rules, reads their files anew at SIGHUP, and stores the server's own metrics at the interval of the settings.
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
    let connections = accept_until(&listener, &server, shutdown).await;
    server.stop();
    drop(listener);
    let grace = server.config().http.shutdown_grace;
    if tokio::time::timeout(grace.as_duration(), connections.shutdown()).await.is_err() {
        log::warn!("requests still run {grace} after the signal to stop; closing without them");
    }
    own_metrics.abort();
    hangups.abort();
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
    let config = server.config().http.clone();
    let (router, connections) = (server.router(), GracefulShutdown::new());
    let slots = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return connections,
            accepted = accept(listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => connect(stream, slot, &router, &config, &connections),
            Err(error) => {
                // Out of file descriptors or the like: the next try may find some.
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

const ACCEPT_RETRY: Duration = Duration::from_millis(50);

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

fn connect(
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    router: &Router,
    config: &HttpConfig,
    connections: &GracefulShutdown,
) {
    let stream = StallGuard::new(stream, config.write_timeout.as_duration());
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout.as_duration())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("a connection ended: {error}");
        }
        drop(slot);
    });
}

/// Reads the rule files anew at each SIGHUP; only Unix has this signal.
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
            match tokio::task::spawn_blocking(move || server.reload_rules()).await {
                Ok(Ok(())) => log::info!("the rule files were read anew"),
                Ok(Err(error)) => log::error!("the rules stay as they were: {error}"),
                Err(error) => log::error!("reading the rule files failed inside: {error}"),
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
