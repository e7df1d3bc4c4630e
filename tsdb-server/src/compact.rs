//! A process that merges blocks on object storage, makes windows of them and drops what is past retention: the role that
//! other systems call compactor. It listens to nobody, and nothing is lost with its directory.
//!
//! What is kept of a tenant is said by the settings and by its budget. Budgets are in the metadata store; where the settings
//! name none, each server has its own, which nobody else can read: then nothing is dropped here, and servers drop what they
//! know to be past retention. Nor is anything dropped while the store that they name is not there, or no server has made its
//! tables: an empty store that was made here would say that nobody keeps anything longer than others.

use crate::adapter;
use crate::config::Config;
use crate::limits::{LimitBook, Limits};
use crate::metadata::{MetadataError, MetadataStore, limits_of};
use crate::state::OpenError;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tsdb::Compactor;
use tsdb_core::TenantId;

/// Works on the blocks of all tenants on the object storage that `config` names, in its data directory, until `shutdown`
/// completes.
///
/// # Errors
/// The settings name no object storage or it cannot be used, or the directory cannot be worked in. What fails later is
/// told in the log and tried again.
pub async fn compact(config: &Config, shutdown: impl Future<Output = ()>) -> Result<(), OpenError> {
    let tier = adapter::tier(&config.object_storage, &config.data_dir)?.ok_or(OpenError::NoObjectStorage)?;
    let interval = config.object_storage.interval.as_duration();
    let options = tsdb::Options { awaits_retention: true, ..config.engine_options() };
    let compactor = Arc::new(Compactor::open(&config.data_dir, tier, options)?);
    let keeping = Keeping::open(config)?;
    let (stop, stopped) = channel::<()>();
    let at_work = Arc::clone(&compactor);
    let rounds = tokio::task::spawn_blocking(move || take_rounds(&at_work, &keeping, interval, &stopped));
    shutdown.await;
    drop(stop);
    let closing = tokio::task::spawn_blocking(move || compactor.close());
    let closed = closing.await.unwrap_or(Err(tsdb::Error::Closed));
    drop(rounds.await);
    Ok(closed?)
}

/// Takes rounds until the other end of `stopped` is gone.
fn take_rounds(compactor: &Compactor, keeping: &Keeping, interval: Duration, stopped: &Receiver<()>) {
    let mut merges = 0;
    // The last known limits hold while the metadata store is away; nothing is dropped before any are known.
    let mut book = None;
    loop {
        match keeping.book() {
            Ok(known) => book = Some(known),
            Err(error) => log::error!("what tenants keep is not known anew: {error}"),
        }
        let retention = |tenant: &TenantId| book.as_ref()?.retention(tenant);
        let prepare = |tenant: &TenantId, db: &tsdb::Db| {
            retention(tenant).map_or(Ok(()), |retention| db.set_retention(&retention))
        };
        match compactor.round(prepare) {
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

/// Who says what is kept.
struct Keeping {
    defaults: Limits,
    named: HashMap<TenantId, Limits>,
    metadata: Option<Arc<dyn MetadataStore>>,
}

impl Keeping {
    fn open(config: &Config) -> Result<Self, OpenError> {
        let (mut defaults, mut named) = (config.limits.clone(), config.tenant_limits()?);
        if !config.metadata.url.is_empty() {
            let metadata = Some(adapter::attached_metadata(&config.metadata)?);
            return Ok(Self { defaults, named, metadata });
        }
        log::info!("metadata.url names no store that servers share: nothing expires by this process");
        for limits in named.values_mut().chain([&mut defaults]) {
            limits.retention = limits.retention.clone().keeping_everything();
        }
        Ok(Self { defaults, named, metadata: None })
    }

    /// What is kept of each tenant now.
    fn book(&self) -> Result<LimitBook, MetadataError> {
        let budgets = self.metadata.as_ref().map_or_else(|| Ok(Vec::new()), |metadata| metadata.budgets())?;
        let budgets = budgets.into_iter().map(|budget| (budget.tenant, budget.overrides));
        let budgets: BTreeMap<_, _> = budgets.collect();
        let book = LimitBook::new(self.defaults.clone(), HashMap::new());
        book.replace(limits_of(&budgets, &self.defaults, &self.named).0);
        Ok(book)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqlMetadata;
    use crate::metadata::{Overrides, Signature};
    use std::path::Path;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn keeping(file: &Path) -> Keeping {
        let mut config = Config::default();
        config.metadata.url = format!("sqlite://{}", file.display());
        Keeping::open(&config).unwrap()
    }

    #[test]
    fn a_store_that_is_not_there_is_not_made_and_says_nothing_of_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.db");
        let keeping_of_none = keeping(&missing);
        assert!(keeping_of_none.book().is_err());
        assert!(!missing.exists());
        let empty = folder.path().join("empty.db");
        std::fs::write(&empty, "").unwrap();
        assert!(keeping(&empty).book().is_err(), "no server has made tables");
        assert_eq!(std::fs::metadata(&empty).unwrap().len(), 0);

        // A server comes later, and is found.
        let store = SqlMetadata::open_file(&missing, TIMEOUT).unwrap();
        let (tenant, by) = (TenantId::new("acme").unwrap(), Signature { who: "ann".to_owned(), at: 1 });
        let limits = Overrides::parse(br#"{"retention":{"samples":"90d"}}"#).unwrap();
        store.put_budget(&tenant, &limits, None, &by).unwrap();
        let retention = keeping_of_none.book().unwrap().retention(&tenant).unwrap();
        assert_eq!(retention.samples_ms, Some(90 * 86_400_000));
    }
}
