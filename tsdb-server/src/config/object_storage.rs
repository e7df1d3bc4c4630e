//! Settings of blocks on object storage.

use crate::Period;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where blocks are put besides the disk. Credentials come from the environment, under the names that the services' own
/// tools use: `AWS_ACCESS_KEY_ID` and the like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStorageConfig {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `file:///directory`; empty for nowhere.
    pub url: String,
    /// Address of the service, such as one that speaks S3; empty for that of the provider.
    pub endpoint: String,
    /// Its region; empty for what the environment says.
    pub region: String,
    /// Blocks with older samples are removed from the disk when they are on object storage.
    pub keep_local: Period,
    /// When so many bytes of a tenant's blocks wait for their upload no more of its samples are taken; 0 for no limit.
    pub max_backlog_bytes: crate::Limit,
    /// Memory for what was read last, for all tenants together. Queries read up to 64 MiB ahead: with less than that they may
    /// ask for the same twice.
    pub cache_bytes: usize,
    /// Bytes of what was read that are kept on the disk as well, for all tenants together; 0 keeps none there.
    pub disk_cache_bytes: u64,
    /// The folder for that; empty for one in the data directory.
    pub disk_cache_dir: PathBuf,
    /// Time between two looks for blocks to upload, or to merge in a process that does only that.
    pub interval: Period,
    /// Does this server take over the blocks of another one below the same prefix, which runs no more? Without that it is
    /// refused there. To be set for one start, after the disk of the other one was lost.
    pub take_over: bool,
    /// Does this server merge the blocks on object storage? Not needed where other processes do (`--role compact`);
    /// that both do is no harm, since one at a time has the lease.
    pub compact: bool,
    /// How long the lease on merging lasts unless it is renewed: so long blocks stay as they are when whoever has it dies.
    pub lease: Period,
}

impl Default for ObjectStorageConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            region: String::new(),
            keep_local: Period::from_secs(86_400),
            max_backlog_bytes: crate::Limit::NONE,
            cache_bytes: 256 << 20,
            disk_cache_bytes: 1 << 30,
            disk_cache_dir: PathBuf::new(),
            interval: Period::from_secs(30),
            take_over: false,
            compact: true,
            lease: Period::from_secs(300),
        }
    }
}
