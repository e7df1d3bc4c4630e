//! Parts of a metrics server: the Prometheus HTTP API, remote write, JSON push, tenants.
//!
//! [`Server::open`] assembles a server over a data directory, [`serve`] runs it on a listener:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = tsdb_server::Config::default();
//! let listener = tokio::net::TcpListener::bind(config.listen).await?;
//! let server = tsdb_server::Server::open(config)?;
//! tsdb_server::serve(listener, server, async { tsdb_server::stop_signal().await.unwrap_or_default() }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Server::router`] can be mounted in another axum application instead, and [`Server::new`] stands on anything
//! that implements [`Stores`]. This is the only crate of the family that knows async, HTTP, JSON and protobuf.
//!
//! Left out so far, whole: scraping, OTLP, remote read.

mod access;
mod adapter;
mod admission;
mod api;
mod census;
mod compact;
mod config;
mod connections;
mod error;
mod fault;
mod feature;
mod fleet;
mod govern;
mod ingest;
mod limits;
pub mod metadata;
mod network;
mod notify;
mod period;
mod priority;
mod rfc3339;
mod ruler;
mod rules;
mod secret;
mod seldom;
mod serve;
mod stall;
mod state;
mod store;
mod telemetry;
mod tls;
mod validation;
mod view;
mod workers;

pub use access::{
    AccessError, CredentialFault, CredentialsError, SecretError, TenantPolicy, check_credentials,
    hash_password, hash_token, new_token,
};
#[cfg(feature = "object-storage")]
pub use adapter::CloudStore;
pub use adapter::{SqlMetadata, open_object_store};
pub use compact::compact;
pub use config::{
    AccessConfig, AlertingConfig, AlertmanagerConfig, CardinalityTrackerConfig, ClientCertificates, Config,
    ConfigError, DuplicatePolicyConfig, DurabilityConfig, GroupingConfig, HttpConfig, InhibitConfig,
    MetadataConfig, ObjectStorageConfig, PagerDutyConfig, QueriesConfig, ReceiverHttpConfig, RulesConfig,
    SlackConfig, StorageConfig, TenantRulesConfig, TlsConfig, TlsVersion, WebhookConfig,
};
pub use error::{ApiError, ErrorKind};
pub use feature::{Feature, UnknownFeature};
pub use fleet::TrackerError;
pub use ingest::remote_write_format as remote_write;
pub use ingest::{Encoding, EncodingError, decode_content};
pub use limits::{
    BlockedQuery, CardinalityLimits, HighCardinality, IngestLimits, Limit, Limits, NewSeriesLimits,
    PushRules, QueryLimits, RemoteWriteRules, RetentionLimits, RollupConfig, RuleLimits, SeriesRules,
};
pub use network::{Network, NetworkError};
pub use notify::AlertingError;
pub use period::{Period, PeriodError};
pub use ruler::RulesError;
pub use rules::{RuleCheckError, check_rules};
#[cfg(feature = "rule-tests")]
pub use rules::{RuleTestError, test_rules};
pub use secret::Secret;
pub use serve::{serve, stop_signal};
pub use state::{OpenError, ReloadError, Server};
pub use store::{Store, Stores};
pub use tls::TlsError;
pub use validation::LabelFault;
