//! TLS over a real socket: who gets in, by which certificate, and what happens when files change.
#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tsdb_server::{ClientCertificates, Config, OpenError, Period, Server, TlsVersion, serve};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/certificates").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(fixture(name)).unwrap()
}

/// A server with the certificate `server`, which files may replace. Dropping it stops it.
struct Running {
    address: std::net::SocketAddr,
    folder: TempDir,
    server: Server,
    _stop: oneshot::Sender<()>,
}

impl Running {
    fn use_certificate(&self, name: &str) {
        for kind in ["pem", "key"] {
            std::fs::copy(fixture(&format!("{name}.{kind}")), self.folder.path().join(format!("tls.{kind}")))
                .unwrap();
        }
    }
}

fn config(folder: &Path) -> Config {
    let mut config = Config { data_dir: folder.join("data"), ..Config::default() };
    config.self_ingest_interval = Period::from_ms(0);
    config.tls.certificate_file = folder.join("tls.pem");
    config.tls.key_file = folder.join("tls.key");
    config
}

async fn start(change: impl FnOnce(&mut Config)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["pem", "key"] {
        std::fs::copy(fixture(&format!("server.{kind}")), folder.path().join(format!("tls.{kind}"))).unwrap();
    }
    let mut config = config(folder.path());
    change(&mut config);
    let server = Server::open(config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(listener, server.clone(), async {
        stopped.await.unwrap_or_default();
    }));
    Running { address, folder, server, _stop: stop }
}

/// How a client of these tests greets.
struct Greeting {
    certificate: Option<&'static str>,
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: &'static [&'static [u8]],
}

const PLAIN: Greeting =
    Greeting { certificate: None, versions: &[&version::TLS12, &version::TLS13], protocols: &[] };

async fn connect(server: &Running, greeting: Greeting) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("authority.pem")).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(greeting.versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match greeting.certificate {
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(fixture(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![certificate(&format!("{name}.pem"))], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = greeting.protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(server.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The status of a request over `greeting`; 0 if there is no answer.
async fn status(server: &Running, path: &str, greeting: Greeting) -> u16 {
    let Ok(mut stream) = connect(server, greeting).await else { return 0 };
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return 0;
    }
    let mut answer = Vec::new();
    if stream.read_to_end(&mut answer).await.is_err() && answer.is_empty() {
        return 0;
    }
    let text = String::from_utf8(answer).unwrap();
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).map_or(0, |code| code.parse().unwrap())
}

const OLD: Greeting = Greeting { certificate: None, versions: &[&version::TLS12], protocols: &[] };

const QUERY: &str = "/api/v1/query?query=1";

#[tokio::test]
async fn requests_over_tls_are_answered_and_plain_ones_are_not() {
    let server = start(|_| {}).await;
    assert_eq!(status(&server, QUERY, PLAIN).await, 200);
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(format!("GET {QUERY} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_client_is_known_by_the_names_in_its_certificate() {
    let server = start(|config| {
        let folder = config.data_dir.parent().unwrap().to_owned();
        let credentials =
            "[[credential]]\nname = \"agent\"\nread = [\"a\"]\ncertificate = \"CN=agent,O=Example\"\n";
        std::fs::write(folder.join("credentials.toml"), credentials).unwrap();
        config.access.credentials_file = folder.join("credentials.toml");
        config.tls.client_certificates = ClientCertificates::Optional;
        config.tls.client_ca_file = fixture("authority.pem");
    })
    .await;
    let agent = || Greeting { certificate: Some("agent"), ..PLAIN };
    assert_eq!(status(&server, QUERY, agent()).await, 200);
    assert_eq!(status(&server, QUERY, PLAIN).await, 401, "no certificate, no credential");
    assert_eq!(status(&server, "/-/ready", PLAIN).await, 200);
    let foreign = Greeting { certificate: Some("foreign"), ..PLAIN };
    assert_eq!(status(&server, QUERY, foreign).await, 0, "the same names, signed by a stranger");
    let by_resource =
        "[[credential]]\nname = \"agent\"\nread = [\"a\"]\ncertificate = \"uri:spiffe://example/agent\"\n";
    std::fs::write(server.folder.path().join("credentials.toml"), by_resource).unwrap();
    server.server.reload().unwrap();
    assert_eq!(status(&server, QUERY, agent()).await, 200);
    let other = "[[credential]]\nname = \"other\"\nread = [\"a\"]\ncertificate = \"CN=agent\"\n";
    std::fs::write(server.folder.path().join("credentials.toml"), other).unwrap();
    server.server.reload().unwrap();
    assert_eq!(status(&server, QUERY, agent()).await, 401, "a part of a name is no name");
}

#[tokio::test]
async fn where_certificates_are_required_there_is_no_connection_without() {
    let server = start(|config| {
        config.tls.client_certificates = ClientCertificates::Required;
        config.tls.client_ca_file = fixture("authority.pem");
    })
    .await;
    assert_eq!(status(&server, "/-/ready", PLAIN).await, 0);
    let agent = Greeting { certificate: Some("agent"), ..PLAIN };
    assert_eq!(status(&server, "/-/ready", agent).await, 200);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_by_itself_and_a_broken_one_changes_nothing() {
    let server = start(|config| config.access.reload_interval = Period::from_ms(20)).await;
    let shown = async || {
        let stream = connect(&server, PLAIN).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown().await, certificate("server.pem"));
    server.use_certificate("renewed");
    while shown().await != certificate("renewed.pem") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::copy(fixture("server.key"), server.folder.path().join("tls.key")).unwrap();
    assert!(server.server.reload().is_err(), "the key of another certificate");
    std::fs::write(server.folder.path().join("tls.pem"), "nothing").unwrap();
    let error = server.server.reload().unwrap_err().to_string();
    assert!(error.contains("tls.pem holds no certificate"), "{error}");
    assert_eq!(shown().await, certificate("renewed.pem"));
    server.use_certificate("server");
    server.server.reload().unwrap();
    assert_eq!(shown().await, certificate("server.pem"));
}

#[tokio::test]
async fn old_versions_and_other_protocols_are_not_spoken() {
    let server = start(|config| config.tls.min_version = TlsVersion::V1_3).await;
    assert_eq!(status(&server, QUERY, OLD).await, 0);
    let both = Greeting { protocols: &[b"h2", b"http/1.1"], ..PLAIN };
    let stream = connect(&server, both).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let only_two = Greeting { protocols: &[b"h2"], ..PLAIN };
    assert_eq!(status(&server, QUERY, only_two).await, 0);
}

#[tokio::test]
async fn a_client_that_does_not_begin_with_tls_is_sent_away() {
    let server = start(|config| config.http.header_timeout = Period::from_ms(100)).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), silent.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection is closed");
}

#[tokio::test]
async fn a_server_whose_files_cannot_be_used_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |config: Config| match Server::open(config) {
        Err(error @ OpenError::Tls { .. }) => error.to_string(),
        other => panic!("{:?}", other.map(|_| ()).err()),
    };
    assert!(refused(config(folder.path())).contains("cannot read"));
    std::fs::copy(fixture("server.pem"), folder.path().join("tls.pem")).unwrap();
    std::fs::write(folder.path().join("tls.key"), "").unwrap();
    assert!(refused(config(folder.path())).contains("tls.key holds no private key"));
    std::fs::copy(fixture("server.key"), folder.path().join("tls.key")).unwrap();
    let mut nobody = config(folder.path());
    nobody.tls.client_certificates = ClientCertificates::Required;
    assert!(refused(nobody).contains("client_ca_file"));
}
