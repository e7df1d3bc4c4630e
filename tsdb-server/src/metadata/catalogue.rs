//! Fills the catalogue of metrics with what senders say.
//!
//! It looks at what the stores of tenants know, now and then, and stores what is new: nothing happens on the way of
//! samples, and what could not be stored is stored the next time.

use super::live::Shared;
use super::{MetadataError, MetadataErrorKind, ObservedMetric};
use crate::store::Stores;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tsdb_core::TenantId;
use tsdb_core::metadata::Metadata;
use xxhash_rust::xxh3::xxh3_64;

/// Brings the catalogue up to date.
pub(crate) struct Catalogue {
    stores: Arc<dyn Stores>,
    interval: Duration,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    last: Option<Instant>,
    /// A hash of what was stored of each metric: an hour of senders that repeat themselves costs nothing.
    stored: HashMap<TenantId, HashMap<String, u64>>,
}

/// Metrics that are stored together.
const BATCH: usize = 1_000;

impl Catalogue {
    /// One that looks at `stores` every `interval`.
    pub(crate) fn new(stores: Arc<dyn Stores>, interval: Duration) -> Self {
        Self { stores, interval, progress: Mutex::default() }
    }

    /// Stores what is new, if it is time to.
    pub(crate) fn fill_if_due(&self, shared: &Shared) {
        let mut progress = self.progress.lock();
        let due = progress.last.is_none_or(|last| last.elapsed() >= self.interval);
        if self.interval.is_zero() || !due {
            return;
        }
        progress.last = Some(Instant::now());
        for (tenant, store) in self.stores.list() {
            let stored = progress.stored.entry(tenant.clone()).or_default();
            if let Err(error) = fill(&tenant, &store.metadata(), stored, shared) {
                log::warn!("metrics of tenant {tenant} are not in the catalogue yet: {error}");
                if error.kind() == MetadataErrorKind::Unavailable {
                    return;
                }
            }
        }
    }
}

fn fill(
    tenant: &TenantId,
    known: &[(String, Metadata)],
    stored: &mut HashMap<String, u64>,
    shared: &Shared,
) -> Result<(), MetadataError> {
    let fresh: Vec<_> = known
        .iter()
        .map(|(name, metadata)| (name, metadata, hash(metadata)))
        .filter(|(name, _, hash)| stored.get(*name) != Some(hash))
        .collect();
    for batch in fresh.chunks(BATCH) {
        let observed = batch.iter().map(|(name, metadata, _)| ObservedMetric {
            name: (*name).clone(),
            metric_type: metadata.metric_type,
            unit: metadata.unit.clone(),
            help: metadata.help.clone(),
            active_series: None,
        });
        let observed: Vec<_> = observed.collect();
        shared.store().observe_metrics(tenant, &observed, shared.clock().now())?;
        shared.health().described.fetch_add(observed.len() as u64, Ordering::Relaxed);
        stored.extend(batch.iter().map(|(name, _, hash)| ((*name).clone(), *hash)));
    }
    if stored.len() > known.len() {
        // Metrics that are no more are not remembered for ever.
        let names: std::collections::HashSet<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        stored.retain(|name, _| names.contains(name.as_str()));
    }
    Ok(())
}

fn hash(metadata: &Metadata) -> u64 {
    let Metadata { metric_type, unit, help } = metadata;
    xxh3_64(format!("{}\0{unit}\0{help}", metric_type.as_str()).as_bytes())
}
