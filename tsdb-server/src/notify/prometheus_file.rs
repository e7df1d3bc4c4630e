//! The Alertmanagers that a settings file of Prometheus names under `alerting:`.
//!
//! All else in the file is passed over. What is said there and cannot be done - service discovery, relabelling, signed
//! requests - is an error: an alert that goes nowhere must not look as if it did.

use super::AlertingError;
use crate::config::{AlertmanagerConfig, ReceiverHttpConfig};
use crate::{Period, Secret};
use serde::Deserialize;
use std::error::Error;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    alerting: Alerting,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Alerting {
    #[serde(default)]
    alertmanagers: Vec<Cluster>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Cluster {
    scheme: String,
    path_prefix: String,
    timeout: Period,
    api_version: String,
    basic_auth: BasicAuth,
    authorization: Authorization,
    tls_config: TlsConfig,
    static_configs: Vec<Static>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BasicAuth {
    username: String,
    password: Secret,
    password_file: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Authorization {
    r#type: String,
    credentials: Secret,
    credentials_file: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    ca_file: PathBuf,
    cert_file: PathBuf,
    key_file: PathBuf,
    insecure_skip_verify: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Static {
    targets: Vec<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            timeout: Period::from_secs(10),
            api_version: "v2".to_owned(),
            basic_auth: BasicAuth::default(),
            authorization: Authorization::default(),
            tls_config: TlsConfig::default(),
            static_configs: Vec::new(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("alertmanagers: api_version {version:?} is not v2")]
    Version { version: String },
    #[error("alertmanagers: authorization of type {kind:?} is not Bearer")]
    Authorization { kind: String },
}

/// The Alertmanagers in the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<AlertmanagerConfig>, AlertingError> {
    let text = std::fs::read_to_string(path).map_err(|error| at(path, error))?;
    parse(&text, path.parent().unwrap_or(Path::new("")))
        .map_err(|source| AlertingError::PrometheusFile { path: path.to_owned(), source })
}

fn parse(text: &str, folder: &Path) -> Result<Vec<AlertmanagerConfig>, Box<dyn Error + Send + Sync>> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let clusters = file.alerting.alertmanagers.into_iter().enumerate();
    clusters.map(|(place, cluster)| Ok(settings(place, cluster, folder)?)).collect()
}

fn settings(place: usize, cluster: Cluster, folder: &Path) -> Result<AlertmanagerConfig, Fault> {
    if cluster.api_version != "v2" {
        return Err(Fault::Version { version: cluster.api_version });
    }
    let kind = &cluster.authorization.r#type;
    if !kind.is_empty() && !kind.eq_ignore_ascii_case("bearer") {
        return Err(Fault::Authorization { kind: kind.clone() });
    }
    // Paths are relative to the file, as Prometheus has it.
    let below = |path: &PathBuf| match path.as_os_str().is_empty() {
        true => PathBuf::new(),
        false => folder.join(path),
    };
    let (scheme, prefix) = (&cluster.scheme, cluster.path_prefix.trim_matches('/'));
    let targets = cluster.static_configs.iter().flat_map(|fixed| &fixed.targets);
    Ok(AlertmanagerConfig {
        name: format!("prometheus-{place}"),
        urls: targets.map(|target| format!("{scheme}://{target}/{prefix}")).collect(),
        http: ReceiverHttpConfig {
            timeout: Some(cluster.timeout),
            username: cluster.basic_auth.username,
            password: cluster.basic_auth.password,
            password_file: below(&cluster.basic_auth.password_file),
            bearer_token: cluster.authorization.credentials,
            bearer_token_file: below(&cluster.authorization.credentials_file),
            ca_file: below(&cluster.tls_config.ca_file),
            cert_file: below(&cluster.tls_config.cert_file),
            key_file: below(&cluster.tls_config.key_file),
            insecure_skip_verify: cluster.tls_config.insecure_skip_verify,
        },
    })
}

fn at(path: &Path, error: impl Error + Send + Sync + 'static) -> AlertingError {
    AlertingError::PrometheusFile { path: path.to_owned(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
global: {scrape_interval: 15s}
scrape_configs: [{job_name: x}]
alerting:
  alertmanagers:
  - scheme: https
    path_prefix: /am
    timeout: 5s
    basic_auth: {username: me, password: swordfish}
    tls_config: {ca_file: ca.pem}
    static_configs:
    - targets: ['a:9093', 'b:9093']
  - static_configs: [{targets: ['c:9093']}]
    authorization: {credentials_file: /token}
";

    #[test]
    fn alertmanagers_are_read_as_prometheus_reads_them() {
        let found = parse(FILE, Path::new("/etc/prometheus")).unwrap();
        assert_eq!(found[0].urls, ["https://a:9093/am", "https://b:9093/am"]);
        assert_eq!(found[0].http.timeout, Some(Period::from_secs(5)));
        assert_eq!((&*found[0].http.username, found[0].http.password.reveal()), ("me", "swordfish"));
        assert_eq!(found[0].http.ca_file, Path::new("/etc/prometheus/ca.pem"));
        assert_eq!(found[1].urls, ["http://c:9093/"]);
        assert_eq!(found[1].http.bearer_token_file, Path::new("/token"));
        assert!(parse("global: {}", Path::new("")).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        for what in [
            "alertmanagers: [{dns_sd_configs: [{names: [x]}]}]",
            "alertmanagers: [{api_version: v1}]",
            "alertmanagers: [{authorization: {type: Digest}}]",
            "alert_relabel_configs: [{action: drop}]",
        ] {
            assert!(parse(&format!("alerting: {{{what}}}"), Path::new("")).is_err(), "{what}");
        }
    }
}
