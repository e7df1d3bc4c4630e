//! The settings of a server: one TOML file, every value with a default.
//!
//! A file names only what it changes: it is laid over the defaults, table by table, so an unknown name is an error
//! and the settings in force can be written out whole.

use crate::limits::Limits;
use crate::{Feature, Period, TenantPolicy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};
use tsdb_core::{TenantId, tenant::TenantIdError};

/// Settings of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The folder that holds everything.
    pub data_dir: PathBuf,
    /// Must every request name its tenant?
    pub tenant_required: bool,
    /// The tenant of requests that name none.
    pub default_tenant: String,
    /// How many tenants there may be.
    pub max_tenants: usize,
    /// How often the server stores its own metrics; `0s` for never.
    pub self_ingest_interval: Period,
    /// Are requests taken that administer a store, such as `POST /internal/force_flush`?
    pub admin_api: bool,
    /// Experimental parts of PromQL that are switched on, by Prometheus' names for them.
    pub features: Vec<Feature>,
    /// How samples are kept.
    pub storage: StorageConfig,
    /// Where blocks are put besides the disk.
    pub object_storage: ObjectStorageConfig,
    /// Connections and shutdown.
    pub http: HttpConfig,
    /// Recording and alerting rules.
    pub rules: RulesConfig,
    /// What may be written and asked.
    pub limits: Limits,
}

/// Recording and alerting rules. They belong to the default tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesConfig {
    /// Rule files in Prometheus' format: paths, with `*`, `?` and `[...]` in them for several.
    pub files: Vec<String>,
    /// Time between two evaluations of a group that names none.
    pub evaluation_interval: Period,
    /// Expressions of groups that name none are asked about so much earlier.
    pub query_offset: Period,
    /// Threads that evaluate rules and do nothing else.
    pub threads: usize,
    /// Where people reach this server; for the texts of alerts.
    pub external_url: String,
    /// Labels that tell this server from others; for the texts of alerts.
    pub external_labels: BTreeMap<String, String>,
}

/// How samples are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// Samples older than this are deleted; `0s` keeps everything.
    pub retention: Period,
    /// When an acknowledged batch is safe from a power cut: `commit` (each waits for the disk), `interval` or
    /// `lazy`. A killed process loses nothing in any of them.
    pub durability: DurabilityConfig,
    /// Time between two syncs with `interval`.
    pub sync_interval: Period,
    /// Length of a block.
    pub block_range: Period,
    /// How far behind the newest sample of a tenant one may come that is not newer than all of its series; `0s` takes
    /// none. Two hours is what senders buffer while a server is away.
    pub out_of_order_window: Period,
    /// Which of several values at a time is kept: `first`, and the others are refused, or `last`.
    pub duplicate_policy: DuplicatePolicyConfig,
    /// Memory that late samples of a tenant should take. Those beyond twice as much are refused until the others are in
    /// blocks.
    pub max_late_bytes: usize,
    /// Series that the head of a tenant may hold; 0 for no limit.
    pub max_active_series: crate::Limit,
}

/// Which of several values of a series at a time is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DuplicatePolicyConfig {
    /// The one that came first.
    First,
    /// The one that came last.
    Last,
}

/// When an acknowledged batch is safe from a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DurabilityConfig {
    /// Before it is acknowledged.
    Commit,
    /// Within [`StorageConfig::sync_interval`].
    Interval,
    /// When the log's segment is full.
    Lazy,
}

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

/// Connections and shutdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Connections open at the same time; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request, and how long a connection may idle between two.
    pub header_timeout: Period,
    /// How long a client may leave an answer untaken before the connection is closed.
    pub write_timeout: Period,
    /// How long requests may run on after a signal to stop.
    pub shutdown_grace: Period,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            data_dir: PathBuf::from("data"),
            tenant_required: false,
            default_tenant: "default".to_owned(),
            max_tenants: 1_000,
            self_ingest_interval: Period::from_secs(5),
            admin_api: false,
            features: Vec::new(),
            storage: StorageConfig {
                retention: Period::from_secs(14 * 86_400),
                durability: DurabilityConfig::Interval,
                sync_interval: Period::from_ms(200),
                block_range: Period::from_secs(7_200),
                out_of_order_window: Period::from_secs(7_200),
                duplicate_policy: DuplicatePolicyConfig::First,
                max_late_bytes: 64 << 20,
                max_active_series: crate::Limit::at(500_000),
            },
            object_storage: ObjectStorageConfig {
                url: String::new(),
                endpoint: String::new(),
                region: String::new(),
                keep_local: Period::from_secs(86_400),
                max_backlog_bytes: crate::Limit::NONE,
                cache_bytes: 256 << 20,
                interval: Period::from_secs(30),
            },
            http: HttpConfig {
                max_connections: 1_024,
                header_timeout: Period::from_secs(60),
                write_timeout: Period::from_secs(60),
                shutdown_grace: Period::from_secs(20),
            },
            rules: RulesConfig {
                files: Vec::new(),
                evaluation_interval: Period::from_secs(15),
                query_offset: Period::from_ms(0),
                threads: 1,
                external_url: String::new(),
                external_labels: BTreeMap::new(),
            },
            limits: Limits::default(),
        }
    }
}

