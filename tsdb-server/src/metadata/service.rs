//! The metadata store in the service of a server: asked by requests, watched for changes, filled with what senders say.

use super::catalogue::Catalogue;
use super::live::{Health, Live};
use super::{MetadataError, MetadataStore, RuleBook};
use crate::Limits;
use crate::admission::LimitedStores;
use crate::config::{Config, MetadataConfig};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tsdb_core::TenantId;
use tsdb_core::time::Clock;

/// The metadata store of a server.
pub(crate) struct Service {
    live: Arc<Live>,
    catalogue: Arc<Catalogue>,
    config: MetadataConfig,
    /// Requests that ask the store at the same time: when it is away, each occupies a thread until it gives up.
    turns: Arc<Semaphore>,
}

/// Limits of the settings, and the stores that keep those in force.
pub(crate) struct Limiting {
    pub(crate) stores: Arc<LimitedStores>,
    /// Of tenants that the settings do not name.
    pub(crate) defaults: Limits,
    /// Of those that they do.
    pub(crate) named: HashMap<TenantId, Limits>,
}

/// Requests that ask the store at the same time.
const TURNS: usize = 16;
/// Not more often is the store asked for changes.
const SHORTEST: Duration = Duration::from_millis(100);

impl Service {
    /// Takes the budgets and the rules of `store` into force; the last known ones, which the file `copy` keeps, if it is
    /// away.
    ///
    /// # Errors
    /// The store answers, and cannot be used.
    pub(crate) fn open(
        store: Arc<dyn MetadataStore>,
        config: &Config,
        limiting: Limiting,
        rules: Arc<dyn RuleBook>,
        copy: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, MetadataError> {
        let config = config.metadata.clone();
        let interval = config.catalogue_interval.as_duration();
        let stores = Arc::clone(&limiting.stores);
        Ok(Self {
            live: Arc::new(Live::open(store, limiting, rules, copy, clock)?),
            catalogue: Arc::new(Catalogue::new(stores, interval)),
            config,
            turns: Arc::new(Semaphore::new(TURNS)),
        })
    }

    /// Starts to watch the store.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub(crate) fn start(&self) -> std::io::Result<()> {
        let catalogue = Arc::clone(&self.catalogue);
        let interval = self.config.poll_interval.as_duration().max(SHORTEST);
        self.live.start(interval, move |shared| catalogue.fill_if_due(shared))
    }

    /// Ends watching.
    pub(crate) fn stop(&self) {
        self.live.stop();
    }

    /// The store; its calls block.
    pub(crate) fn store(&self) -> &Arc<dyn MetadataStore> {
        self.live.store()
    }

    /// How it goes.
    pub(crate) fn health(&self) -> &Health {
        self.live.health()
    }

    /// The limits that `tenant` would have without a budget.
    pub(crate) fn base_limits(&self, tenant: &TenantId) -> &Limits {
        self.live.base(tenant)
    }

    /// Runs `work`, which asks the store, on a blocking thread.
    ///
    /// # Errors
    /// Those of `work`, or too many others ask.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn MetadataStore) -> Result<T, MetadataError> + Send + 'static,
    ) -> Result<T, MetadataError> {
        self.in_turn(|live| work(live.store().as_ref())).await
    }

    /// The same for `work` that changes budgets or rules: what it did is in force when this returns.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn MetadataStore) -> Result<T, MetadataError> + Send + 'static,
    ) -> Result<T, MetadataError> {
        let work = |live: &Live| {
            let done = work(live.store().as_ref())?;
            live.refresh();
            Ok(done)
        };
        self.in_turn(work).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Live) -> Result<T, MetadataError> + Send + 'static,
    ) -> Result<T, MetadataError> {
        const ACTION: &str = "be asked";
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(self.config.timeout.as_duration(), turn).await;
        let turn = turn.map_err(|elapsed| MetadataError::unavailable(ACTION, elapsed))?;
        let turn = turn.map_err(|closed| MetadataError::unavailable(ACTION, closed))?;
        let live = Arc::clone(&self.live);
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(&live);
            drop(turn);
            outcome
        });
        done.await.map_err(|failed| MetadataError::unavailable(ACTION, failed))?
    }
}
