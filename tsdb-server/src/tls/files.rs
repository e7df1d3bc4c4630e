//! From files to what rustls needs.

use super::TlsError;
use crate::config::{ClientCertificates, TlsConfig, TlsVersion};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, version};

/// The contents of the files that the settings name.
pub(super) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
        };
        let authorities = match config.client_certificates {
            ClientCertificates::None => None,
            _ if config.client_ca_file.as_os_str().is_empty() => return Err(TlsError::NoAuthority),
            _ => Some(read(&config.client_ca_file)?),
        };
        Ok(Self { certificate: read(&config.certificate_file)?, key: read(&config.key_file)?, authorities })
    }

    /// What tells these contents from others.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [&self.certificate, &self.key].into_iter().chain(&self.authorities) {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// What new connections are made by.
    pub(super) fn server_config(&self, config: &TlsConfig) -> Result<ServerConfig, TlsError> {
        let versions: &[_] = match config.min_version {
            TlsVersion::V1_2 => &[&version::TLS12, &version::TLS13],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .map_err(unusable)?;
        let builder = match self.verifier(config)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let chain = certificates(&self.certificate, &config.certificate_file)?;
        let no_key = |_| TlsError::Pem { path: config.key_file.clone(), expected: "private key" };
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(no_key)?;
        let mut made = builder.with_single_cert(chain, key).map_err(unusable)?;
        made.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(made)
    }

    fn verifier(&self, config: &TlsConfig) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let Some(authorities) = &self.authorities else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for authority in certificates(authorities, &config.client_ca_file)? {
            roots.add(authority).map_err(unusable)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match config.client_certificates {
            ClientCertificates::Required => builder,
            _ => builder.allow_unauthenticated(),
        };
        builder.build().map(Some).map_err(unusable)
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(TlsError::Pem { path: path.to_owned(), expected: "certificate" }),
    }
}

fn unusable(source: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::Unusable { source: Box::new(source) }
}
