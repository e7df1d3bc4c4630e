//! What keeps a server from being opened, or its files from being read anew.

use crate::access::{AccessError, CredentialsError};
use crate::config::ConfigError;
use crate::fleet::TrackerError;
use crate::metadata::MetadataError;
use crate::notify::AlertingError;
use crate::ruler::RulesError;
use crate::tls::TlsError;

/// A server that could not be assembled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The settings make no server.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory could not be opened.
    #[error(transparent)]
    Store(#[from] tsdb::Error),
    /// Object storage cannot be used as the settings say.
    #[error("object_storage: {source}")]
    ObjectStorage {
        /// Why.
        #[from]
        source: tsdb::tier::StoreError,
    },
    /// There is nothing to work on.
    #[error("object_storage.url is empty: there are no blocks to merge")]
    NoObjectStorage,
    /// The metadata store cannot be used as it is.
    #[error("metadata: {source}")]
    Metadata {
        /// Why.
        #[from]
        source: MetadataError,
    },
    /// Who may do what cannot be found out.
    #[error("access: {source}")]
    Access {
        /// Why.
        #[from]
        source: AccessError,
    },
    /// TLS cannot be spoken.
    #[error("tls: {source}")]
    Tls {
        /// Why.
        #[from]
        source: TlsError,
    },
    /// The rules cannot be loaded.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Alerts cannot be delivered as the settings say.
    #[error(transparent)]
    Alerting(#[from] AlertingError),
    /// Series cannot be counted over the fleet as the settings say.
    #[error("cardinality_tracker: {source}")]
    Tracker {
        /// Why.
        #[from]
        source: TrackerError,
    },
    /// The threads for queries or rules could not be started.
    #[error("cannot start the threads for queries and rules: {source}")]
    Threads {
        /// Why.
        source: std::io::Error,
    },
}

/// A file that could not be read anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The rules stay as they were.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The credentials stay as they were.
    #[error("credentials_file: {source}")]
    Credentials {
        /// Why.
        #[from]
        source: CredentialsError,
    },
    /// The certificate stays as it was.
    #[error("tls: {source}")]
    Tls {
        /// Why.
        #[from]
        source: TlsError,
    },
}
