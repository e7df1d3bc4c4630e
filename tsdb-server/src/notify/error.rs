//! Why alerts cannot be delivered as the settings say.

use std::error::Error;
use std::path::PathBuf;

/// Settings of `[alerting]` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlertingError {
    /// This build sends no alerts.
    #[error("alerting: this server was built without the feature alert-delivery")]
    NotBuilt,
    /// A receiver cannot be called so.
    #[error(
        "alerting: {name:?} is no name for a receiver: 1 to 64 letters, digits, _ and - and different from the others"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A receiver cannot be spoken to.
    #[error("alerting: receiver {name}: {source}")]
    Receiver {
        /// The receiver.
        name: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A file of Prometheus cannot be used.
    #[error("alerting.prometheus_file {path}: {source}", path = path.display())]
    PrometheusFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Labels that tell this server from others are none.
    #[error("rules.external_labels: {source}")]
    Labels {
        /// Why.
        #[from]
        source: tsdb_core::labels::LabelError,
    },
    /// The queue of a receiver cannot be opened.
    #[error("the queue of receiver {name}: {source}")]
    Queue {
        /// The receiver.
        name: String,
        /// Why.
        source: tsdb::wal::WalError,
    },
}
