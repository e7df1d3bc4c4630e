//! Settings of who may do what.

use crate::{Network, Period};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Who may do what.
///
/// Without a credentials file and without trusted networks everybody is trusted: the tenant is what the headers say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessConfig {
    /// The file with the credentials; empty for none.
    pub credentials_file: PathBuf,
    /// How often this file and those of TLS are looked at for changes.
    pub reload_interval: Period,
    /// Callers from these networks need no credential, and the number of their connections is not limited: proxies that
    /// verify callers themselves and set the header of the tenant. What counts is the other end of the connection, not
    /// what a header such as `X-Forwarded-For` says.
    pub trusted_networks: Vec<Network>,
    /// Does no caller need a credential, though there is a credentials file?
    pub trust_all: bool,
    /// May callers without a credential query across tenants?
    pub trusted_across_tenants: bool,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            credentials_file: PathBuf::new(),
            reload_interval: Period::from_secs(2),
            trusted_networks: Vec::new(),
            trust_all: false,
            trusted_across_tenants: false,
        }
    }
}
