//! Settings of TLS.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// TLS. With a certificate the server speaks nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate of the server and those between it and its authority, in PEM; empty for no TLS.
    pub certificate_file: PathBuf,
    /// Its key, in PEM.
    pub key_file: PathBuf,
    /// The authorities of the certificates of clients, in PEM.
    pub client_ca_file: PathBuf,
    /// Must clients have certificates: `none`, `optional` or `required`?
    pub client_certificates: ClientCertificates,
    /// The lowest version of TLS that is spoken: `1.2` or `1.3`.
    pub min_version: TlsVersion,
}

/// Must clients have certificates?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClientCertificates {
    /// They are not asked for one.
    None,
    /// They may have one; a wrong one ends the connection.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TlsVersion {
    /// 1.2
    #[serde(rename = "1.2")]
    V1_2,
    /// 1.3
    #[serde(rename = "1.3")]
    V1_3,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            client_ca_file: PathBuf::new(),
            client_certificates: ClientCertificates::None,
            min_version: TlsVersion::V1_2,
        }
    }
}

impl TlsConfig {
    /// Is TLS spoken?
    pub fn is_on(&self) -> bool {
        !self.certificate_file.as_os_str().is_empty()
    }
}
