//! Engines that exist elsewhere, behind the traits of the floors that need them, one feature each.

#[cfg(feature = "object-storage")]
mod object_storage;

#[cfg(feature = "object-storage")]
pub use object_storage::CloudStore;

use crate::config::ObjectStorageConfig;
use std::io;
use std::sync::Arc;
use tsdb::tier::{DirStore, ObjectStore, StoreError, Tier};

/// Where `config` wants blocks to be put; `None` if nowhere.
pub(crate) fn tier(config: &ObjectStorageConfig) -> Result<Option<Tier>, StoreError> {
    let (store, prefix): (Arc<dyn ObjectStore>, String) = match config.url.split_once("://") {
        None if config.url.is_empty() => return Ok(None),
        Some(("file", dir)) => {
            let store =
                DirStore::open(dir).map_err(|error| StoreError::unavailable("open", &config.url, error))?;
            (Arc::new(store), String::new())
        }
        Some((scheme, rest)) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            (cloud(&format!("{scheme}://{bucket}"), config)?, prefix.trim_end_matches('/').to_owned())
        }
        None => return Err(refused(&config.url, "the URL begins with file, s3, gs or az")),
    };
    let threads = |error| StoreError::unavailable("start threads for", &config.url, error);
    let mut tier = Tier::new(store, config.cache_bytes).map_err(threads)?;
    tier.prefix = prefix;
    tier.keep_local_ms = config.keep_local.as_signed_ms();
    tier.max_backlog_bytes = config.max_backlog_bytes.get();
    tier.interval = config.interval.as_duration();
    Ok(Some(tier))
}

#[cfg(feature = "object-storage")]
fn cloud(url: &str, config: &ObjectStorageConfig) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Ok(Arc::new(CloudStore::open(url, &config.endpoint, &config.region)?))
}

#[cfg(not(feature = "object-storage"))]
fn cloud(url: &str, _config: &ObjectStorageConfig) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Err(refused(url, "this server was built without the feature object-storage"))
}

fn refused(url: &str, why: &'static str) -> StoreError {
    let source = io::Error::new(io::ErrorKind::InvalidInput, why);
    StoreError::Refused { action: "open", key: url.into(), source }
}
