//! Settings of blocks on object storage.

use crate::Period;
use serde::{Deserialize, Serialize};

/// Where blocks are put besides the disk. Credentials come from the environment, under the names that the services' own
/// tools use: `AWS_ACCESS_KEY_ID` and the like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStorageConfig {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `file:///directory`; empty for nowhere.
    pub url: String,
    /// Address of an S3-compatible service; empty for that of the provider.
    pub endpoint: String,
    /// Its region; empty for what the environment says.
    pub region: String,
    /// Blocks with older samples are removed from the disk when they are on object storage.
    pub keep_local: Period,
    /// When so many bytes of a tenant's blocks wait for their upload no more of its samples are taken; 0 for no limit.
    pub max_backlog_bytes: crate::Limit,
    /// Memory for what was read last, for all tenants together.
    pub cache_bytes: usize,
    /// Time between two looks for blocks to upload.
    pub interval: Period,
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
            interval: Period::from_secs(30),
        }
    }
}
