//! A process that merges blocks on object storage, makes windows of them and drops what is past retention: the role that
//! other systems call compactor. It listens to nobody, and nothing is lost with its directory.

use crate::adapter;
use crate::config::Config;
use crate::state::OpenError;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tsdb::Compactor;

/// Works on the blocks of all tenants on the object storage that `config` names, in its data directory, until `shutdown`
/// completes.
///
/// # Errors
/// The settings name no object storage or it cannot be used, or the directory cannot be worked in. What fails later is
/// told in the log and tried again.
pub async fn compact(config: &Config, shutdown: impl Future<Output = ()>) -> Result<(), OpenError> {
    let tier = adapter::tier(&config.object_storage, &config.data_dir)?.ok_or(OpenError::NoObjectStorage)?;
    let interval = config.object_storage.interval.as_duration();
    let compactor = Arc::new(Compactor::open(&config.data_dir, tier, config.engine_options())?);
    let (stop, stopped) = channel::<()>();
    let at_work = Arc::clone(&compactor);
    let rounds = tokio::task::spawn_blocking(move || take_rounds(&at_work, interval, &stopped));
    shutdown.await;
    drop(stop);
    let closing = tokio::task::spawn_blocking(move || compactor.close());
    let closed = closing.await.unwrap_or(Err(tsdb::Error::Closed));
    drop(rounds.await);
    Ok(closed?)
}

/// Takes rounds until the other end of `stopped` is gone.
fn take_rounds(compactor: &Compactor, interval: Duration, stopped: &Receiver<()>) {
    let mut merges = 0;
    loop {
        match compactor.round() {
            Ok(round) => {
                if round.merges != merges {
                    let (tenants, blocks) = (round.tenants, round.blocks);
                    log::info!("{} merges so far; {tenants} tenants have {blocks} blocks", round.merges);
                }
                merges = round.merges;
                round.failures.iter().for_each(|(tenant, error)| log::error!("tenant {tenant}: {error}"));
            }
            Err(tsdb::Error::Closed) => return,
            Err(error) => log::error!("{error}"),
        }
        if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
