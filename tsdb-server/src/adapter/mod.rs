//! Engines that exist elsewhere, behind the traits of the floors that need them.
//!
//! So far a directory stands for an object store; services are refused.

use crate::config::ObjectStorageConfig;
use std::io;
use std::sync::Arc;
use tsdb::tier::{DirStore, StoreError, Tier};

/// Where `config` wants blocks to be put; `None` if nowhere.
pub(crate) fn tier(config: &ObjectStorageConfig) -> Result<Option<Tier>, StoreError> {
    if config.url.is_empty() {
        return Ok(None);
    }
    let Some(dir) = config.url.strip_prefix("file://") else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the URL does not begin with file://");
        return Err(StoreError::Refused { action: "open", key: config.url.clone(), source });
    };
    let store = DirStore::open(dir).map_err(|error| StoreError::unavailable("open", &config.url, error))?;
    let threads = |error| StoreError::unavailable("start threads for", &config.url, error);
    let mut tier = Tier::new(Arc::new(store), config.cache_bytes).map_err(threads)?;
    tier.keep_local_ms = config.keep_local.as_signed_ms();
    tier.max_backlog_bytes = config.max_backlog_bytes.get();
    tier.interval = config.interval.as_duration();
    Ok(Some(tier))
}
