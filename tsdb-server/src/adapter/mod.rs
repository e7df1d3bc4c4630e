//! Engines that exist elsewhere, behind the traits of the floors that need them, one feature each.

mod metadata;
#[cfg(feature = "object-storage")]
mod object_storage;
#[cfg(feature = "redis")]
mod redis;

pub use metadata::SqlMetadata;
#[cfg(feature = "object-storage")]
pub use object_storage::CloudStore;

use crate::config::{CardinalityTrackerConfig, MetadataConfig, ObjectStorageConfig};
use crate::fleet::{Board, TrackerError};
use crate::metadata::{MetadataError, MetadataStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tsdb::fs::OsFs;
use tsdb::tier::{DirStore, ObjectStore, StoreError, Tier};

/// The folder of the data directory for parts of blocks on object storage. No tenant can be called that.
const CACHE_DIR: &str = ".object-cache";

/// The least that is waited for a metadata store.
const SHORTEST: Duration = Duration::from_millis(100);

/// The metadata store that `config` names, by default a file in `data_dir`. It need not be there yet: a server starts
/// without it too.
pub(crate) fn metadata(
    config: &MetadataConfig,
    data_dir: &Path,
) -> Result<Arc<dyn MetadataStore>, MetadataError> {
    let timeout = config.timeout.as_duration().max(SHORTEST);
    let store = match config.url.strip_prefix("sqlite://") {
        Some(path) => SqlMetadata::at_file(Path::new(path), timeout),
        None if config.url.is_empty() => SqlMetadata::at_file(&data_dir.join("metadata.db"), timeout),
        None => SqlMetadata::connect(&config.url, timeout),
    };
    Ok(Arc::new(store?))
}

/// The metadata store that `config` names, as a server made it: nothing is made here, so a store that is not there is not taken
/// for one that is empty.
pub(crate) fn attached_metadata(config: &MetadataConfig) -> Result<Arc<dyn MetadataStore>, MetadataError> {
    let timeout = config.timeout.as_duration().max(SHORTEST);
    Ok(Arc::new(SqlMetadata::attach(&config.url, timeout)?))
}

/// Where `config` wants sketches to be shared; `None` if nowhere.
pub(crate) fn board(config: &CardinalityTrackerConfig) -> Result<Option<Box<dyn Board>>, TrackerError> {
    if config.url.is_empty() {
        return Ok(None);
    }
    let (expiry, interval) = (config.expiry.as_duration(), config.interval.as_duration());
    if expiry <= interval {
        return Err(TrackerError::Expiry { expiry, interval });
    }
    redis_board(config).map(Some)
}

#[cfg(feature = "redis")]
fn redis_board(config: &CardinalityTrackerConfig) -> Result<Box<dyn Board>, TrackerError> {
    Ok(Box::new(redis::RedisBoard::new(config)?))
}

#[cfg(not(feature = "redis"))]
fn redis_board(_config: &CardinalityTrackerConfig) -> Result<Box<dyn Board>, TrackerError> {
    Err(TrackerError::NoRedis)
}

/// The store that `url` names, and what the keys in it begin with: `s3://bucket/prefix`, `gs://bucket/prefix`,
/// `az://container/prefix` or `file:///directory`. `endpoint` and `region` are those of the service if they are not empty.
///
/// # Errors
/// The URL names no store, or it cannot be opened.
pub fn open_object_store(
    url: &str,
    endpoint: &str,
    region: &str,
) -> Result<(Arc<dyn ObjectStore>, String), StoreError> {
    match url.split_once("://") {
        Some(("file", dir)) => {
            let store = DirStore::open(dir).map_err(|error| StoreError::unavailable("open", url, error))?;
            Ok((Arc::new(store), String::new()))
        }
        Some((scheme, rest)) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let store = cloud(&format!("{scheme}://{bucket}"), endpoint, region)?;
            Ok((store, prefix.trim_end_matches('/').to_owned()))
        }
        None => Err(refused(url, "the URL begins with file, s3, gs or az")),
    }
}

/// Where `config` wants blocks to be put; `None` if nowhere. `data_dir` is the server's.
pub(crate) fn tier(config: &ObjectStorageConfig, data_dir: &Path) -> Result<Option<Tier>, StoreError> {
    if config.url.is_empty() {
        return Ok(None);
    }
    let (store, prefix) = open_object_store(&config.url, &config.endpoint, &config.region)?;
    let threads = |error| StoreError::unavailable("start threads for", &config.url, error);
    let mut tier = Tier::new(store, config.cache_bytes).map_err(threads)?;
    if config.disk_cache_bytes > 0 {
        let dir = &config.disk_cache_dir;
        let dir = if dir.as_os_str().is_empty() { data_dir.join(CACHE_DIR) } else { dir.clone() };
        let unusable = |error| StoreError::unavailable("open a cache for", &config.url, error);
        tier = tier.with_disk_cache(Arc::new(OsFs), &dir, config.disk_cache_bytes).map_err(unusable)?;
    }
    tier.prefix = prefix;
    tier.keep_local_ms = config.keep_local.as_signed_ms();
    tier.max_backlog_bytes = config.max_backlog_bytes.get();
    tier.interval = config.interval.as_duration();
    tier.take_over = config.take_over;
    tier.compaction = config.compact;
    tier.lease_ms = config.lease.as_signed_ms();
    Ok(Some(tier))
}

#[cfg(feature = "object-storage")]
fn cloud(url: &str, endpoint: &str, region: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Ok(Arc::new(CloudStore::open(url, endpoint, region)?))
}

#[cfg(not(feature = "object-storage"))]
fn cloud(url: &str, _endpoint: &str, _region: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Err(refused(url, "this server was built without the feature object-storage"))
}

fn refused(url: &str, why: &'static str) -> StoreError {
    let source = io::Error::new(io::ErrorKind::InvalidInput, why);
    StoreError::Refused { action: "open", key: url.into(), source }
}
