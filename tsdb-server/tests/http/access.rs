//! Who gets in, with which credential, to whose data.

use crate::harness::{NOW, Running, config, run, send};
use crate::ingest::{UP, series};
use reqwest::RequestBuilder;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use tempfile::TempDir;
use tsdb_core::testing::ManualClock;
use tsdb_server::{Config, Period, Server, hash_password, hash_token};

const AGENT: &str = "token-of-the-agent-of-a";
const READER: &str = "token-of-the-reader-of-all";
const TWO: &str = "token-of-one-that-reads-two";
const OPERATOR: &str = "token-of-the-operator";

fn entry(name: &str, token: &str, grants: &str) -> String {
    let hash = hash_token(token).unwrap();
    format!("[[credential]]\nname = \"{name}\"\ntoken_sha256 = \"{hash}\"\n{grants}\n")
}

fn credentials() -> String {
    [
        entry("agent", AGENT, "write = [\"a\"]"),
        entry("reader", READER, "read = \"*\""),
        entry("two", TWO, "read = [\"a\", \"b\"]\nacross_tenants = true"),
        entry("operator", OPERATOR, "read = \"*\"\nwrite = [\"a\", \"default\"]\nadminister = true"),
        format!(
            "[[credential]]\nname = \"human\"\nread = [\"a\"]\nuser = \"ann\"\npassword_argon2id = \"{}\"\n",
            hash_password("open sesame").unwrap()
        ),
    ]
    .concat()
}

/// A server whose credentials are in a file of a folder that lives as long.
async fn guarded(change: impl FnOnce(&mut Config)) -> (Running, Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials.toml");
    std::fs::write(&path, credentials()).unwrap();
    let mut config = config();
    config.access.credentials_file = path;
    change(&mut config);
    let stores = Arc::new(crate::harness::Memories::default());
    let clock = Arc::new(ManualClock::at(NOW));
    let server = Server::new(config, Arc::<crate::harness::Memories>::clone(&stores), clock).unwrap();
    (run(server.clone(), stores).await, server, folder)
}

async fn status(request: RequestBuilder) -> u16 {
    send(request).await.0.as_u16()
}

const QUERY: &str = "/api/v1/query?query=up";

/// The value of a sample of `/metrics` whose line begins so.
async fn metric(server: &Running, start: &str) -> f64 {
    let (_, text) = send(server.get("/metrics").bearer_auth(OPERATOR)).await;
    let line = text.lines().find(|line| line.starts_with(start));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
}

/// Audit lines of this process.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "audit"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn capture_audit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

fn audit_line(having: &[&str]) -> bool {
    LINES.lock().unwrap().iter().any(|line| having.iter().all(|part| line.contains(part)))
}

