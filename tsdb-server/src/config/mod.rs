//! The settings of a server: one TOML file, every value with a default.
//!
//! A file names only what it changes: it is laid over the defaults, table by table, so an unknown name is an error
//! and the settings in force can be written out whole.

mod access;
mod alerting;
mod cardinality_tracker;
mod http;
mod metadata;
mod object_storage;
mod queries;
mod rules;
mod storage;
mod tls;

pub use access::AccessConfig;
pub use alerting::{
    AlertingConfig, AlertmanagerConfig, GroupingConfig, InhibitConfig, PagerDutyConfig, ReceiverHttpConfig,
    SlackConfig, WebhookConfig,
};
pub use cardinality_tracker::CardinalityTrackerConfig;
pub use http::HttpConfig;
pub use metadata::MetadataConfig;
pub use object_storage::ObjectStorageConfig;
pub use queries::QueriesConfig;
pub use rules::{RulesConfig, TenantRulesConfig};
pub use storage::{DuplicatePolicyConfig, DurabilityConfig, StorageConfig};
pub use tls::{ClientCertificates, TlsConfig, TlsVersion};

use crate::limits::Limits;
use crate::{Feature, Period, TenantPolicy};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// May callers without a credential, where they are trusted, administer, as by `POST /internal/force_flush`?
    pub admin_api: bool,
    /// Experimental parts of PromQL that are switched on, by Prometheus' names for them.
    pub features: Vec<Feature>,
    /// How samples are kept.
    pub storage: StorageConfig,
    /// Where blocks are put besides the disk.
    pub object_storage: ObjectStorageConfig,
    /// Connections and shutdown.
    pub http: HttpConfig,
    /// Who may do what.
    pub access: AccessConfig,
    /// TLS.
    pub tls: TlsConfig,
    /// What queries of all tenants have together.
    pub queries: QueriesConfig,
    /// Recording and alerting rules.
    pub rules: RulesConfig,
    /// Budgets, the catalogue of metrics, stored rules.
    pub metadata: MetadataConfig,
    /// Series counted over a fleet.
    pub cardinality_tracker: CardinalityTrackerConfig,
    /// Who is told of alerts.
    pub alerting: AlertingConfig,
    /// What may be written and asked, and what is kept.
    pub limits: Limits,
    /// What differs from `limits` for single tenants, by their names, in tables of the same form:
    /// `[tenants.acme.ingest]`.
    pub tenants: BTreeMap<String, Table>,
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
            storage: StorageConfig::default(),
            object_storage: ObjectStorageConfig::default(),
            http: HttpConfig::default(),
            access: AccessConfig::default(),
            tls: TlsConfig::default(),
            queries: QueriesConfig::default(),
            rules: RulesConfig::default(),
            metadata: MetadataConfig::default(),
            cardinality_tracker: CardinalityTrackerConfig::default(),
            alerting: AlertingConfig::default(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
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
    /// A tenant with limits of its own has a name that no tenant can have.
    #[error("tenants.{name}: {source}")]
    TenantName {
        /// The name.
        name: String,
        /// Which rule it breaks.
        source: TenantIdError,
    },
    /// What is to be kept of a tenant makes no sense.
    #[error("tenants.{tenant}.retention: {source}")]
    TenantRetention {
        /// The tenant.
        tenant: TenantId,
        /// What is wrong.
        source: tsdb::Error,
    },
    /// The limits of a tenant have a name or value that no limit has.
    #[error("tenants.{tenant}: {source}")]
    TenantLimits {
        /// The tenant.
        tenant: TenantId,
        /// What is wrong.
        source: toml::de::Error,
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

    /// Lifts every limit on admission and queries and opens the admin API: for benchmarks and trusted use. What is kept, and
    /// how long, stays as it is.
    #[must_use]
    pub fn without_limits(mut self) -> Self {
        self.limits = Limits { retention: self.limits.retention, ..Limits::lifted() };
        self.tenants.values_mut().for_each(|own| own.retain(|section, _| section == "retention"));
        self.admin_api = true;
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

    /// The limits of tenants that have some of their own.
    ///
    /// # Errors
    /// A name that no tenant can have, or a name or value that no limit has.
    pub fn tenant_limits(&self) -> Result<HashMap<TenantId, Limits>, ConfigError> {
        let defaults = Table::try_from(&self.limits)?;
        let of_tenant = |(name, own): (&String, &Table)| {
            let tenant = TenantId::new(name);
            let tenant = tenant.map_err(|source| ConfigError::TenantName { name: name.clone(), source })?;
            let mut limits = defaults.clone();
            overlay(&mut limits, own.clone());
            let limits: Limits = match limits.try_into() {
                Ok(limits) => limits,
                Err(source) => return Err(ConfigError::TenantLimits { tenant, source }),
            };
            match limits.retention.to_engine().check(self.storage.block_range.as_signed_ms()) {
                Ok(()) => Ok((tenant, limits)),
                Err(source) => Err(ConfigError::TenantRetention { tenant, source }),
            }
        };
        self.tenants.iter().map(of_tenant).collect()
    }

    /// The options of the engine that these settings mean.
    pub fn engine_options(&self) -> tsdb::Options {
        let storage = &self.storage;
        let retention = self.limits.retention.to_engine();
        tsdb::Options {
            durability: match storage.durability {
                DurabilityConfig::Commit => tsdb::Durability::EveryCommit,
                DurabilityConfig::Interval => tsdb::Durability::Interval(storage.sync_interval.as_duration()),
                DurabilityConfig::Lazy => tsdb::Durability::Lazy,
            },
            block_range_ms: storage.block_range.as_signed_ms(),
            retention_ms: retention.samples_ms,
            max_total_bytes: retention.max_bytes,
            max_expired_percent: retention.max_expired_percent,
            // Each batch is judged by the limits of its tenant, which change.
            future_skew_ms: None,
            out_of_order_window_ms: self.limits.ingest.out_of_order_window.as_signed_ms(),
            duplicates: match storage.duplicate_policy {
                DuplicatePolicyConfig::First => tsdb::DuplicatePolicy::KeepFirst,
                DuplicatePolicyConfig::Last => tsdb::DuplicatePolicy::KeepLast,
            },
            max_late_bytes: storage.max_late_bytes,
            checkpoint_log_bytes: storage.checkpoint_log_bytes,
            compaction: storage.compact,
            rollups: retention.rollups,
            series_limits: Arc::new(self.limits.cardinality.to_engine()),
            idle_series_ms: storage.idle_series_after.as_signed_ms(),
            min_idle_series: storage.min_idle_series,
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
        let text = "listen = \"0.0.0.0:80\"\n[storage]\ndurability = \"commit\"\ncheckpoint_log_bytes = 1000\n\
                    [limits.retention]\nsamples = \"1d\"\n[limits.push]\nmax_labels = 3\n[limits.ingest]\nmax_future = \"0s\"\n";
        let config = Config::parse(text).unwrap();
        let mut expected = Config { listen: "0.0.0.0:80".parse().unwrap(), ..Config::default() };
        expected.limits.retention.samples = Period::from_secs(86_400);
        expected.storage.durability = DurabilityConfig::Commit;
        expected.storage.checkpoint_log_bytes = 1000;
        expected.limits.push.0.max_labels = crate::Limit::at(3);
        expected.limits.ingest.max_future = Period::from_ms(0);
        assert_eq!(config, expected);
        let options = config.engine_options();
        assert_eq!(options.durability, tsdb::Durability::EveryCommit);
        assert_eq!(options.checkpoint_log_bytes, 1000);
    }

    #[test]
    fn a_misspelt_name_or_a_wrong_value_is_an_error() {
        for text in [
            "lisen = \"0.0.0.0:80\"",
            "[limits.retention]\nsamples = 5",
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
    fn a_tenant_has_the_common_limits_but_for_its_own() {
        let text = "[limits.ingest]\nsamples_per_second = 7\n[tenants.acme.ingest]\nburst_samples = 9\n\
                    [tenants.acme.query]\nmax_series = 3\n";
        let config = Config::parse(text).unwrap();
        let mut expected = config.limits.clone();
        expected.ingest.burst_samples = crate::Limit::at(9);
        expected.query.max_series = crate::Limit::at(3);
        let acme = TenantId::new("acme").unwrap();
        assert_eq!(config.tenant_limits().unwrap(), HashMap::from([(acme, expected)]));
        assert_eq!(Config::parse(&config.to_toml().unwrap()).unwrap(), config);
        for (text, wrong) in [
            ("[tenants.acme.ingest]\nburst = 9", "tenants.acme: unknown field `burst`"),
            (
                "[tenants.acme.retention]\nsamples = \"1h\"",
                "tenants.acme.retention: option retention_ms has the value 3600000",
            ),
            (
                "[[tenants.acme.retention.rollups]]\nresolution = \"0s\"\nafter = \"0s\"\nretention = \"0s\"",
                "tenants.acme.retention: option rollups has the value 0",
            ),
            ("[tenants.\"../x\".ingest]\nburst_samples = 9", "tenants.../x: "),
        ] {
            let error = Config::parse(text).unwrap().tenant_limits().unwrap_err().to_string();
            assert!(error.starts_with(wrong), "{error}");
        }
    }

    #[test]
    fn the_settings_in_force_are_read_back() {
        let experimental = Config { features: Feature::ALL.to_vec(), ..Config::default() };
        for config in [Config::default(), Config::default().without_limits(), experimental] {
            assert_eq!(Config::parse(&config.to_toml().unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn tenants_keep_what_they_keep_where_limits_are_lifted() {
        let text = "[limits.retention]\nsamples = \"30d\"\n[tenants.acme.ingest]\nburst_samples = 9\n\
                    [tenants.acme.retention]\nsamples = \"1y\"\nrollups = []\n";
        let config = Config::parse(text).unwrap().without_limits();
        assert_eq!(config.engine_options().retention_ms, Some(30 * 86_400_000));
        let acme = &config.tenant_limits().unwrap()[&TenantId::new("acme").unwrap()];
        assert_eq!(acme.ingest, Limits::lifted().ingest);
        let kept = acme.retention.to_engine();
        assert_eq!((kept.samples_ms, kept.rollups), (Some(365 * 86_400_000), vec![]));
    }
}
