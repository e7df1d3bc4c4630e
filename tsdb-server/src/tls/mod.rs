//! TLS by rustls, behind the feature `tls`.
//!
//! Certificate, key and authorities are read anew when their files change; connections that are open keep what they
//! began with, new ones get what is in force. Files that cannot be used leave those in force that were. Sessions are not
//! resumed across a change, so an authority that was taken away is no longer believed.
//!
//! Only HTTP/1.1 is offered, see [`serve`](crate::serve()).

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod names;
#[cfg(feature = "tls")]
mod speaking;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::Tls;
#[cfg(feature = "tls")]
pub(crate) use speaking::Tls;

use std::path::PathBuf;

/// TLS that cannot be spoken as the settings say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// This program was built without the feature `tls`.
    #[error("this program was built without TLS: the feature tls of tsdb-server has it")]
    NotBuilt,
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {expected} in PEM", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// Clients must have certificates, and no authority of them is named.
    #[error("client_certificates asks for certificates, and client_ca_file names nobody who may sign them")]
    NoAuthority,
    /// Certificate and key do not go together, or an authority is none.
    #[error("the certificate, the key or the authorities cannot be used: {source}")]
    Unusable {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