#[tokio::test]
async fn without_a_credential_only_health_and_readiness_are_answered() {
    let (server, _, _folder) = guarded(|_| {}).await;
    for path in [QUERY, "/metrics", "/api/v1/status/buildinfo", "/api/v1/rules", "/api/v1/labels"] {
        let response = server.get(path).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
        let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
        assert!(challenges[0].to_str().unwrap().starts_with("Bearer "), "{challenges:?}");
        assert!(challenges[1].to_str().unwrap().starts_with("Basic "), "{challenges:?}");
    }
    assert_eq!(status(server.write(&series(UP, &[(NOW, 1.0)]))).await, 401);
    assert_eq!(status(server.post("/-/reload")).await, 401);
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(status(server.get(path)).await, 200, "{path}");
    }
    assert_eq!(server.stores.tenants(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_credential_is_401_whatever_it_is() {
    let (server, _, _folder) = guarded(|config| config.access.trust_all = true).await;
    assert_eq!(status(server.get(QUERY)).await, 200, "trusted without a credential");
    assert_eq!(status(server.get(QUERY).bearer_auth("wrong")).await, 401);
    assert_eq!(status(server.get(QUERY).bearer_auth("")).await, 401);
    assert_eq!(status(server.get(QUERY).header("Authorization", "Digest x")).await, 401);
    assert_eq!(status(server.get(QUERY).basic_auth("ann", Some("wrong"))).await, 401);
    assert_eq!(status(server.get(QUERY).basic_auth("ann", Some(""))).await, 401);
    assert_eq!(status(server.get(QUERY).basic_auth("bob", Some("open sesame"))).await, 401);
    assert_eq!(status(server.get(QUERY).bearer_auth(AGENT).header("Authorization", "Bearer x")).await, 401);
}

#[tokio::test]
async fn the_tenant_is_that_of_the_credential() {
    let (server, _, _folder) = guarded(|_| {}).await;
    let write = || server.write(&series(UP, &[(NOW, 1.0)]));
    assert_eq!(status(write().bearer_auth(AGENT)).await, 204);
    assert_eq!(server.samples_of("a", UP), [(NOW, 1.0)]);
    assert_eq!(status(write().bearer_auth(AGENT).header("X-Tenant-ID", "a")).await, 204);
    assert_eq!(status(server.get(QUERY).bearer_auth(AGENT)).await, 403, "it may write, not read");
    assert_eq!(status(write().bearer_auth(READER)).await, 403);
    let (code, body) = send(server.get(QUERY).basic_auth("ann", Some("open sesame"))).await;
    assert!(code == 200 && body.contains("\"up\""), "{body}");
    let (code, body) = send(server.get(QUERY).bearer_auth(READER)).await;
    assert!(code == 200 && body.contains("\"result\":[]"), "the default tenant: {body}");
    let (_, body) = send(server.get(QUERY).bearer_auth(READER).header("X-Scope-OrgID", "a")).await;
    assert!(body.contains("\"up\""), "{body}");
    let (code, body) = send(server.get(QUERY).bearer_auth(TWO)).await;
    assert!(code == 400 && body.contains("name one by the header"), "{body}");
}

#[tokio::test]
async fn another_tenant_in_header_or_body_is_403_and_audited() {
    capture_audit();
    let (server, _, _folder) = guarded(|_| {}).await;
    let write = server.write(&series(UP, &[(NOW, 1.0)])).bearer_auth(AGENT);
    assert_eq!(status(write.header("X-Tenant-ID", "stolen-by-header")).await, 403);
    assert!(audit_line(&[
        "who=\"agent\"",
        "method=\"bearer\"",
        "from=\"127.0.0.1:",
        "tenant=\"stolen-by-header\"",
        "action=\"/api/v1/write\"",
        "outcome=\"forbidden\""
    ]));
    let body = format!(
        "{{\"samples\":[{{\"metric\":\"m\",\"timestampMs\":{NOW},\"value\":1}}],\"tenantId\":\"stolen\"}}"
    );
    assert_eq!(status(server.push(body).bearer_auth(AGENT)).await, 403);
    assert!(audit_line(&[
        "who=\"agent\"",
        "action=\"/v1/metrics/push\"",
        "outcome=\"forbidden\"",
        "tenantId"
    ]));
    assert_eq!(
        status(server.get(QUERY).bearer_auth("nobody").header("X-Tenant-ID", "unknown-caller")).await,
        401
    );
    assert!(audit_line(&["who=\"\"", "tenant=\"unknown-caller\"", "outcome=\"unauthenticated\""]));
    let counted = "tsdb_audit_events_total{action=\"/api/v1/write\",outcome=\"forbidden\"}";
    assert_eq!(metric(&server, counted).await, 1.0);
    assert_eq!(server.stores.tenants(), Vec::<String>::new(), "no store was made");
    let lines = LINES.lock().unwrap().join("\n");
    assert!(![AGENT, "nobody\"", "open sesame"].iter().any(|secret| lines.contains(secret)), "{lines}");
}

#[tokio::test]
async fn what_is_no_tenant_id_is_refused_before_anything_is_looked_up() {
    let (server, _, _folder) = guarded(|_| {}).await;
    let long = "x".repeat(300);
    for tenant in ["../x", "..", "a/b", "%252e", "%2e%2e", "", "|", "a|", "a\\b", "a b", long.as_str()] {
        for header in ["X-Tenant-ID", "X-Scope-OrgID"] {
            let (code, body) = send(server.get(QUERY).bearer_auth(READER).header(header, tenant)).await;
            assert_eq!(code, 400, "{header}: {tenant:?}: {body}");
            let write = server.write(&series(UP, &[(NOW, 1.0)])).bearer_auth(AGENT);
            assert_eq!(status(write.header(header, tenant)).await, 400, "{header}: {tenant:?}");
        }
    }
    assert_eq!(status(server.get(QUERY).bearer_auth(READER).header("X-Tenant-ID", "a|b")).await, 403);
    assert_eq!(status(server.get(QUERY).bearer_auth(TWO).header("X-Tenant-ID", "a|c")).await, 403);
    let disagreeing =
        server.get(QUERY).bearer_auth(READER).header("X-Tenant-ID", "a").header("X-Scope-OrgID", "b");
    assert_eq!(status(disagreeing).await, 400);
    assert_eq!(server.stores.tenants(), Vec::<String>::new());
}

#[tokio::test]
async fn administration_needs_a_credential_for_it_and_is_audited() {
    capture_audit();
    let (server, _, _folder) = guarded(|config| config.admin_api = true).await;
    assert_eq!(status(server.write(&series(UP, &[(NOW, 1.0)])).bearer_auth(AGENT)).await, 204);
    let flush = || server.post("/internal/force_flush");
    assert_eq!(status(flush().bearer_auth(AGENT).header("X-Tenant-ID", "a")).await, 403);
    assert_eq!(status(flush().bearer_auth(OPERATOR).header("X-Tenant-ID", "a")).await, 204);
    assert_eq!(server.stores.of("a").flushes(), 1);
    assert_eq!(status(flush().bearer_auth(OPERATOR).header("X-Tenant-ID", "b")).await, 403);
    assert_eq!(status(flush().bearer_auth(OPERATOR).header("X-Tenant-ID", "a|default")).await, 400);
    assert_eq!(status(server.post("/-/reload").bearer_auth(READER)).await, 403);
    assert_eq!(status(server.post("/-/reload").bearer_auth(OPERATOR)).await, 200);
    assert_eq!(status(server.get("/metrics").bearer_auth(READER)).await, 403, "it names all tenants");
    assert!(audit_line(&[
        "who=\"operator\"",
        "action=\"/internal/force_flush\"",
        "tenant=\"a\"",
        "outcome=\"done\""
    ]));
    assert!(audit_line(&["who=\"operator\"", "action=\"/-/reload\"", "outcome=\"done\""]));
}

#[tokio::test]
async fn a_trusted_network_names_its_tenant_and_administers_by_the_setting() {
    let (server, _, _folder) =
        guarded(|config| config.access.trusted_networks = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let write = server.write(&series(UP, &[(NOW, 1.0)])).header("X-Tenant-ID", "c");
    assert_eq!(status(write).await, 204);
    assert_eq!(server.samples_of("c", UP), [(NOW, 1.0)]);
    let (code, body) = send(server.post("/internal/force_flush")).await;
    assert!(code == 403 && body.contains("admin_api"), "{body}");
    assert_eq!(status(server.get(QUERY).header("X-Tenant-ID", "a|b")).await, 403);
    assert_eq!(status(server.get(QUERY).bearer_auth("wrong")).await, 401);
    let (far, _, _folder) =
        guarded(|config| config.access.trusted_networks = vec!["10.0.0.0/8".parse().unwrap()]).await;
    assert_eq!(status(far.get(QUERY).header("X-Tenant-ID", "c")).await, 401);
}

#[tokio::test]
async fn a_changed_file_is_in_force_by_itself_and_a_broken_one_is_not() {
    let (server, handle, folder) =
        guarded(|config| config.access.reload_interval = Period::from_ms(20)).await;
    let path = folder.path().join("credentials.toml");
    let write = |text: &str| replace(&path, text);
    let new = "token-of-a-new-agent-of-a";
    assert_eq!(status(server.get(QUERY).bearer_auth(new)).await, 401);
    write(&format!("{}{}", credentials(), entry("new", new, "read = [\"a\"]")));
    while status(server.get(QUERY).bearer_auth(new)).await != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    write("[[credential]]\nname = \"new\"\ntoken_sha256 = \"\"\n");
    while metric(&server, "tsdb_credentials_reload_successful").await != 0.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (code, body) = send(server.post("/-/reload").bearer_auth(OPERATOR)).await;
    assert!(code == 500 && body.contains("the secret is empty"), "{body}");
    assert_eq!(status(server.get(QUERY).bearer_auth(new)).await, 200, "the old ones are in force");
    write(&credentials());
    handle.reload().unwrap();
    assert_eq!(status(server.get(QUERY).bearer_auth(new)).await, 401, "taken away");
    assert_eq!(metric(&server, "tsdb_credentials_reload_successful").await, 1.0);
}

/// As an editor or an orchestrator does: never half a file.
#[expect(clippy::disallowed_methods, reason = "what others do to the file of a running server")]
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

#[test]
fn a_server_with_an_empty_secret_or_without_its_file_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials.toml");
    for (text, says) in [
        (None, "cannot read"),
        (Some(""), "no credential"),
        (Some("[[credential]]\nname = \"x\"\ntoken_sha256 = \"\""), "the secret is empty"),
        (Some("[[credential]]\nname = \"x\"\nuser = \"x\"\npassword_argon2id = \"\""), "the secret is empty"),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let mut config = config();
        config.access.credentials_file.clone_from(&path);
        let stores = Arc::new(crate::harness::Memories::default());
        let error =
            Server::new(config, stores, Arc::new(ManualClock::at(NOW))).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