/// Settings that make no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no TOML, or has a name or value that no setting has.
    #[error("the configuration is wrong: {source}")]
    Toml {
        /// What is wrong.
        #[from]
        source: toml::de::Error,
    },
    /// The defaults cannot be written down.
    #[error("the configuration cannot be written: {source}")]
    Write {
        /// Why.
        #[from]
        source: toml::ser::Error,
    },
    /// The default tenant is no tenant id.
    #[error("default_tenant: {source}")]
    Tenant {
        /// Which rule it breaks.
        #[from]
        source: TenantIdError,
    },
}

impl Config {
    /// The settings in the file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read or makes no settings.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = std::fs::read_to_string(path);
        Self::parse(&read.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?)
    }

    /// The settings in a TOML text.
    ///
    /// # Errors
    /// A text that is no TOML or has a name or value that no setting has.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut merged = Table::try_from(Self::default())?;
        overlay(&mut merged, text.parse::<Table>()?);
        Ok(merged.try_into()?)
    }

    /// All settings as TOML.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(self)?)
    }

    /// Lifts every limit on admission and queries and opens the admin API: for benchmarks and trusted use.
    #[must_use]
    pub fn without_limits(mut self) -> Self {
        self.limits = Limits::lifted();
        self.admin_api = true;
        self.storage.max_active_series = crate::Limit::NONE;
        self
    }

    /// What a request without a tenant means.
    ///
    /// # Errors
    /// The default tenant is no tenant id.
    pub fn tenant_policy(&self) -> Result<TenantPolicy, ConfigError> {
        if self.tenant_required {
            return Ok(TenantPolicy::Require);
        }
        Ok(TenantPolicy::DefaultTo(TenantId::new(&self.default_tenant)?))
    }

    /// The options of the engine that these settings mean.
    pub fn engine_options(&self) -> tsdb::Options {
        let storage = &self.storage;
        let positive = |period: Period| Some(period.as_signed_ms()).filter(|ms| *ms > 0);
        tsdb::Options {
            durability: match storage.durability {
                DurabilityConfig::Commit => tsdb::Durability::EveryCommit,
                DurabilityConfig::Interval => tsdb::Durability::Interval(storage.sync_interval.as_duration()),
                DurabilityConfig::Lazy => tsdb::Durability::Lazy,
            },
            block_range_ms: storage.block_range.as_signed_ms(),
            retention_ms: positive(storage.retention),
            future_skew_ms: positive(self.limits.ingest.max_future),
            out_of_order_window_ms: storage.out_of_order_window.as_signed_ms(),
            duplicates: match storage.duplicate_policy {
                DuplicatePolicyConfig::First => tsdb::DuplicatePolicy::KeepFirst,
                DuplicatePolicyConfig::Last => tsdb::DuplicatePolicy::KeepLast,
            },
            max_late_bytes: storage.max_late_bytes,
            max_active_series: storage.max_active_series.get(),
            replay: tsdb::Replay::Background,
            ..tsdb::Options::default()
        }
    }
}

/// Lays `over` upon `base`: tables are merged, everything else replaced.
fn overlay(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let text = "listen = \"0.0.0.0:80\"\n[storage]\nretention = \"1d\"\ndurability = \"commit\"\n\
                    [limits.push]\nmax_labels = 3\n[limits.ingest]\nmax_future = \"0s\"\n";
        let config = Config::parse(text).unwrap();
        let mut expected = Config { listen: "0.0.0.0:80".parse().unwrap(), ..Config::default() };
        expected.storage.retention = Period::from_secs(86_400);
        expected.storage.durability = DurabilityConfig::Commit;
        expected.limits.push.0.max_labels = crate::Limit::at(3);
        expected.limits.ingest.max_future = Period::from_ms(0);
        assert_eq!(config, expected);
        assert_eq!(config.engine_options().durability, tsdb::Durability::EveryCommit);
        assert_eq!(config.engine_options().future_skew_ms, None);
    }

    #[test]
    fn a_misspelt_name_or_a_wrong_value_is_an_error() {
        for text in [
            "lisen = \"0.0.0.0:80\"",
            "[storage]\nretention = 5",
            "[limits.query]\nmax_point = 1",
            "[limits.query]\nmax_points = -1",
            "[storage]\ndurability = \"maybe\"",
            "features = [\"promql-everything\"]",
            "= x",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_settings_in_force_are_read_back() {
        let experimental = Config { features: Feature::ALL.to_vec(), ..Config::default() };
        for config in [Config::default(), Config::default().without_limits(), experimental] {
            assert_eq!(Config::parse(&config.to_toml().unwrap()).unwrap(), config);
        }
    }
}
